import { AnswerAbandonedError } from './errors.js';
import { boundsOf } from './key-bounds.js';
import { createRevisionOf, keyInLatestKey, latestKey, modRevisionOf, valueIn, versionOf } from './layout.js';
import { encodedPairSizeBytes } from './pair-size.js';
import { EMPTY_SCAN, type RecordScan, type RecordSource, type StoredPair } from './record-source.js';
import { hasRevisionBounds, isWithinRevisions } from './revision-bounds.js';
import type { KeyRecord, RangePage, RangeQuery } from './types.js';

/** The most pairs that are decoded between two turns of the event loop. */
const CHUNK_ENTRIES_MAX = 1000;
const CHUNK_ENTRIES_MIN = 64;
const USUAL_PAIR_BYTES = 256;
const EMPTY = Buffer.alloc(0);

/** Returns the record in the form that readers get. It shares the memory of key and record. */
export function toKeyRecord(key: Buffer, record: Buffer, keysOnly: boolean): KeyRecord {
  return {
    key,
    value: keysOnly ? EMPTY : valueIn(record),
    createRevision: createRevisionOf(record),
    modRevision: modRevisionOf(record),
    version: versionOf(record),
  };
}

/** A scan that gives at most one pair, of one key. */
class PointScan implements RecordScan {
  #pair: StoredPair | undefined;

  constructor(pair: StoredPair | undefined) {
    this.#pair = pair;
  }

  async next(): Promise<StoredPair[]> {
    if (this.#pair === undefined) return [];
    const pair = this.#pair;
    this.#pair = undefined;
    return [pair];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Reads a range page by page from one view. Must be closed. */
export class RangeReader {
  readonly #query: RangeQuery;
  readonly #scan: RecordScan;
  readonly #isAwaited: () => boolean | Promise<boolean>;
  readonly #hasFilters: boolean;
  /** The number of all keys in the range, when only a count is asked for. */
  readonly #count: number | undefined;
  /** The number of matching pairs that the limit still allows. */
  #left: number;
  #pairs: StoredPair[] = [];
  #at = 0;
  #sentBytes = 0;
  /** The number of pairs that are read at once, which is smaller for a small page. */
  readonly #chunkEntries: number;

  private constructor(
    query: RangeQuery,
    scan: RecordScan,
    isAwaited: () => boolean | Promise<boolean>,
    count?: number,
  ) {
    this.#query = query;
    this.#isAwaited = isAwaited;
    this.#count = count;
    this.#scan = scan;
    this.#hasFilters = hasRevisionBounds(query);
    const entries =
      query.countOnly || this.#hasFilters ? CHUNK_ENTRIES_MAX : query.maxBytes / USUAL_PAIR_BYTES;
    this.#chunkEntries = Math.max(CHUNK_ENTRIES_MIN, Math.min(Math.ceil(entries), CHUNK_ENTRIES_MAX));
    this.#left = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  }

  /**
   * Opens a reader. Its pages reject with AnswerAbandonedError as soon as `isAwaited` returns false. That is called
   * before each chunk, and may make the reader wait for its turn.
   */
  static async open(
    source: RecordSource,
    query: RangeQuery,
    isAwaited: () => boolean | Promise<boolean> = always,
  ): Promise<RangeReader> {
    const bounds = boundsOf(query.key, query.rangeEnd);
    if (bounds === undefined) {
      const found = source.get(query.key);
      const record = found instanceof Promise ? await found : found;
      return new RangeReader(
        query,
        new PointScan(record === undefined ? undefined : [latestKey(query.key), record]),
        isAwaited,
      );
    }
    const hasFilters = hasRevisionBounds(query);
    const keysOnly = query.countOnly && !hasFilters;
    if (keysOnly && query.limit === 0) {
      const count = await source.count(bounds, isAwaited);
      return new RangeReader(query, EMPTY_SCAN, isAwaited, count);
    }
    const scan = source.scan(bounds, {
      keysOnly,
      // One pair more than the limit shows whether there are more; with filters the number of pairs to be read is not
      // known.
      ...(query.limit > 0 && query.limit < CHUNK_ENTRIES_MAX && !hasFilters && { limit: query.limit + 1 }),
      ...(hasFilters && { revisions: query }),
    });
    return new RangeReader(query, scan, isAwaited);
  }

  /** The encoded size of the pairs in the pages so far, in bytes. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /**
   * Returns the next page, of at most `maxBytes` of encoded pairs. With `alwaysOne` it holds at least one pair when one
   * is left, however large, so that a reader with nothing else to send makes progress. Rejects with
   * AnswerAbandonedError.
   */
  async nextPage(maxBytes: number, alwaysOne: boolean): Promise<RangePage> {
    const { keysOnly, countOnly } = this.#query;
    const records: KeyRecord[] = [];
    let count = 0;
    let sizeBytes = 0;
    if (this.#count !== undefined) {
      return { records, count: this.#count, more: false, nextKey: undefined };
    }
    for (;;) {
      // Awaiting pairs in hand would cost a microtask for each.
      const found = this.#peek();
      const pair = found instanceof Promise ? await found : found;
      if (pair === undefined) return { records, count, more: false, nextKey: undefined };
      if (this.#left === 0) return { records, count, more: true, nextKey: undefined };
      const key = keyInLatestKey(pair[0]);
      if (!countOnly) {
        const pairSizeBytes = encodedPairSizeBytes(key.length, pair[1], keysOnly);
        if (sizeBytes + pairSizeBytes > maxBytes && !(alwaysOne && count === 0)) {
          return { records, count, more: true, nextKey: key };
        }
        sizeBytes += pairSizeBytes;
        this.#sentBytes += pairSizeBytes;
        records.push(toKeyRecord(key, pair[1], keysOnly));
      }
      count += 1;
      this.#left -= 1;
      this.#at += 1;
    }
  }

  close(): Promise<void> {
    return this.#scan.close();
  }

  /** Returns the next pair that matches, without taking it. */
  #peek(): StoredPair | undefined | Promise<StoredPair | undefined> {
    if (!this.#hasFilters && this.#at < this.#pairs.length) return this.#pairs[this.#at];
    return this.#find();
  }

  async #find(): Promise<StoredPair | undefined> {
    for (;;) {
      for (; this.#at < this.#pairs.length; this.#at++) {
        const pair = this.#pairs[this.#at]!;
        if (!this.#hasFilters || isWithinRevisions(this.#query, pair[1])) return pair;
      }
      if (!(await this.#isAwaited())) throw new AnswerAbandonedError();
      this.#pairs = await this.#scan.next(Math.min(this.#left + 1, this.#chunkEntries));
      this.#at = 0;
      if (this.#pairs.length === 0) return undefined;
    }
  }
}

const always = (): boolean => true;
