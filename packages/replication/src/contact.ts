import type { Clock } from '@coxswain/runtime';

/**
 * Remembers when something was heard last, of the leader cluster or of one of its tables, and whether attempts have
 * failed since. While they fail nobody knows what is missing: what is here is as old as the last contact.
 */
export class Contact {
  readonly #clock: Clock;
  readonly #startedMs: number;
  #heardMs: number | undefined;
  #failingSinceMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  heard(): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#failingSinceMs = undefined;
  }

  failed(): void {
    this.#failingSinceMs ??= this.#clock.monotonicMs();
  }

  /** True while nothing has been heard yet. */
  get isNew(): boolean {
    return this.#heardMs === undefined;
  }

  /** True when the last attempt failed. */
  get isFailing(): boolean {
    return this.#failingSinceMs !== undefined;
  }

  /** For how long every attempt has failed, in milliseconds; 0 where the last one did not. */
  get failingMs(): number {
    return this.#failingSinceMs === undefined ? 0 : this.#clock.monotonicMs() - this.#failingSinceMs;
  }

  /** While attempts fail, the time since something was heard, or since this began, in milliseconds; else 0. */
  get unheardMs(): number {
    if (this.#failingSinceMs === undefined) return 0;
    return this.#clock.monotonicMs() - (this.#heardMs ?? this.#startedMs);
  }
}
