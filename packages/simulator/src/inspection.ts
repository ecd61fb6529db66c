import type { Replica } from '@coxswain/node';
import type { Entry, NodeId, Role } from '@coxswain/raft';

/**
 * The present state of one group of a node. It is a live view: its getters read the group, so that looking costs
 * little.
 */
export interface GroupInspection {
  readonly group: number;
  /**
   * Identifies the life of the core: another object after the core was started again, when state that was only in
   * memory may have gone back.
   */
  readonly life: object;
  /**
   * True when the core has taken in more than the wal was given, because the turn has not come yet or the disk is full.
   * Nobody can have heard of that state yet.
   */
  readonly isBetweenTurns: boolean;
  readonly term: number;
  readonly role: Role;
  /**
   * The members whose entries and votes count. Over wolf.raft, one that has not caught up votes in the eyes of all but
   * itself.
   */
  readonly voters: readonly NodeId[];
  /** True when this node counts itself as a voter. */
  readonly isVoter: boolean;
  /** The first index of the log: one past its truncation point. */
  readonly firstIndex: number;
  /** The last index that was given to the wal, durable or not. */
  readonly lastIndex: number;
  /** The last index that the local wal holds durably (D1, D2). */
  readonly durableIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Returns the entry at `index`; undefined outside [firstIndex, lastIndex]. */
  entry(index: number): Entry | undefined;
  /** Returns the term at `index`; defined for `firstIndex - 1 <= index <= lastIndex`. */
  termAt(index: number): number | undefined;
  /**
   * The hash of exactly the content at `appliedIndex`, in hex (A6); undefined while the state is ahead of it, or being
   * rebuilt.
   */
  readonly contentHash: string | undefined;
}

/** Inspects a replica of a real node. */
class ReplicaInspection implements GroupInspection {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  get group(): number {
    return this.#replica.group;
  }
  get life(): object {
    return this.#replica.raft;
  }
  get isBetweenTurns(): boolean {
    const { raft, log } = this.#replica;
    return raft.hasReady() || raft.lastIndex !== log.lastIndex();
  }
  get term(): number {
    return this.#replica.raft.term;
  }
  get role(): Role {
    return this.#replica.raft.role;
  }
  get voters(): readonly NodeId[] {
    const { voters, learners } = this.#replica.raft.membership;
    return learners.length === 0 ? voters : [...voters, ...learners];
  }
  get isVoter(): boolean {
    const { id, membership } = this.#replica.raft;
    return membership.voters.includes(id);
  }
  get firstIndex(): number {
    return this.#replica.log.firstIndex();
  }
  get lastIndex(): number {
    return this.#replica.log.lastIndex();
  }
  get durableIndex(): number {
    return this.#replica.durableIndex;
  }
  get commitIndex(): number {
    return this.#replica.raft.commitIndex;
  }
  get appliedIndex(): number {
    return this.#replica.raft.appliedIndex;
  }
  entry(index: number): Entry | undefined {
    const { log } = this.#replica;
    if (index < log.firstIndex() || index > log.lastIndex()) return undefined;
    return log.entries(index, index + 1, 1)[0];
  }
  termAt(index: number): number | undefined {
    return this.#replica.log.term(index);
  }
  get contentHash(): string | undefined {
    if (!this.#replica.hasTable) return undefined;
    const { table } = this.#replica;
    return table.appliedIndex === this.appliedIndex ? table.contentHash : undefined;
  }
}

/** Inspects the replicas of real nodes, with one view for each replica. */
export class Inspections {
  readonly #known = new WeakMap<Replica, GroupInspection>();

  /** Returns the views of a node's groups in their order, without those that are closed. */
  of(groups: Iterable<Replica>): GroupInspection[] {
    const found: GroupInspection[] = [];
    for (const replica of groups) {
      if (replica.isClosed) continue;
      let inspection = this.#known.get(replica);
      if (inspection === undefined) {
        inspection = new ReplicaInspection(replica);
        this.#known.set(replica, inspection);
      }
      found.push(inspection);
    }
    return found;
  }
}
