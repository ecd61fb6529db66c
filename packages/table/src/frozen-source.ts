import type { KeyBounds } from './key-bounds.js';
import type { FrozenOverlay } from './overlay.js';
import type { RangeDeletion } from './range-deletion.js';
import {
  countLive,
  type RecordScan,
  type RecordScanOptions,
  type RecordSource,
  scanLive,
} from './record-source.js';
import type { SharedSnapshot } from './shared-snapshot.js';
import type { StoreReader } from './store.js';

/** The parts of a table in the middle of an entry that a FrozenSource reads. */
export interface FrozenTable {
  readonly store: StoreReader;
  readonly snapshot: SharedSnapshot;
  readonly overlay: FrozenOverlay;
  readonly deletions: readonly RangeDeletion[];
  readonly swept: readonly RangeDeletion[];
  /** The number of live keys; undefined when it is not known without counting them. */
  readonly keyCount: number | undefined;
}

/**
 * The table in the middle of an entry (A2), for reads that continue while later entries are applied. Must be closed.
 */
export class FrozenSource implements RecordSource {
  readonly #table: FrozenTable;

  constructor(table: FrozenTable) {
    this.#table = table;
    table.snapshot.hold(this);
  }

  /** Always throws: only ranges are read from this source, since a point is read at once. */
  get(): never {
    throw new Error('a point is not read later');
  }

  scan(bounds: KeyBounds, options: RecordScanOptions): RecordScan {
    return scanLive({ ...this.#table, snapshot: this.#table.snapshot.native }, bounds, options);
  }

  count(bounds: KeyBounds, isAwaited: () => boolean | Promise<boolean>): Promise<number> {
    return countLive({ ...this.#table, snapshot: this.#table.snapshot.native }, bounds, isAwaited);
  }

  /** Releases the snapshot. Closing twice is harmless. */
  close(): void {
    this.#table.snapshot.release(this);
  }
}
