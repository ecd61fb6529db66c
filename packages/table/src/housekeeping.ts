import { type BatchRecord, decodeBatchRecord } from './batch-record.js';
import { BatchRecordRemoval } from './batch-record-removal.js';
import type { BufferedStore } from './buffered-store.js';
import { TableGapError } from './errors.js';
import { readJournal } from './journal.js';
import { batchKey, historyBlocksFrom, outcomeKey } from './layout.js';
import type { Operation } from './store.js';
import type { StoreWriter } from './store-writer.js';
import type { OpenedTable } from './table-opening.js';
import type { TableReader } from './table-reader.js';

/** The most records that housekeeping removes in one batch. */
const REMOVAL_STEP_KEYS_MAX = 500;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Finds the history of a table that is old enough to go, and removes history below the floor: versions, batch records,
 * outcomes of Txns. It writes between the batches of entries, in small batches of its own.
 */
export class Housekeeping {
  readonly #name: string;
  readonly #reader: Pick<TableReader, 'state'>;
  readonly #store: BufferedStore;
  readonly #writer: StoreWriter;
  readonly #batchRecordRemoval: BatchRecordRemoval;
  /** The removal of history that is under way. */
  #removing: Promise<void> | undefined;
  /** The `changeCount` that the table had at a history floor. */
  #atFloor: { readonly historyFloor: number; readonly changeCount: number } | undefined;
  /** The store holds no block of this revision or an earlier one, and will get none. */
  #blocksRemovedUpTo: number;
  /** The history floor and the checkpoint at which nothing was left to remove. */
  #removedAt: { readonly historyFloor: number; readonly batchNumber: number } | undefined;
  /** The outcomes of entries below this index have been removed. */
  #outcomesFrom = 0;

  constructor(
    name: string,
    reader: Pick<TableReader, 'state'>,
    store: BufferedStore,
    writer: StoreWriter,
    opened: Pick<OpenedTable, 'blocksRemovedUpTo' | 'oldestBatchNumber'>,
  ) {
    this.#name = name;
    this.#reader = reader;
    this.#store = store;
    this.#writer = writer;
    this.#blocksRemovedUpTo = opened.blocksRemovedUpTo;
    this.#batchRecordRemoval = new BatchRecordRemoval(opened.oldestBatchNumber, (batchNumber) =>
      this.#readBatch(batchNumber),
    );
  }

  /** Removes the outcomes of Txns in entries below an index, which the log no longer has. */
  async pruneOutcomes(belowIndex: number): Promise<void> {
    if (this.#outcomesFrom >= belowIndex) return;
    await this.#removeRecords(outcomeKey(this.#outcomesFrom, 0), outcomeKey(belowIndex, 0));
    this.#outcomesFrom = belowIndex;
  }

  /**
   * Returns the greatest revision that was current at `cutoffTimeMs` (milliseconds since 1970) by the entries' own
   * times, and at least `oldRevision`, which the caller knows to be old enough whatever those times are (A7). The
   * leader proposes a Compact of this revision (A5). Undefined means that no history below it is left to compact. Costs
   * some point reads, or none when nothing was written since the last Compact. Rejects with TableClosedError.
   */
  async compactableRevision(cutoffTimeMs: number, oldRevision = 0): Promise<number | undefined> {
    this.#writer.assertOpen();
    const { historyFloor, changeCount, revision } = this.#reader.state;
    const isKnown = this.#atFloor?.historyFloor === historyFloor && this.#atFloor.changeCount === changeCount;
    if (isKnown || revision <= historyFloor) return undefined;
    return await this.#store.awake(() => this.#findCompactable(cutoffTimeMs, oldRevision));
  }

  #findCompactable(cutoffTimeMs: number, oldRevision: number): number | undefined {
    this.#writer.assertOpen();
    const { historyFloor, changeCount } = this.#reader.state;
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
   * Removes the versions that lie below the history floor (A5), in small batches that queue after the writes that wait
   * already. A call during another one shares its promise. Rejects with TableClosedError.
   */
  removeHistory(): Promise<void> {
    this.#removing ??= this.#removeHistory().finally(() => {
      this.#removing = undefined;
    });
    return this.#removing;
  }

  /**
   * True when there is nothing to remove, as in most tables most of the time, so that the table can be left at rest.
   */
  get #isHistoryRemoved(): boolean {
    const { historyFloor } = this.#reader.state;
    const { batchNumber } = this.#writer.checkpoint;
    if (this.#blocksRemovedUpTo < historyFloor) return false;
    if (this.#batchRecordRemoval.oldestBatchNumber >= batchNumber) return true;
    return this.#removedAt?.historyFloor === historyFloor && this.#removedAt.batchNumber === batchNumber;
  }

  async #removeHistory(): Promise<void> {
    this.#writer.assertOpen();
    if (!this.#isHistoryRemoved) await this.#store.awake(() => this.#removeHistoryAwake());
  }

  async #removeHistoryAwake(): Promise<void> {
    for (;;) {
      this.#writer.assertOpen();
      const removedAt = {
        historyFloor: this.#reader.state.historyFloor,
        batchNumber: this.#writer.checkpoint.batchNumber,
      };
      const { storeKeys, isDone } = this.#batchRecordRemoval.step(
        removedAt.historyFloor,
        removedAt.batchNumber,
      );
      // An empty write still lets others have their turn, when a step removed nothing but read much.
      if (storeKeys.length > 0 || !isDone) await this.#writer.writeHousekeeping(deletions(storeKeys));
      if (!isDone) continue;
      this.#removedAt = removedAt;
      break;
    }
    const { historyFloor } = this.#reader.state;
    if (historyFloor <= this.#blocksRemovedUpTo) return;
    // A flush that began with an earlier floor writes blocks that must be removed too.
    await this.#writer.flushed();
    await this.#removeRecords(historyBlocksFrom(0), historyBlocksFrom(historyFloor + 1));
    this.#blocksRemovedUpTo = historyFloor;
  }

  /** Removes all records in a range of store keys, in small batches. */
  async #removeRecords(first: Buffer, end: Buffer): Promise<void> {
    for (;;) {
      this.#writer.assertOpen();
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

  /**
   * Returns the `changeCount` that the table had at the history floor, when no batch of that time is left; -1 when it
   * is not known.
   */
  #changeCountAt(historyFloor: number): number {
    const { oldestBatchNumber } = this.#batchRecordRemoval;
    // The first batch of a store that came from a snapshot has all changes and lists none.
    if (oldestBatchNumber === 1) return -1;
    const { state, journal } = this.#readBatch(oldestBatchNumber);
    let later = 0;
    for (const { revision } of readJournal(journal)) if (revision > historyFloor) later += 1;
    return state.changeCount - later;
  }

  #readBatch(batchNumber: number): ReturnType<typeof decodeBatchRecord> {
    const record = this.#store.getSync(batchKey(batchNumber));
    if (record === undefined) throw new TableGapError(this.#name, `batch ${batchNumber} is missing`);
    return decodeBatchRecord(record);
  }

  /**
   * Returns the last written batch for which `holds` returns true. Once `holds` is false for a batch, it must be false
   * for all later ones.
   */
  #lastBatchWhere(holds: (batch: ReturnType<typeof decodeBatchRecord>) => boolean): BatchRecord | undefined {
    let found: BatchRecord | undefined;
    let low = this.#batchRecordRemoval.oldestBatchNumber;
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
}

function deletions(storeKeys: readonly Buffer[]): Operation[] {
  return storeKeys.map((storeKey) => ({ storeKey, record: undefined }));
}
