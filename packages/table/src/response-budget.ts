import type { mvcc } from '@coxswain/protocol';
import { keyInLatestKey } from './layout.js';
import { encodedPairSizeBytes } from './pair-size.js';
import { RangeReader } from './range-reader.js';
import type { RecordScan, RecordSource } from './record-source.js';
import { RESPONSE_SIZE_BYTES_MAX, toKeyValue, toRangeQuery } from './responses.js';
import type { RangePage } from './types.js';

/** The size of an answer without its pairs: two tags with lengths, a count and `more`. */
const ANSWER_SIZE_BYTES_MAX = 20;
/** The number of pairs that are read between two turns of the event loop. */
const CHUNK_ENTRIES_MAX = 500;

/** The response cap, shared by all answers of one entry or Txn. */
export class ResponseBudget {
  #leftBytes: number;
  #isCut = false;

  /** `operationCount` is the number of answers that there will be. */
  constructor(operationCount = 1) {
    this.#leftBytes = Math.max(0, RESPONSE_SIZE_BYTES_MAX - operationCount * ANSWER_SIZE_BYTES_MAX);
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /**
   * Takes the size of a pair that a write replaced or deleted, and returns the pair; undefined when it exceeds the cap,
   * and for every later pair.
   */
  pairWithin(key: Buffer, record: Buffer): mvcc.KeyValue | undefined {
    const sizeBytes = encodedPairSizeBytes(key.length, record, false);
    this.#isCut ||= sizeBytes > this.#leftBytes;
    if (this.#isCut) return undefined;
    this.#leftBytes -= sizeBytes;
    return toKeyValue(key, record);
  }

  /** Takes the size of a page that has been read already. Returns false, without any effect, when it does not fit. */
  takes(sizeBytes: number): boolean {
    if (sizeBytes > this.#leftBytes) return false;
    this.#leftBytes -= sizeBytes;
    return true;
  }

  /**
   * Reads the first page of a Txn's Range, no larger than the rest of the budget. `isAwaited` is as in
   * `RangeReader.open`.
   */
  async range(
    source: RecordSource,
    range: mvcc.RequestOp_Range,
    isAwaited?: () => boolean | Promise<boolean>,
  ): Promise<RangePage> {
    const reader = await RangeReader.open(source, toRangeQuery(range, this.#leftBytes), isAwaited);
    try {
      const page = await reader.nextPage(this.#leftBytes, false);
      this.#leftBytes -= reader.sentBytes;
      return page;
    } finally {
      await reader.close();
    }
  }
}

/** The pairs that a range deletion deleted, as far as they are asked for and fit. */
export class PreviousPairs {
  readonly pairs: mvcc.KeyValue[] = [];
  readonly #budget: ResponseBudget | undefined;
  #isCut = false;

  /** An undefined budget means that nobody asks for the pairs. */
  constructor(budget: ResponseBudget | undefined) {
    this.#budget = budget;
  }

  /** True when a pair was left out. */
  get isCut(): boolean {
    return this.#isCut;
  }

  get takesMore(): boolean {
    return this.#budget !== undefined && !this.#isCut;
  }

  /** Takes the next pair in key order. The first pair that does not fit, and all after it, are left out. */
  take(key: Buffer, record: Buffer): void {
    if (this.#budget === undefined || this.#isCut) return;
    const pair = this.#budget.pairWithin(key, record);
    if (pair === undefined) this.#isCut = true;
    else this.pairs.push(pair);
  }

  /** Takes as many pairs of a scan as fit, and closes the scan. */
  async takeAll(scan: RecordScan): Promise<void> {
    try {
      while (this.takesMore) {
        const pairs = await scan.next(CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) return;
        for (const [storeKey, record] of pairs) this.take(keyInLatestKey(storeKey), record);
      }
    } finally {
      await scan.close();
    }
  }
}
