import type { Call } from '../api/call.js';
import type { MetaGroup } from './meta-group.js';

/** Knows up to which index the archive has the logs of shards, as every member knows it. */
export class ArchivedIndices {
  readonly #meta: MetaGroup;

  constructor(meta: MetaGroup) {
    this.#meta = meta;
  }

  /** Gives the index up to which the archive has the shard's log; 0 when it has nothing. */
  of(shardId: number): number {
    return this.#meta.registry.archivedIndex(shardId);
  }

  /**
   * Makes known to every member up to which index the archive has these shards' logs, by shard id. Leaves out the
   * indices that they know already.
   */
  async report(indices: ReadonlyMap<number, number>, { deadlineMs }: Call): Promise<void> {
    for (;;) {
      const command = this.#meta.commands.writeArchived(indices);
      if (command === undefined) return;
      await this.#meta.propose(command, deadlineMs);
    }
  }
}
