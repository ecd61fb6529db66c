import type { Run } from './contestant.js';
import { median } from './statistics.js';
import { type StageSummary, summarizeStages } from './system/write-stages.js';

/** The measurements of one contestant under one load. */
export interface Summary {
  readonly workload: string;
  readonly inFlight: number;
  readonly contestant: string;
  /** Medians over the runs. */
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosecondsPerCall: number | undefined;
  readonly generatorCpuCores: number;
  /** The number of failures in all runs together, by name. */
  readonly errors: Readonly<Record<string, number>>;
  /** The median of the rounds' ratios of Coxswain's rate to this one's; undefined when there is no pair. */
  readonly coxswainRatio: number | undefined;
  /** The time that writes spent in each stage on the leader; empty when unknown. */
  readonly writeStages: readonly StageSummary[];
  /** The runs in the order of the rounds. */
  readonly runs: readonly Run[];
}

/**
 * Sums up the runs of one contestant.
 *
 * @param coxswainRuns Coxswain's in the same rounds. A ratio is taken within each round, whose runs were neighbours in
 * time, so that a machine that slows down for a while does not count against one side.
 */
export function summarize(
  load: { readonly workload: string; readonly inFlight: number; readonly contestant: string },
  runs: readonly Run[],
  coxswainRuns: readonly Run[] | undefined,
): Summary {
  const medianOf = (pick: (run: Run) => number): number => median(runs.map(pick));
  const errors: Record<string, number> = {};
  for (const run of runs) {
    for (const [name, count] of Object.entries(run.errors)) errors[name] = (errors[name] ?? 0) + count;
  }
  const cpuMicrosecondsPerCall = medianOf((run) => run.cpuMicrosecondsPerCall ?? Number.NaN);
  return {
    ...load,
    callsPerSecond: medianOf((run) => run.callsPerSecond),
    p50Ms: medianOf((run) => run.p50Ms),
    p90Ms: medianOf((run) => run.p90Ms),
    p99Ms: medianOf((run) => run.p99Ms),
    cpuMicrosecondsPerCall: Number.isNaN(cpuMicrosecondsPerCall) ? undefined : cpuMicrosecondsPerCall,
    generatorCpuCores: medianOf((run) => run.generatorCpuCores),
    errors,
    coxswainRatio:
      coxswainRuns === undefined || coxswainRuns === runs
        ? undefined
        : median(runs.map((run, round) => coxswainRuns[round]!.callsPerSecond / run.callsPerSecond)),
    writeStages: summarizeStages(runs.map((run) => run.writeStages).filter((stages) => stages !== undefined)),
    runs,
  };
}
