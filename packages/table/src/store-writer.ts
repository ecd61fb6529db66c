import { type Checkpoint, encodeBatchRecord } from './batch-record.js';
import type { Effects } from './effects.js';
import { TableClosedError } from './errors.js';
import { batchKey } from './layout.js';
import type { OrderedStore } from './store.js';
import type { Progress, TableState } from './table-state.js';

/** What a record takes in LevelDB's memtable beside its key and value: skip list node, sequence number, lengths. */
const MEMTABLE_OVERHEAD_BYTES = 64;

/** A batch whose write has begun and not resolved: readers may see it or not. */
export interface InFlight {
  readonly batchNumber: number;
  readonly effects: Effects;
  /** Resolves when readers were told of it, or it has failed. */
  readonly settled: Promise<void>;
}

interface Queued {
  readonly effects: Effects;
  readonly isCheckpoint: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * Writes batches to the store one after another, numbers them, and makes checkpoints (D4). After a failed
 * write nothing is written any more: what of it is in the store only reopening can tell.
 */
export class StoreWriter {
  readonly #store: OrderedStore;
  readonly #name: string;
  readonly #checkpointSizeBytes: number;
  readonly #onWritten: (effects: Effects) => void;
  readonly #queue: Queued[] = [];
  #isDraining = false;
  #lastBatchNumber: number;
  #lastState: TableState;
  #lastProgress: Progress | undefined;
  #checkpoint: Checkpoint;
  /** About what the memtable holds. */
  #usedBytes = 0;
  #sizeBytes: number;
  #flushing: Promise<void> | undefined;
  /** A flush has begun, and the next write may still go to the log that it leaves behind. */
  #leavesLog = false;
  #inFlight: InFlight | undefined;
  #failure: TableClosedError | undefined;
  #drained: Promise<void> = Promise.resolve();

  constructor(
    store: OrderedStore,
    name: string,
    options: {
      readonly lastBatchNumber: number;
      readonly state: TableState;
      readonly progress: Progress | undefined;
      readonly checkpoint: Checkpoint;
      readonly sizeBytes: number;
      /** A checkpoint is made when half of it is used: LevelDB then never swaps memtables on its own (D4). */
      readonly writeBufferSizeBytes: number;
      /** Called when a batch is in the store, before its promise resolves. */
      readonly onWritten: (effects: Effects) => void;
    },
  ) {
    this.#store = store;
    this.#name = name;
    this.#lastBatchNumber = options.lastBatchNumber;
    this.#lastState = options.state;
    this.#lastProgress = options.progress;
    this.#checkpoint = options.checkpoint;
    this.#sizeBytes = options.sizeBytes;
    this.#checkpointSizeBytes = options.writeBufferSizeBytes / 2;
    this.#onWritten = options.onWritten;
  }

  get inFlight(): InFlight | undefined {
    return this.#inFlight;
  }

  /** Set when nothing is written any more. */
  get failure(): TableClosedError | undefined {
    return this.#failure;
  }

  /** A batch is queued or under way. */
  get isBusy(): boolean {
    return this.#isDraining;
  }

  /** A checkpoint is being made, or will be. */
  get isCheckpointing(): boolean {
    return this.#flushing !== undefined || this.#queue.some(({ isCheckpoint }) => isCheckpoint);
  }

  /** About what the store took on disk at the last checkpoint, and what its memory has taken since. */
  get sizeBytes(): number {
    return this.#sizeBytes + this.#usedBytes;
  }

  /** The last complete checkpoint. */
  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  /** The number of the last batch whose write has begun. */
  get lastBatchNumber(): number {
    return this.#lastBatchNumber;
  }

  /** Queues a batch. Resolves when it is in the store, in the order of calls. Rejects: TableClosedError. */
  write(effects: Effects): Promise<void> {
    return this.#enqueue(effects, false);
  }

  /** Queues housekeeping: a batch that leaves the table's state as the batch before it did. */
  writeHousekeeping(operations: Effects['operations']): Promise<void> {
    return this.#enqueue(this.#unchanged(operations), false);
  }

  /** Makes all that was queued before durable. Rejects: TableClosedError. */
  async makeCheckpoint(): Promise<void> {
    await this.#enqueue(this.#unchanged([]), true);
    await this.idle();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when nothing is queued, being written or being flushed, also after a failure. */
  async idle(): Promise<void> {
    await this.#drained;
    await this.#flushing;
  }

  /** Resolves when the checkpoint that is being made, if any, is complete or has failed. */
  async flushed(): Promise<void> {
    await this.#flushing;
  }

  /** Refuses all further writes. */
  fail(cause: unknown): TableClosedError {
    this.#failure ??= new TableClosedError(this.#name, cause);
    return this.#failure;
  }

  #unchanged(operations: Effects['operations']): Effects {
    return { operations, changes: [], state: this.#lastState, progress: this.#lastProgress, generation: 0 };
  }

  #enqueue(effects: Effects, isCheckpoint: boolean): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#lastState = effects.state;
    this.#lastProgress = effects.progress;
    return new Promise((resolve, reject) => {
      this.#queue.push({ effects, isCheckpoint, resolve, reject });
      if (!this.#isDraining) this.#drained = this.#drain();
    });
  }

  /** Never rejects: whoever waits for a batch learns of its failure. */
  async #drain(): Promise<void> {
    this.#isDraining = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#writeBatch(next);
      } catch (error) {
        next.reject(this.fail(error));
      }
    }
    this.#isDraining = false;
  }

  async #writeBatch({ effects, isCheckpoint, resolve }: Queued): Promise<void> {
    const batchNumber = this.#lastBatchNumber + 1;
    const batch = this.#store.batch();
    for (const { storeKey, record } of effects.operations) {
      if (record === undefined) batch.del(storeKey);
      else batch.put(storeKey, record);
    }
    const { state, progress, changes } = effects;
    batch.put(
      batchKey(batchNumber),
      encodeBatchRecord({ state, checkpoint: this.#checkpoint, progress }, changes),
    );
    this.#usedBytes += batch.sizeBytes + batch.length * MEMTABLE_OVERHEAD_BYTES;
    const checkpointIsDue = isCheckpoint || this.#usedBytes >= this.#checkpointSizeBytes;
    if (checkpointIsDue) await this.#flushing;
    this.#lastBatchNumber = batchNumber;
    let settle = (): void => undefined;
    const settled = new Promise<void>((resolveSettled) => {
      settle = resolveSettled;
    });
    this.#inFlight = { batchNumber, effects, settled };
    // LevelDB begins a new log at some moment of a flush, and leaves the old one without fsync. Whatever comes
    // before that moment must be synced, lest a crash lose it and not what comes after. To let writes wait for it
    // could cost them tenths of a second; to sync all of them until the flush ends adds half to their p99.
    // What is then in the new log is covered by the next checkpoint: it comes before LevelDB swaps on its own.
    const sync = checkpointIsDue || this.#leavesLog;
    try {
      await this.#store.write(batch, { sync });
      this.#inFlight = undefined;
      this.#onWritten(effects);
    } finally {
      settle();
    }
    resolve();
    if (!checkpointIsDue) return;
    this.#usedBytes = 0;
    this.#leavesLog = true;
    this.#flushing = this.#flush({ batchNumber, appliedIndex: state.appliedIndex });
  }

  /** Never rejects: a failed flush fails all writes from then on. */
  async #flush(checkpoint: Checkpoint): Promise<void> {
    try {
      await this.#store.flush(() => {
        this.#leavesLog = false;
      });
      this.#leavesLog = false;
      this.#checkpoint = checkpoint;
      this.#sizeBytes = await this.#store.approximateSizeBytes({});
    } catch (error) {
      this.fail(error);
    }
    this.#flushing = undefined;
  }
}
