import type { Clock, Log } from '@coxswain/runtime';
import { type MemberMetrics, standingOf, toWolfId } from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';
import { nodeEvents } from '../events.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { askMetrics } from './ask-metrics.js';

/** The pause between two rounds of questions. */
const PAUSE_MS = 500;

/** The parts of a node that EmptyDisk uses. */
export interface EmptyDiskOptions {
  /** The addresses of the other members, by wolf.raft id. */
  readonly others: ReadonlyMap<number, string>;
  readonly link: WolfLink;
  readonly clock: Clock;
  readonly log: Log;
  /** How long to wait for a member's answer, in milliseconds. */
  readonly askMs: number;
  readonly replicas: () => Replicas;
}

/**
 * Keeps the purpose of T4 for a member of a wolf.raft group whose disk holds nothing. The disk may have lost what it
 * had, and with it a vote and acknowledgements. So the member takes nothing in until every other member has said in
 * which term it is (`standingOf`), and then nothing from an earlier term. It asks them for as long as it has no entry,
 * does not vote and hears no leader.
 */
export class EmptyDisk {
  readonly #options: EmptyDiskOptions;
  /** The round of questions that is under way. */
  #round: object | undefined;
  #nextMs = 0;
  /** Whether no member was in a term yet, so that this one need not keep any. */
  #isGroupNew = false;
  #isGroupEmpty = false;
  #waitsFor: string | undefined;

  constructor(options: EmptyDiskOptions) {
    this.#options = options;
  }

  /** Says why this member can take nothing in yet; undefined when it can, as once it has kept a term. */
  refusal(replica: Replica): string | undefined {
    if (replica.raft.term > 0 || this.#isGroupNew || this.#isVoter(replica)) return undefined;
    const reason = this.#waitsFor ?? 'it has not asked the other members yet';
    return `this member has an empty disk, and may have forgotten what it promised: ${reason}`;
  }

  /**
   * Whether no entry was ever committed, so that this member lacks none and may vote like any other. It rests on the
   * last answers of the members, and holds as long as this member has taken nothing in since.
   */
  get isGroupEmpty(): boolean {
    return this.#isGroupEmpty;
  }

  /** Called when the member takes entries or a snapshot from its leader. */
  tookIn(): void {
    this.#isGroupEmpty = false;
    this.#round = undefined;
  }

  /** Called at every tick while this start takes part in its cluster. Returns undefined when there is nothing to do. */
  tick(replica: Replica): Promise<void> | undefined {
    const { clock } = this.#options;
    if (clock.monotonicMs() < this.#nextMs || !this.#isInNeed(replica)) return undefined;
    this.#nextMs = Number.POSITIVE_INFINITY;
    return this.#ask(replica).finally(() => {
      this.#nextMs = clock.monotonicMs() + PAUSE_MS;
    });
  }

  #isVoter({ raft }: Replica): boolean {
    return raft.membership.voters.includes(raft.id);
  }

  #isInNeed(replica: Replica): boolean {
    const { raft } = replica;
    const isIdle = !replica.isClosed && !replica.isSuspended && replica.hasTable;
    return isIdle && !this.#isVoter(replica) && raft.lastIndex === 0 && toWolfId(raft.leader) === undefined;
  }

  async #ask(replica: Replica): Promise<void> {
    const { others, link, askMs } = this.#options;
    const round = {};
    this.#round = round;
    const asked = [...others].map(async ([id, address]) => {
      try {
        return await askMetrics(link, { id, address }, askMs);
      } catch (error) {
        return `member ${id} at ${address} ${(error as Error).message}`;
      }
    });
    const answers = await Promise.all(asked);
    if (this.#round !== round || !this.#isInNeed(replica)) return;
    const known = answers.filter((answer): answer is MemberMetrics => typeof answer !== 'string');
    const missing = answers.find((answer): answer is string => typeof answer === 'string');
    if (missing === undefined) await this.#conclude(replica, known);
    else {
      this.#wait(
        replica,
        `it takes part when every other member has said in which term it is, and ${missing}`,
      );
    }
  }

  async #conclude(replica: Replica, metrics: readonly MemberMetrics[]): Promise<void> {
    const standing = standingOf(metrics);
    if (standing.kind === 'lost') {
      const ids = standing.nonVoters.join(', ');
      this.#wait(
        replica,
        `fewer than a quorum know what was acknowledged, since member ${ids} does not vote either: wait until it does, or bring its disk back (docs/operations.md, "A table over wolf.raft")`,
      );
      return;
    }
    this.#waitsFor = undefined;
    this.#isGroupEmpty = standing.isGroupEmpty;
    if (replica.raft.term > 0) return;
    if (standing.term === 0) {
      this.#isGroupNew = true;
      return;
    }
    // This member may have given its vote in that term.
    const { raft } = replica;
    const hardState = { term: standing.term, vote: raft.id, commit: 0 };
    await this.#options.replicas().changeMembership(replica, raft.membership, hardState);
  }

  #wait(replica: Replica, reason: string): void {
    if (this.#waitsFor === reason) return;
    this.#waitsFor = reason;
    if (this.refusal(replica) === undefined) return;
    const { group, name } = replica;
    this.#options.log(nodeEvents.emptyMemberWaits, { group, table: name, reason });
  }
}
