import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessCluster } from '../faults/process-cluster.js';
import { type AcceptanceCheck, below } from './check.js';

const TABLE_COUNT = 100;
const SETTLE_MS = 15_000;
const OBSERVE_MS = 30_000;
const CREATE_TIMEOUT_MS = 30_000;

/** What a node uses that has a hundred tables and nothing to do. */
export const idleTables: AcceptanceCheck = {
  name: 'idle-tables',
  async run() {
    const cluster = await ProcessCluster.start(3);
    try {
      const { client } = cluster.nodes[0]!;
      // The cluster comes with one table of its own.
      for (let table = 1; table < TABLE_COUNT; table++) {
        await client.createTable(`table-${table}`, CREATE_TIMEOUT_MS);
      }
      await sleep(SETTLE_MS);
      const before = cluster.nodes.map(({ process }) => process.usage());
      await sleep(OBSERVE_MS);
      const after = cluster.nodes.map(({ process }) => process.usage());
      const residentMb = Math.max(...after.map(({ residentBytes }) => residentBytes)) / 1e6;
      const cpuShares = after.map(({ cpuMs }, index) => (cpuMs - before[index]!.cpuMs) / OBSERVE_MS);
      return [
        below(`memory of an idle node with ${TABLE_COUNT} tables`, 120, residentMb, 'MB'),
        below(
          `CPU of an idle node with ${TABLE_COUNT} tables`,
          2,
          Math.max(...cpuShares) * 100,
          '% of a core',
        ),
      ];
    } finally {
      await cluster.dispose();
    }
  },
};
