import type { BufferedStore } from './buffered-store.js';
import { type EncodedPairs, EncodedPoint } from './encoded-pairs.js';
import { RevisionCompactedError, RevisionInFutureError, TableHalfAppliedError } from './errors.js';
import { ALL_KEYS, boundsOf } from './key-bounds.js';
import { latestKey } from './layout.js';
import type { Gap, PageCache } from './page-cache.js';
import { deletionOf } from './range-deletion.js';
import { toKeyRecord } from './range-reader.js';
import { SharedSnapshot } from './shared-snapshot.js';
import { keyId } from './sorted-tree.js';
import type { StoreWriter } from './store-writer.js';
import type { OpenedTable } from './table-opening.js';
import type { Progress, TableState } from './table-state.js';
import { TableView } from './table-view.js';
import type { KeyRecord, RangePage, RangeQuery } from './types.js';

/** The latest record of a key, and the revision that the read saw. */
export interface PointRead {
  readonly record: KeyRecord | undefined;
  readonly revision: number;
}

/**
 * Reads a table as of the last entry whose write has completed. While a large entry is written in parts, it reads from
 * a snapshot from before that entry (A4).
 */
export class TableReader {
  readonly #name: string;
  readonly #store: BufferedStore;
  readonly #writer: StoreWriter;
  readonly #pages: PageCache | undefined;
  #state: TableState;
  #halfApplied: Progress | undefined;
  /** The snapshot and state from before the entry that is being applied in parts (A4); undefined when there is none. */
  #before: { readonly snapshot: SharedSnapshot; readonly state: TableState } | undefined;
  #isClosed = false;
  /** Resolves when the ranges of the answers so far have been read, which happens one answer after the other. */
  #reading: Promise<void> = Promise.resolve();

  constructor(
    name: string,
    store: BufferedStore,
    writer: StoreWriter,
    pages: PageCache | undefined,
    opened: Pick<OpenedTable, 'state' | 'progress'>,
  ) {
    this.#name = name;
    this.#store = store;
    this.#writer = writer;
    this.#pages = pages;
    this.#state = opened.state;
    this.#halfApplied = opened.progress;
  }

  /** The state as of the last batch that ends with an entry. */
  get state(): TableState {
    return this.#state;
  }

  /** True when opening found an entry half applied, until that is applied to its end (A4). */
  get isHalfApplied(): boolean {
    return this.#halfApplied !== undefined;
  }

  /** Resolves when the reads of all answers so far have ended. Never rejects. */
  get answersRead(): Promise<void> {
    return this.#reading;
  }

  /** Keeps readers on the store as it is now, until `show` shows them a later entry. */
  holdStill(): void {
    const held = this.#takeSnapshot();
    held.snapshot.hold(this);
    this.#before = held;
  }

  /** Shows readers the state after a written batch, which must end with an entry. */
  show(state: TableState): void {
    this.#state = state;
    this.#halfApplied = undefined;
    // Housekeeping may be queued between the effects before the entry and its first part; only the last part advances
    // the applied index.
    if (this.#before === undefined || state.appliedIndex === this.#before.state.appliedIndex) return;
    this.#before.snapshot.release(this);
    this.#before = undefined;
  }

  /** Makes all later reads fail with TableClosedError. */
  close(): void {
    this.#isClosed = true;
    this.#pages?.clear();
  }

  /**
   * Returns the latest record of a key: one point read, without a promise, of a table that must be awake. Throws
   * TableClosedError, TableHalfAppliedError.
   */
  get(key: Buffer): PointRead {
    const record = this.#readPoint(key);
    return { record: record && toKeyRecord(key, record, false), revision: this.#readState.revision };
  }

  /** Returns the latest record of a key as `get` does, in the form of an answer. */
  encodedGet(key: Buffer): EncodedPairs {
    const record = this.#readPoint(key);
    return new EncodedPoint(this.#readState.revision, key, record);
  }

  /** The state that a read sees which begins now. */
  get #readState(): TableState {
    return this.#before === undefined ? this.#state : this.#before.state;
  }

  #readPoint(key: Buffer): Buffer | undefined {
    this.#assertReadable();
    const record = this.#store.getSync(latestKey(key), this.#before?.snapshot.native);
    if (record === undefined) return undefined;
    return deletionOf(this.#readState.deletions, key, record) === undefined ? record : undefined;
  }

  /**
   * Returns the first pairs of a range at the latest revision from memory, or the first part of it that is not there,
   * for `fillGap`. Returns undefined when the range must be read another way, because it takes more than `bytesMax` or
   * the table is being changed in parts. Throws TableClosedError, TableHalfAppliedError.
   */
  cachedRange(
    { key, rangeEnd, limit }: Pick<RangeQuery, 'key' | 'rangeEnd' | 'limit'>,
    bytesMax: number,
  ): EncodedPairs | Gap | undefined {
    this.#assertReadable();
    const isSettled =
      this.#before === undefined && this.#state.deletions.length === 0 && this.#writer.failure === undefined;
    const bounds = boundsOf(key, rangeEnd);
    if (this.#pages === undefined || !isSettled || bounds === undefined) return undefined;
    const interval = { first: keyId(bounds.first), end: bounds.end && keyId(bounds.end) };
    const pairsMax = limit === 0 ? Number.MAX_SAFE_INTEGER : limit;
    return this.#pages.range(interval, pairsMax, bytesMax, this.#state.revision);
  }

  /**
   * Reads the beginning of a gap into memory, about `wanted` pairs of it. Rejects with TableClosedError or the store's
   * errors.
   */
  async fillGap(gap: Gap, wanted: number): Promise<void> {
    this.#assertReadable();
    await this.#pages?.fill(gap, wanted);
  }

  /**
   * Counts the live keys, by reading each while the keys of a range deletion are being removed. Rejects with the errors
   * that `view` throws.
   */
  async countKeys(): Promise<number> {
    const view = this.view();
    try {
      return await view.count(ALL_KEYS, () => true);
    } finally {
      view.close();
    }
  }

  /** Reads the first page of a range at the latest revision; see TableView.range. */
  async range(query: RangeQuery): Promise<RangePage & { readonly revision: number }> {
    const view = this.view();
    try {
      return { ...(await view.range(query)), revision: view.revision };
    } finally {
      view.close();
    }
  }

  /**
   * Opens a view of the table as it is now, or as it was at an earlier revision. The view must be closed. Throws
   * TableClosedError, TableHalfAppliedError, RevisionCompactedError, RevisionInFutureError.
   */
  view(revision?: number): TableView {
    this.#assertReadable();
    const { snapshot, state } = this.#before ?? this.#takeSnapshot();
    const view = new TableView(this.#store, snapshot, state, revision ?? state.revision);
    if (view.revision <= state.revision && view.revision >= state.historyFloor) return view;
    view.close();
    if (view.revision > state.revision) throw new RevisionInFutureError(view.revision, state.revision);
    throw new RevisionCompactedError(view.revision, state.historyFloor);
  }

  /**
   * Runs `read`, which reads the ranges of an answer, after those of the earlier answers, and `end` after it in any
   * case. Holds up no later entry. Rejects when `read` rejects or the table is closed.
   */
  readLater(read: () => Promise<void>, end: () => void): Promise<void> {
    const turn = this.#reading
      .then(() => {
        if (this.#isClosed) this.#writer.assertOpen();
        return read();
      })
      .finally(end);
    // The caller that waits for the answer gets the error.
    this.#reading = turn.catch(() => undefined);
    return turn;
  }

  #takeSnapshot(): { snapshot: SharedSnapshot; state: TableState } {
    return { snapshot: new SharedSnapshot(this.#store.snapshot()), state: this.#state };
  }

  /**
   * Throws when the table cannot be read. A failed write has changed nothing that can be seen, so the state before it
   * stays readable until the table is closed.
   */
  #assertReadable(): void {
    if (this.#isClosed) this.#writer.assertOpen();
    if (this.#halfApplied !== undefined && this.#before === undefined) {
      throw new TableHalfAppliedError(this.#name, this.#halfApplied.index);
    }
  }
}
