import type { Clock, Log } from '@coxswain/runtime';
import { type MemberMetrics, standingOf, toWolfId } from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';
import { nodeEvents } from '../events.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { askMetrics } from './ask-metrics.js';

/** Between two rounds of questions. */
const PAUSE_MS = 500;

export interface EmptyDiskOptions {
  /** The other members, by wolf id. */
  readonly others: ReadonlyMap<number, string>;
  readonly link: WolfLink;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a member's answer is waited for. */
  readonly askMs: number;
  readonly replicas: () => Replicas;
}

/**
 * T4 for a member of a wolf.raft group whose disk holds nothing: it may have lost what it had, and with it a vote and
 * acknowledgements. It takes nothing in until every other member has said in which term it is (`standingOf`), and then
 * nothing from an earlier one. It asks them for as long as it has no entry, does not vote and hears no leader.
 */
export class EmptyDisk {
  readonly #options: EmptyDiskOptions;
  /** The round of questions that is under way. */
  #round: object | undefined;
  #nextMs = 0;
  /** Nobody was in a term yet, so that none needs to be kept. */
  #isGroupNew = false;
  #isGroupEmpty = false;
  #waitsFor: string | undefined;

  constructor(options: EmptyDiskOptions) {
    this.#options = options;
  }

  /** Says why this member can take nothing in yet; undefined where it can, as once it has kept a term. */
  refusal(replica: Replica): string | undefined {
    if (replica.raft.term > 0 || this.#isGroupNew || this.#isVoter(replica)) return undefined;
    const reason = this.#waitsFor ?? 'it has not asked the other members yet';
    return `this member has an empty disk, and may have forgotten what it promised: ${reason}`;
  }

  /**
   * No entry was ever committed, so that this member lacks none, and may vote like any other: by what the members said last,
   * and as long as it has taken nothing in since.
   */
  get isGroupEmpty(): boolean {
    return this.#isGroupEmpty;
  }

  /** From now on it has, or had, what its leader gave it. */
  tookIn(): void {
    this.#isGroupEmpty = false;
    this.#round = undefined;
  }

  /** Called now and then, while this start takes part in its cluster. Undefined: nothing is to be done. */
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
    // Its vote in that term may be given.
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
