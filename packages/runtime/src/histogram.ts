/** Counts values by upper bound, in the form that Prometheus has. */
export class Histogram {
  readonly bounds: readonly number[];
  /** Values in each bucket, which is cheaper to count than the cumulative numbers that readers get. The last one is above all bounds. */
  readonly #buckets: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#buckets = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) bucket++;
    this.#buckets[bucket]!++;
    this.#sum += value;
  }

  /** Values at or below each bound, and last all values. */
  get counts(): readonly number[] {
    let total = 0;
    return this.#buckets.map((count) => {
      total += count;
      return total;
    });
  }

  get sum(): number {
    return this.#sum;
  }
}
