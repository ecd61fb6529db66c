import { type Scenario, withCounts, withEntryEffects } from '../src/swarm.js';

/** Three nodes whose entries are large ones (A4), which die, come back and fall behind during range deletions. */
export function deleting(scenario: Scenario): Scenario {
  const weights = { ...scenario.faults.weights };
  for (const kind of Object.keys(weights) as (keyof typeof weights)[]) weights[kind] = 0;
  const members = new Map([1, 2, 3].map((id) => [id, `node-${id}:5012`]));
  const given: Scenario = {
    ...scenario,
    nodes: [1, 2, 3],
    fragileMachine: undefined,
    network: { ...scenario.network, dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 },
    // Stores as slow as wals: a sweep takes as long as some requests.
    machine: {
      ...scenario.machine,
      stores: { writeMeanUs: 1_000, flushMeanUs: 5_000, scanMeanUs: 500, awakeMax: 1_000 },
    },
    workload: { ...scenario.workload, clients: 8, thinkMeanUs: 3_000, valueSizeMeanBytes: 20 },
    faults: {
      weights: { ...weights, kill: 1, losePower: 0.5, isolate: 1 },
      intervalMeanUs: 100_000,
      durationMeanUs: 100_000,
    },
    nodeOptions: (node) => ({
      ...scenario.nodeOptions(node),
      initialMembers: members,
      tickMs: 10,
      electionTicks: 8,
      snapshotEntries: 20,
      compactionOverheadEntries: 5,
      historyRetentionMs: 10_000,
      proposalsPendingMax: 16_384,
    }),
  };
  const effects = { sizeBytesMax: 256, operationsMax: 4 };
  return withEntryEffects(given, effects, {
    keys: 24,
    deleteRange: 0.5,
    putMany: 0.7,
    replaceRange: 0.4,
    range: 0.4,
    rangePast: 0.5,
    count: 0,
    backup: 0.2,
    createTable: 0.3,
    deleteTable: 0.3,
  });
}

/** The same, while clients count keys. */
export const counting = (scenario: Scenario): Scenario => withCounts(deleting(scenario), 1);
