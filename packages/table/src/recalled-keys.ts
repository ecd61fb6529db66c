import { decodeBatchRecord } from './batch-record.js';
import { readJournal } from './journal.js';
import { BATCH_END, batchKey, batchNumberOf } from './layout.js';
import type { RangeDeletion } from './range-deletion.js';
import { keyId } from './sorted-tree.js';
import type { StoreReader } from './store.js';
import { WrittenKeys } from './written-keys.js';

/** The number of batch records whose journals are read between two turns of the event loop. */
const RECALL_BATCHES = 100;

/**
 * Returns the range deletions of a table that is being opened, each with the keys that were written since. They are
 * read from the journals of the first batch that has the deletion and of all later batches. When no batch before that
 * one is left, as after a Raft snapshot or the removal of history, journals may be missing, and the keys remain
 * unknown.
 */
export async function recallWrittenKeys(
  store: StoreReader,
  deletions: readonly RangeDeletion[],
  options: {
    readonly oldestBatchNumber: number;
    readonly lastBatchNumber: number;
    /** The limit of the memory for the keys of each deletion; see `WrittenKeys`. */
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
