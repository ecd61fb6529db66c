import { describe, expect, jest, test } from '@jest/globals';
import { faultScenarios, killLeader, runFaultScenario } from '../src/faults/fault-scenarios.js';
import { ProcessCluster } from '../src/faults/process-cluster.js';

// Three processes on a busy machine take their time to start; nothing here waits for longer than it must.
jest.setTimeout(180_000);

/** What a client may wait for writes to resume, at the default timings. */
const OUTAGE_MAX_MS = 3_000;

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

test('writes resume within 3 s of losing the leader', async () => {
  const cluster = await ProcessCluster.start(3);
  try {
    const { outageMs } = await killLeader(cluster);
    expect(outageMs).toBeLessThan(OUTAGE_MAX_MS);
  } finally {
    await cluster.dispose();
  }
});
