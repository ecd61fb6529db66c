import { ProcessCluster } from '../faults/process-cluster.js';
import { ClosedLoop } from '../load/closed-loop.js';
import { regattaDialect } from '../load/regatta-dialect.js';
import { type AcceptanceCheck, below, type Measurement } from './check.js';

const KEY_COUNT = 1_000_000;
const VALUE_SIZE_BYTES = 256;
const IN_FLIGHT = 256;
const MEMORY_MAX_MB = 600;
const RESTART_MAX_SECONDS = 5;
const COUNT_TIMEOUT_MS = 60_000;

/** Loads a million keys through the API, then restarts each node with them. */
export const millionKeys: AcceptanceCheck = {
  name: 'million-keys',
  async run() {
    const cluster = await ProcessCluster.start(3);
    try {
      const load = await new ClosedLoop(
        {
          workload: 'fill',
          keyCount: KEY_COUNT,
          valueSizeBytes: VALUE_SIZE_BYTES,
          answersHoldData: true,
          endpoints: cluster.nodes.map(({ address }) => address),
          connectionCount: cluster.nodes.length,
          inFlight: IN_FLIGHT,
          extent: { callCount: KEY_COUNT },
        },
        regattaDialect,
      ).run();
      const peaksMb = cluster.nodes.map(({ process }) => process.usage().residentPeakBytes / 1e6);
      const storedCount = await cluster.nodes[0]!.client.count(COUNT_TIMEOUT_MS);
      const measurements: Measurement[] = [
        {
          what: `${KEY_COUNT} keys of ${VALUE_SIZE_BYTES} B load through the API`,
          target: `${KEY_COUNT} keys`,
          measured: `${storedCount} keys, ${load.callsPerSecond.toFixed(0)} puts/s`,
          isMet: storedCount === KEY_COUNT,
        },
        below('peak memory of a node while they load', MEMORY_MAX_MB, Math.max(...peaksMb), 'MB'),
      ];
      measurements.push(await measureRestarts(cluster, 'stop'), await measureRestarts(cluster, 'kill'));
      return measurements;
    } finally {
      await cluster.dispose();
    }
  },
};

/** Measures the slowest restart of any node, from its start to the moment when it reports that it is ready. */
async function measureRestarts(cluster: ProcessCluster, ending: 'stop' | 'kill'): Promise<Measurement> {
  let slowestSeconds = 0;
  for (const { process } of cluster.nodes) {
    await process[ending]();
    const startedMs = performance.now();
    process.start();
    await process.untilReady();
    slowestSeconds = Math.max(slowestSeconds, (performance.now() - startedMs) / 1000);
  }
  const how = ending === 'stop' ? 'a clean stop' : 'SIGKILL';
  return below(`a restart with them is ready, after ${how}`, RESTART_MAX_SECONDS, slowestSeconds, 's');
}
