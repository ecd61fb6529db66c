import type { Call } from '../api/call.js';
import type { MetaGroup } from './meta-group.js';

/** How far the archive has the logs of shards, as every member knows it. */
export class ArchivedIndices {
  readonly #meta: MetaGroup;

  constructor(meta: MetaGroup) {
    this.#meta = meta;
  }

  /** Up to here the archive has the shard's log; 0: nothing. */
  of(shardId: number): number {
    return this.#meta.registry.archivedIndex(shardId);
  }

  /** Makes known how far the archive has these shards' logs, by shard id. Leaves out what every member knows already. */
  async report(indices: ReadonlyMap<number, number>, { deadlineMs }: Call): Promise<void> {
    for (;;) {
      const command = this.#meta.commands.writeArchived(indices);
      if (command === undefined) return;
      await this.#meta.propose(command, deadlineMs);
    }
  }
}
