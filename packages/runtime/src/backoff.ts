import type { Random } from './random.js';

/**
 * Computes delays that double with each failure in a row up to a greatest delay, each shortened at random by up to a
 * half.
 */
export class Backoff {
  readonly #random: Random;
  readonly #leastMs: number;
  readonly #greatestMs: number;
  #failures = 0;

  constructor(random: Random, { leastMs, greatestMs }: { leastMs: number; greatestMs: number }) {
    this.#random = random;
    this.#leastMs = leastMs;
    this.#greatestMs = greatestMs;
  }

  /** Returns the delay before the next attempt, in milliseconds. */
  next(): number {
    const delayMs = Math.min(this.#greatestMs, this.#leastMs * 2 ** Math.min(this.#failures++, 30));
    return jittered(this.#random, delayMs);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** Returns a random delay between a half and all of `delayMs`, so that many callers do not come at once. */
export function jittered(random: Random, delayMs: number): number {
  return delayMs * (0.5 + random.next() / 2);
}
