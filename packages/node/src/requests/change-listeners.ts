import type { Clock } from '@coxswain/runtime';

/**
 * Calls listeners after changes on this node: apart from the turn in which a change happened, and once for all
 * changes of that turn.
 */
export class ChangeListeners {
  readonly #clock: Clock;
  readonly #isStopping: () => boolean;
  readonly #listeners = new Set<() => void>();
  #isScheduled = false;

  constructor(clock: Clock, isStopping: () => boolean) {
    this.#clock = clock;
    this.#isStopping = isStopping;
  }

  /** Adds a listener. The function that this returns removes it. */
  add(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Notes that something has changed, and schedules one call of every listener. */
  notify(): void {
    if (this.#isScheduled || this.#listeners.size === 0) return;
    this.#isScheduled = true;
    this.#clock.defer(() => {
      this.#isScheduled = false;
      if (this.#isStopping()) return;
      for (const listener of this.#listeners) listener();
    });
  }
}
