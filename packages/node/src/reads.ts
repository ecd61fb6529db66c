import type { Raft, ReadContext, ReadState } from '@coxswain/raft';
import { type ApiError, errors } from './errors.js';

interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: ApiError) => void;
}

interface Round {
  readonly waiters: Waiter[];
  readonly sentAtMs: number;
}

/**
 * The linearizable reads of one group. All that wait share the next ReadIndex round; one round is under way
 * at a time, so that the batch grows with the load. A read joins only a round that has not been sent (P2).
 */
export class LinearizableReads {
  readonly #contextPrefix: string;
  #round = 0;
  #next: Waiter[] = [];
  readonly #sent = new Map<ReadContext, Round>();
  /** Confirmed, but what they need is not applied yet. */
  #confirmed: { index: number; waiters: Waiter[] }[] = [];
  #count = 0;

  /** `boot` makes contexts unique over restarts (P2). */
  constructor(origin: { node: number; boot: string }) {
    this.#contextPrefix = `${origin.node}.${origin.boot}.`;
  }

  /** Reads that wait, in whatever stage. */
  get count(): number {
    return this.#count;
  }

  get hasUnsent(): boolean {
    return this.#next.length > 0;
  }

  add(waiter: Waiter): void {
    this.#next.push(waiter);
    this.#count++;
  }

  /** Sends the next round when reads wait for one and none is under way. True when it was sent. */
  beginRound(raft: Raft, nowMs: number): boolean {
    if (this.#next.length === 0 || this.#sent.size > 0) return false;
    const context = this.#contextPrefix + ++this.#round;
    if (!raft.readIndex(context)) return false;
    this.#sent.set(context, { waiters: this.#next, sentAtMs: nowMs });
    this.#next = [];
    return true;
  }

  /** The round was confirmed: its reads are served once `index` is applied. */
  confirmed(state: ReadState, appliedIndex: number): void {
    const round = this.#sent.get(state.context);
    if (round === undefined) return;
    this.#sent.delete(state.context);
    if (state.index <= appliedIndex) this.#resolve(round.waiters);
    else this.#confirmed.push({ index: state.index, waiters: round.waiters });
  }

  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    const still: { index: number; waiters: Waiter[] }[] = [];
    for (const confirmed of this.#confirmed) {
      if (confirmed.index <= index) this.#resolve(confirmed.waiters);
      else still.push(confirmed);
    }
    this.#confirmed = still;
  }

  /** Rounds that were sent before `sentBeforeMs` may be lost: their reads join the next one. Reading twice is harmless. */
  retry(sentBeforeMs: number): void {
    for (const [context, round] of this.#sent) {
      if (round.sentAtMs >= sentBeforeMs) continue;
      this.#sent.delete(context);
      this.#next = [...round.waiters, ...this.#next];
    }
  }

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
    for (const [context, round] of this.#sent) {
      this.#sent.set(context, { waiters: keep(round.waiters), sentAtMs: round.sentAtMs });
    }
    this.#confirmed = this.#confirmed.map(({ index, waiters }) => ({ index, waiters: keep(waiters) }));
  }

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
