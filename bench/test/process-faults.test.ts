import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { hardestFaultScenarios, killLeader, runFaultScenarioOn } from '../src/faults/fault-scenarios.js';
import { ProcessCluster } from '../src/faults/process-cluster.js';

/** One for all: a scenario that needs options has them when the one before it has started every node anew. */
let cluster: ProcessCluster;

beforeAll(async () => {
  cluster = await ProcessCluster.start(3);
});

afterAll(() => cluster?.dispose());

// D1-D3, P1 and P2 with real processes and real disks: `npm run acceptance` runs these and others at full size.
describe('no acknowledged write is lost and no read is stale when', () => {
  test.each([...hardestFaultScenarios.entries()].map(([index, scenario]) => ({ ...scenario, index })))(
    '$name',
    async ({ index, ...scenario }) => {
      const next = hardestFaultScenarios[index + 1]?.flags;
      if (next !== undefined) for (const { process } of cluster.nodes) process.setFlags(next);
      const run = { rounds: 1, writesPerStep: 40, pauseMs: 0, restMs: 20, restWhileStartingMs: 500 };
      const { writeCount, readCount } = await runFaultScenarioOn(cluster, scenario, run);
      expect(writeCount).toBeGreaterThanOrEqual(80);
      expect(readCount).toBeGreaterThan(0);
    },
  );
});

// How long that takes is for `npm run acceptance -- leader-kills`, which holds it to 3 s.
test('writes resume when the leader is lost', async () => {
  const { leader } = await killLeader(cluster);
  expect(await cluster.leader()).not.toBe(leader);
});
