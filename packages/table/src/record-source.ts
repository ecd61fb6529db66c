import { AnswerAbandonedError } from './errors.js';
import { isEmptyRange, isWholeTable, type KeyBounds } from './key-bounds.js';
import { keyInLatestKey, LATEST_END, latestKey } from './layout.js';
import type { FrozenOverlay, OverlayEntry } from './overlay.js';
import {
  deletionOf,
  deletionsWithin,
  partsOf,
  type RangeDeletion,
  type RangePart,
} from './range-deletion.js';
import type { RevisionBounds } from './revision-bounds.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { StoreReader, StoreScan, StoreSnapshot } from './store.js';
import { idsFrom, type KeyTree } from './written-keys.js';

/** A key's latest store key (see layout.ts) and its record. */
export type StoredPair = [storeKey: Buffer, record: Buffer];

/** Gives records in key order. Must be closed. */
export interface RecordScan {
  /** Returns the next pairs, at least one unless the range has ended. There may be more or fewer than `maxEntries`. */
  next(maxEntries: number): Promise<StoredPair[]>;
  close(): Promise<void>;
}

/** The parts of a range that a scan may leave out, since its reader does not need them. */
export interface RecordScanOptions {
  /** The most pairs that will be asked for. It cannot be combined with `revisions`. */
  readonly limit?: number;
  /** True when the reader needs keys only, so that records may come empty. */
  readonly keysOnly?: boolean;
  /** The revisions of the records that the reader needs; others may be left out. */
  readonly revisions?: RevisionBounds;
}

/** The live keys of a table as some reader sees them. */
export interface RecordReader {
  /** Returns the stored record of a live key. Returns a promise when the past is read or the store is at rest. */
  get(key: Buffer): Buffer | undefined | Promise<Buffer | undefined>;
  scan(bounds: KeyBounds, options: RecordScanOptions): RecordScan;
}

/** A reader of live keys that can also count them. */
export interface RecordSource extends RecordReader {
  /**
   * Counts the live keys of a range. Rejects with AnswerAbandonedError as soon as `isAwaited` returns false, which is
   * called every few thousand keys at the latest.
   */
  count(bounds: KeyBounds, isAwaited: () => boolean | Promise<boolean>): Promise<number>;
}

const BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** The most keys that one trip to the store looks up. */
const LOOKUP_KEYS_MAX = 500;
/** The number of records that are counted between two turns of the event loop, when each must be read. */
const COUNT_PAGE_ENTRIES = 400;

/** The scan of a range without keys. */
export const EMPTY_SCAN: RecordScan = {
  next: () => Promise.resolve([]),
  close: () => Promise.resolve(),
};

/**
 * The store that a scan of latest records reads, and the effects and deletions that stand between the store and its
 * reader.
 */
export interface LatestSource {
  readonly store: StoreReader;
  /** The snapshot to read; absent for the store as it is when the scan begins. */
  readonly snapshot?: StoreSnapshot | undefined;
  /** The effects that the store may not have yet (A2). */
  readonly overlay?: FrozenOverlay;
  /** The range deletions whose records the store still has. */
  readonly deletions: readonly RangeDeletion[];
  /** The range deletions whose keys have been removed; see `TableState.swept`. */
  readonly swept: readonly RangeDeletion[];
}

/** Scans the live records of a range. */
export function scanLive(source: LatestSource, bounds: KeyBounds, options: RecordScanOptions): RecordScan {
  if (source.deletions.length === 0 && source.swept.length === 0)
    return scanPart(source, { ...bounds, keys: undefined }, options);
  const parts = partsOf(bounds, [...source.swept, ...source.deletions]);
  if (parts.length === 1) return scanPart(source, parts[0]!, options);
  return new ChainedScan(parts.map((part) => () => scanPart(source, part, options)));
}

function scanPart(
  { store, snapshot, overlay, deletions }: LatestSource,
  part: RangePart,
  options: RecordScanOptions,
): RecordScan {
  const unwritten = overlay?.range(keyId(part.first), part.end && keyId(part.end)) ?? [];
  const deleting = deletionsWithin(deletions, part);
  // Records that the reader will not see are read all the same, so `limit` cannot be passed on; nor can `keysOnly`
  // where keys were deleted, since only the record itself shows whether it was.
  const { keysOnly = false, revisions } = options;
  const seesAll = unwritten.length === 0 && deleting.length === 0;
  const base =
    part.keys === undefined
      ? scanLatest(
          store,
          snapshot,
          part,
          seesAll
            ? options
            : { keysOnly: keysOnly && deleting.length === 0, ...(revisions !== undefined && { revisions }) },
        )
      : new KeysScan({ store, snapshot }, part, part.keys, unwritten);
  const stored = unwritten.length === 0 ? base : new OverlaidScan(base, unwritten);
  return onlyLive(stored, deleting);
}

/**
 * Gives those of some keys that the store has, without reading the records between them. Keys in the overlay are not
 * looked up in the store.
 */
class KeysScan implements RecordScan {
  readonly #source: Pick<LatestSource, 'store' | 'snapshot'>;
  readonly #keys: KeyTree;
  readonly #end: string | undefined;
  readonly #overlay: readonly OverlayEntry[];
  #overlayAt = 0;
  /** The key at which the next lookup begins. */
  #from: string;

  constructor(
    source: Pick<LatestSource, 'store' | 'snapshot'>,
    { first, end }: KeyBounds,
    keys: KeyTree,
    overlay: readonly OverlayEntry[],
  ) {
    this.#source = source;
    this.#keys = keys;
    this.#from = keyId(first);
    this.#end = end && keyId(end);
    this.#overlay = overlay;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    // If the first page holds nothing because its keys were deleted again, there may be many more like it, so the next
    // pages are large.
    for (let size = Math.min(maxEntries, LOOKUP_KEYS_MAX); ; size = LOOKUP_KEYS_MAX) {
      const ids = idsFrom(this.#keys, this.#from, this.#end, size);
      if (ids.length === 0) return [];
      this.#from = `${ids.at(-1)}\0`;
      const storeKeys = ids.filter((id) => !this.#isUnwritten(id)).map((id) => latestKey(keyOfId(id)));
      const pairs = await this.#read(storeKeys);
      if (pairs.length > 0) return pairs;
    }
  }

  async #read(storeKeys: Buffer[]): Promise<StoredPair[]> {
    if (storeKeys.length === 0) return [];
    const { store, snapshot } = this.#source;
    const records = await store.getMany(storeKeys, snapshot);
    const pairs: StoredPair[] = [];
    for (const [at, record] of records.entries())
      if (record !== undefined) pairs.push([storeKeys[at]!, record]);
    return pairs;
  }

  #isUnwritten(id: string): boolean {
    const overlay = this.#overlay;
    while (this.#overlayAt < overlay.length && overlay[this.#overlayAt]!.id < id) this.#overlayAt += 1;
    return overlay[this.#overlayAt]?.id === id;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The source of a count. */
export interface CountedSource extends LatestSource {
  readonly snapshot: StoreSnapshot;
  /** The number of live keys of the table; undefined when it is not known without counting them. */
  readonly keyCount: number | undefined;
}

/** Counts the live records of a range; see `RecordSource.count`. */
export async function countLive(
  source: CountedSource,
  bounds: KeyBounds,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<number> {
  if (source.keyCount !== undefined && isWholeTable(bounds)) return source.keyCount;
  let count = 0;
  for (const part of partsOf(bounds, [...source.swept, ...source.deletions])) {
    // Only the records themselves show whether a deletion has deleted them.
    const needsRecords = part.keys !== undefined || deletionsWithin(source.deletions, part).length > 0;
    count += await (needsRecords
      ? countScan(scanPart(source, part, { keysOnly: true }), isAwaited)
      : countStored(source, part, isAwaited));
  }
  return count;
}

/**
 * Counts the records that a scan gives, and closes the scan. Rejects with AnswerAbandonedError as soon as `isAwaited`
 * returns false.
 */
export async function countScan(
  scan: RecordScan,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<number> {
  try {
    for (let count = 0; ; ) {
      if (!(await isAwaited())) throw new AnswerAbandonedError();
      const { length } = await scan.next(COUNT_PAGE_ENTRIES);
      if (length === 0) return count;
      count += length;
    }
  } finally {
    await scan.close();
  }
}

/** Counts the records in the store, which makes no object for any key, and corrects the count by the overlay (A2). */
async function countStored(
  { store, snapshot, overlay }: CountedSource,
  { first, end }: KeyBounds,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<number> {
  let count = 0;
  for await (const part of store.count({ ...latestRange({ first, end }), snapshot })) {
    if (!(await isAwaited())) throw new AnswerAbandonedError();
    count += part;
  }
  const unwritten = overlay?.range(keyId(first), end && keyId(end)) ?? [];
  for (let at = 0; at < unwritten.length; at += LOOKUP_KEYS_MAX) {
    const entries = unwritten.slice(at, at + LOOKUP_KEYS_MAX);
    const stored = await store.getMany(
      entries.map(({ id }) => latestKey(keyOfId(id))),
      snapshot,
    );
    for (const [place, { record }] of entries.entries())
      count += (record === undefined ? 0 : 1) - (stored[place] === undefined ? 0 : 1);
  }
  return count;
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

/**
 * Scans the latest records in the store, or in a snapshot of it, including those that a range deletion has yet to
 * remove.
 */
export function scanLatest(
  store: StoreReader,
  snapshot: StoreSnapshot | undefined,
  bounds: KeyBounds,
  options: RecordScanOptions,
): RecordScan {
  if (isEmptyRange(bounds)) return EMPTY_SCAN;
  return new LatestScan(
    store.scan({
      ...latestRange(bounds),
      ...(snapshot !== undefined && { snapshot }),
      ...options,
    }),
  );
}

/** Returns the range of latest store keys for a range of keys. */
export function latestRange({ first, end }: KeyBounds): { gte: Buffer; lt: Buffer } {
  return { gte: latestKey(first), lt: end === undefined ? LATEST_END : latestKey(end) };
}

/**
 * A scan of the store with unwritten effects laid over it (A2). The store may take in some of these writes during the
 * scan. That makes no difference, since an overlay entry takes precedence over the store.
 */
class OverlaidScan implements RecordScan {
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

/** A scan that passes over the pairs for which `holds` returns false. */
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

/** Passes over the records that a range deletion has deleted but not removed yet. */
function onlyLive(stored: RecordScan, deletions: readonly RangeDeletion[]): RecordScan {
  if (deletions.length === 0) return stored;
  return new FilteredScan(
    stored,
    ([storeKey, record]) => deletionOf(deletions, keyInLatestKey(storeKey), record) === undefined,
  );
}

/** Gives the pairs of one scan after the other. Each is begun when the one before it has ended. */
class ChainedScan implements RecordScan {
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
