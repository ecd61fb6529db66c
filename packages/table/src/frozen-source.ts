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

/** What a FrozenSource is made of. */
export interface FrozenTable {
  readonly store: StoreReader;
  readonly snapshot: SharedSnapshot;
  readonly overlay: FrozenOverlay;
  readonly deletions: readonly RangeDeletion[];
  readonly swept: readonly RangeDeletion[];
  /** Live keys; undefined where nobody has counted them. */
  readonly keyCount: number | undefined;
}

/** The table in the middle of an entry (A2), for reads that go on while later entries are applied. */
export class FrozenSource implements RecordSource {
  readonly #table: FrozenTable;

  constructor(table: FrozenTable) {
    this.#table = table;
    table.snapshot.hold(this);
  }

  /** Only ranges are read from it: a point is read at once. */
  get(): never {
    throw new Error('a point is not read later');
  }

  scan(bounds: KeyBounds, options: RecordScanOptions): RecordScan {
    return scanLive({ ...this.#table, snapshot: this.#table.snapshot.native }, bounds, options);
  }

  count(bounds: KeyBounds, isAwaited: () => boolean | Promise<boolean>): Promise<number> {
    return countLive({ ...this.#table, snapshot: this.#table.snapshot.native }, bounds, isAwaited);
  }

  /** Closing twice is harmless. */
  close(): void {
    this.#table.snapshot.release(this);
  }
}
