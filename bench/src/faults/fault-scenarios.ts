import { setTimeout as sleep } from 'node:timers/promises';
import { FaultLoad } from './fault-load.js';
import { History } from './history.js';
import type { ClusterNode } from './process-cluster.js';
import { ProcessCluster } from './process-cluster.js';
import { checkHealed, measureTimeToFirstWriteMs } from './recovery.js';

const CLIENT_COUNT = 8;
const KEY_COUNT = 16;
const CALL_TIMEOUT_MS = 5_000;

/** A fault on a cluster under load, and its end. */
export interface FaultScenario {
  readonly name: string;
  /** Options of every node beside those that a cluster needs. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Inflicts the fault and heals it: when it resolves, every node runs. */
  inflict(context: FaultContext): Promise<void>;
}

interface FaultContext {
  readonly cluster: ProcessCluster;
  readonly history: History;
  readonly load: FaultLoad;
  /** The number of writes that must be acknowledged before, between and after the steps. */
  readonly writesPerStep: number;
  /** The least milliseconds that a paused node stays paused. */
  readonly pauseMs: number;
}

async function killAndRestart(node: ClusterNode, { load, writesPerStep }: FaultContext): Promise<void> {
  await node.process.kill();
  await load.untilWritten(writesPerStep);
  node.process.start();
  await load.whileStarting(node.process.untilReady());
}

/** Kills the leader; resolves with the milliseconds for which nobody could write. */
export async function killLeader(
  cluster: ProcessCluster,
): Promise<{ leader: ClusterNode; outageMs: number }> {
  const leader = await cluster.leader();
  const killed = leader.process.kill();
  const outageMs = await measureTimeToFirstWriteMs(cluster.others(leader));
  await killed;
  return { leader, outageMs };
}

const leaderIsKilled: FaultScenario = {
  name: 'the leader is killed and comes back',
  inflict: async (context) => killAndRestart(await context.cluster.leader(), context),
};

const followerIsKilled: FaultScenario = {
  name: 'a follower is killed and comes back',
  inflict: async (context) => {
    const { cluster } = context;
    await killAndRestart(cluster.others(await cluster.leader())[0]!, context);
  },
};

const allAreKilled: FaultScenario = {
  name: 'all nodes are killed at once and come back',
  inflict: async ({ cluster, load }) => {
    await Promise.all(cluster.nodes.map(({ process }) => process.kill()));
    for (const { process } of cluster.nodes) process.start();
    await load.whileStarting(cluster.untilReady());
  },
};

const allAreStopped: FaultScenario = {
  name: 'all nodes are stopped cleanly, one after the other, and come back',
  inflict: async (context) => {
    for (const node of context.cluster.nodes) {
      await node.process.stop();
      await context.load.untilWritten(context.writesPerStep);
      node.process.start();
      await context.load.whileStarting(node.process.untilReady());
    }
  },
};

/**
 * A leader that was paused does not know that another one was elected. The first input that it handles when it
 * continues is reads that reached it while it was paused, and began after writes of the new leader were acknowledged:
 * it must not answer them from its old state (P2).
 */
const leaderIsPaused: FaultScenario = {
  name: 'the leader is paused, deposed, and goes on',
  inflict: async ({ cluster, history, load, writesPerStep, pauseMs }) => {
    const leader = await cluster.leader();
    const pausedFor = sleep(pauseMs);
    leader.process.pause();
    let reads: Promise<void>[];
    try {
      await load.untilWritten(writesPerStep);
      await pausedFor;
      reads = [...history.keys].map(async (key) => {
        const operation = history.startRead(key);
        const outcome = await leader.client.get(key, { linearizable: true, timeoutMs: CALL_TIMEOUT_MS });
        if (outcome.kind === 'answered') history.readAnswered(operation, outcome.pair);
      });
    } finally {
      leader.process.resume();
    }
    await Promise.all(reads);
  },
};

const followerIsPaused: FaultScenario = {
  name: 'a follower is paused and goes on',
  inflict: async ({ cluster, load, writesPerStep, pauseMs }) => {
    const [follower] = cluster.others(await cluster.leader());
    const pausedFor = sleep(pauseMs);
    follower!.process.pause();
    try {
      await load.untilWritten(writesPerStep);
      await pausedFor;
    } finally {
      follower!.process.resume();
    }
  },
};

/**
 * The part of the log that the follower needs is compacted away while it is gone, so only a snapshot can bring it back
 * (D7).
 */
const followerNeedsSnapshot: FaultScenario = {
  name: 'a node that was away for longer than the log reaches back catches up by a snapshot',
  flags: { 'raft.snapshot-entries': '50', 'raft.compaction-overhead': '10' },
  inflict: async (context) => {
    const { cluster, load } = context;
    const [follower] = cluster.others(await cluster.leader());
    await follower!.process.kill();
    await load.untilWritten(Math.max(context.writesPerStep, 120));
    follower!.process.start();
    await load.whileStarting(follower!.process.untilReady());
    await load.untilWritten(context.writesPerStep);
    if ((await follower!.process.metric('coxswain_snapshots_received_total')) === 0) {
      throw new Error('the follower caught up without a snapshot');
    }
  },
};

/**
 * The scenarios that find most in the least time, for each run of the tests. The others do less harm of the same kinds,
 * or stop nodes cleanly. Those that need no options of their own come first; the last of them starts every node again.
 */
export const hardestFaultScenarios: readonly FaultScenario[] = [
  leaderIsKilled,
  leaderIsPaused,
  allAreKilled,
  followerNeedsSnapshot,
];

export const faultScenarios: readonly FaultScenario[] = [
  followerIsKilled,
  followerIsPaused,
  allAreStopped,
  ...hardestFaultScenarios,
];

/** The way in which a scenario is run. */
export interface FaultRun {
  readonly rounds: number;
  readonly writesPerStep: number;
  readonly pauseMs: number;
  /** Milliseconds that a client rests after each answer, and while nodes start, which need the processors, too. */
  readonly restMs: number;
  readonly restWhileStartingMs: number;
}

/** The numbers of checked operations. */
export interface FaultChecks {
  readonly writeCount: number;
  readonly readCount: number;
}

/** Runs a scenario on a new cluster, see `runFaultScenarioOn`. */
export async function runFaultScenario(scenario: FaultScenario, run: FaultRun): Promise<FaultChecks> {
  const cluster = await ProcessCluster.start(3, scenario.flags);
  try {
    return await runFaultScenarioOn(cluster, scenario, run);
  } finally {
    await cluster.dispose();
  }
}

/**
 * Runs a scenario, `rounds` times on the same cluster, under load, on keys that begin with the scenario's name. Throws
 * when an acknowledged write is lost or done twice, a read is stale, writes do not resume, or a node does not catch up.
 */
export async function runFaultScenarioOn(
  cluster: ProcessCluster,
  scenario: FaultScenario,
  { rounds, writesPerStep, pauseMs, restMs, restWhileStartingMs }: FaultRun,
): Promise<FaultChecks> {
  const history = new History();
  const load = new FaultLoad(cluster.nodes, history, {
    clientCount: CLIENT_COUNT,
    keyCount: KEY_COUNT,
    keyPrefix: `${scenario.name}-`,
    restMs,
    restWhileStartingMs,
  });
  try {
    for (let round = 0; round < rounds; round++) {
      await load.untilWritten(writesPerStep);
      await scenario.inflict({ cluster, history, load, writesPerStep, pauseMs });
      await load.untilWritten(writesPerStep);
    }
  } finally {
    await load.stop();
  }
  await checkHealed(cluster, history);
  return { writeCount: history.acknowledgedCount, readCount: history.readCount };
}
