/** The number of buckets per doubling: a value is known to within 1/128 of itself. */
const BUCKETS_PER_DOUBLING = 128;
/** The number of doublings: from 1 µs to over an hour. */
const DOUBLING_COUNT = 32;

/** Latencies in constant space: logarithmic buckets from 1 µs up, of less than 1 % each. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(DOUBLING_COUNT * BUCKETS_PER_DOUBLING);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  record(latencyMs: number): void {
    const bucket = Math.floor(Math.log2(Math.max(latencyMs * 1000, 1)) * BUCKETS_PER_DOUBLING);
    this.#counts[Math.min(bucket, this.#counts.length - 1)]!++;
    this.#count++;
  }

  /**
   * Returns the latency that a share of all calls, such as 0.99, did not exceed; NaN when nothing was recorded. It
   * returns the upper bound of a bucket, so that no percentile is flattered.
   */
  percentileMs(share: number): number {
    if (this.#count === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    let bucket = -1;
    while (seen < rank) seen += this.#counts[++bucket]!;
    return 2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING) / 1000;
  }
}
