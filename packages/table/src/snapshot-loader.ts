import { mvcc } from '@coxswain/protocol';
import { ContentHash } from './content-hash.js';
import { SnapshotDamagedError } from './errors.js';
import { modRevisionOf, writeRecordHeader } from './layout.js';
import { identityOf, newRecordBlock } from './record-block.js';
import { ALL_KEYS, scanLatest } from './record-source.js';
import { decodePreamble, isPreamble, type SnapshotPreamble } from './snapshot-preamble.js';
import { readSnapshotRecords } from './snapshot-reader.js';
import type { OrderedStore, StoreBatch, StoreDirectory } from './store.js';
import { initializeStore } from './table.js';
import type { TableState } from './table-state.js';

const BATCH_SIZE_BYTES = 1024 * 1024;
const CHUNK_ENTRIES_MAX = 500;

/** What a stream is, which decides what its keys become (T3). */
export type SnapshotKind =
  /** From a node of ours: revisions, versions and the whole state stay; its hash must hold. */
  | { readonly kind: 'raft' }
  /**
   * From a leader cluster: revisions and versions stay, and where a stock leader sends none, they are its
   * leader_index and version 1. `index`: the base of the new shard's log (T1).
   */
  | { readonly kind: 'replication'; readonly index: number }
  /** From a backup: every key is stamped anew with `index`, the base of the new shard's log (T1), version 1. */
  | { readonly kind: 'restore'; readonly index: number };

/** What a loaded store will be opened as. */
export interface LoadedSnapshot {
  /** The last index that it stands for, and its term. */
  readonly index: number;
  readonly term: number;
  readonly state: TableState;
  /** The group that a Raft snapshot is of. */
  readonly group: number | undefined;
}

/**
 * Loads a snapshot stream into a store of its own, verifies it, and makes it durable. The caller then puts it
 * in place with `directory.rename` and resets the log (D7). Rejects with SnapshotDamagedError, or the errors
 * of stream and store; nothing is left behind then.
 */
export async function loadSnapshot(
  directory: StoreDirectory,
  name: string,
  stream: AsyncIterable<Buffer>,
  how: SnapshotKind = { kind: 'raft' },
): Promise<LoadedSnapshot> {
  // What an earlier attempt left must not shine through.
  await directory.remove(name);
  const store = await directory.open(name, { create: true });
  try {
    const loaded = await new SnapshotLoader(store, how).load(stream);
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
  readonly #how: SnapshotKind;
  readonly #contentHash = new ContentHash();
  #batch: StoreBatch;
  #keyCount = 0;
  #lastKey: Buffer | undefined;
  #preamble: SnapshotPreamble | undefined;
  #leaderIndex: number | undefined;
  /** Some keys came without revisions, so they take the leader_index, which comes last. */
  #hasUnstamped = false;

  constructor(store: OrderedStore, how: SnapshotKind) {
    this.#store = store;
    this.#how = how;
    this.#batch = store.batch();
  }

  async load(stream: AsyncIterable<Buffer>): Promise<LoadedSnapshot> {
    for await (const records of readSnapshotRecords(stream)) {
      for (const record of records) this.#take(record);
      if (this.#batch.sizeBytes >= BATCH_SIZE_BYTES) await this.#writeBatch();
    }
    await this.#writeBatch();
    if (this.#hasUnstamped) await this.#stampAll(this.#endOfStream());
    const state = this.#finalState();
    await initializeStore(this.#store, state);
    return {
      index: state.appliedIndex,
      term: state.appliedTerm,
      state,
      group: this.#preamble?.group,
    };
  }

  #take(record: Buffer): void {
    if (isPreamble(record)) {
      if (this.#keyCount > 0) throw new SnapshotDamagedError('its first record is not the first');
      this.#preamble = decodePreamble(record);
      return;
    }
    if (this.#leaderIndex !== undefined) throw new SnapshotDamagedError('records follow its end');
    const { type, kv, leaderIndex } = decodeCommand(record);
    if (type === mvcc.Command_CommandType.PUT && kv !== undefined) this.#takePair(kv);
    else if (type === mvcc.Command_CommandType.DUMMY) this.#leaderIndex = toNumber(leaderIndex ?? 0n);
    else throw new SnapshotDamagedError(`it holds a command of type ${type}`);
  }

  #takePair(kv: mvcc.KeyValue): void {
    const order = this.#lastKey === undefined ? 1 : Buffer.compare(kv.key, this.#lastKey);
    // A pair may come twice in a row, for the sake of stock loaders; see SnapshotOptions.
    if (order === 0) return;
    if (order < 0) throw new SnapshotDamagedError('its keys are not in order');
    const { identity, storeKey, record } = newRecordBlock(kv.key, kv.value);
    if (this.#how.kind === 'restore') writeRecordHeader(record, this.#how.index, this.#how.index, 1);
    else
      writeRecordHeader(record, toNumber(kv.createRevision), toNumber(kv.modRevision), toNumber(kv.version));
    if (modRevisionOf(record) === 0) this.#hasUnstamped = true;
    else this.#contentHash.add(identity);
    this.#batch.put(storeKey, record);
    this.#keyCount += 1;
    this.#lastKey = kv.key;
  }

  async #writeBatch(): Promise<void> {
    if (this.#batch.length === 0) return;
    await this.#store.write(this.#batch, { sync: false });
    this.#batch = this.#store.batch();
  }

  async #stampAll(leaderIndex: number): Promise<void> {
    const scan = scanLatest(this.#store, undefined, ALL_KEYS, {});
    try {
      for (;;) {
        const pairs = await scan.next(CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) return;
        for (const [storeKey, record] of pairs) {
          if (modRevisionOf(record) !== 0) continue;
          const stamped = Buffer.from(record);
          writeRecordHeader(stamped, leaderIndex, leaderIndex, 1);
          this.#contentHash.add(identityOf(storeKey, stamped));
          this.#batch.put(storeKey, stamped);
        }
        await this.#writeBatch();
      }
    } finally {
      await scan.close();
    }
  }

  #endOfStream(): number {
    if (this.#leaderIndex === undefined || this.#leaderIndex === 0) {
      throw new SnapshotDamagedError('it ends without a leader_index');
    }
    return this.#leaderIndex;
  }

  #finalState(): TableState {
    const contentHash = this.#contentHash.toBuffer();
    if (this.#how.kind === 'raft') {
      if (this.#preamble === undefined) throw new SnapshotDamagedError('it has no record of ours');
      const { state } = this.#preamble;
      if (state.keyCount !== this.#keyCount) {
        throw new SnapshotDamagedError(`it holds ${this.#keyCount} keys, not ${state.keyCount}`);
      }
      if (!state.contentHash.equals(contentHash)) throw new SnapshotDamagedError('its content hash differs');
      // No history comes with it.
      return { ...state, historyFloor: state.revision, changeCount: 0 };
    }
    const leaderIndex = this.#how.kind === 'replication' ? this.#endOfStream() : undefined;
    const revision = leaderIndex ?? this.#how.index;
    return {
      appliedIndex: this.#how.index,
      appliedTerm: 0,
      revision,
      leaderIndex,
      lastTimeMs: 0,
      historyFloor: revision,
      keyCount: this.#keyCount,
      contentHash,
      sealedBy: undefined,
      changeCount: 0,
    };
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
