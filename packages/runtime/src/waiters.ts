import type { Clock, Timer } from './clock.js';

interface Waiter {
  readonly isReached: () => boolean;
  readonly end: (isReached: boolean) => void;
}

/** Holds callers that wait for a condition of which one place learns. It costs nothing while nobody waits. */
export class Waiters {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The number of callers that wait. */
  get count(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves to true once the condition holds, which is checked now and at every `notify`, and to false after `waitMs`
   * milliseconds or when `signal` is aborted.
   */
  until(isReached: () => boolean, waitMs: number, signal?: AbortSignal): Promise<boolean> {
    if (isReached()) return Promise.resolve(true);
    if (waitMs <= 0 || signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const giveUp = () => waiter.end(false);
      const timer: Timer = this.#clock.startTimer(waitMs, giveUp);
      const waiter: Waiter = {
        isReached,
        end: (isDone) => {
          // Removes both, since a caller that waits long and often must leave no listener and no timer.
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

  /** Checks the conditions of all callers, after something has changed. */
  notify(): void {
    for (const waiter of this.#waiters) if (waiter.isReached()) waiter.end(true);
  }
}
