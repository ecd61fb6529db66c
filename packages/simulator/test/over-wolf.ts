import type { Scenario } from '../src/swarm.js';
import { WolfNetwork } from '../src/wolf-network.js';
import { mainTable } from '../src/workload.js';

/** Three nodes that replicate the main table over wolf.raft, with all the faults of the scenario but those of its disks' past. */
export function overWolf(scenario: Scenario): Scenario {
  const nodes = [1, 2, 3];
  const initialMembers = new Map(nodes.map((id) => [id, `node-${id}:5012`]));
  const members = new Map(nodes.map((id) => [id - 1, WolfNetwork.address(id)]));
  // Its logs are archived by nobody, and it cannot be restored.
  const operations = { ...scenario.workload.operations, restore: 0, archive: 0 };
  const { deadlineMs } = scenario.workload;
  return {
    ...scenario,
    nodes,
    // A damaged table costs a member its log as well, where that was compacted: as a wiped disk (node's DESIGN.md).
    fragileMachine: undefined,
    workload: { ...scenario.workload, operations, deadlineMs: Math.max(deadlineMs, 2_000) },
    nodeOptions: (node) => ({
      ...scenario.nodeOptions(node),
      initialMembers,
      initialTables: [],
      archive: undefined,
      wolf: { table: mainTable, id: node - 1, members },
    }),
  };
}

/**
 * As `overWolf`, where leaders are cut off, and others die, with entries that only they have, on slow disks and under many
 * clients; logs are so short that snapshots are needed.
 */
export function restlessOverWolf(scenario: Scenario): Scenario {
  const weights = { ...scenario.faults.weights };
  for (const kind of Object.keys(weights) as (keyof typeof weights)[]) weights[kind] = 0;
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
      weights: { ...weights, kill: 1, isolate: 2 },
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
