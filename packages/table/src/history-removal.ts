import { type Change, readJournal } from './journal.js';
import { batchKey, historyKey } from './layout.js';

/** Store keys that one step removes. */
const STEP_KEYS_MAX = 500;
/** Changes that one step looks at, most of which supersede nothing where keys are new: some milliseconds. */
const STEP_CHANGES_MAX = 10_000;

/** Finds what lies below the history floor, by the journals of the oldest batches. */
export class HistoryRemoval {
  readonly #readJournalOf: (batchNumber: number) => Buffer;
  #oldestBatchNumber: number;
  /** What is left of the oldest batch's journal. */
  #changes: Generator<Change, void> | undefined;
  /** The next of them, when it was looked at already. */
  #change: Change | undefined;

  constructor(oldestBatchNumber: number, readJournalOf: (batchNumber: number) => Buffer) {
    this.#oldestBatchNumber = oldestBatchNumber;
    this.#readJournalOf = readJournalOf;
  }

  /** The first batch whose record is still there. */
  get oldestBatchNumber(): number {
    return this.#oldestBatchNumber;
  }

  /**
   * Takes the next store keys that can go, which must then be deleted in this order. Batch records from the
   * checkpoint on must stay, so that a gap can be found (D4); their history waits for the next checkpoint.
   */
  step(historyFloor: number, checkpointBatchNumber: number): { storeKeys: Buffer[]; isDone: boolean } {
    const storeKeys: Buffer[] = [];
    let changeCount = 0;
    while (storeKeys.length < STEP_KEYS_MAX && changeCount < STEP_CHANGES_MAX) {
      if (this.#oldestBatchNumber >= checkpointBatchNumber) return { storeKeys, isDone: true };
      const change = this.#peek();
      if (change === undefined) {
        storeKeys.push(batchKey(this.#oldestBatchNumber));
        this.#oldestBatchNumber += 1;
        this.#changes = undefined;
        continue;
      }
      if (change.revision > historyFloor) return { storeKeys, isDone: true };
      if (change.supersedes) storeKeys.push(historyKey(change.key, change.revision));
      this.#change = undefined;
      changeCount += 1;
    }
    return { storeKeys, isDone: false };
  }

  #peek(): Change | undefined {
    this.#changes ??= readJournal(this.#readJournalOf(this.#oldestBatchNumber));
    this.#change ??= this.#changes.next().value ?? undefined;
    return this.#change;
  }
}
