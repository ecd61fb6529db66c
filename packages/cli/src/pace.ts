/** Holds several streams back to so many bytes a second, all together. */
export class Pace {
  readonly #bytesPerSecondMax: number;
  #paidUntilMs = 0;

  /** 0: no limit. */
  constructor(bytesPerSecondMax: number) {
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Resolves when so many bytes more are within the limit. */
  async pay(bytes: number): Promise<void> {
    if (this.#bytesPerSecondMax === 0) return;
    const nowMs = performance.now();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, nowMs) + (bytes / this.#bytesPerSecondMax) * 1000;
    const waitMs = this.#paidUntilMs - nowMs;
    if (waitMs >= 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
