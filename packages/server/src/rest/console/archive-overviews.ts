import { ArchiveError, describeShard, findShards, type ObjectStore } from '@coxswain/archive';
import type { ArchiveAnswer } from '@coxswain/console';
import type { NodeParts } from '@coxswain/node';
import { Semaphore } from '@coxswain/runtime';
import { consoleErrors } from './console-errors.js';

/** Tables of which the archive is read at a time: each lists all of its objects. */
const READS_MAX = 1;
const READ_MS = 30_000;

/** Says what can be restored of a table, by the objects that its archive has now. */
export class ArchiveOverviews {
  readonly #node: Pick<NodeParts, 'cluster'>;
  readonly #store: ObjectStore | undefined;
  readonly #turns = new Semaphore(READS_MAX);

  /** `store` is undefined where no archive is configured. */
  constructor(node: Pick<NodeParts, 'cluster'>, store: ObjectStore | undefined) {
    this.#node = node;
    this.#store = store;
  }

  /** Errors: noArchive, archiveUnread. */
  async describe(table: string, signal: AbortSignal): Promise<ArchiveAnswer> {
    const store = this.#store;
    if (store === undefined) throw consoleErrors.noArchive();
    const call = { signal, timeoutMs: READ_MS };
    return await this.#turns.take(async () => {
      try {
        const shards = await findShards(store, { clusterId: this.#node.cluster.id, table }, call);
        const described: ArchiveAnswer['shards'][number][] = [];
        for (const shard of shards) {
          const overview = await describeShard(store, shard, call);
          const { baseCount, logCount, sizeBytes, restorable, gaps, firstTimeMs, lastTimeMs } = overview;
          described.push({
            shardId: shard.shardId,
            clusterId: shard.clusterId,
            baseCount,
            logCount,
            sizeBytes,
            restorable: restorable.map(({ first, last }) => ({ first, last })),
            firstTimeMs: firstTimeMs ?? null,
            lastTimeMs: lastTimeMs ?? null,
            gaps: gaps.map(({ first, last }) => ({ first, last })),
          });
        }
        return { shards: described };
      } catch (error) {
        if (error instanceof ArchiveError) throw consoleErrors.archiveUnread(error.message);
        throw error;
      }
    });
  }
}
