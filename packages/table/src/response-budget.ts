import type { mvcc } from '@coxswain/protocol';
import { encodedPairSizeBytes } from './pair-size.js';
import { RangeReader } from './range-reader.js';
import type { RecordSource } from './record-source.js';
import { RESPONSE_SIZE_BYTES_MAX, toKeyValue, toRangeQuery } from './responses.js';
import type { RangePage } from './types.js';

/** What an answer takes beside its pairs: two tags with lengths, a count and `more`. */
const ANSWER_SIZE_BYTES_MAX = 20;

/** The response cap, shared by all that one entry or Txn answers. */
export class ResponseBudget {
  #leftBytes: number;
  #isCut = false;

  /** `operationCount`: how many answers there will be. */
  constructor(operationCount = 1) {
    this.#leftBytes = Math.max(0, RESPONSE_SIZE_BYTES_MAX - operationCount * ANSWER_SIZE_BYTES_MAX);
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** A pair that a write replaced or deleted; undefined when it passes the cap, and so does every later one. */
  pairWithin(key: Buffer, record: Buffer): mvcc.KeyValue | undefined {
    const sizeBytes = encodedPairSizeBytes(key.length, record, false);
    this.#isCut ||= sizeBytes > this.#leftBytes;
    if (this.#isCut) return undefined;
    this.#leftBytes -= sizeBytes;
    return toKeyValue(key, record);
  }

  /** Takes what a page that is there already needs; false when it does not fit. */
  takes(sizeBytes: number): boolean {
    if (sizeBytes > this.#leftBytes) return false;
    this.#leftBytes -= sizeBytes;
    return true;
  }

  /** The first page of a Txn's Range, no larger than what is left. `isAwaited`: see `RangeReader.open`. */
  async range(
    source: RecordSource,
    range: mvcc.RequestOp_Range,
    isAwaited?: () => boolean,
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
