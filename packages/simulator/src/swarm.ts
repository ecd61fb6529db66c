import { defaultNodeOptions, type NodeOptions } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import type { FaultKind, FaultOptions } from './faults.js';
import type { MachineOptions } from './machine.js';
import type { NetworkOptions } from './network.js';
import type { SeededRandom } from './random.js';
import { MAIN_TABLE, type OperationKind, type WorkloadOptions } from './workload/options.js';

/** Keys of a block: so few that a table has several blocks. */
const KEY_BLOCK_KEYS = 3;

/** The faults that are drawn; each is left out of half of the runs. */
const drawnFaults: readonly FaultKind[] = [
  'kill',
  'losePower',
  'stop',
  'killAll',
  'losePowerOfAll',
  'pause',
  'isolate',
  'split',
  'oneWay',
  'bridge',
  'links',
  'clog',
  'reset',
  'clockJump',
  'diskFull',
  'syncError',
];
/** The faults that `withFault` may aim at. */
export const faultKinds: readonly FaultKind[] = [...drawnFaults, 'rollBack', 'handOver', 'freeze'];

/** All parameters of one run except its length. */
export interface Scenario {
  readonly nodes: readonly NodeId[];
  readonly network: NetworkOptions;
  readonly machine: MachineOptions;
  readonly workload: WorkloadOptions;
  readonly faults: FaultOptions;
  readonly fragileMachine: NodeId | undefined;
  readonly nodeOptions: (node: NodeId) => NodeOptions;
  /** True when each node is a cluster of its own, and they share nothing but a table over wolf.raft. */
  readonly areApart?: boolean;
}

/**
 * Draws a scenario (swarm testing, Groce et al. 2012): every fault and every operation is left out of half of the runs,
 * and the frequencies of the others are drawn, too. Runs that lack something reach states that runs with a bit of
 * everything hardly ever reach.
 */
export function drawScenario(random: SeededRandom): Scenario {
  const nodeCount = random.weighted({ '1': 1, '2': 1, '3': 10, '4': 1, '5': 4 });
  const nodes = Array.from({ length: Number(nodeCount) }, (_, i) => i + 1);
  const tickMs = random.pick([10, 20, 50]);
  const electionTicks = random.integer(10, 20);
  const isLossy = random.chance(0.4);
  const often = (max: number) => (random.chance(0.5) ? random.between(0, max) : 0);
  const delayMeanUs = logUniform(random, 50, 5_000);

  const weights = {} as Record<FaultKind, number>;
  for (const kind of drawnFaults) weights[kind] = random.chance(0.5) ? random.between(0.1, 1) : 0;

  const operationKinds: OperationKind[] = [
    'put',
    'putPrevious',
    'delete',
    'deleteRange',
    'compareAndSet',
    'transfer',
    'get',
    'getSerializable',
    'range',
    'rangeSerializable',
  ];
  const operations = {} as Record<OperationKind, number>;
  for (const kind of operationKinds) operations[kind] = random.chance(0.7) ? random.between(0.1, 1) : 0;
  // Without these operations a run could show nothing.
  operations.putPrevious += 0.2;
  operations.get += 0.2;
  operations.deleteRange *= 0.3;
  const changesTables = random.chance(0.4);
  operations.createTable = changesTables ? 0.06 : 0;
  operations.deleteTable = changesTables ? 0.04 : 0;
  operations.listTables = changesTables ? 0.1 : 0;
  for (const kind of ['putMany', 'replaceRange', 'rangePast', 'count', 'backup'] as const)
    operations[kind] = 0;

  const snapshotEntries = Math.round(logUniform(random, 20, 2_000));
  const members = new Map(nodes.map((id) => [id, `node-${id}:5012`]));
  const valueSizeMeanBytes = Math.round(logUniform(random, 4, 2_000));
  const options = {
    ...defaultNodeOptions,
    initialMembers: members,
    clientUrls: [],
    version: '0.0.0',
    tickMs,
    electionTicks,
    snapshotEntries,
    compactionOverheadEntries: random.integer(1, snapshotEntries),
    historyRetentionMs: random.pick([1_000, 10_000, 300_000]),
    walSegmentSizeBytes: random.pick([64, 256, 1024]) * 1024,
    walEntryCacheBytesMax: random.pick([16, 256, 4096]) * 1024,
    storeWriteBufferBytes: random.pick([2, 32, 256]) * 1024,
    keyBlockKeys: KEY_BLOCK_KEYS,
    storeCacheBytes: 1024 * 1024,
    // So small that pages come and go.
    pageCacheBytes: 8 * 1024,
    proposalsPendingMax: random.pick([4, 64, 16_384]),
    tablesMax: 10,
    initialTables: [MAIN_TABLE],
  };

  const scenario = {
    nodes,
    network: {
      delayMinUs: random.integer(10, 500),
      delayMeanUs,
      detectMeanUs: logUniform(random, 1_000, 500_000),
      redialMeanUs: logUniform(random, 10_000, 500_000),
      silenceUs: 2 * electionTicks * tickMs * 1_000,
      breakWhenBlockedProbability: random.pick([0, 0.5, 1]),
      backlogBytesMax: random.pick([64, 1024, 8192]) * 1024,
      dropProbability: isLossy ? often(0.1) : 0,
      duplicateProbability: isLossy ? often(0.1) : 0,
      reorderProbability: isLossy ? often(0.1) : 0,
      bulkBreakProbability: often(0.05),
    },
    machine: {
      disk: {
        writeMeanUs: logUniform(random, 5, 200),
        syncMeanUs: logUniform(random, 50, 5_000),
        slowSyncProbability: often(0.02),
        slowSyncUs: logUniform(random, 10_000, electionTicks * tickMs * 2_000),
      },
      stores: {
        writeMeanUs: logUniform(random, 5, 500),
        flushMeanUs: logUniform(random, 500, 50_000),
        scanMeanUs: logUniform(random, 5, 500),
      },
      clockDriftMax: random.pick([0, 0.001, 0.05]),
      clockOffsetMsMax: random.pick([0, 1_000, 3_600_000]),
    },
    workload: {
      clients: random.integer(1, 12),
      keys: random.integer(2, 12),
      thinkMeanUs: logUniform(random, 1_000, 100_000),
      valueSizeMeanBytes,
      deadlineMs: random.pick([1_000, 5_000]),
      operations,
    },
    faults: {
      weights,
      intervalMeanUs: logUniform(random, 30_000, 2_000_000),
      durationMeanUs: logUniform(random, 20_000, 3_000_000),
    },
    fragileMachine: nodes.length >= 3 && random.chance(0.5) ? random.pick(nodes) : undefined,
    nodeOptions: (node: NodeId) => ({ ...options, nodeId: node, nodeName: `node-${node}` }),
  };
  // No cluster takes an empty disk for a member's (T4), so only members of a wolf.raft group lose theirs.
  weights.wipe = 0;
  const rollBack = random.fork('rollBack');
  weights.rollBack = rollBack.chance(0.5) ? rollBack.between(0.1, 1) : 0;
  const handOver = random.fork('handOver');
  weights.handOver = handOver.chance(0.5) ? handOver.between(0.1, 1) : 0;
  const freeze = random.fork('freeze');
  weights.freeze = freeze.chance(0.5) ? freeze.between(0.1, 1) : 0;
  const large = withLargeEntries(
    withMaintenance(scenario, random.fork('maintenance')),
    random.fork('effects'),
  );
  const counts = random.fork('counts');
  return counts.chance(0.3) ? withCounts(large, counts.between(0.05, 0.5)) : large;
}

/** Adds operations that count keys, with this frequency beside the others. */
export function withCounts(scenario: Scenario, count: number): Scenario {
  const { workload } = scenario;
  return { ...scenario, workload: { ...workload, operations: { ...workload.operations, count } } };
}

/** Makes the fault of this kind as likely as all others together, and frequent. */
export function withFault(scenario: Scenario, kind: FaultKind): Scenario {
  const { weights, intervalMeanUs } = scenario.faults;
  const others = Object.values(weights).reduce((sum, weight) => sum + weight, 0) - weights[kind];
  return {
    ...scenario,
    faults: {
      ...scenario.faults,
      weights: { ...weights, [kind]: Math.max(others, 1) },
      intervalMeanUs: Math.min(intervalMeanUs, 300_000),
    },
  };
}

/** Lets clients restore tables, and an archive take the logs. */
function withMaintenance(scenario: Scenario, random: SeededRandom): Scenario {
  const isArchived = random.chance(0.3);
  const operations = {
    ...scenario.workload.operations,
    restore: random.chance(0.5) ? random.between(0.02, 0.3) : 0,
    archive: isArchived ? random.between(0.05, 0.5) : 0,
  };
  // The archive never blocks writes here: writes that wait until a client archives would look like missing progress.
  // packages/node/test/rules tries that.
  const archive = { backlogBytesMax: random.pick([8, 64, 1024]) * 1024, onLimit: 'gap' as const };
  const { nodeOptions } = scenario;
  return {
    ...scenario,
    workload: { ...scenario.workload, operations },
    nodeOptions: (node) => ({ ...nodeOptions(node), ...(isArchived && { archive }) }),
  };
}

/**
 * Makes an entry of some keys count as a large one (A4), in every second run: it is written in parts, and a range
 * deletion leaves most of its keys to a sweep, during which everything else continues.
 */
function withLargeEntries(scenario: Scenario, random: SeededRandom): Scenario {
  if (random.chance(0.5)) return scenario;
  const entryEffects = {
    sizeBytesMax: Math.round(logUniform(random, 64, 2_000)),
    operationsMax: random.integer(2, 8),
  };
  // The keys of one entry must fit into the smallest segment of a log.
  const valueSizeMeanBytes = Math.min(scenario.workload.valueSizeMeanBytes, 200);
  const workload = { ...scenario.workload, valueSizeMeanBytes };
  return withEntryEffects({ ...scenario, workload }, entryEffects, {
    keys: random.integer(8, 40),
    deleteRange: random.between(0.1, 0.6),
    putMany: random.between(0.2, 1),
    replaceRange: random.chance(0.7) ? random.between(0.1, 0.6) : 0,
    rangePast: random.chance(0.8) ? random.between(0.1, 0.6) : 0,
    backup: random.chance(0.7) ? random.between(0.05, 0.3) : 0,
  });
}

/** Limits the effects that one entry may write at once, and adds operations that often exceed the limit. */
export function withEntryEffects(
  scenario: Scenario,
  entryEffects: NonNullable<NodeOptions['entryEffects']>,
  { keys, ...operations }: { readonly keys: number } & Partial<WorkloadOptions['operations']>,
): Scenario {
  const { workload, nodeOptions } = scenario;
  return {
    ...scenario,
    workload: { ...workload, keys, operations: { ...workload.operations, ...operations } },
    nodeOptions: (node) => ({ ...nodeOptions(node), entryEffects }),
  };
}

/** Returns a number for which every order of magnitude is as likely as the others. */
function logUniform(random: SeededRandom, from: number, to: number): number {
  return Math.exp(random.between(Math.log(from), Math.log(to)));
}
