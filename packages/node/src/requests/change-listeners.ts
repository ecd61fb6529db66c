import type { Clock } from '@coxswain/runtime';

/** Calls those who want to hear of changes: apart from the turn in which one happened, and once for all of that turn. */
export class ChangeListeners {
  readonly #clock: Clock;
  readonly #isStopping: () => boolean;
  readonly #listeners = new Set<() => void>();
  #isScheduled = false;

  constructor(clock: Clock, isStopping: () => boolean) {
    this.#clock = clock;
    this.#isStopping = isStopping;
  }

  /** Gives what ends it. */
  add(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Something has changed. */
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
