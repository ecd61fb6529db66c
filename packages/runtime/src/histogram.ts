/** Counts values by upper bound, in the form of Prometheus. */
export class Histogram {
  readonly bounds: readonly number[];
  /**
   * The number of values in each bucket, the last one above all bounds. Counting these is cheaper than updating the
   * cumulative numbers that readers get.
   */
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

  /** The number of values at or below each bound, and last the number of all values. */
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
