import type { Scenario } from '../src/swarm.js';

/** Clients restore often. */
export function restoring(scenario: Scenario): Scenario {
  const { workload } = scenario;
  return { ...scenario, workload: { ...workload, operations: { ...workload.operations, restore: 1 } } };
}
