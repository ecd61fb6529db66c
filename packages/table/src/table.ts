import { Applier } from './applier.js';
import { type BatchRecord, decodeBatchRecord } from './batch-record.js';
import type { BufferedStore } from './buffered-store.js';
import type { Effects } from './effects.js';
import { type EncodedPairs, EncodedPoint } from './encoded-pairs.js';
import {
  RevisionCompactedError,
  RevisionInFutureError,
  TableGapError,
  TableHalfAppliedError,
} from './errors.js';
import { HistoryRemoval } from './history-removal.js';
import { readJournal } from './journal.js';
import { ALL_KEYS, boundsOf } from './key-bounds.js';
import { batchKey, historyBlocksFrom, latestKey, outcomeKey } from './layout.js';
import { type Gap, PageCache } from './page-cache.js';
import { deletionOf } from './range-deletion.js';
import { toKeyRecord } from './range-reader.js';
import { SharedSnapshot } from './shared-snapshot.js';
import { keyId } from './sorted-tree.js';
import type { Operation } from './store.js';
import { StoreWriter } from './store-writer.js';
import { type OpenedTable, openTableStore } from './table-opening.js';
import type { TableOptions } from './table-options.js';
import { liveKeyCountOf, type Progress, type TableState } from './table-state.js';
import { TableView } from './table-view.js';
import type { ApplyResult, KeyRecord, RangePage, RangeQuery, TableEntry } from './types.js';
import { WRITTEN_KEYS_SIZE_BYTES_MAX } from './written-keys.js';

/** Effects of one entry in one store batch, at most; see A4. */
const EFFECTS_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** However small the write buffer is. */
const EFFECTS_SIZE_BYTES_MIN = 64 * 1024;
/** Store writes of one entry in one store batch, at most: preparing them takes some milliseconds. */
const EFFECTS_OPERATIONS_MAX = 4000;
/** Records that housekeeping removes in one batch. */
const REMOVAL_STEP_KEYS_MAX = 500;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** A latest key, and the revision that the read saw. */
export interface PointRead {
  readonly record: KeyRecord | undefined;
  readonly revision: number;
}

/**
 * The state machine of one shard: applies the entries of its log to a store, and reads it at any revision
 * that history reaches back to. DESIGN.md has the layout and the reasons.
 */
export class Table {
  readonly #name: string;
  readonly #store: BufferedStore;
  readonly #applier: Applier;
  readonly #writer: StoreWriter;
  readonly #pages: PageCache | undefined;
  /** What readers see: the state as of the last batch that ends with an entry. */
  #state: TableState;
  /** The entry that opening found half applied, until it is applied to its end (A4). */
  #halfApplied: Progress | undefined;
  /** From before the entry that is being applied in parts, while it is (A4). */
  #before: { readonly snapshot: SharedSnapshot; readonly state: TableState } | undefined;
  #isClosed = false;
  /** Set from the call of `close` on: nothing is begun by the table itself any more. */
  #isClosing = false;
  /** Set while the keys of range deletions are being removed. */
  #sweeping: Promise<void> | undefined;
  /** Ends when the ranges of the answers so far have been read: one answer's after the other's. */
  #reading: Promise<void> = Promise.resolve();
  /** Ends when the entries handed over so far are evaluated; undefined: there is nothing to wait for. */
  #evaluation: Promise<void> | undefined;
  readonly #historyRemoval: HistoryRemoval;
  /** Set while history is being removed. */
  #removing: Promise<void> | undefined;
  /** What `changeCount` was at the history floor. */
  #atFloor: { readonly historyFloor: number; readonly changeCount: number } | undefined;
  /** The store holds no block of this revision or an earlier one, and never will again. */
  #blocksRemovedUpTo: number;
  /** The history floor and the checkpoint at which nothing was left to remove. */
  #removedAt: { readonly historyFloor: number; readonly batchNumber: number } | undefined;
  /** No outcome is kept of entries below it. */
  #outcomesFrom = 0;

  private constructor(options: TableOptions, store: BufferedStore, opened: OpenedTable) {
    this.#name = options.name;
    this.#blocksRemovedUpTo = opened.blocksRemovedUpTo;
    this.#store = store;
    this.#state = opened.state;
    this.#halfApplied = opened.progress;
    this.#historyRemoval = new HistoryRemoval(opened.oldestBatchNumber, (batchNumber) =>
      this.#readBatch(batchNumber),
    );
    this.#pages = options.pageBudget && new PageCache(store, options.pageBudget);
    this.#writer = new StoreWriter(store, options.name, {
      ...opened,
      writeBufferSizeBytes: options.writeBufferSizeBytes,
      writeBudget: options.writeBudget,
      onWritten: (effects) => this.#publish(effects),
    });
    this.#applier = new Applier(store, opened.state, opened.progress, {
      effectsSizeBytesMax:
        options.effectsSizeBytesMax ??
        Math.max(EFFECTS_SIZE_BYTES_MIN, Math.min(EFFECTS_SIZE_BYTES_MAX, options.writeBufferSizeBytes / 4)),
      effectsOperationsMax: options.effectsOperationsMax ?? EFFECTS_OPERATIONS_MAX,
      writtenKeysSizeBytesMax: options.writtenKeysSizeBytesMax ?? WRITTEN_KEYS_SIZE_BYTES_MAX,
      pages: this.#pages,
      spill: (before, part) => this.#spill(before, part),
      readLater: (read, end) => this.#readLater(read, end),
    });
    this.#beginSweep();
  }

  /**
   * Opens the table, and checks that its store lost no batch (D4).
   * Rejects with TableGapError or StoreDamagedError: the replica must be fenced. Other errors are the store's.
   */
  static async open(options: TableOptions): Promise<Table> {
    const { store, opened } = await openTableStore(options);
    return new Table(options, store, opened);
  }

  /** The state as of the last entry whose write has completed; it is what reads see. */
  get state(): TableState {
    return this.#state;
  }

  get appliedIndex(): number {
    return this.#state.appliedIndex;
  }

  get appliedTerm(): number {
    return this.#state.appliedTerm;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get leaderIndex(): number | undefined {
    return this.#state.leaderIndex;
  }

  get lastTimeMs(): number {
    return this.#state.lastTimeMs;
  }

  /** The oldest revision that can be read. */
  get historyFloor(): number {
    return this.#state.historyFloor;
  }

  /**
   * Live keys. Undefined after a crash in the middle of an entry, and while the keys of a range deletion are being
   * removed (A4).
   */
  get keyCount(): number | undefined {
    return this.isHalfApplied ? undefined : liveKeyCountOf(this.#state);
  }

  /**
   * Opening found an entry half applied, as a crash left it: nothing can be read before the log has applied it to its
   * end (A4).
   */
  get isHalfApplied(): boolean {
    return this.#halfApplied !== undefined;
  }

  /**
   * In hex. Comparable between replicas at the same applied index (A6). Undefined after a crash in the middle of an
   * entry, and while the keys of a range deletion are being removed (A4).
   */
  get contentHash(): string | undefined {
    if (this.isHalfApplied || this.isSweeping) return undefined;
    return this.#state.contentHash.toString('hex');
  }

  /** The keys of a range deletion are being removed (A4). Reads do not see them any more. */
  get isSweeping(): boolean {
    return this.#state.deletions.length > 0;
  }

  /** The shard that took over, 0 when the table is deleted, undefined while it serves (T2). */
  get sealedBy(): number | undefined {
    return this.#state.sealedBy;
  }

  /** A write failed: nothing is applied any more until the table is opened again. Reads go on. */
  get hasFailed(): boolean {
    return this.#writer.failure !== undefined;
  }

  /** What a crash cannot take away any more: the log may be truncated up to it (D4). */
  get checkpointIndex(): number {
    return this.#writer.checkpoint.appliedIndex;
  }

  /** About what the table takes: on disk as of its last checkpoint, and in memory since. */
  get approximateSizeBytes(): number {
    return this.#writer.sizeBytes;
  }

  /** A checkpoint is being made, or is queued. */
  get isCheckpointing(): boolean {
    return this.#writer.isCheckpointing;
  }

  /**
   * Applies entries in one store batch, unless an effect is too large for that (A4). May be called again
   * before it resolves: entries are evaluated in the order of calls, on the effects of those before (A2), and
   * results come in that order when the writes are done. Entries must stay unchanged until then.
   * Rejects with TableClosedError when a write failed, or the cause when an entry cannot be applied; both
   * close the table: open it again and replay.
   */
  apply(entries: readonly TableEntry[]): Promise<ApplyResult[]> {
    // Only what reads ranges makes others wait, and only until it is evaluated.
    if (this.#evaluation !== undefined || !this.isAwake)
      return this.#takeTurn(() => this.#evaluateAwake(entries)).then(resultsOf);
    const evaluated = this.#evaluate(entries);
    if (!(evaluated instanceof Promise)) return resultsOf(evaluated);
    return this.#takeTurn(() => evaluated).then(resultsOf);
  }

  /** Makes all that was applied durable, so that `checkpointIndex` moves up. Reads and writes go on meanwhile. */
  async checkpoint(): Promise<void> {
    this.#assertOpen();
    if (this.#writer.checkpoint.batchNumber === this.#writer.lastBatchNumber && !this.#writer.isBusy) return;
    await this.#writer.makeCheckpoint();
  }

  /** Its files are open; see RestingStore. */
  get isAwake(): boolean {
    return this.#store.isAwake;
  }

  /** Opens its files where they are closed. Rejects: the store's errors. */
  wake(): Promise<void> {
    return this.#awake(() => undefined);
  }

  /** Runs with the files open, and keeps them open until it ends. */
  async #awake<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const waking = this.#store.hold();
    if (waking !== undefined) await waking;
    try {
      return await work();
    } finally {
      this.#store.release();
    }
  }

  /**
   * The latest record of a key: one point read, no promise, of a table that is awake. Throws TableClosedError,
   * TableHalfAppliedError.
   */
  get(key: Buffer): PointRead {
    const record = this.#readPoint(key);
    return { record: record && toKeyRecord(key, record, false), revision: this.#readState.revision };
  }

  /** As `get`, in the form of an answer. */
  encodedGet(key: Buffer): EncodedPairs {
    const record = this.#readPoint(key);
    return new EncodedPoint(this.#readState.revision, key, record);
  }

  /** What a read sees that begins now. */
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
   * The first pairs of a range at the latest revision from memory, or the first part of it that is not there, for
   * `fillGap`. Undefined: they are to be read another way, since they take more than `bytesMax`, or since the table
   * is being changed in parts. Throws TableClosedError, TableHalfAppliedError.
   */
  cachedRange(
    { key, rangeEnd, limit }: Pick<RangeQuery, 'key' | 'rangeEnd' | 'limit'>,
    bytesMax: number,
  ): EncodedPairs | Gap | undefined {
    this.#assertReadable();
    const isSettled = this.#before === undefined && !this.isSweeping && !this.hasFailed;
    const bounds = boundsOf(key, rangeEnd);
    if (this.#pages === undefined || !isSettled || bounds === undefined) return undefined;
    const interval = { first: keyId(bounds.first), end: bounds.end && keyId(bounds.end) };
    const pairsMax = limit === 0 ? Number.MAX_SAFE_INTEGER : limit;
    return this.#pages.range(interval, pairsMax, bytesMax, this.#state.revision);
  }

  /** Reads the beginning of a gap, some `wanted` pairs of it, into memory. Rejects: TableClosedError, the store's errors. */
  async fillGap(gap: Gap, wanted: number): Promise<void> {
    this.#assertReadable();
    await this.#pages?.fill(gap, wanted);
  }

  /** Live keys: a look at each while the keys of a range deletion are being removed. Rejects as `view` throws. */
  async countKeys(): Promise<number> {
    const view = this.view();
    try {
      return await view.count(ALL_KEYS, () => true);
    } finally {
      view.close();
    }
  }

  /** The first page of a range at the latest revision; see TableView.range. */
  async range(query: RangeQuery): Promise<RangePage & { readonly revision: number }> {
    const view = this.view();
    try {
      return { ...(await view.range(query)), revision: view.revision };
    } finally {
      view.close();
    }
  }

  /**
   * The table as it is now, or as it was at an earlier revision. Throws TableClosedError,
   * TableHalfAppliedError, RevisionCompactedError, RevisionInFutureError.
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

  /** Which way a Txn with compares on revisions or versions went; undefined: not recorded, or pruned (R3). */
  async txnOutcome(index: number, command = 0): Promise<boolean | undefined> {
    this.#assertOpen();
    const outcome = await this.#store.get(outcomeKey(index, command));
    return outcome === undefined ? undefined : outcome[0] === 1;
  }

  /** Forgets the outcomes of entries below: the log does not have them any more. */
  async pruneOutcomes(belowIndex: number): Promise<void> {
    if (this.#outcomesFrom >= belowIndex) return;
    await this.#removeRecords(outcomeKey(this.#outcomesFrom, 0), outcomeKey(belowIndex, 0));
    this.#outcomesFrom = belowIndex;
  }

  /**
   * The greatest revision that was current at `cutoffTimeMs`, by the entries' own times, and at least
   * `oldRevision`, which the caller knows to be old enough whatever those say (A7): for the leader to
   * propose a Compact of (A5). Undefined: there is no history below it that is not compacted yet. Costs some
   * point reads, none when nothing was written since the last Compact.
   */
  async compactableRevision(cutoffTimeMs: number, oldRevision = 0): Promise<number | undefined> {
    this.#assertOpen();
    const { historyFloor, changeCount, revision } = this.#state;
    const isKnown = this.#atFloor?.historyFloor === historyFloor && this.#atFloor.changeCount === changeCount;
    if (isKnown || revision <= historyFloor) return undefined;
    return await this.#awake(() => this.#findCompactable(cutoffTimeMs, oldRevision));
  }

  #findCompactable(cutoffTimeMs: number, oldRevision: number): number | undefined {
    this.#assertOpen();
    const { historyFloor, changeCount } = this.#state;
    if (this.#atFloor?.historyFloor !== historyFloor) {
      const atFloor = this.#lastBatchWhere(({ state, progress }) =>
        // A part of an entry has changes of the revision that its state does not show yet (A4).
        progress === undefined ? state.revision <= historyFloor : state.revision < historyFloor,
      );
      this.#atFloor = {
        historyFloor,
        changeCount: atFloor?.state.changeCount ?? this.#changeCountAt(historyFloor),
      };
    }
    if (this.#atFloor.changeCount === changeCount) return undefined;
    const atCutoff = this.#lastBatchWhere(
      ({ state }) => state.lastTimeMs <= cutoffTimeMs || state.revision <= oldRevision,
    )?.state;
    if (atCutoff === undefined || atCutoff.revision <= historyFloor) return undefined;
    return atCutoff.changeCount > this.#atFloor.changeCount ? atCutoff.revision : undefined;
  }

  /**
   * Removes the versions that lie below the history floor, in small batches that queue up behind whatever is
   * to be written. Calls at the same time are one.
   */
  removeHistory(): Promise<void> {
    this.#removing ??= this.#removeHistory().finally(() => {
      this.#removing = undefined;
    });
    return this.#removing;
  }

  /** Most tables have nothing to remove most of the time, and are left at rest. */
  get #isHistoryRemoved(): boolean {
    const { historyFloor } = this.#state;
    const { batchNumber } = this.#writer.checkpoint;
    if (this.#blocksRemovedUpTo < historyFloor) return false;
    if (this.#historyRemoval.oldestBatchNumber >= batchNumber) return true;
    return this.#removedAt?.historyFloor === historyFloor && this.#removedAt.batchNumber === batchNumber;
  }

  /** Waits for applies and reads under way, then closes the store. Everything fails with TableClosedError afterwards. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#sweeping;
    await this.#evaluation;
    await this.#writer.idle();
    this.#writer.fail(undefined);
    this.#isClosed = true;
    this.#pages?.clear();
    await this.#store.close();
    await this.#reading;
  }

  /** Holds up no later entry. */
  #readLater(read: () => Promise<void>, end: () => void): Promise<void> {
    const turn = this.#reading
      .then(() => {
        if (this.#isClosed) this.#assertOpen();
        return read();
      })
      .finally(end);
    // Whoever waits for the answer learns of its loss.
    this.#reading = turn.catch(() => undefined);
    return turn;
  }

  async #evaluateAwake(entries: readonly TableEntry[]): Promise<Evaluated> {
    try {
      return await this.#awake(() => this.#evaluate(entries));
    } catch (error) {
      this.#writer.fail(error);
      throw error;
    }
  }

  #evaluate(entries: readonly TableEntry[]): Evaluated | Promise<Evaluated> {
    const results: ApplyResult[] = [];
    try {
      this.#assertOpen();
      for (let at = 0; at < entries.length; at++) {
        const result = this.#applier.apply(entries[at]!);
        if (result instanceof Promise)
          return this.#awake(() => this.#evaluateSlowly(entries, at, results, result));
        results.push(result);
      }
    } catch (error) {
      this.#writer.fail(error);
      return Promise.reject(error);
    }
    return this.#evaluated(results);
  }

  /** Goes on from an entry that must wait for the store. */
  async #evaluateSlowly(
    entries: readonly TableEntry[],
    first: number,
    results: ApplyResult[],
    firstResult: Promise<ApplyResult>,
  ): Promise<Evaluated> {
    try {
      results.push(await firstResult);
      for (let at = first + 1; at < entries.length; at++)
        results.push(await this.#applier.apply(entries[at]!));
    } catch (error) {
      this.#writer.fail(error);
      throw error;
    }
    return this.#evaluated(results);
  }

  #evaluated(results: ApplyResult[]): Evaluated {
    const written = this.#writer.write(this.#applier.takeEffects());
    this.#beginSweep();
    return { results, written };
  }

  #beginSweep(): void {
    if (this.#applier.canSweep && !this.#isClosing) this.#sweeping ??= this.#sweep();
  }

  /** Removes the keys of range deletions, a batch at a time. Never rejects: a failure closes the table. */
  async #sweep(): Promise<void> {
    try {
      // Whoever waits for the deletion's answer waits for a count of the same keys.
      await this.#reading;
      while (this.#applier.canSweep && !this.#isClosing && this.#writer.failure === undefined) {
        // What clients write must never wait for a second checkpoint because of this.
        await this.#writer.flushed();
        const { written } = await this.#takeTurn(() =>
          this.#awake(async () => {
            await this.#applier.sweep();
            return { written: this.#writer.write(this.#applier.takeEffects()) };
          }),
        );
        await written;
      }
    } catch (error) {
      this.#writer.fail(error);
    }
    this.#sweeping = undefined;
  }

  /** Runs after the entries that were handed over so far, and before those that come meanwhile. */
  #takeTurn<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const turn = (this.#evaluation ?? Promise.resolve()).then(work);
    const evaluation: Promise<void> = turn.then(
      () => this.#endEvaluation(evaluation),
      () => this.#endEvaluation(evaluation),
    );
    this.#evaluation = evaluation;
    return turn;
  }

  #endEvaluation(evaluation: Promise<void>): void {
    if (this.#evaluation === evaluation) this.#evaluation = undefined;
  }

  /** Writes a part of a large entry (A4), and keeps readers on a snapshot from before it. */
  async #spill(before: Effects | undefined, part: Effects): Promise<void> {
    if (before !== undefined) {
      await this.#writer.write(before);
      const held = this.#takeSnapshot();
      held.snapshot.hold(this);
      this.#before = held;
    }
    await this.#writer.write(part);
  }

  #publish({ operations, runs, state, progress, generation }: Effects): void {
    for (const run of runs) this.#pages?.written(run.operations());
    this.#pages?.written(operations);
    this.#applier.release(generation);
    if (progress !== undefined) return;
    this.#state = state;
    this.#halfApplied = undefined;
    // Housekeeping may be queued between what came before the entry and its first part: the last part alone moves the
    // applied index.
    if (this.#before === undefined || state.appliedIndex === this.#before.state.appliedIndex) return;
    this.#before.snapshot.release(this);
    this.#before = undefined;
  }

  async #removeHistory(): Promise<void> {
    this.#assertOpen();
    if (!this.#isHistoryRemoved) await this.#awake(() => this.#removeHistoryAwake());
  }

  async #removeHistoryAwake(): Promise<void> {
    for (;;) {
      this.#assertOpen();
      const removedAt = {
        historyFloor: this.#state.historyFloor,
        batchNumber: this.#writer.checkpoint.batchNumber,
      };
      const { storeKeys, isDone } = this.#historyRemoval.step(removedAt.historyFloor, removedAt.batchNumber);
      // Also an empty write makes room for others, where a step had nothing to remove but much to look at.
      if (storeKeys.length > 0 || !isDone) await this.#writer.writeHousekeeping(deletions(storeKeys));
      if (!isDone) continue;
      this.#removedAt = removedAt;
      break;
    }
    const { historyFloor } = this.#state;
    if (historyFloor <= this.#blocksRemovedUpTo) return;
    // One that began with an earlier floor writes blocks that are to be removed.
    await this.#writer.flushed();
    await this.#removeRecords(historyBlocksFrom(0), historyBlocksFrom(historyFloor + 1));
    this.#blocksRemovedUpTo = historyFloor;
  }

  /** Removes what the store has in a range of store keys, in small batches. */
  async #removeRecords(first: Buffer, end: Buffer): Promise<void> {
    for (;;) {
      this.#assertOpen();
      const scan = this.#store.scan({ gte: first, lt: end, keysOnly: true, limit: REMOVAL_STEP_KEYS_MAX });
      try {
        const found = await scan.next(REMOVAL_STEP_KEYS_MAX, BYTES_MAX);
        if (found.length === 0) return;
        await this.#writer.writeHousekeeping(deletions(found.map(([storeKey]) => storeKey)));
      } finally {
        await scan.close();
      }
    }
  }

  /** What `changeCount` was at the history floor, where no batch of that time is left; -1: nobody knows. */
  #changeCountAt(historyFloor: number): number {
    const { oldestBatchNumber } = this.#historyRemoval;
    // The first batch of a store that a snapshot brought has all changes and lists none.
    if (oldestBatchNumber === 1) return -1;
    const { state, journal } = this.#readBatch(oldestBatchNumber);
    let later = 0;
    for (const { revision } of readJournal(journal)) if (revision > historyFloor) later += 1;
    return state.changeCount - later;
  }

  #takeSnapshot(): { snapshot: SharedSnapshot; state: TableState } {
    return { snapshot: new SharedSnapshot(this.#store.snapshot()), state: this.#state };
  }

  #readBatch(batchNumber: number): ReturnType<typeof decodeBatchRecord> {
    const record = this.#store.getSync(batchKey(batchNumber));
    if (record === undefined) throw new TableGapError(this.#name, `batch ${batchNumber} is missing`);
    return decodeBatchRecord(record);
  }

  /** The last written batch of which something holds that, once false, stays false. */
  #lastBatchWhere(holds: (batch: ReturnType<typeof decodeBatchRecord>) => boolean): BatchRecord | undefined {
    let found: BatchRecord | undefined;
    let low = this.#historyRemoval.oldestBatchNumber;
    let high = this.#writer.lastBatchNumber;
    while (low <= high) {
      const middle = Math.floor((low + high) / 2);
      const batch = this.#readBatch(middle);
      if (holds(batch)) {
        found = batch;
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return found;
  }

  #assertOpen(): void {
    if (this.#writer.failure !== undefined) throw this.#writer.failure;
  }

  /** A failed write changed nothing that can be seen, so the state before it stays readable until the table is closed. */
  #assertReadable(): void {
    if (this.#isClosed) this.#assertOpen();
    if (this.#halfApplied !== undefined && this.#before === undefined) {
      throw new TableHalfAppliedError(this.#name, this.#halfApplied.index);
    }
  }
}

/** Entries whose effects are computed, and queued to be written. */
interface Evaluated {
  readonly results: ApplyResult[];
  readonly written: Promise<void>;
}

async function resultsOf({ results, written }: Evaluated): Promise<ApplyResult[]> {
  await written;
  return results;
}

function deletions(storeKeys: readonly Buffer[]): Operation[] {
  return storeKeys.map((storeKey) => ({ storeKey, record: undefined }));
}
