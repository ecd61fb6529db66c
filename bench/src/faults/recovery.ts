import { eventually } from '@coxswain/testing';
import type { History } from './history.js';
import type { ClusterNode, ProcessCluster } from './process-cluster.js';

const PROBE_TIMEOUT_MS = 500;
const CALL_TIMEOUT_MS = 5_000;

/** Returns the milliseconds from now until one of the nodes acknowledges a write that began after now. */
export async function measureTimeToFirstWriteMs(nodes: readonly ClusterNode[]): Promise<number> {
  const startedMs = performance.now();
  let isResumed = false;
  await Promise.any(
    nodes.map((node) =>
      eventually('a write is acknowledged', async () => {
        if (isResumed) return true;
        const outcome = await node.client.put('probe', 'x', PROBE_TIMEOUT_MS);
        return outcome.kind === 'acknowledged';
      }),
    ),
  );
  isResumed = true;
  return performance.now() - startedMs;
}

/**
 * Checks, when the load has ended and every node runs, that each key holds a value that the history allows, read
 * through every node, and waits until all nodes have the same data.
 */
export async function checkHealed(cluster: ProcessCluster, history: History): Promise<void> {
  for (const { client } of cluster.nodes) {
    for (const key of history.keys) {
      await eventually(`${key} can be read`, async () => {
        const operation = history.startRead(key);
        const outcome = await client.get(key, { linearizable: true, timeoutMs: CALL_TIMEOUT_MS });
        if (outcome.kind === 'failed') throw new Error(outcome.reason);
        history.readAnswered(operation, outcome.pair);
        return true;
      });
    }
  }
  await eventually('all nodes have the same data', async () => {
    const dumps = await Promise.all(
      cluster.nodes.map(async ({ client }) => JSON.stringify([...(await client.dump(CALL_TIMEOUT_MS))])),
    );
    return dumps.every((dump) => dump === dumps[0]);
  });
  if (history.violations.length > 0)
    throw new Error(`the history is wrong: ${history.violations.join('; ')}`);
}
