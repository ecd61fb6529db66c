import { type Checkpoint, encodeBatchRecord } from './batch-record.js';
import type { BufferedStore } from './buffered-store.js';
import type { Effects } from './effects.js';
import { TableClosedError } from './errors.js';
import { batchKey } from './layout.js';
import type { Progress, TableState } from './table-state.js';
import type { BufferedWrites, WriteBudget } from './write-budget.js';

interface Queued {
  readonly effects: Effects;
  readonly isCheckpoint: boolean;
  readonly resolve: (batchNumber: number) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Writes batches to the store one after another, numbers them, and makes checkpoints (D4). A batch is written, and
 * readers see it, in the turn that hands it over, unless memory is full: then it waits for the flush that makes room.
 * After a failed flush nothing more is written.
 */
export class StoreWriter implements BufferedWrites {
  readonly #store: BufferedStore;
  readonly #name: string;
  readonly #bufferSizeBytes: number;
  readonly #budget: WriteBudget | undefined;
  readonly #onWritten: (effects: Effects) => void;
  readonly #queue: Queued[] = [];
  #isDraining = false;
  #lastBatchNumber: number;
  /** The state after the last batch that is queued. */
  #lastState: TableState;
  /** The state after the last batch that is written. */
  #written: TableState;
  #lastProgress: Progress | undefined;
  #checkpoint: Checkpoint;
  #sizeBytes: number;
  #flushing: Promise<void> | undefined;
  #failure: TableClosedError | undefined;
  #drained: Promise<void> = Promise.resolve();

  constructor(
    store: BufferedStore,
    name: string,
    options: {
      readonly lastBatchNumber: number;
      readonly state: TableState;
      readonly progress: Progress | undefined;
      readonly checkpoint: Checkpoint;
      readonly sizeBytes: number;
      /** The memory for writes, in bytes. Half of it may be written while the other half is being flushed. */
      readonly writeBufferSizeBytes: number;
      /** The memory for the writes of all tables together; undefined for no such limit. */
      readonly writeBudget: WriteBudget | undefined;
      /** Called when readers see a batch, before the promise of its `write` resolves. */
      readonly onWritten: (effects: Effects) => void;
    },
  ) {
    this.#store = store;
    this.#name = name;
    this.#lastBatchNumber = options.lastBatchNumber;
    this.#lastState = options.state;
    this.#written = options.state;
    this.#lastProgress = options.progress;
    this.#checkpoint = options.checkpoint;
    this.#sizeBytes = options.sizeBytes;
    this.#bufferSizeBytes = options.writeBufferSizeBytes / 2;
    this.#budget = options.writeBudget;
    this.#onWritten = options.onWritten;
  }

  get usedBytes(): number {
    return this.#store.usedBytes;
  }

  /** The error of all further writes; undefined while the writer accepts writes. */
  get failure(): TableClosedError | undefined {
    return this.#failure;
  }

  /** Throws TableClosedError when a write has failed or the table was closed. */
  assertOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** True while a batch waits for room. */
  get isBusy(): boolean {
    return this.#isDraining;
  }

  /** True while a checkpoint is being made or is queued. */
  get isCheckpointing(): boolean {
    return this.#flushing !== undefined || this.#queue.some(({ isCheckpoint }) => isCheckpoint);
  }

  /** About how many bytes the store took on disk at the last checkpoint, and its memory has taken since. */
  get sizeBytes(): number {
    return this.#sizeBytes + this.#store.usedBytes;
  }

  /** The last complete checkpoint. */
  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  /** The number of the last batch. */
  get lastBatchNumber(): number {
    return this.#lastBatchNumber;
  }

  /** Writes a batch. Resolves when readers see it, in the order of calls. Rejects with TableClosedError. */
  async write(effects: Effects): Promise<void> {
    await this.#enqueue(effects, false);
    // A large entry comes in many parts (A4); others have their turn between two of them.
    if (effects.progress !== undefined) await this.#takeTurn();
  }

  /**
   * Writes a batch that does not change the table's state, and then lets others have their turn. Rejects with
   * TableClosedError.
   */
  async writeHousekeeping(operations: Effects['operations']): Promise<void> {
    await this.#enqueue(this.#unchanged(operations), false);
    await this.#takeTurn();
  }

  /** Lets others have their turn. The table may be closed meanwhile. */
  async #takeTurn(): Promise<void> {
    try {
      await this.#store.turn();
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Makes all earlier writes durable. Rejects with TableClosedError. */
  async makeCheckpoint(): Promise<void> {
    const batchNumber = await this.#enqueue(this.#unchanged([]), true);
    while (this.#failure === undefined && this.#checkpoint.batchNumber < batchNumber) await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when no batch waits and no flush runs, also after a failure. */
  async idle(): Promise<void> {
    await this.#drained;
    while (this.#flushing !== undefined) await this.#flushing;
  }

  /** Resolves when the checkpoint that is being made, if any, is complete or has failed. */
  async flushed(): Promise<void> {
    await this.#flushing;
  }

  /** Refuses all further writes, and returns their error. */
  fail(cause: unknown): TableClosedError {
    this.#failure ??= new TableClosedError(this.#name, cause);
    this.#budget?.remove(this);
    return this.#failure;
  }

  #unchanged(operations: Effects['operations']): Effects {
    return {
      operations,
      runs: [],
      changes: [],
      state: this.#lastState,
      progress: this.#lastProgress,
      generation: 0,
    };
  }

  /** Writes a batch or queues it. Resolves with the batch's number. */
  #enqueue(effects: Effects, isCheckpoint: boolean): Promise<number> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#lastState = effects.state;
    this.#lastProgress = effects.progress;
    if (!this.#isDraining && !this.#mustWait(isCheckpoint)) {
      return Promise.resolve(this.#writeBatch(effects, isCheckpoint));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ effects, isCheckpoint, resolve, reject });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  /**
   * Returns true when a batch must wait: one flush runs at a time, and meanwhile only as much is written as there is
   * room for.
   */
  #mustWait(isCheckpoint: boolean): boolean {
    return this.#flushing !== undefined && (isCheckpoint || this.#isFull || this.#budget?.isFull === true);
  }

  get #isFull(): boolean {
    return this.#store.usedBytes > this.#bufferSizeBytes;
  }

  /** Writes the queued batches. Never rejects: the callers that wait for a batch get the error. */
  async #drain(): Promise<void> {
    this.#isDraining = true;
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      while (this.#mustWait(next.isCheckpoint)) await this.#flushing;
      this.#queue.shift();
      if (this.#failure === undefined) {
        next.resolve(this.#writeBatch(next.effects, next.isCheckpoint));
      } else {
        next.reject(this.#failure);
      }
    }
    this.#isDraining = false;
  }

  #writeBatch(effects: Effects, isCheckpoint: boolean): number {
    const batchNumber = this.#lastBatchNumber + 1;
    const { operations, runs, state, progress, changes } = effects;
    const record = encodeBatchRecord({ state, checkpoint: this.#checkpoint, progress }, changes);
    this.#store.write([...operations, { storeKey: batchKey(batchNumber), record }], runs);
    this.#lastBatchNumber = batchNumber;
    this.#written = state;
    this.#onWritten(effects);
    if (isCheckpoint || this.#isFull) this.beginFlush();
    this.#budget?.account(this);
    return batchNumber;
  }

  beginFlush(): void {
    if (this.#flushing !== undefined || this.#failure !== undefined) return;
    const { appliedIndex, historyFloor } = this.#written;
    this.#flushing = this.#flush({ batchNumber: this.#lastBatchNumber, appliedIndex }, historyFloor);
  }

  /** Makes a checkpoint. Never rejects: a failed flush fails all later writes. */
  async #flush(checkpoint: Checkpoint, historyFloor: number): Promise<void> {
    const budgetedBytes = this.#budget?.flushBegins(this) ?? 0;
    try {
      await this.#store.flush({ historyFloor, batchNumber: checkpoint.batchNumber });
      this.#checkpoint = checkpoint;
      this.#sizeBytes = await this.#store.approximateSizeBytes({});
    } catch (error) {
      this.fail(error);
    }
    this.#flushing = undefined;
    this.#budget?.flushEnds(budgetedBytes);
    if (this.#failure !== undefined) return;
    // The batches that came meanwhile may have filled the memory again.
    if (this.#isFull) this.beginFlush();
    this.#budget?.account(this);
  }
}
