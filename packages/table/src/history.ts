import {
  HISTORY_END,
  historyKey,
  historyLowerBound,
  keyInLatestKey,
  latestKey,
  modRevisionOf,
  parseHistoryKey,
} from './layout.js';
import { type KeyBounds, type RecordScan, type StoredPair, scanLatest } from './record-source.js';
import type { OrderedStore, StoreScan, StoreSnapshot } from './store.js';

const BYTES_MAX = Number.MAX_SAFE_INTEGER;
const ZERO_BYTE = Buffer.from([0]);

/**
 * A key's record as it was at a revision: the latest one when it is as old, else the first version that a
 * later revision superseded, when that one is as old.
 */
export async function getHistory(
  store: OrderedStore,
  snapshot: StoreSnapshot,
  key: Buffer,
  revision: number,
): Promise<Buffer | undefined> {
  const latest = store.getSync(latestKey(key), snapshot);
  if (latest !== undefined && modRevisionOf(latest) <= revision) return latest;
  const scan = store.scan({
    gte: historyKey(key, revision + 1),
    lt: historyLowerBound(Buffer.concat([key, ZERO_BYTE])),
    snapshot,
    limit: 1,
  });
  try {
    const [found] = await scan.next(1, BYTES_MAX);
    return found !== undefined && modRevisionOf(found[1]) <= revision ? found[1] : undefined;
  } finally {
    await scan.close();
  }
}

/** All records of a range as they were at a revision, in key order. */
export function scanHistory(
  store: OrderedStore,
  snapshot: StoreSnapshot,
  bounds: KeyBounds,
  revision: number,
): RecordScan {
  const latest = new Peekable(scanLatest(store, snapshot, bounds, {}));
  if (bounds.end !== undefined && Buffer.compare(bounds.end, bounds.first) <= 0) return latest.source;
  const superseded = store.scan({
    gte: historyLowerBound(bounds.first),
    lt: bounds.end === undefined ? HISTORY_END : historyLowerBound(bounds.end),
    snapshot,
  });
  return new HistoryScan(latest, new Peekable(new SupersededScan(superseded, revision)), revision);
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

/** Merges latest records that are as old as a revision with superseded ones. No key is in both. */
class HistoryScan implements RecordScan {
  readonly #latest: Peekable;
  readonly #superseded: Peekable;
  readonly #revision: number;

  constructor(latest: Peekable, superseded: Peekable, revision: number) {
    this.#latest = latest;
    this.#superseded = superseded;
    this.#revision = revision;
  }

  async next(maxEntries: number): Promise<StoredPair[]> {
    const pairs: StoredPair[] = [];
    while (pairs.length < maxEntries) {
      const latest = await this.#latest.peek(maxEntries);
      if (latest !== undefined && modRevisionOf(latest[1]) > this.#revision) {
        this.#latest.skip();
        continue;
      }
      const superseded = await this.#superseded.peek(maxEntries);
      if (latest === undefined && superseded === undefined) break;
      const takesLatest =
        superseded === undefined ||
        (latest !== undefined &&
          Buffer.compare(keyInLatestKey(latest[0]), keyInLatestKey(superseded[0])) < 0);
      pairs.push(takesLatest ? latest! : superseded!);
      if (takesLatest) this.#latest.skip();
      else this.#superseded.skip();
    }
    return pairs;
  }

  async close(): Promise<void> {
    await this.#latest.source.close();
    await this.#superseded.source.close();
  }
}

/** A scan of which the next pair can be looked at before it is taken. */
class Peekable {
  readonly source: RecordScan;
  #pairs: StoredPair[] = [];
  #at = 0;
  #hasEnded = false;

  constructor(source: RecordScan) {
    this.source = source;
  }

  async peek(maxEntries: number): Promise<StoredPair | undefined> {
    if (this.#at === this.#pairs.length && !this.#hasEnded) {
      this.#pairs = await this.source.next(maxEntries);
      this.#at = 0;
      this.#hasEnded = this.#pairs.length === 0;
    }
    return this.#pairs[this.#at];
  }

  skip(): void {
    this.#at += 1;
  }
}
