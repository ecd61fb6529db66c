import { ArchiveError } from './errors.js';
import { type ObjectStore, readWhole, type StoreCall } from './store.js';

const RECORD_BYTES_MAX = 8 * 1024 * 1024;
const RECORD_FORMAT = 1;

/**
 * Records up to which entry the backups of the archive's log (FlushAndBackupBinlog) hold each shard. It is kept beside
 * the archive, as `<cluster id>/binlog-backup.json`: the node that makes the next backup continues from there, and
 * pruning learns what no backup holds yet.
 */
export class BackupRecord {
  readonly #store: ObjectStore;
  readonly #name: string;

  constructor(store: ObjectStore, clusterId: string) {
    this.#store = store;
    this.#name = `${clusterId}/binlog-backup.json`;
  }

  /**
   * Reads, by shard id, the last entry that a backup holds. Resolves with undefined when no backup was made or the
   * record is damaged; then everything is backed up again. Rejects with the store's errors.
   */
  async read(call: StoreCall): Promise<ReadonlyMap<number, number> | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readWhole(this.#store, this.#name, RECORD_BYTES_MAX, call);
    } catch (error) {
      if (error instanceof ArchiveError && error.code === 'objectMissing') return undefined;
      throw error;
    }
    try {
      const { format, shards } = JSON.parse(bytes.toString()) as { format?: unknown; shards?: unknown };
      if (format !== RECORD_FORMAT || !Array.isArray(shards)) return undefined;
      return new Map(
        (shards as unknown[]).filter(
          (shard): shard is [number, number] => Array.isArray(shard) && shard.every(Number.isSafeInteger),
        ),
      );
    } catch {
      return undefined;
    }
  }

  /**
   * Replaces the record. `upTo` has, by shard id, the last entry that a backup holds. Rejects with the store's errors.
   */
  async write(backupId: string, upTo: ReadonlyMap<number, number>, call: StoreCall): Promise<void> {
    const record = { format: RECORD_FORMAT, backupId, shards: [...upTo].sort(([a], [b]) => a - b) };
    await this.#store.put(this.#name, Buffer.from(`${JSON.stringify(record)}\n`), call);
  }
}
