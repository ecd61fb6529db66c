import { describe, expect, test } from '@jest/globals';
import { faultScenarios, killLeader, runFaultScenario } from '../src/faults/fault-scenarios.js';
import { ProcessCluster } from '../src/faults/process-cluster.js';

// D1-D3, P1 and P2 with real processes and real disks: `npm run acceptance` runs the same at full size.
describe('no acknowledged write is lost and no read is stale when', () => {
  test.each(faultScenarios)('$name', async (scenario) => {
    const { writeCount, readCount } = await runFaultScenario(scenario, {
      rounds: 1,
      writesPerStep: 100,
      pauseMs: 0,
    });
    expect(writeCount).toBeGreaterThan(200);
    expect(readCount).toBeGreaterThan(0);
  });
});

// How long that takes is for `npm run acceptance -- leader-kills`, which holds it to 3 s.
test('writes resume when the leader is lost', async () => {
  const cluster = await ProcessCluster.start(3);
  try {
    const { leader } = await killLeader(cluster);
    expect(await cluster.leader()).not.toBe(leader);
  } finally {
    await cluster.dispose();
  }
});
