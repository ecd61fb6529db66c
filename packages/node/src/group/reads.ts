import type { Raft, ReadContext, ReadState } from '@coxswain/raft';
import { type ApiError, errors } from '../api/errors.js';

interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: ApiError) => void;
}

interface Round {
  readonly context: ReadContext;
  waiters: Waiter[];
  readonly sentAtMs: number;
}

/**
 * Confirms the linearizable reads of one group. All reads that wait share the next ReadIndex round; one round is under
 * way at a time, so that the batch grows with the load. A read joins only a round that has not been sent (P2).
 */
export class LinearizableReads {
  readonly #contextPrefix: string;
  #round = 0;
  #next: Waiter[] = [];
  /** The round that is under way. */
  #sent: Round | undefined;
  /** Reads that are confirmed and wait until `index` is applied. */
  #confirmed: { index: number; waiters: Waiter[] }[] = [];
  #count = 0;

  /** Makes the reads of one group on the node `origin`; its boot keeps contexts unique over restarts (P2). */
  constructor(origin: { node: number; boot: string }) {
    this.#contextPrefix = `${origin.node}.${origin.boot}.`;
  }

  /** The number of reads that wait, in any stage. */
  get count(): number {
    return this.#count;
  }

  /** Whether reads wait for a round that has not been sent. */
  get hasUnsent(): boolean {
    return this.#next.length > 0;
  }

  /** Adds a read to the next round. */
  add(waiter: Waiter): void {
    this.#next.push(waiter);
    this.#count++;
  }

  /** Sends the next round if reads wait for one and none is under way. Returns whether it was sent. */
  beginRound(raft: Raft, nowMs: number): boolean {
    if (this.#next.length === 0 || this.#sent !== undefined) return false;
    const context = this.#contextPrefix + ++this.#round;
    if (!raft.readIndex(context)) return false;
    this.#sent = { context, waiters: this.#next, sentAtMs: nowMs };
    this.#next = [];
    return true;
  }

  /** Called when a round was confirmed: its reads are served once `state.index` is applied. */
  confirmed(state: ReadState, appliedIndex: number): void {
    const round = this.#sent;
    if (round?.context !== state.context) return;
    this.#sent = undefined;
    if (state.index <= appliedIndex) this.#resolve(round.waiters);
    else this.#confirmed.push({ index: state.index, waiters: round.waiters });
  }

  /** Serves the confirmed reads whose index is applied. */
  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const still: { index: number; waiters: Waiter[] }[] = [];
    for (const confirmed of this.#confirmed) {
      if (confirmed.index <= index) this.#resolve(confirmed.waiters);
      else still.push(confirmed);
    }
    this.#confirmed = still;
  }

  /**
   * Moves the reads of a round that was sent before `sentBeforeMs`, and may be lost, to the next one. Reading twice is
   * harmless.
   */
  retry(sentBeforeMs: number): void {
    const round = this.#sent;
    if (round === undefined || round.sentAtMs >= sentBeforeMs) return;
    this.#sent = undefined;
    this.#next = [...round.waiters, ...this.#next];
  }

  /** Ends the reads whose deadline has passed with `error`. */
  expire(nowMs: number, error: () => ApiError): void {
    if (this.#count === 0) return;
    const keep = (waiters: Waiter[]): Waiter[] =>
      waiters.filter((waiter) => {
        if (waiter.deadlineMs > nowMs) return true;
        this.#count--;
        waiter.reject(error());
        return false;
      });
    this.#next = keep(this.#next);
    if (this.#sent !== undefined) this.#sent.waiters = keep(this.#sent.waiters);
    this.#confirmed = this.#confirmed.map(({ index, waiters }) => ({ index, waiters: keep(waiters) }));
  }

  /** Ends all reads with `error`. */
  failAll(error: () => ApiError = errors.notReady): void {
    this.retry(Number.POSITIVE_INFINITY);
    const waiters = [...this.#next, ...this.#confirmed.flatMap((confirmed) => confirmed.waiters)];
    this.#next = [];
    this.#confirmed = [];
    this.#count = 0;
    for (const waiter of waiters) waiter.reject(error());
  }

  #resolve(waiters: Waiter[]): void {
    this.#count -= waiters.length;
    for (const waiter of waiters) waiter.resolve();
  }
}
