import { regatta } from '@coxswain/protocol';
import { callUnary } from './unary-call.js';

const METRIC = 'coxswain_write_stage_seconds';

/** A node's counts of one stage. */
interface StageHistogram {
  /** Upper bounds in seconds, ascending. */
  readonly bounds: readonly number[];
  /** The number of writes up to each bound, and last the number of all of them. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

/** The time that the writes proposed by a Coxswain node spent in its stages, by name, in their order. */
export type WriteStages = Readonly<Record<string, StageHistogram>>;

/** The summary of a stage over all runs. Percentiles are as exact as the buckets. */
export interface StageSummary {
  readonly stage: string;
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Asks a node for its counts so far; empty for a node that counts no stages. */
export async function readWriteStages(endpoint: string): Promise<WriteStages> {
  const { path, requestSerialize, responseDeserialize } = regatta.MetricsService.getMetrics;
  const answer = await callUnary(endpoint, path, requestSerialize({ format: '' }));
  return parseWriteStages(responseDeserialize(answer).metricsData);
}

/** Picks the stages from a page of metrics in Prometheus's text format. */
export function parseWriteStages(page: string): WriteStages {
  const stages: Record<string, { bounds: number[]; counts: number[]; sumSeconds: number }> = {};
  for (const [, kind, labels = '', value] of page.matchAll(
    new RegExp(`^${METRIC}_(bucket|sum)\\{(.*)\\} (\\S+)$`, 'gm'),
  )) {
    const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    const stage = label('stage');
    stages[stage] ??= { bounds: [], counts: [], sumSeconds: 0 };
    const histogram = stages[stage];
    if (kind === 'sum') {
      histogram.sumSeconds = Number(value);
      continue;
    }
    if (label('le') !== '+Inf') histogram.bounds.push(Number(label('le')));
    histogram.counts.push(Number(value));
  }
  return stages;
}

/** Returns the counts that were added between two looks at the same node. */
export function addedSince(before: WriteStages, after: WriteStages): WriteStages {
  return merge(after, before, (later, earlier) => later - earlier);
}

/** Sums up the counts of several runs. */
export function summarizeStages(runs: readonly WriteStages[]): StageSummary[] {
  const total = runs.reduce((sum, run) => merge(run, sum, (left, right) => left + right), {});
  return Object.entries(total).map(([stage, histogram]) => {
    const count = histogram.counts.at(-1) ?? 0;
    return {
      stage,
      count,
      meanMs: (histogram.sumSeconds / count) * 1000,
      p50Ms: quantileSeconds(histogram, 0.5) * 1000,
      p99Ms: quantileSeconds(histogram, 0.99) * 1000,
    };
  });
}

/** Merges two sets of counts; counts that `right` lacks are 0. */
function merge(
  left: WriteStages,
  right: WriteStages,
  combine: (left: number, right: number) => number,
): WriteStages {
  const merged = Object.entries(left).map(([stage, { bounds, counts, sumSeconds }]) => {
    const other = right[stage];
    return [
      stage,
      {
        bounds,
        counts: counts.map((count, i) => combine(count, other?.counts[i] ?? 0)),
        sumSeconds: combine(sumSeconds, other?.sumSeconds ?? 0),
      },
    ];
  });
  return Object.fromEntries(merged);
}

/**
 * Estimates a quantile as Prometheus does: within a bucket values count as spread evenly. A value above all bounds is
 * given as the last of them; NaN for no values.
 */
function quantileSeconds({ bounds, counts }: StageHistogram, share: number): number {
  const rank = share * (counts.at(-1) ?? 0);
  const bucket = counts.findIndex((upTo) => upTo >= rank);
  if (bucket >= bounds.length) return bounds.at(-1)!;
  const [lower, below] = bucket === 0 ? [0, 0] : [bounds[bucket - 1]!, counts[bucket - 1]!];
  return lower + ((bounds[bucket]! - lower) * (rank - below)) / (counts[bucket]! - below);
}
