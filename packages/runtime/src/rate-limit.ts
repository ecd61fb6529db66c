import type { Clock } from './clock.js';
import { pause } from './pause.js';

/** Limits streams to a number of bytes per second, which all that share the object divide among them. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #bytesPerSecondMax: number;
  /** The monotonic time at which the bytes so far are within the limit. */
  #paidUntilMs = 0;

  /** `bytesPerSecondMax` is the limit; 0 means none. */
  constructor(clock: Clock, bytesPerSecondMax: number) {
    this.#clock = clock;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Resolves when `bytes` more are within the limit, or when aborted. */
  async pay(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecondMax === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecondMax) * 1000;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= 1) await pause(this.#clock, waitMs, signal);
  }
}
