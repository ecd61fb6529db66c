import type { ProcessCluster } from '../faults/process-cluster.js';

/** A cluster that ends with the block that uses it. */
export type RunningCluster = { readonly cluster: ProcessCluster } & AsyncDisposable;

/**
 * Waits for the cluster and makes it disposable.
 *
 * @throws what `starting` throws; nothing runs then
 */
export async function runningCluster(starting: () => Promise<ProcessCluster>): Promise<RunningCluster> {
  const cluster = await starting();
  return { cluster, [Symbol.asyncDispose]: () => cluster.dispose() };
}
