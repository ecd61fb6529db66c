import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  faultScenarios,
  killLeader,
  runFaultScenario,
  runFaultScenarioOn,
} from '../src/faults/fault-scenarios.js';
import { ProcessCluster } from '../src/faults/process-cluster.js';

/** Of every scenario that needs no options of its own. */
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start(3);
});

afterAll(() => cluster?.dispose());

// D1-D3, P1 and P2 with real processes and real disks: `npm run acceptance` runs the same at full size.
describe('no acknowledged write is lost and no read is stale when', () => {
  test.each(faultScenarios)('$name', async (scenario) => {
    const run = { rounds: 1, writesPerStep: 110, pauseMs: 0, restMs: 10 };
    const { writeCount, readCount } =
      scenario.flags === undefined
        ? await runFaultScenarioOn(cluster, scenario, run)
        : await runFaultScenario(scenario, run);
    expect(writeCount).toBeGreaterThan(200);
    expect(readCount).toBeGreaterThan(0);
  });
});

// How long that takes is for `npm run acceptance -- leader-kills`, which holds it to 3 s.
test('writes resume when the leader is lost', async () => {
  const { leader } = await killLeader(cluster);
  expect(await cluster.leader()).not.toBe(leader);
});
