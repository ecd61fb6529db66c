import type { PageBudget } from './page-budget.js';
import type { StoreDirectory } from './store.js';
import type { WriteBudget } from './write-budget.js';

export interface TableOptions {
  readonly directory: StoreDirectory;
  /** The name of the table's store, made from its shard id (T5). */
  readonly name: string;
  /** Make the store when it is missing. Without, a missing or empty one is an error: the wal knows better (T4). */
  readonly create: boolean;
  /** What a new table starts from: the base of its shard's log (T1), 0 for a name that was never used. */
  readonly initialIndex: number;
  /**
   * The table is a replica of a leader cluster's, and has nothing of it yet: a new store begins at the cursor and
   * revision 0, whatever its log begins with.
   */
  readonly isReplicated?: boolean;
  /** Bytes of writes that the table may keep in memory: half of it is flushed while the other half is filled. */
  readonly writeBufferSizeBytes: number;
  /** Effects of one entry in one store batch, at most (A4). Default 4 MiB, or a quarter of the write buffer where that is between 64 KiB and 4 MiB. */
  readonly effectsSizeBytesMax?: number;
  /** Store writes of one entry in one store batch, at most (A4). Default 4000. */
  readonly effectsOperationsMax?: number;
  /** How many keys a block is made of that knows their number; see `KeyBlocks`. Default 256, and more in a large table. */
  readonly keyBlockKeys?: number | undefined;
  /** The writes that all tables together may keep in memory; absent: each keeps what it may by itself. */
  readonly writeBudget?: WriteBudget;
  /** Where the pages are kept that ranges are answered from; absent: there are none. */
  readonly pageBudget?: PageBudget;
  /** What the keys written in the bounds of a range deletion may take in memory, while its sweep goes on. */
  readonly writtenKeysSizeBytesMax?: number;
}
