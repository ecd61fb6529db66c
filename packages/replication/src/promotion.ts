import { ApiError, type NodeParts } from '@coxswain/node';
import { pause } from '@coxswain/runtime';
import { SnapshotDamagedError } from '@coxswain/stream';
import { TableError, writeSnapshot } from '@coxswain/table';
import { replicationEvents } from './events.js';
import type { FollowerEnvironment } from './follower-environment.js';
import { ShardFiller } from './shard-filler.js';

const STEP_MS = 60_000;
const RETRY_MS = 500;

/**
 * Turns a follower cluster into a leader cluster (R5). It copies each table into a shard whose log begins above every
 * index of the leader cluster that this cluster ever saw, and seals the old shard at the point of the copy. The node
 * that leads the meta group does it; when the leadership moves, the next one completes it.
 */
export class Promotion {
  readonly #node: Pick<NodeParts, 'kv' | 'cluster' | 'follower'>;
  readonly #environment: FollowerEnvironment;

  constructor(node: Pick<NodeParts, 'kv' | 'cluster' | 'follower'>, environment: FollowerEnvironment) {
    this.#node = node;
    this.#environment = environment;
  }

  /** Resolves when the cluster is a leader cluster, or when aborted. Rejects with a broken invariant. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#environment;
    while (!signal.aborted && this.#node.cluster.role === 'promoting') {
      try {
        const [table] = this.#node.follower.unpromotedTables();
        if (table === undefined) {
          await this.#node.follower.finishPromotion(this.#call());
          log(replicationEvents.clusterPromoted);
        } else await this.#promote(table.name);
      } catch (error) {
        const isSurvivable =
          error instanceof ApiError || error instanceof SnapshotDamagedError || error instanceof TableError;
        if (!isSurvivable) throw error;
        log(replicationEvents.promotionStepFailed, { reason: error.message });
        await pause(clock, RETRY_MS, signal);
      }
    }
  }

  #call(): { deadlineMs: number } {
    return { deadlineMs: this.#environment.clock.monotonicMs() + STEP_MS };
  }

  async #promote(name: string): Promise<void> {
    const shard = await this.#node.follower.beginLoad(name, this.#call());
    const readable = await this.#node.kv.read(name, { linearizable: true }, this.#call());
    const view = readable.table.view();
    try {
      const filler = new ShardFiller(shard, this.#environment.clock);
      const { keyCount, hasUnstamped } = await filler.fill(writeSnapshot(view, {}));
      await shard.finish({ leaderIndex: 0, keyCount, hasUnstamped }, this.#call());
      // Entries that were under way from the leader cluster may have come meanwhile; the table is then copied again.
      const isDone = await shard.switch({ ifCursor: view.state.leaderIndex ?? 0 }, this.#call());
      if (isDone) this.#environment.log(replicationEvents.tablePromoted, { table: name });
    } finally {
      view.close();
    }
  }
}
