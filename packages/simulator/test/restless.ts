import type { Scenario } from '../src/swarm.js';

const noFaults = (scenario: Scenario): Scenario['faults']['weights'] => {
  const weights = { ...scenario.faults.weights };
  for (const kind of Object.keys(weights) as (keyof typeof weights)[]) weights[kind] = 0;
  return weights;
};

/** Three nodes that die and come back often, on an orderly network. */
export function restless(scenario: Scenario, faults: Partial<Scenario['faults']['weights']>): Scenario {
  return {
    ...scenario,
    nodes: [1, 2, 3],
    fragileMachine: undefined,
    network: { ...scenario.network, dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 },
    workload: { ...scenario.workload, clients: 8, thinkMeanUs: 2_000, valueSizeMeanBytes: 20 },
    faults: {
      weights: { ...noFaults(scenario), ...faults },
      intervalMeanUs: 50_000,
      durationMeanUs: 30_000,
    },
    nodeOptions: (node) => ({
      ...scenario.nodeOptions(node),
      initialMembers: new Map([1, 2, 3].map((id) => [id, `node-${id}:5012`])),
      tickMs: 10,
      electionTicks: 4,
      snapshotEntries: 20,
      compactionOverheadEntries: 5,
    }),
  };
}

/** Nodes are paused and cut off: one that led may not have heard that it leads no more. */
export const restlessApart = (scenario: Scenario): Scenario => restless(scenario, { pause: 1, isolate: 1 });

/** Leaders are asked to hand over, again and again. */
export const handingOver = (scenario: Scenario): Scenario => restless(scenario, { handOver: 1 });

/** Long syncs: what a new leader appends is on its peers well before it is on its own disk, and is lost there. */
export function slowSyncs(scenario: Scenario): Scenario {
  const { disk } = scenario.machine;
  const machine = { ...scenario.machine, disk: { ...disk, syncMeanUs: 30_000, slowSyncProbability: 0 } };
  const network = { ...scenario.network, delayMinUs: 50, delayMeanUs: 300 };
  const given = restless({ ...scenario, machine, network }, { losePower: 1, isolate: 1, kill: 0.5 });
  return {
    ...given,
    workload: { ...given.workload, clients: 4, thinkMeanUs: 10_000 },
    faults: { ...given.faults, intervalMeanUs: 40_000, durationMeanUs: 80_000 },
  };
}
