/** Holds several streams back, so that all together take at most a given number of bytes a second. */
export class Pace {
  readonly #bytesPerSecondMax: number;
  #paidUntilMs = 0;

  /** `bytesPerSecondMax` of 0 means no limit. */
  constructor(bytesPerSecondMax: number) {
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Resolves when this many more bytes are within the limit. */
  async pay(bytes: number): Promise<void> {
    if (this.#bytesPerSecondMax === 0) return;
    const nowMs = performance.now();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecondMax) * 1000;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
