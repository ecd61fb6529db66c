import type { mvcc } from '@coxswain/protocol';
import { encodedPairSizeBytes } from './pair-size.js';
import { RangeReader } from './range-reader.js';
import type { RecordSource } from './record-source.js';
import { RESPONSE_SIZE_BYTES_MAX, toKeyValue, toRangeQuery } from './responses.js';
import type { RangePage } from './types.js';

/** The response cap, shared by all that one entry or Txn answers. */
export class ResponseBudget {
  #leftBytes = RESPONSE_SIZE_BYTES_MAX;

  /** A pair that must be answered whatever it takes: the previous one of a Put. */
  pair(key: Buffer, record: Buffer): mvcc.KeyValue {
    this.#leftBytes -= encodedPairSizeBytes(key.length, record, false);
    return toKeyValue(key, record);
  }

  /** The pair, or undefined when it passes the cap; then every later one does as well. */
  pairWithin(key: Buffer, record: Buffer): mvcc.KeyValue | undefined {
    const pair = this.pair(key, record);
    return this.#leftBytes >= 0 ? pair : undefined;
  }

  /** The first page of a Txn's Range, no larger than what is left. */
  async range(source: RecordSource, range: mvcc.RequestOp_Range): Promise<RangePage> {
    const leftBytes = Math.max(this.#leftBytes, 0);
    const reader = await RangeReader.open(source, toRangeQuery(range, leftBytes));
    try {
      const page = await reader.nextPage(leftBytes, false);
      this.#leftBytes -= reader.sentBytes;
      return page;
    } finally {
      await reader.close();
    }
  }
}
