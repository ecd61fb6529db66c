import type { PageBudget } from './page-budget.js';
import type { StoreDirectory } from './store.js';
import type { WriteBudget } from './write-budget.js';

/** The options with which a table is opened. */
export interface TableOptions {
  readonly directory: StoreDirectory;
  /** The name of the table's store, made from its shard id (T5). */
  readonly name: string;
  /**
   * True makes the store when it is missing. Otherwise a missing or empty store is an error, since the wal knows that
   * there was one (T4).
   */
  readonly create: boolean;
  /** The index from which a new table starts: the base of its shard's log (T1), 0 for a name that was never used. */
  readonly initialIndex: number;
  /**
   * True for a replica of a leader cluster's table that has nothing of it yet. A new store then begins at the cursor
   * and revision 0, wherever its log begins.
   */
  readonly isReplicated?: boolean;
  /** The bytes of writes that the table may keep in memory. Half of it is flushed while the other half is filled. */
  readonly writeBufferSizeBytes: number;
  /**
   * The most bytes of one entry's effects in one store batch (A4). Default: a quarter of the write buffer, but at least
   * 64 KiB and at most 4 MiB.
   */
  readonly effectsSizeBytesMax?: number;
  /** The most store writes of one entry in one store batch (A4). Default 4000. */
  readonly effectsOperationsMax?: number;
  /**
   * The number of keys in each of the blocks that know how many keys they have; see `KeyBlocks`. Default 256, and more
   * in a large table.
   */
  readonly keyBlockKeys?: number | undefined;
  /**
   * The budget for the writes that all tables together keep in memory. When it is absent, only the table's own limit
   * holds.
   */
  readonly writeBudget?: WriteBudget;
  /** The budget for the pages from which ranges are answered. When it is absent, there are no pages. */
  readonly pageBudget?: PageBudget;
  /** The bytes of memory for the keys written within the bounds of a range deletion. Default 8 MiB. */
  readonly writtenKeysSizeBytesMax?: number;
}
