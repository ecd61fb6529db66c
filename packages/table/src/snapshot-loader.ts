import { mvcc } from '@coxswain/protocol';
import { readSnapshotRecords, SnapshotDamagedError } from '@coxswain/stream';
import { ContentHash } from './content-hash.js';
import { modRevisionOf, writeRecordHeader } from './layout.js';
import { newRecordBlock } from './record-block.js';
import { decodePreamble, isPreamble, type SnapshotPreamble } from './snapshot-preamble.js';
import type { Operation, OrderedStore, StoreDirectory } from './store.js';
import { initializeStore } from './table-opening.js';
import type { TableState } from './table-state.js';

const BATCH_SIZE_BYTES = 1024 * 1024;

/** The state of a loaded store, and the place in its group's log that it stands for. */
export interface LoadedSnapshot {
  /** The last index that the snapshot stands for, and its term. */
  readonly index: number;
  readonly term: number;
  readonly state: TableState;
  /** The group that the snapshot belongs to. */
  readonly group: number;
}

/**
 * Loads the stream of a Raft snapshot into a store of its own, verifies it, and makes it durable. Revisions, versions
 * and the whole state are kept. The caller then puts the store in place with `directory.rename` and resets the log
 * (D7). Rejects with SnapshotDamagedError, or with the errors of stream and store; no store is left then.
 */
export async function loadSnapshot(
  directory: StoreDirectory,
  name: string,
  stream: AsyncIterable<Buffer>,
): Promise<LoadedSnapshot> {
  // The remains of an earlier attempt must not mix with this one.
  await directory.remove(name);
  const store = await directory.open(name, { create: true });
  try {
    const loaded = await new SnapshotLoader(store).load(stream);
    await store.close();
    return loaded;
  } catch (error) {
    await store.close();
    await directory.remove(name);
    throw error;
  }
}

class SnapshotLoader {
  readonly #store: OrderedStore;
  readonly #contentHash = new ContentHash();
  #batch: Operation[] = [];
  #batchBytes = 0;
  #keyCount = 0;
  #lastKey: Buffer | undefined;
  #preamble: SnapshotPreamble | undefined;

  constructor(store: OrderedStore) {
    this.#store = store;
  }

  async load(stream: AsyncIterable<Buffer>): Promise<LoadedSnapshot> {
    for await (const records of readSnapshotRecords(stream)) {
      for (const record of records) this.#take(record);
      if (this.#batchBytes >= BATCH_SIZE_BYTES) await this.#writeBatch();
    }
    await this.#writeBatch();
    const { group, state: carried } = this.#checkedPreamble();
    // A snapshot brings no history.
    const state = { ...carried, historyFloor: carried.revision, changeCount: 0 };
    await initializeStore(this.#store, state);
    return { index: state.appliedIndex, term: state.appliedTerm, state, group };
  }

  #take(record: Buffer): void {
    if (isPreamble(record)) {
      if (this.#keyCount > 0) throw new SnapshotDamagedError('its first record is not the first');
      this.#preamble = decodePreamble(record);
      return;
    }
    const { type, kv } = decodeCommand(record);
    if (type !== mvcc.Command_CommandType.PUT || kv === undefined) {
      throw new SnapshotDamagedError(`it holds a command of type ${type}`);
    }
    this.#takePair(kv);
  }

  #takePair(kv: mvcc.KeyValue): void {
    const isInOrder = this.#lastKey === undefined || Buffer.compare(kv.key, this.#lastKey) > 0;
    if (!isInOrder) throw new SnapshotDamagedError('its keys are not in order');
    const { identity, storeKey, record } = newRecordBlock(kv.key, kv.value);
    writeRecordHeader(record, toNumber(kv.createRevision), toNumber(kv.modRevision), toNumber(kv.version));
    // In the middle of a load there may be pairs without revisions, which do not count yet.
    if (modRevisionOf(record) !== 0) this.#contentHash.add(identity);
    this.#batch.push({ storeKey, record });
    this.#batchBytes += storeKey.length + record.length;
    this.#keyCount += 1;
    this.#lastKey = kv.key;
  }

  async #writeBatch(): Promise<void> {
    if (this.#batch.length === 0) return;
    await this.#store.write(this.#batch);
    this.#batch = [];
    this.#batchBytes = 0;
  }

  #checkedPreamble(): SnapshotPreamble {
    if (this.#preamble === undefined) throw new SnapshotDamagedError('it has no record of ours');
    const { state } = this.#preamble;
    if (state.keyCount !== this.#keyCount) {
      const keys = this.#keyCount === 1 ? 'key' : 'keys';
      throw new SnapshotDamagedError(`it holds ${this.#keyCount} ${keys}, not ${state.keyCount}`);
    }
    if (!state.contentHash.equals(this.#contentHash.toBuffer())) {
      throw new SnapshotDamagedError('its content hash differs');
    }
    return this.#preamble;
  }
}

function decodeCommand(record: Buffer): mvcc.Command {
  try {
    return mvcc.Command.decode(record);
  } catch (error) {
    throw new SnapshotDamagedError('a record is not a Command', { cause: error });
  }
}

function toNumber(value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new SnapshotDamagedError('a revision is out of range');
  }
  return Number(value);
}
