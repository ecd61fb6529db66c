import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeClient } from '../faults/node-client.js';
import { ProcessCluster } from '../faults/process-cluster.js';
import { type AcceptanceCheck, below } from './check.js';

const TABLE_COUNT = 1_000;
const SETTLE_MS = 15_000;
const OBSERVE_MS = 30_000;
const CREATE_TIMEOUT_MS = 60_000;
/** The tables that are created at the same time; the registry takes one change after the other. */
const CREATED_AT_ONCE = 4;
const ASKED_AT_ONCE = 32;

/**
 * Measures the resources of a node with many tables and nothing to do, and how soon all tables are back after all nodes
 * were stopped.
 */
export const idleTables: AcceptanceCheck = {
  name: 'idle-tables',
  async run({ tableCount = TABLE_COUNT }) {
    const cluster = await ProcessCluster.start(3);
    try {
      const { client } = cluster.nodes[0]!;
      // The cluster comes with one table of its own.
      const names = Array.from({ length: tableCount - 1 }, (_, at) => `table-${at + 1}`);
      const beganMs = performance.now();
      const rest = names.values();
      const create = async (): Promise<void> => {
        for (const name of rest) await client.createTable(name, CREATE_TIMEOUT_MS);
      };
      await Promise.all(Array.from({ length: CREATED_AT_ONCE }, create));
      const createdMs = performance.now() - beganMs;
      await sleep(SETTLE_MS);
      const before = cluster.nodes.map(({ process }) => process.usage());
      await sleep(OBSERVE_MS);
      const after = cluster.nodes.map(({ process }) => process.usage());
      const residentMb = Math.max(...after.map(({ residentBytes }) => residentBytes)) / 1e6;
      const cpuShares = after.map(({ cpuMs }, index) => (cpuMs - before[index]!.cpuMs) / OBSERVE_MS);
      await Promise.all(cluster.nodes.map(({ process }) => process.kill()));
      const restartedMs = performance.now();
      for (const { process } of cluster.nodes) process.start();
      await cluster.untilReady();
      const readyMs = performance.now() - restartedMs;
      const servedMs = performance.now();
      const failedCount = await unserved(client, names);
      const eachMs = (performance.now() - servedMs) / names.length;
      const tables = `${tableCount} tables`;
      return [
        below(`to create ${tables}, each`, 100, createdMs / names.length, 'ms'),
        below(`memory of an idle node with ${tables}`, 250, residentMb, 'MB'),
        below(`CPU of an idle node with ${tables}`, 2, Math.max(...cpuShares) * 100, '% of a core'),
        below(`until all of ${tables} are ready after all nodes were killed`, 10, readyMs / 1000, 's'),
        below(`of ${tables} those that then refuse a put or do not give it back`, 1, failedCount, 'tables'),
        below('a put and a linearizable read of each, 32 at a time', 100, eachMs, 'ms'),
      ];
    } finally {
      await cluster.dispose();
    }
  },
};

/** Returns how many tables do not accept a put, or do not return it. */
async function unserved(client: NodeClient, names: readonly string[]): Promise<number> {
  let failedCount = 0;
  const rest = names.values();
  const ask = async (): Promise<void> => {
    for (const name of rest) {
      const table = client.forTable(name);
      const put = await table.put('key', name, CREATE_TIMEOUT_MS);
      const read = await table.get('key', { linearizable: true, timeoutMs: CREATE_TIMEOUT_MS });
      const isThere = read.kind === 'answered' && read.pair?.value === name;
      if (put.kind !== 'acknowledged' || !isThere) failedCount += 1;
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
  return failedCount;
}
