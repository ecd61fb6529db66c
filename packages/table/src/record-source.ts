import { isEmptyRange, type KeyBounds } from './key-bounds.js';
import { keyInLatestKey, LATEST_END, latestKey } from './layout.js';
import type { FrozenOverlay, OverlayEntry } from './overlay.js';
import { deletionOf, deletionsWithin, type RangeDeletion } from './range-deletion.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { OrderedStore, StoreScan, StoreSnapshot } from './store.js';

/** A key's latest store key (see layout.ts) and its record. */
export type StoredPair = [storeKey: Buffer, record: Buffer];

/** Reads records on in key order. Must be closed. */
export interface RecordScan {
  /** The next pairs, at least one unless the range ends. May give more or fewer than asked for. */
  next(maxEntries: number): Promise<StoredPair[]>;
  close(): Promise<void>;
}

/** The live keys of a table as some reader sees them. */
export interface RecordSource {
  /** Live keys, where that is known without a look at each; undefined: it is not. */
  readonly keyCount: number | undefined;
  /** A promise only where the past is read. */
  get(key: Buffer): Buffer | undefined | Promise<Buffer | undefined>;
  /** `limit`: the most pairs that will be asked for. `keysOnly`: records may come empty. */
  scan(bounds: KeyBounds, options: { limit?: number; keysOnly?: boolean }): RecordScan;
}

const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** Of a range without keys. */
export const EMPTY_SCAN: RecordScan = {
  next: () => Promise.resolve([]),
  close: () => Promise.resolve(),
};

/** What a scan of latest records reads, and what stands between the store and its reader. */
export interface LatestSource {
  readonly store: OrderedStore;
  /** Absent: the store as it is when the scan begins. */
  readonly snapshot?: StoreSnapshot | undefined;
  /** Effects that the store may not have yet (A2). */
  readonly overlay?: FrozenOverlay;
  /** What deleted records that the store still has. */
  readonly deletions: readonly RangeDeletion[];
}

/** The live records of a range. */
export function scanLive(
  { store, snapshot, overlay, deletions }: LatestSource,
  bounds: KeyBounds,
  options: { limit?: number; keysOnly?: boolean },
): RecordScan {
  const unwritten = overlay?.range(keyId(bounds.first), bounds.end && keyId(bounds.end)) ?? [];
  const deleting = deletionsWithin(deletions, bounds);
  // Records that a reader will not see are read all the same, so nobody knows how many make up `limit`; and only
  // the record says whether it was deleted.
  const { keysOnly = false } = options;
  const seesAll = unwritten.length === 0 && deleting.length === 0;
  const base = scanLatest(
    store,
    snapshot,
    bounds,
    seesAll ? options : { keysOnly: keysOnly && deleting.length === 0 },
  );
  const stored = unwritten.length === 0 ? base : new OverlaidScan(base, unwritten);
  return onlyLive(stored, deleting);
}

class LatestScan implements RecordScan {
  readonly #scan: StoreScan;

  constructor(scan: StoreScan) {
    this.#scan = scan;
  }

  next(maxEntries: number): Promise<StoredPair[]> {
    return this.#scan.next(maxEntries, BYTES_MAX);
  }

  close(): Promise<void> {
    return this.#scan.close();
  }
}

/** The latest records in the store, or in a snapshot of it: also those that a range deletion has yet to remove. */
export function scanLatest(
  store: OrderedStore,
  snapshot: StoreSnapshot | undefined,
  bounds: KeyBounds,
  options: { limit?: number; keysOnly?: boolean },
): RecordScan {
  if (isEmptyRange(bounds)) return EMPTY_SCAN;
  return new LatestScan(
    store.scan({
      gte: latestKey(bounds.first),
      lt: bounds.end === undefined ? LATEST_END : latestKey(bounds.end),
      ...(snapshot !== undefined && { snapshot }),
      ...options,
    }),
  );
}

/**
 * A scan of the store with unwritten effects laid over it (A2). The store may take some of these writes in
 * while the scan goes on: an overlay entry wins over whatever the store has, so that makes no difference.
 */
export class OverlaidScan implements RecordScan {
  readonly #base: RecordScan;
  readonly #overlay: readonly OverlayEntry[];
  #overlayAt = 0;
  #baseEnded = false;

  constructor(base: RecordScan, overlay: readonly OverlayEntry[]) {
    this.#base = base;
    this.#overlay = overlay;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    const pairs: StoredPair[] = [];
    while (pairs.length === 0 && !this.#baseEnded) {
      const page = await this.#base.next(maxEntries);
      for (const pair of page) {
        const id = keyId(pair[0], 1);
        this.#takeOverlayBefore(id, pairs);
        if (this.#overlay[this.#overlayAt]?.id === id) this.#takeOverlayEntry(pairs);
        else pairs.push(pair);
      }
      if (page.length === 0) {
        this.#baseEnded = true;
        this.#takeOverlayBefore(undefined, pairs);
      }
    }
    return pairs;
  }

  close(): Promise<void> {
    return this.#base.close();
  }

  #takeOverlayBefore(id: string | undefined, pairs: StoredPair[]): void {
    for (;;) {
      const entry = this.#overlay[this.#overlayAt];
      if (entry === undefined || (id !== undefined && entry.id >= id)) return;
      this.#takeOverlayEntry(pairs);
    }
  }

  #takeOverlayEntry(pairs: StoredPair[]): void {
    const entry = this.#overlay[this.#overlayAt++]!;
    if (entry.record !== undefined) pairs.push([latestKey(keyOfId(entry.id)), entry.record]);
  }
}

/** Passes over the pairs that do not hold. */
export class FilteredScan implements RecordScan {
  readonly #scan: RecordScan;
  readonly #holds: (pair: StoredPair) => boolean;

  constructor(scan: RecordScan, holds: (pair: StoredPair) => boolean) {
    this.#scan = scan;
    this.#holds = holds;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    for (;;) {
      const pairs = await this.#scan.next(maxEntries);
      const held = pairs.filter(this.#holds);
      if (held.length > 0 || pairs.length === 0) return held;
    }
  }

  close(): Promise<void> {
    return this.#scan.close();
  }
}

/** Passes over the records that a range deletion has deleted, and not removed yet. */
export function onlyLive(stored: RecordScan, deletions: readonly RangeDeletion[]): RecordScan {
  if (deletions.length === 0) return stored;
  return new FilteredScan(
    stored,
    ([storeKey, record]) => deletionOf(deletions, keyInLatestKey(storeKey), record) === undefined,
  );
}

/** One scan after the other. Each is begun when the one before it has ended. */
export class ChainedScan implements RecordScan {
  readonly #scans: (() => RecordScan)[];
  #scan: RecordScan = EMPTY_SCAN;

  constructor(scans: (() => RecordScan)[]) {
    this.#scans = scans;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    for (;;) {
      const pairs = await this.#scan.next(maxEntries);
      if (pairs.length > 0) return pairs;
      const following = this.#scans.shift();
      if (following === undefined) return pairs;
      await this.#scan.close();
      this.#scan = following();
    }
  }

  close(): Promise<void> {
    return this.#scan.close();
  }
}
