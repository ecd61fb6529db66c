import { LATEST_END, latestKey } from './layout.js';
import type { OverlayEntry } from './overlay.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { OrderedStore, StoreScan, StoreSnapshot } from './store.js';

/** Keys in byte order from `first` on; undefined `end`: no upper bound. */
export interface KeyBounds {
  readonly first: Buffer;
  readonly end: Buffer | undefined;
}

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

const NO_UPPER_BOUND = Buffer.from([0]);

/** What `range_end` means (regatta-protocol.md section 2); undefined: it is absent, and one key is meant. */
export function boundsOf(key: Buffer, rangeEnd: Buffer | undefined): KeyBounds | undefined {
  if (rangeEnd === undefined || rangeEnd.length === 0) return undefined;
  return { first: key, end: rangeEnd.equals(NO_UPPER_BOUND) ? undefined : rangeEnd };
}

/** The whole table. */
export const ALL_KEYS: KeyBounds = { first: Buffer.alloc(0), end: undefined };

/** True when the range holds every key but, maybe, the empty one, which no request can write. */
export function isWholeTable({ first, end }: KeyBounds): boolean {
  return end === undefined && (first.length === 0 || first.equals(NO_UPPER_BOUND));
}

/** True when the range holds no key whatever the table holds. LevelDB takes no inverted bounds. */
function isEmpty(bounds: KeyBounds): boolean {
  return bounds.end !== undefined && Buffer.compare(bounds.end, bounds.first) <= 0;
}

const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** Of a range without keys. */
export const EMPTY_SCAN: RecordScan = {
  next: () => Promise.resolve([]),
  close: () => Promise.resolve(),
};

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

/** The latest records in the store, or in a snapshot of it. */
export function scanLatest(
  store: OrderedStore,
  snapshot: StoreSnapshot | undefined,
  bounds: KeyBounds,
  options: { limit?: number; keysOnly?: boolean },
): RecordScan {
  if (isEmpty(bounds)) return EMPTY_SCAN;
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
