import { METHODS, SAMPLE_FIELDS, type Sample, type SampleField, STAGES } from '@coxswain/console';
import type { NodeParts } from '@coxswain/node';
import type { Histogram } from '@coxswain/runtime';
import { BOUNDS_SECONDS, type GrpcMetrics, type MethodMetrics } from '../../metrics/grpc-metrics.js';
import { Quantiles } from './quantiles.js';

/** Samples are taken once a second. */
const INTERVAL_MS = 1_000;
/** How many are kept, so that a page that is opened shows what led to the present: ten minutes. */
const KEPT = 600;
/** Numbers are given with so many digits. */
const DIGITS = 4;
const SECONDS_TO_MS = 1_000;
const QUANTILES = [0.5, 0.99] as const;

/** What is sampled beside the node's own figures. */
export interface SampledParts {
  readonly node: Pick<NodeParts, 'reports'>;
  readonly grpc: GrpcMetrics;
  /** Entries that each follower cluster lacks at most, by its name; undefined on a follower cluster. */
  readonly followerLag: () => Readonly<Record<string, number>> | undefined;
  /** How far this follower cluster is from its leader cluster; undefined on a leader cluster. */
  readonly ownLag: () => { readonly entries: number; readonly seconds: number } | undefined;
}

/** The counters of which the growth in a second is a rate. */
type Counters = Readonly<
  Record<'writes' | 'linearizable' | 'serializable' | 'failed' | 'fsyncs' | 'peerBytes', number>
> & {
  readonly methods: readonly number[];
};

/**
 * Measures the node once a second, whether somebody looks or not: that costs some hundred additions, and a page that is
 * opened after something went wrong shows how.
 */
export class Samples {
  readonly #parts: SampledParts;
  readonly #methods: readonly MethodMetrics[];
  readonly #stages: readonly Quantiles[];
  readonly #fsync: Quantiles;
  readonly #write: Quantiles;
  readonly #kept: Sample[] = [];
  readonly #listeners = new Set<(sample: Sample) => void>();
  #timer: NodeJS.Timeout | undefined;
  #counters: Counters;
  #cpuUs = cpuUs();
  #utilization = performance.eventLoopUtilization();
  #atMs = performance.now();

  constructor(parts: SampledParts) {
    this.#parts = parts;
    this.#methods = METHODS.map((method) =>
      parts.grpc.method(`/regatta.v1.KV/${method}`, method === 'IterateRange' ? 'server_stream' : 'unary'),
    );
    const { writeStages, walSyncSeconds } = parts.node.reports.metrics();
    this.#stages = STAGES.map((stage) => new Quantiles(writeStages[stage]));
    this.#fsync = new Quantiles(walSyncSeconds);
    this.#write = new Quantiles(new Calls(this.#methods.slice(METHODS.indexOf('Put'))));
    this.#counters = this.#count();
  }

  start(): void {
    this.#timer ??= setInterval(() => this.take(), INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
  }

  /** Those of the last minutes, the newest last. */
  get kept(): readonly Sample[] {
    return this.#kept;
  }

  /** The newest value of a field; 0 where there is none. */
  latest(field: SampleField): number {
    return this.#kept.at(-1)?.values[SAMPLE_FIELDS.indexOf(field)] ?? 0;
  }

  /** Calls `listener` with each sample from now on. Gives what ends that. */
  onSample(listener: (sample: Sample) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes a sample of what happened since the one before. */
  take(): void {
    const sample = this.#measure();
    this.#kept.push(sample);
    if (this.#kept.length > KEPT) this.#kept.shift();
    for (const listener of this.#listeners) listener(sample);
  }

  #measure(): Sample {
    const nowMs = performance.now();
    const seconds = Math.max(nowMs - this.#atMs, 1) / 1_000;
    this.#atMs = nowMs;
    const before = this.#counters;
    const counters = this.#count();
    this.#counters = counters;
    const rate = (name: Exclude<keyof Counters, 'methods'>): number =>
      (counters[name] - before[name]) / seconds;
    const usedUs = cpuUs();
    const cpu = (usedUs - this.#cpuUs) / 1e6 / seconds;
    this.#cpuUs = usedUs;
    const utilization = performance.eventLoopUtilization();
    const busy = performance.eventLoopUtilization(utilization, this.#utilization).utilization;
    this.#utilization = utilization;
    const memory = process.memoryUsage();
    const { proposals, walBytes } = this.#parts.node.reports.metrics();
    const ownLag = this.#parts.ownLag();
    const lag = this.#parts.followerLag();
    const values = [
      ...counters.methods.map((count, index) => (count - before.methods[index]!) / seconds),
      rate('writes'),
      rate('linearizable'),
      rate('serializable'),
      rate('failed'),
      proposals.pending,
      ...this.#stages.flatMap((stage) => milliseconds(stage.next(QUANTILES))),
      ...milliseconds(this.#write.next(QUANTILES)),
      rate('fsyncs'),
      ...milliseconds(this.#fsync.next(QUANTILES)),
      walBytes,
      rate('peerBytes'),
      cpu,
      busy,
      memory.rss,
      memory.heapUsed,
      ownLag?.entries ?? null,
      ownLag?.seconds ?? null,
    ].map(rounded);
    return { atMs: Date.now(), values, ...(lag !== undefined && { lag }) };
  }

  #count(): Counters {
    const { proposals, reads, walSyncs, peerBytesSent, peerBytesReceived } =
      this.#parts.node.reports.metrics();
    return {
      methods: this.#methods.map(({ handled }) => sum(handled)),
      writes: proposals.applied,
      linearizable: reads.linearizable,
      serializable: reads.serializable,
      failed: sum(this.#methods.map(({ handled }) => sum(handled) - handled[0]!)),
      fsyncs: walSyncs,
      peerBytes: peerBytesSent + peerBytesReceived,
    };
  }
}

/** How long the calls of some methods took, taken together: cumulative counts, as a histogram has them. */
class Calls implements Pick<Histogram, 'bounds' | 'counts'> {
  readonly #methods: readonly MethodMetrics[];
  readonly bounds = BOUNDS_SECONDS;

  constructor(methods: readonly MethodMetrics[]) {
    this.#methods = methods;
  }

  get counts(): readonly number[] {
    let total = 0;
    const counts = this.bounds.map((_, index) => {
      total += sum(this.#methods.map(({ buckets }) => buckets[index]!));
      return total;
    });
    return [...counts, sum(this.#methods.map(({ handled }) => sum(handled)))];
  }
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

function milliseconds(seconds: readonly (number | null)[]): (number | null)[] {
  return seconds.map((value) => (value === null ? null : value * SECONDS_TO_MS));
}

function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(DIGITS));
}
