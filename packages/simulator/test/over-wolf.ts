import type { FaultKind } from '../src/faults.js';
import type { Scenario } from '../src/swarm.js';
import { WolfNetwork } from '../src/wolf-network.js';
import { MAIN_TABLE } from '../src/workload/options.js';

/** Three nodes of a cluster that replicate the main table over wolf.raft, with all the faults of the scenario. */
export function overWolf(scenario: Scenario): Scenario {
  const nodes = [1, 2, 3];
  const initialMembers = new Map(nodes.map((id) => [id, `node-${id}:5012`]));
  const members = new Map(nodes.map((id) => [id - 1, WolfNetwork.address(id)]));
  // Its logs are archived by nobody, and it cannot be restored. How tables count is looked for elsewhere.
  const operations = { ...scenario.workload.operations, restore: 0, archive: 0, count: 0 };
  const { deadlineMs } = scenario.workload;
  return {
    ...scenario,
    nodes,
    fragileMachine: scenario.fragileMachine && ((scenario.fragileMachine - 1) % nodes.length) + 1,
    workload: { ...scenario.workload, operations, deadlineMs: Math.max(deadlineMs, 2_000) },
    nodeOptions: (node) => ({
      ...scenario.nodeOptions(node),
      initialMembers,
      initialTables: [],
      archive: undefined,
      // What is looked for here is how members speak: tables are read from their stores.
      pageCacheBytes: 0,
      wolf: { table: MAIN_TABLE, id: node - 1, members },
    }),
  };
}

/**
 * Three clusters of one node each that replicate the main table over wolf.raft, with all the faults of the scenario, and
 * with disks that are emptied and damaged. A cluster alone notices no disk that was rolled back, and has no second member
 * whose tables could be damaged but by the group's.
 */
export function apartOverWolf(scenario: Scenario): Scenario {
  const given = overWolf(scenario);
  const { faults, workload, nodeOptions } = given;
  const operations = { ...workload.operations, createTable: 0, deleteTable: 0, listTables: 0 };
  return {
    ...given,
    areApart: true,
    fragileMachine: given.fragileMachine ?? 1,
    workload: { ...workload, operations },
    faults: { ...faults, weights: { ...faults.weights, rollBack: 0, wipe: 1, losePower: 1 } },
    nodeOptions: (node) => ({ ...nodeOptions(node), initialMembers: new Map([[node, `node-${node}:5012`]]) }),
  };
}

/**
 * As `overWolf`, where leaders are cut off, and others die, with entries that only they have, on slow disks and under many
 * clients; logs are so short that snapshots are needed.
 */
export function restlessOverWolf(scenario: Scenario): Scenario {
  const { machine, network, workload } = scenario;
  const given = overWolf({
    ...scenario,
    machine: { ...machine, disk: { ...machine.disk, syncMeanUs: 5_000, slowSyncProbability: 0 } },
    network: {
      ...network,
      delayMinUs: 200,
      delayMeanUs: 2_000,
      dropProbability: 0,
      duplicateProbability: 0,
      reorderProbability: 0,
    },
    workload: { ...workload, clients: 24, thinkMeanUs: 1_000, valueSizeMeanBytes: 20 },
    faults: {
      weights: only(scenario, { kill: 1, isolate: 2 }),
      intervalMeanUs: 120_000,
      durationMeanUs: 150_000,
    },
  });
  return {
    ...given,
    workload: { ...given.workload, deadlineMs: 300 },
    nodeOptions: (node) => ({
      ...given.nodeOptions(node),
      tickMs: 10,
      electionTicks: 8,
      snapshotEntries: 200,
      compactionOverheadEntries: 50,
    }),
  };
}

/** As `restlessOverWolf`, between clusters of one node: members are wiped while others stand still, or are cut off. */
export function restlessApartOverWolf(scenario: Scenario): Scenario {
  const given = apartOverWolf(restlessOverWolf(scenario));
  return {
    ...given,
    fragileMachine: undefined,
    workload: { ...given.workload, clients: 4, thinkMeanUs: 10_000 },
    faults: {
      weights: only(scenario, { wipe: 1, pause: 1, isolate: 2 }),
      intervalMeanUs: 50_000,
      durationMeanUs: 200_000,
    },
  };
}

/** These faults, and no others. */
function only({ faults }: Scenario, weights: Partial<Record<FaultKind, number>>): Record<FaultKind, number> {
  const none = Object.fromEntries(Object.keys(faults.weights).map((kind) => [kind, 0]));
  return { ...(none as Record<FaultKind, number>), ...weights };
}
