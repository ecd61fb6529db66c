import { mvcc } from '@coxswain/protocol';
import { whyNotUnderstood } from '@coxswain/replication';
import {
  compareKeys,
  type KeyPlace,
  PairRecord,
  SnapshotDamagedError,
  SnapshotRecords,
} from '@coxswain/stream';
import { keyId, keyOfId, newSortedTree, type SortedTree } from '@coxswain/table';
import type { ArchivedEntry } from './log-object.js';

/** The most bytes of keys and values that a fold keeps in memory, each key with what the tree needs for it. */
const FOLDED_BYTES_MAX = 64 * 1024 * 1024;
const OVERHEAD_BYTES = 100;
/** Bytes of merged records that are handed on at a time. */
const BLOCK_BYTES = 64 * 1024;
const LENGTH_BYTES = 8;
/** Any revision will do: a restore stamps each pair anew (T3). 0 would say that the pair is still to be stamped. */
const SOME_REVISION = 1n;
const { PUT, DELETE, PUT_BATCH, DELETE_BATCH, SEQUENCE, TXN, DUMMY, GC } = mvcc.Command_CommandType;

/** The last write to a key: its value, or undefined for a deletion. */
type Write = readonly [key: Buffer, value: Buffer | undefined];

/**
 * The beginning of a log as the last write to each key, so that a restore loads a key that was written a thousand times
 * once, in its place among the pairs of the base, and applies nothing twice. A restore stamps all pairs anew (T3), so
 * which write came when is not needed. Commands that read, or that name a range of keys, end the fold: they and all
 * later ones are replayed.
 */
export class FoldedLog {
  readonly #writes: SortedTree<Buffer | undefined> = newSortedTree();
  readonly #bytesMax: number;
  #sizeBytes = 0;
  #lastIndex = 0;

  /** @param bytesMax the limit of what is kept, in bytes; exceeded by the writes of one entry at most */
  constructor(bytesMax = FOLDED_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** The index of the last entry that was folded; 0 when none was. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /**
   * Folds entries until one cannot be folded, or the limit is reached. Returns whether all of them were. Rejects with
   * what the source throws.
   */
  async fold(entries: AsyncIterable<readonly ArchivedEntry[]>): Promise<boolean> {
    for await (const some of entries) {
      for (const { index, command } of some) {
        if (this.#sizeBytes >= this.#bytesMax || !this.#take(command)) return false;
        this.#lastIndex = index;
      }
    }
    return true;
  }

  /**
   * Merges the folded writes into the pairs of a base, which are in key order and end with a DUMMY or the stream.
   * Rejects with SnapshotDamagedError for a record that is neither, and with what the source throws.
   */
  async *mergedInto(
    base: AsyncIterable<SnapshotRecords> | Iterable<SnapshotRecords>,
  ): AsyncGenerator<SnapshotRecords, void, undefined> {
    const merge = new Merge(this.#writes);
    for await (const records of base) yield* merge.take(records);
    yield* merge.end();
  }

  /** Takes the writes of a command, or returns false and takes none of them. */
  #take(command: Buffer): boolean {
    if (command.length === 0) return true;
    const writes: Write[] = [];
    if (!addWrites(decoded(command), writes)) return false;
    for (const [key, value] of writes) {
      const id = keyId(key);
      const before = this.#writes.get(id);
      if (before === undefined && !this.#writes.has(id)) this.#sizeBytes += key.length + OVERHEAD_BYTES;
      this.#sizeBytes += (value?.length ?? 0) - (before?.length ?? 0);
      // A copy, since a command shares the memory of a whole block of its object.
      this.#writes.set(id, value && Buffer.from(value));
    }
    return true;
  }
}

/** Decodes a command; bytes that are none are left to the replay, which refuses them. */
function decoded(bytes: Buffer): mvcc.Command | undefined {
  try {
    return mvcc.Command.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Adds the writes of a command in order. Returns false for one that does more than write keys that it names. */
function addWrites(command: mvcc.Command | undefined, writes: Write[]): boolean {
  if (command === undefined || whyNotUnderstood(command) !== undefined) return false;
  switch (command.type) {
    case PUT:
      return addWrite(writes, command.kv?.key, command.kv?.value);
    case DELETE:
      return isPoint(command) && addWrite(writes, command.kv?.key, undefined);
    case PUT_BATCH:
      return command.batch.every(({ key, value }) => addWrite(writes, key, value));
    case DELETE_BATCH:
      return command.batch.every(({ key }) => addWrite(writes, key, undefined));
    case SEQUENCE:
      return command.sequence.every((inner) => addWrites(inner, writes));
    case TXN:
      // Without a compare it succeeds.
      return (
        command.txn?.compare.length === 0 && command.txn.success.every((each) => addOperation(each, writes))
      );
    case DUMMY:
    case GC:
      return true;
    default:
      return false;
  }
}

function addOperation({ request }: mvcc.RequestOp, writes: Write[]): boolean {
  switch (request?.$case) {
    case 'requestPut':
      return addWrite(writes, request.value.key, request.value.value);
    case 'requestDeleteRange':
      return isPoint(request.value) && addWrite(writes, request.value.key, undefined);
    case 'requestRange':
      return true;
    default:
      return false;
  }
}

function isPoint({ rangeEnd }: { readonly rangeEnd?: Buffer | undefined }): boolean {
  return rangeEnd === undefined || rangeEnd.length === 0;
}

/** No table holds an empty key: how such a write is treated is left to apply. */
function addWrite(writes: Write[], key: Buffer | undefined, value: Buffer | undefined): boolean {
  if (key === undefined || key.length === 0) return false;
  writes.push([key, value]);
  return true;
}

/** Merges writes into pairs, both in key order, and gathers the merged records in blocks. */
class Merge {
  readonly #writes: Iterator<[string, Buffer | undefined]>;
  #next: { readonly place: KeyPlace; readonly value: Buffer | undefined } | undefined;
  readonly #pair = new PairRecord();
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #hasEnded = false;

  constructor(writes: SortedTree<Buffer | undefined>) {
    this.#writes = writes.entries();
    this.#advance();
  }

  /** Takes pairs, and the writes to keys before the last of them. */
  *take(records: SnapshotRecords): Generator<SnapshotRecords> {
    const { bytes, starts, ends } = records;
    if (this.#isBeforeNext(records)) {
      yield* this.#block();
      yield records;
      return;
    }
    for (let place = 0; place < starts.length; place++) {
      const start = starts[place]!;
      const end = ends[place]!;
      if (this.#hasEnded) throw new SnapshotDamagedError('records follow its end');
      if (!this.#read(bytes, start, end)) {
        this.#hasEnded = true;
        continue;
      }
      let order = 1;
      while (this.#next !== undefined) {
        order = compareKeys(this.#next.place, this.#pair);
        if (order >= 0) break;
        yield* this.#write();
      }
      // The write stays the next one, since a pair may come twice in a row (docs/protocol.md §3).
      if (order !== 0) yield* this.#add(bytes.subarray(start - LENGTH_BYTES, end));
    }
  }

  /** Takes the writes to keys after the last pair. */
  *end(): Generator<SnapshotRecords> {
    while (this.#next !== undefined) yield* this.#write();
    yield* this.#block();
  }

  /** Whether all of the records are pairs that stay as they are, and precede the next write: nothing is copied then. */
  #isBeforeNext({ bytes, starts, ends }: SnapshotRecords): boolean {
    if (this.#hasEnded || starts.length === 0) return false;
    for (let place = 0; place < starts.length; place++) {
      if (!this.#pair.read(bytes, starts[place]!, ends[place]!)) return false;
    }
    return this.#next === undefined || compareKeys(this.#next.place, this.#pair) > 0;
  }

  /** Reads a pair. Returns false for the DUMMY that ends the pairs. */
  #read(bytes: Buffer, start: number, end: number): boolean {
    if (this.#pair.read(bytes, start, end)) return true;
    const command = decoded(bytes.subarray(start, end));
    if (command?.type === DUMMY) return false;
    if (command?.type !== PUT || command.kv === undefined)
      throw new SnapshotDamagedError('a record is no pair');
    this.#pair.assign(command.kv);
    return true;
  }

  *#write(): Generator<SnapshotRecords> {
    const { place, value } = this.#next!;
    this.#advance();
    if (value !== undefined) yield* this.#add(recordOf(place.bytes, value));
  }

  *#add(record: Buffer): Generator<SnapshotRecords> {
    this.#gathered.push(record);
    this.#gatheredBytes += record.length;
    if (this.#gatheredBytes >= BLOCK_BYTES) yield* this.#block();
  }

  *#block(): Generator<SnapshotRecords> {
    if (this.#gathered.length === 0) return;
    const starts: number[] = [];
    const ends: number[] = [];
    let at = 0;
    for (const { length } of this.#gathered) {
      starts.push(at + LENGTH_BYTES);
      at += length;
      ends.push(at);
    }
    const bytes = Buffer.concat(this.#gathered, at);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    yield new SnapshotRecords(bytes, starts, ends);
  }

  #advance(): void {
    const { value: entry, done } = this.#writes.next();
    if (done) {
      this.#next = undefined;
      return;
    }
    const bytes = keyOfId(entry[0]);
    this.#next = { place: { bytes, keyStart: 0, keyEnd: bytes.length }, value: entry[1] };
  }
}

/** Encodes a pair as a record of a snapshot stream: a u64 length and a PUT. */
function recordOf(key: Buffer, value: Buffer): Buffer {
  const kv = {
    key,
    value,
    createRevision: SOME_REVISION,
    modRevision: SOME_REVISION,
    version: SOME_REVISION,
  };
  const command = mvcc.Command.encode(mvcc.Command.fromPartial({ type: PUT, kv })).finish();
  const record = Buffer.allocUnsafe(LENGTH_BYTES + command.length);
  record.writeBigUInt64LE(BigInt(command.length));
  record.set(command, LENGTH_BYTES);
  return record;
}
