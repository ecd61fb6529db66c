import type { Clock } from './clock.js';
import { pause } from './pause.js';

/** Holds streams back to so many bytes a second, all of those that share it together. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #bytesPerSecondMax: number;
  /** When the bytes so far may have come. */
  #paidUntilMs = 0;

  /** 0: no limit. */
  constructor(clock: Clock, bytesPerSecondMax: number) {
    this.#clock = clock;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Resolves when so many bytes more are within the limit, or when aborted. */
  async pay(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecondMax === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecondMax) * 1000;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= 1) await pause(this.#clock, waitMs, signal);
  }
}
