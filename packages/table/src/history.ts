import type { BufferedStore } from './buffered-store.js';
import { AnswerAbandonedError } from './errors.js';
import { readHistoryBlock } from './history-block.js';
import { isEmptyRange, type KeyBounds } from './key-bounds.js';
import {
  HISTORY_BLOCK_END,
  type HistoryLane,
  historyBlockKey,
  historyBlocksFrom,
  historyBlocksOf,
  historyLaneEnd,
  historyLaneOf,
  keyInLatestKey,
  LATEST_END,
  latestKey,
  modRevisionOf,
} from './layout.js';
import type { Memtable } from './memtable.js';
import { deletionOf, deletionsWithin, type RangeDeletion } from './range-deletion.js';
import {
  countScan,
  EMPTY_SCAN,
  FilteredScan,
  latestRange,
  type RecordScan,
  type StoredPair,
  scanLive,
} from './record-source.js';
import { ANY_REVISION } from './revision-bounds.js';
import { keyId } from './sorted-tree.js';
import type { StoreScan, StoreSnapshot } from './store.js';

const BYTES_MAX = Number.MAX_SAFE_INTEGER;
const EMPTY = Buffer.alloc(0);
/** The number of keys in memory that are read between two turns of the event loop. */
const MEMORY_STEP_KEYS = 500;

/** The parts of a table from which earlier revisions are read. */
export interface PastSource {
  readonly store: BufferedStore;
  readonly snapshot: StoreSnapshot;
  /**
   * The range deletions that had happened at the revision that is read, and whose records the store still has as the
   * latest.
   */
  readonly deletions: readonly RangeDeletion[];
  /** The state's `swept` deletions that had happened at the revision that is read. */
  readonly swept: readonly RangeDeletion[];
}

/**
 * Reads a key's record as it was at a revision: the latest one when it is as old and was not deleted by then, else the
 * version that is as old and was superseded later, of which there is one at most.
 */
export async function getHistory(
  source: PastSource,
  key: Buffer,
  revision: number,
): Promise<Buffer | undefined> {
  const { store, snapshot, deletions } = source;
  const storeKey = latestKey(key);
  const latest = await store.get(storeKey, snapshot);
  if (latest !== undefined && modRevisionOf(latest) <= revision) {
    return deletionOf(deletions, key, latest) === undefined ? latest : undefined;
  }
  const { memtables, number } = store.seenBy(snapshot);
  const id = keyId(storeKey);
  for (const memtable of memtables) {
    const entry = memtable.entry(id);
    const version = entry && memtable.versionAt(entry, revision, number);
    if (version !== undefined) return version;
  }
  for await (const lane of lanesAfter(source, revision)) {
    for (const block of await blocksWith(source, lane, key, revision)) {
      for (const [blockKey, record, supersededAt] of readHistoryBlock(block)) {
        if (blockKey.equals(storeKey) && isCurrentAt(revision, record, supersededAt)) return record;
      }
    }
  }
  return undefined;
}

/** Scans all records of a range as they were at a revision, in key order. */
export function scanHistory(source: PastSource, bounds: KeyBounds, revision: number): RecordScan {
  if (isEmptyRange(bounds)) return EMPTY_SCAN;
  const latest = new FilteredScan(
    scanLive(source, bounds, { revisions: { ...ANY_REVISION, maxModRevision: revision } }),
    ([, record]) => modRevisionOf(record) <= revision,
  );
  return new HistoryScan(source, bounds, revision, [latest]);
}

/**
 * Counts the keys that a range had at a revision; see `RecordSource.count`. These are the keys whose latest records are
 * as old, and those of which the history has a version that was current.
 */
export async function countHistory(
  source: PastSource,
  bounds: KeyBounds,
  revision: number,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<number> {
  if (isEmptyRange(bounds)) return 0;
  // Only the records themselves show whether a deletion had deleted them. And as a bound, revision 0 would mean no
  // bound.
  if (deletionsWithin(source.deletions, bounds).length > 0 || revision === 0)
    return countScan(scanHistory(source, bounds, revision), isAwaited);
  let count = await countScan(new HistoryScan(source, bounds, revision, []), isAwaited);
  const range = { ...latestRange(bounds), snapshot: source.snapshot };
  const revisions = { ...ANY_REVISION, maxModRevision: revision };
  for await (const part of source.store.countRevisions(range, revisions)) {
    if (!(await isAwaited())) throw new AnswerAbandonedError();
    count += part;
  }
  return count;
}

const isCurrentAt = (revision: number, record: Buffer, supersededAt: number): boolean =>
  modRevisionOf(record) <= revision && revision < supersededAt;

async function firstOf(scan: StoreScan): Promise<[key: Buffer, value: Buffer] | undefined> {
  try {
    return (await scan.next(1, BYTES_MAX))[0];
  } finally {
    await scan.close();
  }
}

/** Yields the lanes that hold versions which were superseded after a revision. Each costs one seek. */
async function* lanesAfter(
  { store, snapshot }: PastSource,
  revision: number,
): AsyncGenerator<HistoryLane, void, undefined> {
  let from = historyBlocksFrom(revision + 1);
  for (;;) {
    const first = await firstOf(
      store.scan({ gte: from, lt: HISTORY_BLOCK_END, snapshot, keysOnly: true, limit: 1 }),
    );
    if (first === undefined) return;
    const lane = historyLaneOf(first[0]);
    yield lane;
    from = historyLaneEnd(lane);
  }
}

/**
 * Returns the only blocks of the lane that can hold the version of the key that was superseded first after the
 * revision: the last block that begins before it, and the one that begins with it.
 */
async function blocksWith(
  { store, snapshot }: PastSource,
  lane: HistoryLane,
  key: Buffer,
  revision: number,
): Promise<Buffer[]> {
  const place = historyBlockKey(lane, key, revision + 1);
  const before = await lastBefore(store, snapshot, lane, place);
  const next = await firstOf(store.scan({ gte: place, lt: historyLaneEnd(lane), snapshot, limit: 1 }));
  return [before?.[1], next?.[1]].filter((block) => block !== undefined);
}

function lastBefore(
  store: BufferedStore,
  snapshot: StoreSnapshot,
  lane: HistoryLane,
  place: Buffer,
): Promise<[key: Buffer, value: Buffer] | undefined> {
  return firstOf(
    store.scan({ gte: historyBlocksOf(lane, EMPTY), lt: place, snapshot, reverse: true, limit: 1 }),
  );
}

/** Scans the versions of one memtable that are in a range and were current at a revision. */
class MemtableScan implements RecordScan {
  readonly #source: PastSource;
  readonly #memtable: Memtable;
  readonly #number: number;
  readonly #revision: number;
  readonly #end: string;
  #from: string;

  constructor(source: PastSource, memtable: Memtable, number: number, bounds: KeyBounds, revision: number) {
    this.#source = source;
    this.#memtable = memtable;
    this.#number = number;
    this.#revision = revision;
    this.#from = keyId(latestKey(bounds.first));
    this.#end = keyId(bounds.end === undefined ? LATEST_END : latestKey(bounds.end));
  }

  async next(): Promise<StoredPair[]> {
    for (;;) {
      const entries = this.#memtable.range(this.#from, this.#end, MEMORY_STEP_KEYS);
      const last = entries.at(-1);
      if (last === undefined) return [];
      this.#from = `${last.id}\0`;
      const pairs: StoredPair[] = [];
      for (const entry of entries) {
        const version = this.#memtable.versionAt(entry, this.#revision, this.#number);
        if (version !== undefined) pairs.push([entry.storeKey, version]);
      }
      if (pairs.length > 0) return pairs;
      await this.#source.store.turn();
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Scans the versions of one lane that are in a range and were current at a revision. */
class LaneScan implements RecordScan {
  readonly #source: PastSource;
  readonly #lane: HistoryLane;
  readonly #first: Buffer;
  readonly #end: Buffer | undefined;
  readonly #revision: number;
  #scan: StoreScan | undefined;

  constructor(source: PastSource, lane: HistoryLane, bounds: KeyBounds, revision: number) {
    this.#source = source;
    this.#lane = lane;
    this.#first = latestKey(bounds.first);
    this.#end = bounds.end && latestKey(bounds.end);
    this.#revision = revision;
  }

  async next(): Promise<StoredPair[]> {
    const blocks: Buffer[] = [];
    if (this.#scan === undefined) {
      const { store, snapshot } = this.#source;
      const place = historyBlocksOf(this.#lane, keyInLatestKey(this.#first));
      // The range may begin within a block.
      const before = await lastBefore(store, snapshot, this.#lane, place);
      if (before !== undefined) blocks.push(before[1]);
      const end =
        this.#end === undefined
          ? historyLaneEnd(this.#lane)
          : historyBlocksOf(this.#lane, keyInLatestKey(this.#end));
      this.#scan = store.scan({ gte: place, lt: end, snapshot });
    }
    for (;;) {
      const found = await this.#scan.next(1, BYTES_MAX);
      blocks.push(...found.map(([, block]) => block));
      if (blocks.length === 0) return [];
      const pairs = blocks.flatMap((block) => this.#pairsOf(block));
      if (pairs.length > 0) return pairs;
      blocks.length = 0;
    }
  }

  close(): Promise<void> {
    return this.#scan?.close() ?? Promise.resolve();
  }

  #pairsOf(block: Buffer): StoredPair[] {
    const pairs: StoredPair[] = [];
    for (const [storeKey, record, supersededAt] of readHistoryBlock(block)) {
      if (this.#has(storeKey) && isCurrentAt(this.#revision, record, supersededAt))
        pairs.push([storeKey, record]);
    }
    return pairs;
  }

  #has(storeKey: Buffer): boolean {
    return (
      Buffer.compare(this.#first, storeKey) <= 0 &&
      (this.#end === undefined || Buffer.compare(storeKey, this.#end) < 0)
    );
  }
}

/**
 * Merges the records that were current at a revision from the latest ones, and from versions in memory and in blocks.
 */
class HistoryScan implements RecordScan {
  readonly #source: PastSource;
  readonly #bounds: KeyBounds;
  readonly #revision: number;
  readonly #parts: Peekable[];
  #hasLanes = false;

  /** `latest` scans the latest records that are as old, and is empty when these are not asked for. */
  constructor(source: PastSource, bounds: KeyBounds, revision: number, latest: readonly RecordScan[]) {
    const { memtables, number } = source.store.seenBy(source.snapshot);
    const recent = memtables.map((memtable) => new MemtableScan(source, memtable, number, bounds, revision));
    this.#source = source;
    this.#bounds = bounds;
    this.#revision = revision;
    this.#parts = [...latest, ...recent].map((scan) => new Peekable(scan));
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    if (!this.#hasLanes) {
      this.#hasLanes = true;
      for await (const lane of lanesAfter(this.#source, this.#revision))
        this.#parts.push(new Peekable(new LaneScan(this.#source, lane, this.#bounds, this.#revision)));
    }
    const pairs: StoredPair[] = [];
    while (pairs.length < maxEntries) {
      let first: Peekable | undefined;
      for (const part of this.#parts) {
        if (part.first === undefined && !part.hasEnded) await part.fill(maxEntries);
        if (part.first === undefined) continue;
        if (first === undefined || Buffer.compare(part.first[0], first.first![0]) < 0) first = part;
      }
      if (first === undefined) break;
      const pair = first.first!;
      pairs.push(pair);
      // Versions that a flush has written may still be in memory too.
      for (const part of this.#parts) if (part.first?.[0].equals(pair[0]) === true) part.skip();
    }
    return pairs;
  }

  async close(): Promise<void> {
    for (const { source } of this.#parts) await source.close();
  }
}

/** A scan whose next pair can be looked at before it is taken. */
class Peekable {
  readonly source: RecordScan;
  #pairs: StoredPair[] = [];
  #at = 0;
  hasEnded = false;

  constructor(source: RecordScan) {
    this.source = source;
  }

  /** The next pair; undefined when the scan has ended or `fill` must be called. */
  get first(): StoredPair | undefined {
    return this.#pairs[this.#at];
  }

  async fill(maxEntries: number): Promise<void> {
    this.#pairs = await this.source.next(maxEntries);
    this.#at = 0;
    this.hasEnded = this.#pairs.length === 0;
  }

  skip(): void {
    this.#at += 1;
  }
}
