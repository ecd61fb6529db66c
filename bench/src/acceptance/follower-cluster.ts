import type { mvcc } from '@coxswain/protocol';
import { eventually } from '@coxswain/testing';
import { BulkKeys } from '../clusters/bulk-keys.js';
import { compareContent } from '../clusters/content-comparison.js';
import { inflictFaultsInTurn } from '../clusters/faults-in-turn.js';
import { MixedLoad } from '../clusters/mixed-load.js';
import { RevisionWatch } from '../clusters/revision-watch.js';
import { Sampler } from '../clusters/sampler.js';
import { Violations } from '../clusters/violations.js';
import { type StoredPair, storedPair, type TableState } from '../faults/node-client.js';
import { ProcessCluster } from '../faults/process-cluster.js';
import { ClosedLoop } from '../load/closed-loop.js';
import { regattaDialect } from '../load/regatta-dialect.js';
import type { AcceptanceCheck, AcceptanceSizes, Measurement } from './check.js';

const NODE_COUNT = 3;
const KEY_COUNT = 1_000_000;
const SECONDS = 60;
const VALUE_SIZE_BYTES = 256;
const IN_FLIGHT = 256;
/** The tables; the first one comes with the leader cluster and holds most of the keys. */
const TABLES = ['default', 'orders', 'sessions'];
const WRITERS_PER_TABLE = 3;
const WRITES_PER_STEP = 200;
/** Options with which a follower cluster soon notices a new table, and a leader cluster's node that is back. */
const FOLLOWER_FLAGS = { 'replication.reconcile-interval': '1s' };
const CREATE_TIMEOUT_MS = 30_000;
const STATUS_TIMEOUT_MS = 5_000;

/**
 * Checks a leader cluster and its follower cluster, both of three real nodes: with many keys, then with writes of all
 * kinds through both while nodes on both sides are killed, paused and restarted in turn. In the end both must be equal
 * (R1, R2, R3).
 */
export const followerCluster: AcceptanceCheck = {
  name: 'follower-cluster',
  async run(sizes) {
    const leader = await ProcessCluster.start(NODE_COUNT);
    try {
      const follower = await ProcessCluster.startFollower(
        leader.replicationAddresses,
        NODE_COUNT,
        FOLLOWER_FLAGS,
      );
      try {
        return await measure(leader, follower, sizes);
      } finally {
        await follower.dispose();
      }
    } finally {
      await leader.dispose();
    }
  },
};

async function measure(
  leader: ProcessCluster,
  follower: ProcessCluster,
  { keyCount = KEY_COUNT, seconds = SECONDS }: AcceptanceSizes,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const table of TABLES.slice(1)) await leader.nodes[0]!.client.createTable(table, CREATE_TIMEOUT_MS);
  const clusters = [leader, follower];

  const filled = await fill(leader, keyCount);
  const filledMs = performance.now();
  await untilAlike(clusters);
  const behindSeconds = (performance.now() - filledMs) / 1000;
  measurements.push({
    what: `${keyCount} keys of ${VALUE_SIZE_BYTES} B reach the follower cluster`,
    target: 'caught up',
    measured: `${filled.toFixed(0)} puts/s; ${behindSeconds.toFixed(1)} s after the last put`,
    isMet: true,
  });

  const found = { load: new Violations(), watch: new Violations(), content: new Violations() };
  const watch = new RevisionWatch(found.watch);
  const bulk = new BulkKeys(keyCount);
  const sampler = new Sampler(clusters, TABLES, watch);
  const load = new MixedLoad({
    leader,
    follower,
    tables: TABLES,
    writersPerTable: WRITERS_PER_TABLE,
    bulk,
    violations: found.load,
  });
  let faults: { killCount: number; pauseCount: number };
  try {
    await load.untilAcknowledged(WRITES_PER_STEP);
    faults = await inflictFaultsInTurn(clusters, load, {
      durationMs: seconds * 1000,
      writesPerStep: WRITES_PER_STEP,
    });
  } finally {
    await load.stop();
  }
  const stoppedMs = performance.now();
  const states = await untilAlike(clusters);
  const healedSeconds = (performance.now() - stoppedMs) / 1000;
  await sampler.stop();
  const kinds = Object.entries(load.counts).map(([kind, count]) => `${count} ${kind}`);
  measurements.push({
    what: `writes through both clusters while nodes of both are killed and restarted for ${seconds} s`,
    target: 'every kind is acknowledged',
    measured:
      `${kinds.join(', ')}; ${faults.killCount} kills, ${faults.pauseCount} pauses; ` +
      `${load.refusedCount} refused, ${load.unknownCount} unknown`,
    isMet: Object.values(load.counts).every((count) => count > 0),
  });
  measurements.push({
    what: `all ${clusters.length * NODE_COUNT} nodes have equal content hashes at equal revisions`,
    target: 'every table',
    measured: `${states.size} tables, ${healedSeconds.toFixed(1)} s after the last write`,
    isMet: TABLES.every((table) => states.has(table)),
  });

  let comparedCount = 0;
  for (const table of TABLES) {
    const pairs = new Map<string, StoredPair>();
    comparedCount += await compareContent(
      leader.nodes[0]!.client.forTable(table),
      follower.nodes[0]!.client.forTable(table),
      found.content,
      (pair: mvcc.KeyValue) => {
        const key = pair.key.toString();
        if (table !== TABLES[0] || !bulk.saw(key)) pairs.set(key, storedPair(pair));
      },
    );
    load.check(table, pairs);
  }
  bulk.check(found.load);
  measurements.push(
    none(
      'keys, values, versions, create and mod revisions that differ between the clusters',
      found.content,
      `of ${comparedCount} keys`,
    ),
    none(
      'acknowledged writes that are lost, done twice, or not seen where they were made',
      found.load,
      `${load.acknowledgedCount} checked, ${load.readBackCount} read back at once`,
    ),
    none(
      'revisions that went back, or had two content hashes',
      found.watch,
      `${watch.sampleCount} samples, ${watch.sharedCount} of a revision seen elsewhere, ${watch.readCount} linearizable reads`,
    ),
  );
  return measurements;
}

/** Puts every key once, and returns the puts per second. */
async function fill(leader: ProcessCluster, keyCount: number): Promise<number> {
  const { callsPerSecond, errors } = await new ClosedLoop(
    {
      workload: 'fill',
      keyCount,
      valueSizeBytes: VALUE_SIZE_BYTES,
      answersHoldData: true,
      endpoints: leader.nodes.map(({ address }) => address),
      connectionCount: leader.nodes.length,
      inFlight: IN_FLIGHT,
      extent: { callCount: keyCount },
    },
    regattaDialect,
  ).run();
  if (Object.keys(errors).length > 0) throw new Error(`not every key was put: ${JSON.stringify(errors)}`);
  return callsPerSecond;
}

/** Waits until all nodes of all clusters have every table at the same revision with the same content hash. */
async function untilAlike(clusters: readonly ProcessCluster[]): Promise<Map<string, TableState>> {
  const nodes = clusters.flatMap(({ role, nodes }) =>
    nodes.map(({ process, client }) => ({ role, process, client })),
  );
  let latest = '';
  return eventually('all nodes of both clusters have the same data', async () => {
    const states = await Promise.all(nodes.map(({ client }) => client.tables(STATUS_TIMEOUT_MS)));
    latest = states
      .flatMap((tables, index) =>
        [...tables].map(([table, { revision, contentHash, replication }]) => {
          const { role, process } = nodes[index]!;
          return `${role} ${process.nodeId} ${table}: ${revision} ${contentHash} ${replication?.state ?? ''} ${replication?.error ?? ''}`;
        }),
      )
      .join('\n');
    const isAlike = TABLES.every((table) =>
      states.every((tables) => {
        const first = states[0]!.get(table);
        const own = tables.get(table);
        return own && first && own.revision === first.revision && own.contentHash === first.contentHash;
      }),
    );
    return isAlike && states[0]!;
  }).catch((cause: unknown) => {
    throw new Error(`the clusters do not become alike:\n${latest}`, { cause });
  });
}

function none(what: string, violations: Violations, checked: string): Measurement {
  return {
    what,
    target: 'none',
    measured: `${violations.summary()}; ${checked}`,
    isMet: violations.count === 0,
  };
}
