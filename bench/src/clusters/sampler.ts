import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import type { RevisionWatch } from './revision-watch.js';

const SAMPLE_INTERVAL_MS = 100;
const CALL_TIMEOUT_MS = 5_000;

/**
 * Asks every node of some clusters for the state of its tables, again and again, and passes the answers to the watch.
 */
export class Sampler {
  readonly #watch: RevisionWatch;
  readonly #loops: Promise<void>[] = [];
  #isStopped = false;

  constructor(clusters: readonly ProcessCluster[], tables: readonly string[], watch: RevisionWatch) {
    this.#watch = watch;
    for (const cluster of clusters) {
      for (const node of cluster.nodes) {
        this.#loops.push(this.#repeat(() => this.#sample(node)));
        this.#loops.push(this.#repeat(() => this.#read(cluster, node, tables)));
      }
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
  }

  async #repeat(act: () => Promise<void>): Promise<void> {
    while (!this.#isStopped) {
      // A node that is away gives no answer, which is expected.
      await act().catch(() => undefined);
      await sleep(SAMPLE_INTERVAL_MS);
    }
  }

  async #sample({ process, client }: ClusterNode): Promise<void> {
    const { processId } = process;
    const tables = await client.tables(CALL_TIMEOUT_MS);
    if (processId === undefined || process.processId !== processId) return;
    for (const [table, state] of tables) this.#watch.sample({ processId, table, ...state });
  }

  async #read({ role }: ProcessCluster, { client }: ClusterNode, tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const floor = this.#watch.startRead(role, table);
      const outcome = await client
        .forTable(table)
        .get('counter-0', { linearizable: true, timeoutMs: CALL_TIMEOUT_MS });
      if (outcome.kind === 'answered') this.#watch.readAnswered(role, table, floor, outcome.revision);
    }
  }
}
