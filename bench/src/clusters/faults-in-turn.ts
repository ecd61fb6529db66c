import type { ProcessCluster } from '../faults/process-cluster.js';
import type { MixedLoad } from './mixed-load.js';

/**
 * One of this many visits pauses the node; prime to the number of nodes, so that each node is both paused and killed in
 * time.
 */
const PAUSE_EVERY = 4;

/**
 * Kills or pauses one node after the other, on the two sides in turn, for `durationMs` milliseconds; each node is back
 * when the next one goes. While a node is away, and after it is back, both clusters must take `writesPerStep` writes.
 */
export async function inflictFaultsInTurn(
  clusters: readonly ProcessCluster[],
  load: MixedLoad,
  options: { readonly durationMs: number; readonly writesPerStep: number },
): Promise<{ killCount: number; pauseCount: number }> {
  const startedMs = performance.now();
  let killCount = 0;
  let pauseCount = 0;
  for (let turn = 0; turn < clusters.length || performance.now() - startedMs < options.durationMs; turn++) {
    const cluster = clusters[turn % clusters.length]!;
    const visit = Math.floor(turn / clusters.length);
    const { process } = cluster.nodes[visit % cluster.nodes.length]!;
    if (visit % PAUSE_EVERY === PAUSE_EVERY - 1) {
      process.pause();
      pauseCount++;
      try {
        await load.untilAcknowledged(options.writesPerStep);
      } finally {
        process.resume();
      }
    } else {
      await process.kill();
      killCount++;
      await load.untilAcknowledged(options.writesPerStep);
      process.start();
      await process.untilReady();
    }
    await load.untilAcknowledged(options.writesPerStep);
  }
  return { killCount, pauseCount };
}
