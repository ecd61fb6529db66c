import { setTimeout as sleep } from 'node:timers/promises';
import { regatta } from '@coxswain/protocol';
import { type CallListener, GrpcConnection } from '../http2/grpc-connection.js';
import { GrpcRequest } from '../http2/grpc-request.js';
import { LatencyHistogram } from './latency-histogram.js';
import { regattaDialect } from './regatta-dialect.js';
import { createRequestSource, type RequestSource } from './workload.js';

/**
 * The parameters of one run: puts to a leader cluster at a steady rate, and reads of one node of its follower cluster.
 */
export interface LagSpecification {
  /** The address of the API of each cluster, as `host:port`. */
  readonly leader: string;
  readonly follower: string;
  readonly putsPerSecond: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
  readonly keyCount: number;
  readonly valueSizeBytes: number;
}

/** The time from the leader cluster's answers to writes until they were visible on the follower cluster. */
export interface LagResult {
  readonly putCount: number;
  /** The rate that was reached; less than the wanted one when the leader cluster could not take it. */
  readonly putsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
  /** The median milliseconds between two looks: no lag is known more exactly. */
  readonly lookIntervalMs: number;
}

/** Milliseconds between two bunches of puts; the rate is kept regardless of the answers. */
const BUNCH_INTERVAL_MS = 2;
const LOOK_PAUSE_MS = 1;
/** The most puts under way; with more the rate is not reached, which the result shows. */
const IN_FLIGHT_MAX = 1_000;
const END_TIMEOUT_MS = 10_000;
const CONNECTION_COUNT = 2;
const MESSAGE_PREFIX_SIZE_BYTES = 5;

interface Put {
  readonly revision: number;
  readonly answeredAtMs: number;
}

/**
 * Measures the lag of every write. A put's answer contains its revision, and the answers of reads on the follower
 * contain the revision that it has reached. The lag is the time from the former answer to the first of the latter that
 * has reached its revision, on the clock of this process; zero when the follower was first.
 */
export class LagProbe {
  readonly #specification: LagSpecification;
  readonly #nextPut: RequestSource;
  readonly #lags = new LatencyHistogram();
  readonly #lookIntervals = new LatencyHistogram();
  #invisible: Put[] = [];
  #visibleRevision = 0;
  #worstMs = 0;
  #underWayCount = 0;
  #answeredCount = 0;
  #isRecording = false;
  #isStopped = false;
  #failure: Error | undefined;

  constructor(specification: LagSpecification) {
    this.#specification = specification;
    this.#nextPut = createRequestSource(
      { workload: 'put', answersHoldData: true, ...specification },
      regattaDialect,
    );
  }

  /**
   * Runs the probe.
   *
   * @throws Error when a call fails, or when writes do not become visible within 10 s
   */
  async run(): Promise<LagResult> {
    const { leader, follower, warmUpMs, durationMs } = this.#specification;
    const leaders = await Promise.all(
      Array.from({ length: CONNECTION_COUNT }, () => GrpcConnection.connect(leader)),
    );
    const reader = await GrpcConnection.connect(follower);
    try {
      const looking = this.#look(reader);
      const putting = this.#putSteadily(leaders);
      await sleep(warmUpMs);
      this.#isRecording = true;
      const startedMs = performance.now();
      await sleep(durationMs);
      const elapsedMs = performance.now() - startedMs;
      this.#isRecording = false;
      const putCount = this.#answeredCount;
      this.#isStopped = true;
      await putting;
      await this.#untilAllVisible();
      await looking;
      if (this.#failure) throw this.#failure;
      return {
        putCount,
        putsPerSecond: (putCount / elapsedMs) * 1000,
        p50Ms: this.#lags.percentileMs(0.5),
        p99Ms: this.#lags.percentileMs(0.99),
        worstMs: this.#worstMs,
        lookIntervalMs: this.#lookIntervals.percentileMs(0.5),
      };
    } finally {
      this.#isStopped = true;
      for (const connection of [...leaders, reader]) connection.close();
    }
  }

  async #putSteadily(connections: readonly GrpcConnection[]): Promise<void> {
    const startedMs = performance.now();
    let startedCount = 0;
    while (!this.#isStopped && !this.#failure) {
      const dueCount = ((performance.now() - startedMs) / 1000) * this.#specification.putsPerSecond;
      for (; startedCount < dueCount && this.#underWayCount < IN_FLIGHT_MAX; startedCount++) {
        this.#underWayCount++;
        const connection = connections[startedCount % connections.length]!;
        connection.start(
          this.#nextPut(),
          new RevisionListener((failure, revision, atMs) => this.#onPut(failure, revision, atMs)),
        );
      }
      await sleep(BUNCH_INTERVAL_MS);
    }
  }

  #onPut(failure: string | undefined, revision: number, answeredAtMs: number): void {
    this.#underWayCount--;
    if (failure !== undefined) {
      this.#failure ??= new Error(`a put failed: ${failure}`);
      return;
    }
    if (!this.#isRecording) return;
    this.#answeredCount++;
    if (revision <= this.#visibleRevision) this.#lags.record(0);
    else this.#invisible.push({ revision, answeredAtMs });
  }

  /** Asks the follower for its revision, by reads of a key that does not exist, until the run is over. */
  async #look(connection: GrpcConnection): Promise<void> {
    const request = new GrpcRequest({
      path: regattaDialect.rangePath,
      authority: 'localhost',
      message: regattaDialect.encodeRange({ key: Buffer.from('nothing'), isLinearizable: false }),
    });
    let lookedAtMs = performance.now();
    while (
      !this.#failure &&
      !(this.#isStopped && this.#underWayCount === 0 && this.#invisible.length === 0)
    ) {
      const { revision, atMs } = await new Promise<{ revision: number; atMs: number }>((resolve) => {
        const listener = new RevisionListener((failure, revision, atMs) => {
          if (failure !== undefined) this.#failure ??= new Error(`a read on the follower failed: ${failure}`);
          resolve({ revision, atMs });
        });
        if (connection.isOpen) connection.start(request, listener);
        else listener.onCallEnd('the connection is closed', performance.now());
      });
      this.#lookIntervals.record(atMs - lookedAtMs);
      lookedAtMs = atMs;
      this.#see(revision, atMs);
      await sleep(LOOK_PAUSE_MS);
    }
  }

  #see(revision: number, atMs: number): void {
    if (revision <= this.#visibleRevision) return;
    this.#visibleRevision = revision;
    this.#invisible = this.#invisible.filter((put) => {
      if (put.revision > revision) return true;
      const lagMs = atMs - put.answeredAtMs;
      this.#lags.record(lagMs);
      this.#worstMs = Math.max(this.#worstMs, lagMs);
      return false;
    });
  }

  async #untilAllVisible(): Promise<void> {
    const deadlineMs = performance.now() + END_TIMEOUT_MS;
    while (!this.#failure && (this.#invisible.length > 0 || this.#underWayCount > 0)) {
      if (performance.now() > deadlineMs) {
        this.#failure = new Error(`${this.#invisible.length} puts did not become visible on the follower`);
      }
      await sleep(LOOK_PAUSE_MS);
    }
  }
}

/** Takes the revision from an answer's header, with which every response begins. */
class RevisionListener implements CallListener {
  readonly #onEnd: (failure: string | undefined, revision: number, atMs: number) => void;
  #answer: Buffer = Buffer.alloc(0);

  constructor(onEnd: (failure: string | undefined, revision: number, atMs: number) => void) {
    this.#onEnd = onEnd;
  }

  onData(piece: Buffer): void {
    this.#answer = Buffer.concat([this.#answer, piece]);
  }

  onCallEnd(failure: string | undefined, atMs: number): void {
    if (failure !== undefined) {
      this.#onEnd(failure, 0, atMs);
      return;
    }
    // The header is the first field of every response; the other fields that a put's decoder finds are ignored.
    const { header } = regatta.PutResponse.decode(this.#answer.subarray(MESSAGE_PREFIX_SIZE_BYTES));
    this.#onEnd(undefined, Number(header!.revision), atMs);
  }
}
