import type { Clock, Timer } from './clock.js';

interface Waiter {
  readonly isReached: () => boolean;
  readonly end: (isReached: boolean) => void;
}

/** Those who wait for something of which one place hears: a list that costs nothing while it is empty. */
export class Waiters {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many wait. */
  get count(): number {
    return this.#waiters.size;
  }

  /** Resolves to whether it is reached: looked at now and at every `notify`, until `waitMs` passed or `signal` aborted. */
  until(isReached: () => boolean, waitMs: number, signal?: AbortSignal): Promise<boolean> {
    if (isReached()) return Promise.resolve(true);
    if (waitMs <= 0 || signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const giveUp = () => waiter.end(false);
      const timer: Timer = this.#clock.startTimer(waitMs, giveUp);
      const waiter: Waiter = {
        isReached,
        end: (isDone) => {
          // A caller that waits long and often must leave no listener and no timer.
          this.#waiters.delete(waiter);
          timer.cancel();
          signal?.removeEventListener('abort', giveUp);
          resolve(isDone);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', giveUp);
    });
  }

  /** Something has changed that somebody may wait for. */
  notify(): void {
    for (const waiter of this.#waiters) if (waiter.isReached()) waiter.end(true);
  }
}
