import { Applier } from './applier.js';
import type { BufferedStore } from './buffered-store.js';
import type { Effects } from './effects.js';
import type { EncodedPairs } from './encoded-pairs.js';
import { Housekeeping } from './housekeeping.js';
import { outcomeKey } from './layout.js';
import { type Gap, PageCache } from './page-cache.js';
import { StoreWriter } from './store-writer.js';
import { type OpenedTable, openTableStore } from './table-opening.js';
import type { TableOptions } from './table-options.js';
import { type PointRead, TableReader } from './table-reader.js';
import { liveKeyCountOf, type TableState } from './table-state.js';
import type { TableView } from './table-view.js';
import type { ApplyResult, RangePage, RangeQuery, TableEntry } from './types.js';
import { WRITTEN_KEYS_SIZE_BYTES_MAX } from './written-keys.js';

/** The most bytes of one entry's effects in one store batch (A4), unless the write buffer is small. */
const EFFECTS_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** The least value of that limit, however small the write buffer is. */
const EFFECTS_SIZE_BYTES_MIN = 64 * 1024;
/** The most store writes of one entry in one store batch (A4). Preparing them takes some milliseconds. */
const EFFECTS_OPERATIONS_MAX = 4000;

/**
 * The state machine of one shard: applies the entries of its log to a store, and reads the store at any revision that
 * history reaches back to. DESIGN.md has the layout and the reasons.
 */
export class Table {
  readonly #store: BufferedStore;
  readonly #applier: Applier;
  readonly #writer: StoreWriter;
  readonly #reader: TableReader;
  readonly #housekeeping: Housekeeping;
  readonly #pages: PageCache | undefined;
  /** True from the call of `close` on. From then on the table itself begins no more work. */
  #isClosing = false;
  /** The removal of the keys of range deletions that is under way. */
  #sweeping: Promise<void> | undefined;
  /** Resolves when the entries so far have been evaluated; undefined when there is nothing to wait for. */
  #evaluation: Promise<void> | undefined;

  private constructor(options: TableOptions, store: BufferedStore, opened: OpenedTable) {
    const { name } = options;
    this.#store = store;
    this.#pages = options.pageBudget && new PageCache(store, options.pageBudget);
    this.#writer = new StoreWriter(store, name, {
      ...opened,
      writeBufferSizeBytes: options.writeBufferSizeBytes,
      writeBudget: options.writeBudget,
      onWritten: (effects) => this.#publish(effects),
    });
    this.#reader = new TableReader(name, store, this.#writer, this.#pages, opened);
    this.#housekeeping = new Housekeeping(name, this.#reader, store, this.#writer, opened);
    this.#applier = new Applier(store, opened.state, opened.progress, {
      effectsSizeBytesMax:
        options.effectsSizeBytesMax ??
        Math.max(EFFECTS_SIZE_BYTES_MIN, Math.min(EFFECTS_SIZE_BYTES_MAX, options.writeBufferSizeBytes / 4)),
      effectsOperationsMax: options.effectsOperationsMax ?? EFFECTS_OPERATIONS_MAX,
      writtenKeysSizeBytesMax: options.writtenKeysSizeBytesMax ?? WRITTEN_KEYS_SIZE_BYTES_MAX,
      pages: this.#pages,
      spill: (before, part) => this.#spill(before, part),
      readLater: (read, end) => this.#reader.readLater(read, end),
    });
    this.#beginSweep();
  }

  /**
   * Opens the table, and checks that its store lost no batch (D4). Rejects with TableGapError or StoreDamagedError when
   * the replica must be fenced, else with the store's errors.
   */
  static async open(options: TableOptions): Promise<Table> {
    const { store, opened } = await openTableStore(options);
    return new Table(options, store, opened);
  }

  /** The state as of the last entry whose write has completed, which reads see. */
  get state(): TableState {
    return this.#reader.state;
  }

  get appliedIndex(): number {
    return this.#reader.state.appliedIndex;
  }

  get appliedTerm(): number {
    return this.#reader.state.appliedTerm;
  }

  get revision(): number {
    return this.#reader.state.revision;
  }

  get leaderIndex(): number | undefined {
    return this.#reader.state.leaderIndex;
  }

  get lastTimeMs(): number {
    return this.#reader.state.lastTimeMs;
  }

  /** The oldest revision that can be read. */
  get historyFloor(): number {
    return this.#reader.state.historyFloor;
  }

  /**
   * The number of live keys; undefined after a crash in the middle of an entry, and while the keys of a range deletion
   * are being removed (A4).
   */
  get keyCount(): number | undefined {
    return this.isHalfApplied ? undefined : liveKeyCountOf(this.#reader.state);
  }

  /**
   * True when opening found an entry that a crash left half applied. Nothing can be read before the log has applied it
   * to its end (A4).
   */
  get isHalfApplied(): boolean {
    return this.#reader.isHalfApplied;
  }

  /**
   * The content hash in hex, by which replicas can be compared at the same applied index (A6). Undefined after a crash
   * in the middle of an entry, and while the keys of a range deletion are being removed (A4).
   */
  get contentHash(): string | undefined {
    if (this.isHalfApplied || this.isSweeping) return undefined;
    return this.#reader.state.contentHash.toString('hex');
  }

  /** True while the keys of a range deletion are being removed (A4). Reads no longer see them. */
  get isSweeping(): boolean {
    return this.#reader.state.deletions.length > 0;
  }

  /** The shard that took over, 0 when the table is deleted, undefined while it serves (T2). */
  get sealedBy(): number | undefined {
    return this.#reader.state.sealedBy;
  }

  /** True when a write has failed. Nothing more is applied until the table is opened again; reads continue. */
  get hasFailed(): boolean {
    return this.#writer.failure !== undefined;
  }

  /** The last index of which a crash can take nothing away. The log may be truncated up to it (D4). */
  get checkpointIndex(): number {
    return this.#writer.checkpoint.appliedIndex;
  }

  /** About how many bytes the table takes: on disk as of its last checkpoint, and in memory since. */
  get approximateSizeBytes(): number {
    return this.#writer.sizeBytes;
  }

  /** True while a checkpoint is being made or is queued. */
  get isCheckpointing(): boolean {
    return this.#writer.isCheckpointing;
  }

  /**
   * Applies entries in one store batch, unless an effect is too large for that (A4). May be called again before it
   * resolves: entries are evaluated in the order of calls, on the effects of those before (A2), and results come in
   * that order when the writes are done. Entries must stay unchanged until then. Rejects with TableClosedError when a
   * write failed, or with the cause when an entry cannot be applied. Both close the table: open it again and replay.
   */
  apply(entries: readonly TableEntry[]): Promise<ApplyResult[]> {
    // Only an entry that reads ranges makes others wait, and only until it is evaluated.
    if (this.#evaluation !== undefined || !this.isAwake)
      return this.#takeTurn(() => this.#evaluateAwake(entries)).then(resultsOf);
    const evaluated = this.#evaluate(entries);
    if (!(evaluated instanceof Promise)) return resultsOf(evaluated);
    return this.#takeTurn(() => evaluated).then(resultsOf);
  }

  /**
   * Makes all applied entries durable, so that `checkpointIndex` advances. Reads and writes continue meanwhile. Rejects
   * with TableClosedError.
   */
  async checkpoint(): Promise<void> {
    this.#writer.assertOpen();
    if (this.#writer.checkpoint.batchNumber === this.#writer.lastBatchNumber && !this.#writer.isBusy) return;
    await this.#writer.makeCheckpoint();
  }

  /** True while the table's files are open; see RestingStore. */
  get isAwake(): boolean {
    return this.#store.isAwake;
  }

  /** Opens the table's files when they are closed. Rejects with the store's errors. */
  wake(): Promise<void> {
    return this.#store.awake(() => undefined);
  }

  /**
   * Returns the latest record of a key: one point read, without a promise, of a table that must be awake. Throws
   * TableClosedError, TableHalfAppliedError.
   */
  get(key: Buffer): PointRead {
    return this.#reader.get(key);
  }

  /** Returns the latest record of a key as `get` does, in the form of an answer. */
  encodedGet(key: Buffer): EncodedPairs {
    return this.#reader.encodedGet(key);
  }

  /**
   * Returns the first pairs of a range at the latest revision from memory, or the first part of it that is not there,
   * for `fillGap`. Returns undefined when the range must be read another way, because it takes more than `bytesMax` or
   * the table is being changed in parts. Throws TableClosedError, TableHalfAppliedError.
   */
  cachedRange(
    query: Pick<RangeQuery, 'key' | 'rangeEnd' | 'limit'>,
    bytesMax: number,
  ): EncodedPairs | Gap | undefined {
    return this.#reader.cachedRange(query, bytesMax);
  }

  /**
   * Reads the beginning of a gap into memory, about `wanted` pairs of it. Rejects with TableClosedError or the store's
   * errors.
   */
  fillGap(gap: Gap, wanted: number): Promise<void> {
    return this.#reader.fillGap(gap, wanted);
  }

  /**
   * Counts the live keys, by reading each while the keys of a range deletion are being removed. Rejects with the errors
   * that `view` throws.
   */
  countKeys(): Promise<number> {
    return this.#reader.countKeys();
  }

  /** Reads the first page of a range at the latest revision; see TableView.range. */
  range(query: RangeQuery): Promise<RangePage & { readonly revision: number }> {
    return this.#reader.range(query);
  }

  /**
   * Opens a view of the table as it is now, or as it was at an earlier revision. The view must be closed. Throws
   * TableClosedError, TableHalfAppliedError, RevisionCompactedError, RevisionInFutureError.
   */
  view(revision?: number): TableView {
    return this.#reader.view(revision);
  }

  /**
   * Returns which way a Txn with compares on revisions or versions went; undefined when that was not recorded or has
   * been pruned (R3).
   */
  async txnOutcome(index: number, command = 0): Promise<boolean | undefined> {
    this.#writer.assertOpen();
    const outcome = await this.#store.get(outcomeKey(index, command));
    return outcome === undefined ? undefined : outcome[0] === 1;
  }

  /** Removes the outcomes of Txns in entries below an index, which the log no longer has. */
  pruneOutcomes(belowIndex: number): Promise<void> {
    return this.#housekeeping.pruneOutcomes(belowIndex);
  }

  /**
   * Returns the greatest revision that was current at `cutoffTimeMs` (milliseconds since 1970) by the entries' own
   * times, and at least `oldRevision`, which the caller knows to be old enough whatever those times are (A7). The
   * leader proposes a Compact of this revision (A5). Undefined means that no history below it is left to compact. Costs
   * some point reads, or none when nothing was written since the last Compact. Rejects with TableClosedError.
   */
  compactableRevision(cutoffTimeMs: number, oldRevision = 0): Promise<number | undefined> {
    return this.#housekeeping.compactableRevision(cutoffTimeMs, oldRevision);
  }

  /**
   * Removes the versions that lie below the history floor, in small batches that queue after the writes that wait
   * already. A call during another one shares its promise. Rejects with TableClosedError.
   */
  removeHistory(): Promise<void> {
    return this.#housekeeping.removeHistory();
  }

  /** Waits for applies and reads under way, then closes the store. All later calls fail with TableClosedError. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#sweeping;
    await this.#evaluation;
    await this.#writer.idle();
    this.#writer.fail(undefined);
    this.#reader.close();
    await this.#store.close();
    await this.#reader.answersRead;
  }

  async #evaluateAwake(entries: readonly TableEntry[]): Promise<Evaluated> {
    try {
      return await this.#store.awake(() => this.#evaluate(entries));
    } catch (error) {
      this.#writer.fail(error);
      throw error;
    }
  }

  #evaluate(entries: readonly TableEntry[]): Evaluated | Promise<Evaluated> {
    const results: ApplyResult[] = [];
    try {
      this.#writer.assertOpen();
      for (let at = 0; at < entries.length; at++) {
        const result = this.#applier.apply(entries[at]!);
        if (result instanceof Promise)
          return this.#store.awake(() => this.#evaluateSlowly(entries, at, results, result));
        results.push(result);
      }
    } catch (error) {
      this.#writer.fail(error);
      return Promise.reject(error);
    }
    return this.#evaluated(results);
  }

  /** Continues from an entry that must wait for the store. */
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
      // The caller that waits for the deletion's answer waits for a count of the same keys.
      await this.#reader.answersRead;
      while (this.#applier.canSweep && !this.#isClosing && this.#writer.failure === undefined) {
        // Writes of clients must never wait for a second checkpoint because of the sweep.
        await this.#writer.flushed();
        const { written } = await this.#takeTurn(() =>
          this.#store.awake(async () => {
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

  /** Runs `work` after the entries that were handed over so far, and before those that come meanwhile. */
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

  /** Writes a part of a large entry (A4), and keeps readers on a snapshot from before the entry. */
  async #spill(before: Effects | undefined, part: Effects): Promise<void> {
    if (before !== undefined) {
      await this.#writer.write(before);
      this.#reader.holdStill();
    }
    await this.#writer.write(part);
  }

  #publish({ operations, runs, state, progress, generation }: Effects): void {
    for (const run of runs) this.#pages?.written(run.operations());
    this.#pages?.written(operations);
    this.#applier.release(generation);
    if (progress === undefined) this.#reader.show(state);
  }
}

/** The results of entries whose effects have been computed and handed over to be written. */
interface Evaluated {
  readonly results: ApplyResult[];
  readonly written: Promise<void>;
}

async function resultsOf({ results, written }: Evaluated): Promise<ApplyResult[]> {
  await written;
  return results;
}
