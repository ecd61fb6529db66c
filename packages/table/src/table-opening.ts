import { type Checkpoint, decodeBatchRecord, encodeBatchRecord } from './batch-record.js';
import { BufferedStore } from './buffered-store.js';
import { ContentHash } from './content-hash.js';
import { TableGapError } from './errors.js';
import { KeyBlocks } from './key-blocks.js';
import { BATCH_END, batchKey, batchNumberOf, historyBlocksFrom } from './layout.js';
import { recallWrittenKeys } from './recalled-keys.js';
import type { OrderedStore } from './store.js';
import type { TableOptions } from './table-options.js';
import type { Progress, TableState } from './table-state.js';
import { WRITTEN_KEYS_SIZE_BYTES_MAX } from './written-keys.js';

const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** The facts in a table's store with which the table is opened. */
export interface OpenedTable {
  readonly state: TableState;
  /** How far the entry has come that a crash left half applied (A4); undefined when there is none. */
  readonly progress: Progress | undefined;
  readonly checkpoint: Checkpoint;
  readonly sizeBytes: number;
  readonly oldestBatchNumber: number;
  readonly lastBatchNumber: number;
  /** The store holds no history block of this revision or an earlier one. */
  readonly blocksRemovedUpTo: number;
}

/**
 * Opens a table's store, and checks that it lost no batch (D4). Writes the first batch of a new store. Rejects with
 * TableGapError or StoreDamagedError when the replica must be fenced, else with the store's errors.
 */
export async function openTableStore(
  options: TableOptions,
): Promise<{ readonly store: BufferedStore; readonly opened: OpenedTable }> {
  const { directory, name, create, writtenKeysSizeBytesMax = WRITTEN_KEYS_SIZE_BYTES_MAX } = options;
  const keyBlocks = { blockKeys: options.keyBlockKeys };
  const store = await directory.open(name, { create });
  let isHeld = false;
  try {
    await store.hold();
    isHeld = true;
    const last = await readLastBatch(store);
    if (last === undefined) {
      if (!create) throw new TableGapError(name, 'it holds no batch at all');
      const state = await initializeStore(store, initialState(options));
      const checkpoint = { batchNumber: 1, appliedIndex: state.appliedIndex };
      const opened = {
        state,
        progress: undefined,
        checkpoint,
        sizeBytes: 0,
        oldestBatchNumber: 1,
        lastBatchNumber: 1,
        blocksRemovedUpTo: state.historyFloor,
      };
      return { store: new BufferedStore(store, KeyBlocks.empty(keyBlocks)), opened };
    }
    await assertNoGap(store, name, last.checkpoint.batchNumber, last.batchNumber);
    const batches = {
      oldestBatchNumber: (await readFirstBatchNumber(store)) ?? last.batchNumber,
      lastBatchNumber: last.batchNumber,
    };
    const deletions = await recallWrittenKeys(store, last.state.deletions, {
      ...batches,
      sizeBytesMax: writtenKeysSizeBytesMax,
    });
    const opened = {
      ...last,
      ...batches,
      state: { ...last.state, deletions },
      sizeBytes: await store.approximateSizeBytes({}),
      blocksRemovedUpTo: (await hasBlocksUpTo(store, last.state.historyFloor)) ? -1 : last.state.historyFloor,
    };
    return { store: new BufferedStore(store, KeyBlocks.unknown(last.state.keyCount, keyBlocks)), opened };
  } catch (error) {
    await store.close();
    throw error;
  } finally {
    if (isHeld) store.release();
  }
}

function initialState({ initialIndex, isReplicated = false }: TableOptions): TableState {
  const revision = isReplicated ? 0 : initialIndex;
  return {
    appliedIndex: initialIndex,
    appliedTerm: 0,
    revision,
    leaderIndex: isReplicated ? 0 : undefined,
    lastTimeMs: 0,
    historyFloor: revision,
    keyCount: 0,
    contentHash: new ContentHash().toBuffer(),
    sealedBy: undefined,
    changeCount: 0,
    deletions: [],
    swept: [],
  };
}

async function readLastBatch(
  store: OrderedStore,
): Promise<(ReturnType<typeof decodeBatchRecord> & { batchNumber: number }) | undefined> {
  const scan = store.scan({ gte: batchKey(0), lt: BATCH_END, reverse: true, limit: 1 });
  try {
    const [last] = await scan.next(1, BYTES_MAX);
    return last && { ...decodeBatchRecord(last[1]), batchNumber: batchNumberOf(last[0]) };
  } finally {
    await scan.close();
  }
}

async function readFirstBatchNumber(store: OrderedStore): Promise<number | undefined> {
  const scan = store.scan({ gte: batchKey(0), lt: BATCH_END, keysOnly: true, limit: 1 });
  try {
    const [first] = await scan.next(1, BYTES_MAX);
    return first && batchNumberOf(first[0]);
  } finally {
    await scan.close();
  }
}

/** Returns whether the store has history of this revision or an earlier one. */
async function hasBlocksUpTo(store: OrderedStore, revision: number): Promise<boolean> {
  const range = { gte: historyBlocksFrom(0), lt: historyBlocksFrom(revision + 1) };
  const scan = store.scan({ ...range, keysOnly: true, limit: 1 });
  try {
    return (await scan.next(1, BYTES_MAX)).length > 0;
  } finally {
    await scan.close();
  }
}

/**
 * Checks that every batch from the last checkpoint on is there (D4). Rejects with TableGapError when one is missing.
 */
async function assertNoGap(store: OrderedStore, name: string, first: number, last: number): Promise<void> {
  // The last batch has been read.
  if (first === last) return;
  const scan = store.scan({ gte: batchKey(first), lt: BATCH_END, keysOnly: true });
  try {
    let expected = first;
    for (;;) {
      const page = await scan.next(1000, BYTES_MAX);
      for (const [storeKey] of page) {
        const found = batchNumberOf(storeKey);
        if (found !== expected)
          throw new TableGapError(name, `batch ${expected} is missing, ${found} is there`);
        expected += 1;
      }
      if (page.length === 0) break;
    }
    if (expected <= last) throw new TableGapError(name, `batch ${expected} is missing`);
  } finally {
    await scan.close();
  }
}

/** Writes the first batch record of a new store, and makes it durable. */
export async function initializeStore(store: OrderedStore, state: TableState): Promise<TableState> {
  const checkpoint = { batchNumber: 1, appliedIndex: state.appliedIndex };
  const record = encodeBatchRecord({ state, checkpoint, progress: undefined }, []);
  await store.write([{ storeKey: batchKey(1), record }]);
  await store.flush();
  return state;
}
