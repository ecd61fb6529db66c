import { setTimeout as sleep } from 'node:timers/promises';
import type { CallListener } from '../http2/grpc-connection.js';
import type { GrpcRequest } from '../http2/grpc-request.js';
import type { Dialect } from './dialect.js';
import { LatencyHistogram } from './latency-histogram.js';
import { ReconnectingLink } from './reconnecting-link.js';
import { createRequestSource, type RequestSource, type WorkloadSpecification } from './workload.js';

/** One run of load against one server or cluster. */
export interface LoadSpecification extends WorkloadSpecification {
  /** The addresses of the nodes that take part, as `host:port`. */
  readonly endpoints: readonly string[];
  /** The number of connections, spread over the endpoints in turn. */
  readonly connectionCount: number;
  /** The number of calls under way at any time. */
  readonly inFlight: number;
  /** The extent of the run: either a time, before which load runs uncounted to warm up, or a number of calls. */
  readonly extent: LoadDuration | { readonly callCount: number };
}

export interface LoadDuration {
  readonly warmUpMs: number;
  readonly durationMs: number;
}

/** The result of a run. Failed calls are counted only in `errors`. */
export interface LoadResult {
  readonly callCount: number;
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** The number of failures by name. */
  readonly errors: Readonly<Record<string, number>>;
  /** CPU time that the generating process used per second, in cores. */
  readonly generatorCpuCores: number;
}

/** Milliseconds that calls may still take after the end of a run, before they count as failed. */
const DRAIN_TIMEOUT_MS = 5_000;

/**
 * A closed loop: each of `inFlight` slots starts its next call when its last one has ended. A call's latency counts
 * from the moment at which its slot was free, so that time in the generator's own queues is not hidden.
 */
export class ClosedLoop {
  readonly #specification: LoadSpecification;
  readonly #links: readonly ReconnectingLink[];
  readonly #nextRequest: RequestSource;
  readonly #errors = new Map<string, number>();
  readonly #histogram = new LatencyHistogram();
  readonly #drained: Promise<void>;
  #onDrained: (() => void) | undefined;
  #isRecording = false;
  #isStopped = false;
  #callCountLeft: number;
  #callCountUnderWay = 0;

  /** `dialects` holds one dialect, or one for each table over which the load is spread. */
  constructor(specification: LoadSpecification, ...dialects: readonly Dialect[]) {
    const { endpoints, connectionCount, extent } = specification;
    this.#specification = specification;
    this.#nextRequest = spread(
      specification,
      dialects.map((dialect) => createRequestSource(specification, dialect)),
    );
    this.#callCountLeft = 'callCount' in extent ? extent.callCount : Number.POSITIVE_INFINITY;
    this.#links = Array.from(
      { length: connectionCount },
      (_, index) => new ReconnectingLink(endpoints[index % endpoints.length]!),
    );
    this.#drained = new Promise((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /**
   * Runs the load, once.
   *
   * @throws Error when an endpoint cannot be connected to at the start
   */
  async run(): Promise<LoadResult> {
    const { inFlight, extent } = this.#specification;
    try {
      await Promise.all(this.#links.map((link) => link.connect()));
      const hasDuration = 'durationMs' in extent;
      if (!hasDuration) this.#isRecording = true;
      for (let slot = 0; slot < inFlight; slot++) new Slot(this, this.#linksOfSlot(slot)).startNextCall();
      if (hasDuration) await sleep(extent.warmUpMs);
      this.#isRecording = true;
      const startedMs = performance.now();
      const startedCpu = process.cpuUsage();
      await (hasDuration ? sleep(extent.durationMs) : this.#drained);
      this.#isRecording = false;
      const elapsedMs = performance.now() - startedMs;
      const cpu = process.cpuUsage(startedCpu);
      this.#isStopped = true;
      if (hasDuration) await this.#drain();
      return {
        callCount: this.#histogram.count,
        callsPerSecond: (this.#histogram.count / elapsedMs) * 1000,
        p50Ms: this.#histogram.percentileMs(0.5),
        p90Ms: this.#histogram.percentileMs(0.9),
        p99Ms: this.#histogram.percentileMs(0.99),
        errors: Object.fromEntries(this.#errors),
        generatorCpuCores: (cpu.user + cpu.system) / 1000 / elapsedMs,
      };
    } finally {
      this.#isStopped = true;
      for (const link of this.#links) link.close();
    }
  }

  /** Returns the request of the next call, or undefined when there are no more. */
  takeRequest(): GrpcRequest | undefined {
    if (this.#isStopped || this.#callCountLeft === 0) return undefined;
    this.#callCountLeft--;
    this.#callCountUnderWay++;
    return this.#nextRequest();
  }

  onCallEnd(failure: string | undefined, latencyMs: number): void {
    this.#callCountUnderWay--;
    if (this.#isRecording) {
      if (failure === undefined) this.#histogram.record(latencyMs);
      else this.#countErrors(failure, 1);
    }
    if (this.#callCountUnderWay === 0 && (this.#isStopped || this.#callCountLeft === 0)) this.#onDrained?.();
  }

  #countErrors(failure: string, count: number): void {
    this.#errors.set(failure, (this.#errors.get(failure) ?? 0) + count);
  }

  /**
   * Returns the connections of a slot. Slots share the connections evenly; with fewer slots than connections, each slot
   * has several and uses them in turn, so that even a single client asks every node.
   */
  #linksOfSlot(slot: number): ReconnectingLink[] {
    const { inFlight, connectionCount } = this.#specification;
    if (inFlight >= connectionCount) return [this.#links[slot % connectionCount]!];
    return this.#links.filter((_, index) => index % inFlight === slot);
  }

  /** Waits for the calls under way; those that take too long count as failed. */
  async #drain(): Promise<void> {
    if (this.#callCountUnderWay === 0) return;
    const timeout = new AbortController();
    await Promise.race([this.#drained, sleep(DRAIN_TIMEOUT_MS, undefined, { signal: timeout.signal })]);
    timeout.abort();
    if (this.#callCountUnderWay > 0) this.#countErrors('no answer', this.#callCountUnderWay);
  }
}

/** One of the calls in flight; when it ends, the next one takes its place. */
class Slot implements CallListener {
  readonly #loop: ClosedLoop;
  readonly #links: readonly ReconnectingLink[];
  #turn = 0;
  #freeSinceMs = performance.now();

  constructor(loop: ClosedLoop, links: readonly ReconnectingLink[]) {
    this.#loop = loop;
    this.#links = links;
  }

  startNextCall(): void {
    this.#turn = (this.#turn + 1) % this.#links.length;
    const link = this.#links[this.#turn]!;
    if (!link.isOpen) {
      link.whenOpen(() => this.startNextCall());
      return;
    }
    const request = this.#loop.takeRequest();
    if (request !== undefined) link.start(request, this);
  }

  onCallEnd(failure: string | undefined, atMs: number): void {
    this.#loop.onCallEnd(failure, atMs - this.#freeSinceMs);
    this.#freeSinceMs = atMs;
    this.startNextCall();
  }
}

/** Combines sources: it takes from them at random, or in turn for a workload that fills all equally. */
function spread({ workload }: LoadSpecification, sources: readonly RequestSource[]): RequestSource {
  const [only, ...others] = sources;
  if (only !== undefined && others.length === 0) return only;
  if (workload === 'fill') {
    let next = 0;
    return () => sources[next++ % sources.length]!();
  }
  return () => sources[Math.floor(Math.random() * sources.length)]!();
}
