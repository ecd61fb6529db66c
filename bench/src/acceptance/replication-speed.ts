import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '@coxswain/testing';
import { type MemoryUse, MemoryWatch } from '../clusters/memory-watch.js';
import { IN_FLIGHT, runLoad, VALUE_SIZE_BYTES } from '../clusters/put-load.js';
import { runningCluster } from '../clusters/running-cluster.js';
import type { ClusterNode } from '../faults/process-cluster.js';
import { ProcessCluster } from '../faults/process-cluster.js';
import type { LoadResult } from '../load/closed-loop.js';
import type { LagResult, LagSpecification } from '../load/lag-probe.js';
import { WorkerProcess } from '../process/worker-process.js';
import { median } from '../statistics.js';
import type { AcceptanceCheck, Measurement } from './check.js';
import { memoryMeasurement } from './memory-measurement.js';

const KEY_COUNT = 1_000_000;
const SECONDS = 10;
const ROUNDS = 3;
const TABLE = 'default';
const WARM_UP_MS = 2_000;
/**
 * The least ratio of the two rates that counts as equal: each comes from two looks at one side, and they differ a
 * little even when the follower keeps up.
 */
const RATE_SHARE_MIN = 0.98;
const LAG_P99_MAX_MS = 100;
const LAG_RATE_SHARE = 0.25;
const SNAPSHOT_KEYS_PER_SECOND_MIN = 150_000;
/** Milliseconds after which a process that was started with its data is idle. */
const SETTLE_MS = 5_000;
const STATUS_TIMEOUT_MS = 5_000;

/**
 * Options that keep the whole log, so that a follower cluster that was away catches up from it and not by a snapshot.
 */
const LONG_LOG_FLAGS = { 'raft.snapshot-entries': '100000000', 'raft.compaction-overhead': '100000000' };
const FOLLOWER_FLAGS = { 'replication.reconcile-interval': '1s' };

type Sizes = { readonly keyCount: number; readonly durationMs: number; readonly rounds: number };

/**
 * Measures how fast a follower cluster gets its data, from the log and by snapshots, and how much memory that takes.
 */
export const replicationSpeed: AcceptanceCheck = {
  name: 'replication-speed',
  async run({ keyCount = KEY_COUNT, seconds = SECONDS, rounds = ROUNDS }) {
    const sizes = { keyCount, durationMs: seconds * 1000, rounds };
    return [
      ...(await measureBetweenSingleNodes(sizes)),
      ...(await measureCatchUp(1, sizes)),
      ...(await measureCatchUp(3, sizes)),
    ];
  },
};

/** Measures snapshots, log and lag between two clusters of one node each, with their default options. */
async function measureBetweenSingleNodes(sizes: Sizes): Promise<Measurement[]> {
  await using leader = await runningCluster(() => ProcessCluster.start(1));
  await fill(leader.cluster, sizes.keyCount);
  const startedMs = performance.now();
  await using follower = await runningCluster(() =>
    ProcessCluster.startFollower(leader.cluster.replicationAddresses, 1, FOLLOWER_FLAGS),
  );
  const pair = new Pair(leader.cluster, follower.cluster);
  await pair.untilCaughtUp();
  const firstSeconds = (performance.now() - startedMs) / 1000;
  const measurements: Measurement[] = [];

  let memory = await pair.restartAndWatch(() => measureResetSeconds(pair));
  const snapshotRates: number[] = [];
  for (let round = 0; round < sizes.rounds; round++) {
    snapshotRates.push(sizes.keyCount / (await measureResetSeconds(pair)));
  }
  measurements.push({
    what: `snapshot, one node to one node: ${sizes.keyCount} keys of ${VALUE_SIZE_BYTES} B, from Reset to caught up`,
    target: `>= ${SNAPSHOT_KEYS_PER_SECOND_MIN} keys/s`,
    measured: `${summarise(snapshotRates)} keys/s; the first start took ${firstSeconds.toFixed(1)} s with the process's own`,
    isMet: median(snapshotRates) >= SNAPSHOT_KEYS_PER_SECOND_MIN,
  });
  measurements.push(memoryMeasurement('snapshots', sides(memory.stop())));

  memory = await pair.restartAndWatch(() => put(leader.cluster, sizes));
  const { measurement, leaderRate } = await measureKeepingUp(pair, sizes);
  measurements.push(measurement);
  measurements.push(await measureLag(pair, leaderRate * LAG_RATE_SHARE, sizes));
  measurements.push(memoryMeasurement('log replication', sides(memory.stop())));
  return measurements;
}

/**
 * Measures the log between a leader cluster of `leaderNodeCount` nodes, which keeps all of it, and a follower cluster
 * of one.
 */
async function measureCatchUp(leaderNodeCount: number, sizes: Sizes): Promise<Measurement[]> {
  await using leader = await runningCluster(() => ProcessCluster.start(leaderNodeCount, LONG_LOG_FLAGS));
  await using follower = await runningCluster(() =>
    ProcessCluster.startFollower(leader.cluster.replicationAddresses, 1, FOLLOWER_FLAGS),
  );
  const pair = new Pair(leader.cluster, follower.cluster);
  await pair.untilCaughtUp();
  const measurements: Measurement[] = [];
  if (leaderNodeCount > 1) measurements.push((await measureKeepingUp(pair, sizes)).measurement);

  const putRates: number[] = [];
  const catchUpRates: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < sizes.rounds; round++) {
    await pair.follower.process.stop();
    const { callsPerSecond } = await put(leader.cluster, sizes);
    pair.follower.process.start();
    const catchUpRate = await pair.measureCatchUpRate();
    putRates.push(callsPerSecond);
    catchUpRates.push(catchUpRate);
    ratios.push(catchUpRate / callsPerSecond);
  }
  measurements.push({
    what: `log, ${pair.name}: catching up after being away, beside puts while it was (${IN_FLIGHT} in flight)`,
    target: 'at least as fast',
    measured: `${median(ratios).toFixed(2)} times: ${summarise(catchUpRates)} entries/s, ${summarise(putRates)} puts/s`,
    isMet: median(ratios) >= 1,
  });
  return measurements;
}

/** Measures both rates at the same time, while the leader cluster takes as many puts as it can. */
async function measureKeepingUp(
  pair: Pair,
  sizes: Sizes,
): Promise<{ measurement: Measurement; leaderRate: number }> {
  const leaderRates: number[] = [];
  const followerRates: number[] = [];
  const shares: number[] = [];
  const behindSeconds: number[] = [];
  let resetCount = 0;
  for (let round = 0; round < sizes.rounds; round++) {
    const { shardId } = await pair.followerState();
    const loading = put(pair.leaderCluster, { ...sizes, durationMs: sizes.durationMs + 2 * WARM_UP_MS });
    // Waits for longer than the load's own warm-up.
    await sleep(2 * WARM_UP_MS);
    const before = await pair.revisions();
    await sleep(sizes.durationMs);
    const after = await pair.revisions();
    await loading;
    const endedMs = performance.now();
    await pair.untilCaughtUp();
    behindSeconds.push((performance.now() - endedMs) / 1000);
    if ((await pair.followerState()).shardId !== shardId) resetCount++;
    const elapsedSeconds = (after.atMs - before.atMs) / 1000;
    const leaderRate = (after.leader - before.leader) / elapsedSeconds;
    const followerRate = (after.follower - before.follower) / elapsedSeconds;
    leaderRates.push(leaderRate);
    followerRates.push(followerRate);
    shares.push(followerRate / leaderRate);
  }
  const measurement = {
    what: `log, ${pair.name}: applied while the leader cluster takes puts, ${IN_FLIGHT} in flight`,
    target: 'as fast, by the log',
    measured:
      `${median(shares).toFixed(2)} times: ${summarise(followerRates)} entries/s of ${summarise(leaderRates)} puts/s; ` +
      `${median(behindSeconds).toFixed(1)} s of lag at the end; rounds with a snapshot: ${resetCount}`,
    isMet: median(shares) >= RATE_SHARE_MIN && resetCount === 0,
  };
  return { measurement, leaderRate: median(leaderRates) };
}

async function measureLag(pair: Pair, putsPerSecond: number, sizes: Sizes): Promise<Measurement> {
  const results: LagResult[] = [];
  for (let round = 0; round < sizes.rounds; round++) {
    const probe = new WorkerProcess<LagSpecification, LagResult>('lag-process');
    try {
      results.push(
        await probe.request({
          leader: pair.leader.address,
          follower: pair.follower.address,
          putsPerSecond,
          warmUpMs: WARM_UP_MS,
          durationMs: sizes.durationMs,
          keyCount: sizes.keyCount,
          valueSizeBytes: VALUE_SIZE_BYTES,
        }),
      );
    } finally {
      await probe.stop();
    }
  }
  const of = (name: Exclude<keyof LagResult, 'putCount'>): number =>
    median(results.map((result) => result[name]));
  const reached = of('putsPerSecond');
  const p99Ms = of('p99Ms');
  return {
    what: `lag, ${pair.name}: from the leader's answer until the write is visible, at ${putsPerSecond.toFixed(0)} puts/s`,
    target: `p99 < ${LAG_P99_MAX_MS} ms`,
    measured:
      `p99 ${p99Ms.toFixed(1)} ms, median ${of('p50Ms').toFixed(1)} ms, worst ${of('worstMs').toFixed(0)} ms; ` +
      `looked every ${of('lookIntervalMs').toFixed(1)} ms, ${reached.toFixed(0)} puts/s reached`,
    isMet: p99Ms < LAG_P99_MAX_MS && reached >= putsPerSecond * 0.95,
  };
}

/** Measures the seconds from the call of Reset until the new shard serves and is complete. */
async function measureResetSeconds(pair: Pair): Promise<number> {
  const { shardId } = await pair.followerState();
  const startedMs = performance.now();
  await pair.follower.client.reset(STATUS_TIMEOUT_MS);
  await eventually('another shard serves the table', async () => {
    const state = await pair.followerState();
    return state.shardId !== shardId;
  });
  await pair.untilCaughtUp();
  return (performance.now() - startedMs) / 1000;
}

/** A leader cluster and a follower cluster of one node. */
class Pair {
  readonly leaderCluster: ProcessCluster;
  readonly leader: ClusterNode;
  readonly follower: ClusterNode;

  constructor(leader: ProcessCluster, follower: ProcessCluster) {
    this.leaderCluster = leader;
    this.leader = leader.nodes[0]!;
    this.follower = follower.nodes[0]!;
  }

  get name(): string {
    const { length } = this.leaderCluster.nodes;
    return length === 1 ? 'one node to one node' : `${length} nodes to one node`;
  }

  async followerState() {
    return eventually('the follower cluster has the table', async () =>
      (await this.follower.client.tables(STATUS_TIMEOUT_MS)).get(TABLE),
    );
  }

  async revisions(): Promise<{ leader: number; follower: number; atMs: number }> {
    const [leader, follower] = await Promise.all(
      [this.leader, this.follower].map(async ({ client }) =>
        (await client.tables(STATUS_TIMEOUT_MS)).get(TABLE),
      ),
    );
    return { leader: leader!.revision, follower: follower?.revision ?? 0, atMs: performance.now() };
  }

  /** Waits until the follower cluster has caught up. Nothing else may be written meanwhile. */
  async untilCaughtUp(): Promise<void> {
    await eventually('the follower cluster has caught up', async () => {
      const { leader, follower } = await this.revisions();
      return follower === leader;
    });
  }

  /** Returns entries per second, from the first progress of a follower that was just started until it has caught up. */
  async measureCatchUpRate(): Promise<number> {
    let first: { follower: number; atMs: number } | undefined;
    let isMoving = false;
    const last = await eventually('the follower cluster has caught up', async () => {
      const now = await this.revisions();
      if (!isMoving) {
        isMoving = first !== undefined && now.follower > first.follower;
        if (!isMoving) first = now;
      }
      return now.follower === now.leader && now;
    });
    return ((last.follower - first!.follower) / (last.atMs - first!.atMs)) * 1000;
  }

  /**
   * Restarts both nodes and lets them do the measured work once, so that memory above idle is neither a cache of fixed
   * size nor compiled code, but taken by the work itself.
   */
  async restartAndWatch(warmUp: () => Promise<unknown>): Promise<MemoryWatch> {
    const processes = [this.leader.process, this.follower.process];
    for (const process of processes) {
      await process.stop();
      process.start();
      await process.untilReady();
    }
    await this.untilCaughtUp();
    await sleep(SETTLE_MS);
    const startedBytes = processes.map((process) => process.usage().anonymousBytes);
    await warmUp();
    await this.untilCaughtUp();
    await sleep(SETTLE_MS);
    return new MemoryWatch(processes, startedBytes);
  }
}

async function fill(cluster: ProcessCluster, keyCount: number): Promise<void> {
  await runLoad(cluster, { workload: 'fill', keyCount, extent: { callCount: keyCount } });
}

function put(
  cluster: ProcessCluster,
  { keyCount, durationMs }: Pick<Sizes, 'keyCount' | 'durationMs'>,
): Promise<LoadResult> {
  return runLoad(cluster, { workload: 'put', keyCount, extent: { warmUpMs: WARM_UP_MS, durationMs } });
}

function sides([leader, follower]: readonly MemoryUse[]): Record<string, MemoryUse> {
  return { leader: leader!, follower: follower! };
}

function summarise(values: readonly number[]): string {
  return Math.round(median(values)).toString();
}
