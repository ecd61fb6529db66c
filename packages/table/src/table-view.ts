import type { mvcc } from '@coxswain/protocol';
import type { BufferedStore } from './buffered-store.js';
import { comparesHold } from './compare.js';
import { ResponseTooLargeError } from './errors.js';
import { countHistory, getHistory, type PastSource, scanHistory } from './history.js';
import type { KeyBounds } from './key-bounds.js';
import { latestKey } from './layout.js';
import { RangeAnswers } from './range-answers.js';
import { deletionOf, deletionsUpTo } from './range-deletion.js';
import { RangeReader } from './range-reader.js';
import {
  countLive,
  type RecordScan,
  type RecordScanOptions,
  type RecordSource,
  scanLatest,
  scanLive,
} from './record-source.js';
import { ResponseBudget } from './response-budget.js';
import { RESPONSE_SIZE_BYTES_MAX, rangeResponse } from './responses.js';
import type { SharedSnapshot } from './shared-snapshot.js';
import { liveKeyCountOf, type TableState } from './table-state.js';
import type { RangePage, RangeQuery } from './types.js';

/**
 * The table at one revision, whatever is written meanwhile (P3). Must be closed, since it keeps the store from dropping
 * the records that it sees.
 */
export class TableView implements RecordSource {
  /** The revision that reads see: the state's, or the earlier one that was asked for. */
  readonly revision: number;
  /** The state of the table when the view was opened. */
  readonly state: TableState;
  readonly #store: BufferedStore;
  readonly #snapshot: SharedSnapshot;
  readonly #isEarlier: boolean;

  /** Called by TableReader.view alone. */
  constructor(store: BufferedStore, snapshot: SharedSnapshot, state: TableState, revision: number) {
    this.#store = store;
    this.#snapshot = snapshot;
    this.state = state;
    this.revision = revision;
    this.#isEarlier = revision < state.revision;
    snapshot.hold(this);
  }

  /** The number of live keys; undefined when it is not known without counting them. */
  get keyCount(): number | undefined {
    return this.#isEarlier ? undefined : liveKeyCountOf(this.state);
  }

  /**
   * Reads the first page of a range. It has at least one pair when one matches, even if that exceeds `maxBytes`. A page
   * may take many reads, and a filter may read the whole table: it rejects with AnswerAbandonedError as soon as
   * `isAwaited` returns false.
   */
  async range(query: RangeQuery, isAwaited?: () => boolean | Promise<boolean>): Promise<RangePage> {
    const reader = await RangeReader.open(this, query, isAwaited);
    try {
      return await reader.nextPage(query.maxBytes, true);
    } finally {
      await reader.close();
    }
  }

  /** Yields all pages of a range, at least one. The limit counts across pages. */
  async *pages(query: RangeQuery): AsyncGenerator<RangePage, void, undefined> {
    const reader = await RangeReader.open(this, query);
    try {
      for (;;) {
        const page = await reader.nextPage(query.maxBytes, true);
        yield page;
        if (page.nextKey === undefined) return;
      }
    } finally {
      await reader.close();
    }
  }

  /** Resolves to true when every compare holds. */
  compare(compares: readonly mvcc.Compare[]): Promise<boolean> {
    return comparesHold(this, compares);
  }

  /**
   * Runs a Txn that only reads. Rejects with ResponseTooLargeError when its answers exceed the response cap, and with
   * AnswerAbandonedError as soon as `isAwaited` returns false.
   */
  async readOnlyTxn(
    txn: mvcc.Txn,
    isAwaited?: () => boolean | Promise<boolean>,
  ): Promise<{ succeeded: boolean; responses: mvcc.ResponseOp[] }> {
    const succeeded = await this.compare(txn.compare);
    const operations = succeeded ? txn.success : txn.failure;
    const answers = new RangeAnswers(new ResponseBudget(operations.length));
    const responses: mvcc.ResponseOp[] = [];
    for (const { request } of operations) {
      if (request?.$case !== 'requestRange') continue;
      const page = await answers.read(this, request.value, isAwaited);
      if (page.nextKey !== undefined) throw new ResponseTooLargeError(RESPONSE_SIZE_BYTES_MAX);
      responses.push(rangeResponse(page));
    }
    return { succeeded, responses };
  }

  /** Reads a record as it is stored; see layout.ts. */
  get(key: Buffer): Buffer | undefined | Promise<Buffer | undefined> {
    if (this.#isEarlier) return getHistory(this.#past(), key, this.revision);
    const record = this.#store.get(latestKey(key), this.#snapshot.native);
    if (record instanceof Promise) return record.then((found) => this.#undeleted(key, found));
    return this.#undeleted(key, record);
  }

  #undeleted(key: Buffer, record: Buffer | undefined): Buffer | undefined {
    if (record === undefined) return undefined;
    return deletionOf(this.state.deletions, key, record) === undefined ? record : undefined;
  }

  /** Scans records as they are stored, in key order. */
  scan(bounds: KeyBounds, options: RecordScanOptions): RecordScan {
    const { native: snapshot } = this.#snapshot;
    const { deletions, swept } = this.state;
    if (this.#isEarlier) return scanHistory(this.#past(), bounds, this.revision);
    return scanLive({ store: this.#store, snapshot, deletions, swept }, bounds, options);
  }

  count(bounds: KeyBounds, isAwaited: () => boolean | Promise<boolean>): Promise<number> {
    if (this.#isEarlier) return countHistory(this.#past(), bounds, this.revision, isAwaited);
    const { native: snapshot } = this.#snapshot;
    const { deletions, swept } = this.state;
    const { keyCount } = this;
    return countLive({ store: this.#store, snapshot, deletions, swept, keyCount }, bounds, isAwaited);
  }

  /**
   * Scans the latest records of the store, including those that the state's range deletions have yet to remove. The
   * state's key count and content hash are of these records.
   */
  scanStored(bounds: KeyBounds): RecordScan {
    return scanLatest(this.#store, this.#snapshot.native, bounds, {});
  }

  #past(): PastSource {
    return {
      store: this.#store,
      snapshot: this.#snapshot.native,
      deletions: deletionsUpTo(this.state.deletions, this.revision),
      swept: deletionsUpTo(this.state.swept, this.revision),
    };
  }

  /** Releases the snapshot. Closing twice is harmless. */
  close(): void {
    this.#snapshot.release(this);
  }
}
