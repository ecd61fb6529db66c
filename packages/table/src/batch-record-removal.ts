import type { BatchRecord } from './batch-record.js';
import { batchKey } from './layout.js';

/** The most batch records that one step reads. */
const STEP_BATCHES_MAX = 500;

/**
 * Finds the batch records that lie below the history floor (A5). The versions of that time are removed by `Housekeeping`,
 * block by block.
 */
export class BatchRecordRemoval {
  readonly #read: (batchNumber: number) => BatchRecord;
  #oldestBatchNumber: number;

  constructor(oldestBatchNumber: number, read: (batchNumber: number) => BatchRecord) {
    this.#oldestBatchNumber = oldestBatchNumber;
    this.#read = read;
  }

  /** The number of the first batch whose record is still there. */
  get oldestBatchNumber(): number {
    return this.#oldestBatchNumber;
  }

  /**
   * Returns the next store keys that can be removed; they must then be deleted in this order. Batch records from the
   * checkpoint on must stay, so that a gap can be found (D4).
   */
  step(historyFloor: number, checkpointBatchNumber: number): { storeKeys: Buffer[]; isDone: boolean } {
    const storeKeys: Buffer[] = [];
    while (storeKeys.length < STEP_BATCHES_MAX) {
      if (this.#oldestBatchNumber >= checkpointBatchNumber) return { storeKeys, isDone: true };
      const { state, progress } = this.#read(this.#oldestBatchNumber);
      // A part of an entry has changes of the revision that its state does not show yet (A4).
      if (state.revision > historyFloor || (progress !== undefined && state.revision === historyFloor))
        return { storeKeys, isDone: true };
      storeKeys.push(batchKey(this.#oldestBatchNumber));
      this.#oldestBatchNumber += 1;
    }
    return { storeKeys, isDone: false };
  }
}
