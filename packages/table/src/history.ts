import { readHistoryBlock } from './history-block.js';
import { isEmptyRange, type KeyBounds } from './key-bounds.js';
import {
  HISTORY_BLOCK_END,
  HISTORY_END,
  type HistoryLane,
  historyBlockKey,
  historyBlocksFrom,
  historyKey,
  historyLaneEnd,
  historyLaneOf,
  historyLowerBound,
  keyInLatestKey,
  latestKey,
  modRevisionOf,
  parseHistoryKey,
} from './layout.js';
import { deletionOf, type RangeDeletion } from './range-deletion.js';
import { EMPTY_SCAN, FilteredScan, type RecordScan, type StoredPair, scanLive } from './record-source.js';
import type { OrderedStore, StoreScan, StoreSnapshot } from './store.js';

const BYTES_MAX = Number.MAX_SAFE_INTEGER;
const ZERO_BYTE = Buffer.from([0]);

/** What earlier revisions are read from. */
export interface PastSource {
  readonly store: OrderedStore;
  readonly snapshot: StoreSnapshot;
  /** What had deleted, at the revision that is read, records that the store still has as the latest. */
  readonly deletions: readonly RangeDeletion[];
  /** Those of the state that had happened at the revision. */
  readonly swept: readonly RangeDeletion[];
}

/**
 * A key's record as it was at a revision: the latest one when it is as old and was not deleted by then, else the
 * version that was superseded first after it, when that one is as old.
 */
export async function getHistory(
  source: PastSource,
  key: Buffer,
  revision: number,
): Promise<Buffer | undefined> {
  const { store, snapshot, deletions } = source;
  const latest = store.getSync(latestKey(key), snapshot);
  if (latest !== undefined && modRevisionOf(latest) <= revision) {
    return deletionOf(deletions, key, latest) === undefined ? latest : undefined;
  }
  const superseded = await firstOf(
    store.scan({
      gte: historyKey(key, revision + 1),
      lt: historyLowerBound(Buffer.concat([key, ZERO_BYTE])),
      snapshot,
      limit: 1,
    }),
  );
  if (superseded !== undefined && modRevisionOf(superseded[1]) <= revision) return superseded[1];
  for await (const lane of lanesAfter(source, revision)) {
    const block = await blockOf(source, lane, key);
    if (block === undefined) continue;
    for (const [storeKey, record] of readHistoryBlock(block)) {
      if (keyInLatestKey(storeKey).equals(key) && modRevisionOf(record) <= revision) return record;
    }
  }
  return undefined;
}

/** All records of a range as they were at a revision, in key order. */
export function scanHistory(source: PastSource, bounds: KeyBounds, revision: number): RecordScan {
  if (isEmptyRange(bounds)) return EMPTY_SCAN;
  return new HistoryScan(source, bounds, revision);
}

async function firstOf(scan: StoreScan): Promise<[key: Buffer, value: Buffer] | undefined> {
  try {
    return (await scan.next(1, BYTES_MAX))[0];
  } finally {
    await scan.close();
  }
}

/** The lanes of range deletions after a revision, one seek each. */
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

/** The only block of the lane that can hold the key, or the one before it; undefined: there is none. */
async function blockOf(
  { store, snapshot }: PastSource,
  { revision, lane }: HistoryLane,
  key: Buffer,
): Promise<Buffer | undefined> {
  const last = await firstOf(
    store.scan({
      gte: historyBlockKey(revision, lane, Buffer.alloc(0)),
      lt: historyBlockKey(revision, lane, Buffer.concat([key, ZERO_BYTE])),
      snapshot,
      reverse: true,
      limit: 1,
    }),
  );
  return last?.[1];
}

/** Of each key the version that a revision after the given one superseded first, if it is as old as that. */
class SupersededScan implements RecordScan {
  readonly #scan: StoreScan;
  readonly #revision: number;
  #decidedKey: Buffer | undefined;

  constructor(scan: StoreScan, revision: number) {
    this.#scan = scan;
    this.#revision = revision;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    for (;;) {
      const entries = await this.#scan.next(maxEntries, BYTES_MAX);
      const pairs: StoredPair[] = [];
      for (const [storeKey, record] of entries) {
        const { key, supersededAt } = parseHistoryKey(storeKey);
        if (supersededAt <= this.#revision || this.#decidedKey?.equals(key) === true) continue;
        this.#decidedKey = key;
        if (modRevisionOf(record) <= this.#revision) pairs.push([latestKey(key), record]);
      }
      if (pairs.length > 0 || entries.length === 0) return pairs;
    }
  }

  close(): Promise<void> {
    return this.#scan.close();
  }
}

/** The pairs of one lane that are in a range and as old as a revision. */
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
    const begun = this.#scan !== undefined;
    const blocks: Buffer[] = [];
    // The range may begin within a block.
    const before = begun ? undefined : await blockOf(this.#source, this.#lane, keyInLatestKey(this.#first));
    if (before !== undefined) blocks.push(before);
    this.#scan ??= this.#open();
    for (;;) {
      const found = await this.#scan.next(1, BYTES_MAX);
      blocks.push(...found.map(([, block]) => block));
      if (blocks.length === 0) return [];
      const pairs = blocks.flatMap((block) => [...readHistoryBlock(block)].filter((pair) => this.#has(pair)));
      if (pairs.length > 0) return pairs;
      blocks.length = 0;
    }
  }

  close(): Promise<void> {
    return this.#scan?.close() ?? Promise.resolve();
  }

  #open(): StoreScan {
    const { revision, lane } = this.#lane;
    const first = Buffer.concat([keyInLatestKey(this.#first), ZERO_BYTE]);
    return this.#source.store.scan({
      gte: historyBlockKey(revision, lane, first),
      lt:
        this.#end === undefined
          ? historyLaneEnd(this.#lane)
          : historyBlockKey(revision, lane, keyInLatestKey(this.#end)),
      snapshot: this.#source.snapshot,
    });
  }

  #has([storeKey, record]: StoredPair): boolean {
    return (
      Buffer.compare(this.#first, storeKey) <= 0 &&
      (this.#end === undefined || Buffer.compare(storeKey, this.#end) < 0) &&
      modRevisionOf(record) <= this.#revision
    );
  }
}

/** Merges what was current at a revision from the latest records, the superseded ones and those in blocks: no key is in two of these. */
class HistoryScan implements RecordScan {
  readonly #source: PastSource;
  readonly #bounds: KeyBounds;
  readonly #revision: number;
  readonly #parts: Peekable[];
  #hasLanes = false;

  constructor(source: PastSource, bounds: KeyBounds, revision: number) {
    const { store, snapshot } = source;
    const latest = new FilteredScan(
      scanLive(source, bounds, {}),
      ([, record]) => modRevisionOf(record) <= revision,
    );
    const superseded = store.scan({
      gte: historyLowerBound(bounds.first),
      lt: bounds.end === undefined ? HISTORY_END : historyLowerBound(bounds.end),
      snapshot,
    });
    this.#source = source;
    this.#bounds = bounds;
    this.#revision = revision;
    this.#parts = [new Peekable(latest), new Peekable(new SupersededScan(superseded, revision))];
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
      pairs.push(first.first!);
      first.skip();
    }
    return pairs;
  }

  async close(): Promise<void> {
    for (const { source } of this.#parts) await source.close();
  }
}

/** A scan of which the next pair can be looked at before it is taken. */
class Peekable {
  readonly source: RecordScan;
  #pairs: StoredPair[] = [];
  #at = 0;
  hasEnded = false;

  constructor(source: RecordScan) {
    this.source = source;
  }

  /** Undefined: it has ended, or must be filled. */
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
