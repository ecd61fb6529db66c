import type { Clock } from '@coxswain/runtime';

/**
 * Remembers when the leader cluster, or one of its tables, was last heard, and whether attempts have failed since.
 * While they fail, nobody knows what is missing: the data here is as old as the last contact.
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

  /** True until something is heard for the first time. */
  get isNew(): boolean {
    return this.#heardMs === undefined;
  }

  /** True when the last attempt failed. */
  get isFailing(): boolean {
    return this.#failingSinceMs !== undefined;
  }

  /** Milliseconds for which every attempt has failed; 0 when the last one succeeded. */
  get failingMs(): number {
    return this.#failingSinceMs === undefined ? 0 : this.#clock.monotonicMs() - this.#failingSinceMs;
  }

  /** While attempts fail, the milliseconds since something was heard, or since this object was made; otherwise 0. */
  get unheardMs(): number {
    if (this.#failingSinceMs === undefined) return 0;
    return this.#clock.monotonicMs() - (this.#heardMs ?? this.#startedMs);
  }
}
