import { encodePair, recordOfPair, writePair } from './encoded-pair.js';
import { PagedPairs, type PagePart } from './encoded-pairs.js';
import { keyInLatestKey, LATEST, LATEST_END, latestKey } from './layout.js';
import type { PageBudget } from './page-budget.js';
import { elementSizeBytes, keyValueSizeBytes } from './pair-size.js';
import { type PagePairs, RecordPage } from './record-page.js';
import { keyId, keyOfId, newSortedTree } from './sorted-tree.js';
import type { Operation, StoreReader } from './store.js';

/** The least number of pairs with which a page is filled, if there are as many. It is split above twice that number. */
const PAGE_PAIRS = 64;
/**
 * A page ends with the pair that makes it larger than this many bytes, so that pages of large values have few pairs.
 */
const PAGE_BYTES_MAX = 128 * 1024;

type Pair = readonly [storeKey: Buffer, record: Buffer];

/** An interval of keys, as Latin-1 strings. Undefined `end` means all keys from the first on. */
export interface Interval {
  readonly first: string;
  readonly end: string | undefined;
}

/** A part of a range that no page covers. */
export class Gap implements Interval {
  constructor(
    readonly first: string,
    readonly end: string | undefined,
  ) {}
}

/** A read of an interval from the store, and the writes to the interval meanwhile. */
interface Fill extends Interval {
  readonly writes: Map<string, Buffer | undefined>;
  readonly done: Promise<void>;
}

/**
 * The latest records of parts of a table, as the last written batch left them. Each page knows all keys of an interval.
 * Every write goes to the pages as well, so they are never out of date; keys that they lack are read from the store
 * when `fill` is called.
 */
export class PageCache {
  readonly #store: StoreReader;
  readonly #budget: PageBudget;
  readonly #pages = newSortedTree<RecordPage>();
  readonly #fills = new Set<Fill>();
  readonly #pagePairs: number;

  constructor(store: StoreReader, budget: PageBudget, pagePairs = PAGE_PAIRS) {
    this.#store = store;
    this.#budget = budget;
    this.#pagePairs = pagePairs;
  }

  /** Takes in the writes of a batch that the store now has. */
  written(operations: Iterable<Operation>): void {
    if (this.#pages.size === 0 && this.#fills.size === 0) return;
    for (const { storeKey, record } of operations) if (storeKey[0] === LATEST) this.#write(storeKey, record);
  }

  #write(storeKey: Buffer, record: Buffer | undefined): void {
    const id = keyId(storeKey, 1);
    for (const fill of this.#fills) if (contains(fill, id)) fill.writes.set(id, record);
    const page = this.#pageAt(id);
    if (page === undefined) return;
    page.write(id, record && encodePair(keyInLatestKey(storeKey), record));
    this.#keepSmall(page);
  }

  /** Returns the latest record of a key; null when there is none, undefined when no page covers the key. */
  record(id: string): Buffer | null | undefined {
    const page = this.#pageAt(id);
    if (page === undefined) return undefined;
    const pair = page.find(id);
    return pair === undefined ? null : recordOfPair(pair);
  }

  /**
   * Returns the first pairs of an interval, at most `limit`, or the first part of it that no page covers. Returns
   * undefined when the pairs take more than `bytesMax`. `revision` is that of the table.
   */
  range(
    { first, end }: Interval,
    limit: number,
    bytesMax: number,
    revision: number,
  ): PagedPairs | Gap | undefined {
    const parts: PagePart[] = [];
    let count = 0;
    let sizeBytes = 0;
    let more = false;
    for (let at: string | undefined = first; at !== undefined && (end === undefined || at < end); ) {
      const page = this.#pageAt(at);
      if (page === undefined) return this.#gapAt(at, end);
      this.#budget.touch(page);
      const from = page.placeOf(at);
      const last =
        end === undefined || (page.end !== undefined && page.end <= end) ? page.size : page.placeOf(end);
      const to = Math.min(last, from + limit - count);
      more = to < last;
      if (to > from) {
        count += to - from;
        sizeBytes += page.bytesBetween(from, to);
        if (sizeBytes > bytesMax) return undefined;
        parts.push({ page, from, to });
      }
      if (more) break;
      at = page.end;
    }
    return new PagedPairs(revision, count, more, sizeBytes, parts);
  }

  /**
   * Reads the beginning of a gap into a page: about `wanted` pairs, but at least those of a usual page and at most
   * twice as many. Rejects with the store's errors.
   */
  fill({ first, end }: Interval, wanted: number): Promise<void> {
    for (const fill of this.#fills) if (fill.first === first) return fill.done;
    const writes = new Map<string, Buffer | undefined>();
    const limit = Math.max(this.#pagePairs, Math.min(wanted, 2 * this.#pagePairs));
    // The scan sees the store as it is now, since it begins before anything else is written.
    const scan = this.#store.scan({
      gte: latestKey(keyOfId(first)),
      lt: end === undefined ? LATEST_END : latestKey(keyOfId(end)),
      limit,
    });
    const read = async (): Promise<void> => {
      const pairs: Pair[] = [];
      let bytes = 0;
      let isWhole = false;
      try {
        while (pairs.length < limit && bytes <= PAGE_BYTES_MAX) {
          const page = await scan.next(limit, PAGE_BYTES_MAX);
          isWhole = page.length === 0;
          if (isWhole) break;
          for (const pair of page) {
            pairs.push(pair);
            bytes += pair[0].length + pair[1].length;
            if (bytes > PAGE_BYTES_MAX) break;
          }
        }
        const covered = isWhole ? end : `${keyId(pairs.at(-1)![0], 1)}\0`;
        // All in one turn: writes from now on go to the page itself.
        this.#add({ first, end: covered }, pairs, writes);
      } finally {
        this.#fills.delete(fill);
        await scan.close();
      }
    };
    const fill: Fill = { first, end, writes, done: read() };
    this.#fills.add(fill);
    return fill.done;
  }

  /** Drops all pages. */
  clear(): void {
    for (const page of this.#pages.values()) this.#budget.remove(page);
    this.#pages.clear();
  }

  #add(interval: Interval, pairs: readonly Pair[], writes: ReadonlyMap<string, Buffer | undefined>): void {
    // Another fill may have read a part of it meanwhile.
    if (this.#pageAt(interval.first) !== undefined) return;
    const next = this.#pages.nextHigherKey(interval.first);
    const end =
      next !== undefined && (interval.end === undefined || next < interval.end) ? next : interval.end;
    const page = new RecordPage({ first: interval.first, end }, encodePairs(pairs, end), this.#evict);
    for (const [id, record] of writes) {
      if (page.covers(id)) page.write(id, record && encodePair(keyOfId(id), record));
    }
    this.#pages.set(page.first, page);
    this.#keepSmall(page);
  }

  #keepSmall(page: RecordPage): void {
    if (page.size > 2 * this.#pagePairs || (page.size > 1 && page.sizeBytes > 2 * PAGE_BYTES_MAX)) {
      const upper = page.split();
      this.#pages.set(upper.first, upper);
      this.#budget.account(upper);
    }
    // The page may have been evicted at once.
    if (this.#pages.get(page.first) === page) this.#budget.account(page);
  }

  readonly #evict = (page: RecordPage): void => {
    this.#pages.delete(page.first);
  };

  #pageAt(id: string): RecordPage | undefined {
    const page = this.#pages.getPairOrNextLower(id)?.[1];
    return page?.covers(id) === true ? page : undefined;
  }

  #gapAt(first: string, end: string | undefined): Gap {
    const next = this.#pages.nextHigherKey(first);
    return new Gap(first, next !== undefined && (end === undefined || next < end) ? next : end);
  }
}

/** Encodes the pairs before `end` in the form of answers. */
function encodePairs(pairs: readonly Pair[], end: string | undefined): PagePairs {
  const ids: string[] = [];
  const sizes: number[] = [];
  let sizeBytes = 0;
  for (const [storeKey, record] of pairs) {
    const id = keyId(storeKey, 1);
    if (end !== undefined && id >= end) break;
    const pairBytes = keyValueSizeBytes(storeKey.length - 1, record, false);
    ids.push(id);
    sizes.push(pairBytes);
    sizeBytes += elementSizeBytes(pairBytes);
  }
  // The bytes get memory of their own, since a part of a pool would keep the rest of the pool alive.
  const joined = Buffer.allocUnsafeSlow(sizeBytes);
  const offsets: number[] = [];
  let at = 0;
  for (const [place, pairBytes] of sizes.entries()) {
    const [storeKey, record] = pairs[place]!;
    offsets.push(at);
    at = writePair(joined, at, storeKey, record, pairBytes, 1);
  }
  offsets.push(at);
  return { ids, joined, offsets };
}

function contains({ first, end }: Interval, id: string): boolean {
  return id >= first && (end === undefined || id < end);
}
