import type { Histogram } from '@coxswain/runtime';

/** Quantiles of what a histogram has counted since it was looked at last. */
export class Quantiles {
  readonly #histogram: Pick<Histogram, 'bounds' | 'counts'>;
  #seen: readonly number[];

  constructor(histogram: Pick<Histogram, 'bounds' | 'counts'>) {
    this.#histogram = histogram;
    this.#seen = histogram.counts;
  }

  /** The quantiles, 0 to 1, of the values since the last call; null for each when there was none. */
  next(quantiles: readonly number[]): (number | null)[] {
    const { bounds, counts } = this.#histogram;
    const since = counts.map((count, index) => count - this.#seen[index]!);
    this.#seen = counts;
    return quantiles.map((quantile) => quantileOf(bounds, since, quantile));
  }
}

/**
 * Reads a quantile from cumulative counts as Prometheus does: within a bucket values are taken to be spread evenly, and
 * above all bounds they count as the last one. Null: there is no value.
 */
export function quantileOf(
  bounds: readonly number[],
  counts: readonly number[],
  quantile: number,
): number | null {
  const total = counts.at(-1) ?? 0;
  if (total === 0) return null;
  const rank = quantile * total;
  const bucket = counts.findIndex((count) => count >= rank);
  const high = bounds[bucket];
  if (high === undefined) return bounds.at(-1)!;
  const low = bounds[bucket - 1] ?? 0;
  const below = counts[bucket - 1] ?? 0;
  return low + ((high - low) * (rank - below)) / (counts[bucket]! - below);
}
