import { decodeBatchRecord } from './batch-record.js';
import { readJournal } from './journal.js';
import { isWithinBounds, type KeyBounds } from './key-bounds.js';
import { BATCH_END, batchKey, batchNumberOf } from './layout.js';
import type { RangeDeletion } from './range-deletion.js';
import { keyId, newSortedTree, type SortedTree } from './sorted-tree.js';
import type { StoreReader } from './store.js';

/** What the keys of one range deletion may take: about 90,000 of 30 bytes. Past that, readers walk over the store. */
export const WRITTEN_KEYS_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** What a key takes besides its bytes, about. */
const KEY_OVERHEAD_BYTES = 64;

/** Keys by their ids; see `keyId`. */
export type KeyTree = SortedTree<undefined>;

/**
 * The keys that were written within the bounds of a range deletion since it was made: no other key of the bounds can be
 * live, whether the sweep has removed it or not. It only grows, so it serves whoever reads the table as it was at some
 * moment since then: what was written later is not in that reader's snapshot. In memory only.
 */
export class WrittenKeys {
  readonly #bounds: KeyBounds;
  readonly #sizeBytesMax: number;
  #tree: KeyTree | undefined = newSortedTree<undefined>();
  #sizeBytes = 0;

  /** Of a deletion of all these keys, of which none has been written since. */
  constructor(bounds: KeyBounds, sizeBytesMax: number) {
    this.#bounds = bounds;
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** All that the deletion deleted, with what the sweep has removed already. */
  get bounds(): KeyBounds {
    return this.#bounds;
  }

  /** Grows while it is read. Undefined: there were too many, and they are not known any more. */
  get tree(): KeyTree | undefined {
    return this.#tree;
  }

  /** Takes note of a key that has been written, wherever it is. */
  add(key: Buffer, id: string): void {
    if (this.#tree === undefined || !isWithinBounds(this.#bounds, key)) return;
    if (!this.#tree.setIfNotPresent(id, undefined)) return;
    this.#sizeBytes += key.length + KEY_OVERHEAD_BYTES;
    // Whoever reads the tree goes on with it, as it holds all that this reader can see.
    if (this.#sizeBytes > this.#sizeBytesMax) this.#tree = undefined;
  }
}

/** The next ids, at most `max`, from `from` on and before `end`, in order; undefined `end`: no upper bound. */
export function idsFrom(tree: KeyTree, from: string, end: string | undefined, max: number): string[] {
  const ids: string[] = [];
  for (const id of tree.keys(from)) {
    if (ids.length === max || (end !== undefined && id >= end)) break;
    ids.push(id);
  }
  return ids;
}

/** Batch records whose journals are read between two turns of the event loop. */
const RECALL_BATCHES = 100;

/**
 * The deletions of a table that is being opened, with the keys that were written since each: the journals from the first
 * batch on that has the deletion tell them. Where no batch before that one is left, as after a Raft snapshot or where
 * the history was removed, journals may be gone, and it stays unknown.
 */
export async function recallWrittenKeys(
  store: StoreReader,
  deletions: readonly RangeDeletion[],
  options: {
    readonly oldestBatchNumber: number;
    readonly lastBatchNumber: number;
    /** See `WrittenKeys`. */
    readonly sizeBytesMax: number;
  },
): Promise<readonly RangeDeletion[]> {
  const { oldestBatchNumber, lastBatchNumber, sizeBytesMax } = options;
  const read = (batchNumber: number): readonly RangeDeletion[] =>
    decodeBatchRecord(store.getSync(batchKey(batchNumber))!).state.deletions;
  const recalled: { readonly written: WrittenKeys; readonly since: number }[] = [];
  const all = deletions.map((deletion) => {
    const isSame = ({ revision, lane }: RangeDeletion): boolean =>
      revision === deletion.revision && lane === deletion.lane;
    let low = oldestBatchNumber;
    let high = lastBatchNumber;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (read(middle).some(isSame)) high = middle;
      else low = middle + 1;
    }
    if (low === oldestBatchNumber) return deletion;
    const written = new WrittenKeys(read(low).find(isSame)!, sizeBytesMax);
    recalled.push({ written, since: low });
    return { ...deletion, written };
  });
  if (recalled.length === 0) return all;
  const scan = store.scan({ gte: batchKey(recalled[0]!.since), lt: BATCH_END });
  try {
    for (;;) {
      const page = await scan.next(RECALL_BATCHES, Number.MAX_SAFE_INTEGER);
      if (page.length === 0) return all;
      for (const [storeKey, record] of page) {
        const growing = recalled.filter(({ since }) => since <= batchNumberOf(storeKey));
        for (const { key } of readJournal(decodeBatchRecord(record).journal))
          for (const { written } of growing) written.add(key, keyId(key));
      }
    }
  } finally {
    await scan.close();
  }
}
