import type { KeyBlocks } from './key-blocks.js';
import type { Memtable } from './memtable.js';
import type { StoreSnapshot } from './store.js';

/** The state that a reader sees: of each memtable the writes up to `number`, over a snapshot of the store below. */
export interface Seen {
  /** The memtables, newest first. */
  readonly memtables: readonly Memtable[];
  readonly number: number;
  readonly native: StoreSnapshot;
  /** The blocks of the store below, as the snapshot sees it. */
  readonly blocks: KeyBlocks;
}
