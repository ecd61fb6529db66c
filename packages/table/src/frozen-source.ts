import type { FrozenOverlay } from './overlay.js';
import {
  type KeyBounds,
  OverlaidScan,
  type RecordScan,
  type RecordSource,
  scanLatest,
} from './record-source.js';
import type { SharedSnapshot } from './shared-snapshot.js';
import { keyId } from './sorted-tree.js';
import type { OrderedStore } from './store.js';

/** The table in the middle of an entry (A2), for reads that go on while later entries are applied. */
export class FrozenSource implements RecordSource {
  readonly keyCount: number;
  readonly #store: OrderedStore;
  readonly #snapshot: SharedSnapshot;
  readonly #overlay: FrozenOverlay;

  constructor(store: OrderedStore, snapshot: SharedSnapshot, overlay: FrozenOverlay, keyCount: number) {
    this.#store = store;
    this.#snapshot = snapshot;
    this.#overlay = overlay;
    this.keyCount = keyCount;
    snapshot.hold(this);
  }

  /** Only ranges are read from it: a point is read at once. */
  get(): never {
    throw new Error('a point is not read later');
  }

  scan(bounds: KeyBounds, options: { limit?: number; keysOnly?: boolean }): RecordScan {
    const unwritten = this.#overlay.range(keyId(bounds.first), bounds.end && keyId(bounds.end));
    if (unwritten.length === 0) return scanLatest(this.#store, this.#snapshot.native, bounds, options);
    // The overlay may hide pairs of the store, so nobody knows how many must be read to find `limit`.
    const { keysOnly = false } = options;
    return new OverlaidScan(scanLatest(this.#store, this.#snapshot.native, bounds, { keysOnly }), unwritten);
  }

  /** Closing twice is harmless. */
  close(): void {
    this.#snapshot.release(this);
  }
}
