import { mvcc } from '@coxswain/protocol';
import { writeSafeInteger } from './integers.js';
import { ALL_KEYS, type KeyBounds } from './key-bounds.js';
import {
  createRevisionOf,
  keyInLatestKey,
  modRevisionOf,
  RECORD_HEADER_SIZE_BYTES,
  versionOf,
} from './layout.js';
import { copyBytes } from './record-block.js';
import { compressToFrames, STREAM_IDENTIFIER } from './snappy-frames.js';
import { encodePreamble } from './snapshot-preamble.js';
import type { TableView } from './table-view.js';

const CHUNK_ENTRIES_MAX = 500;
/** Plain bytes that are compressed at a time: a fraction of a millisecond of the event loop. */
const SLAB_SIZE_BYTES = 256 * 1024;
const LENGTH_SIZE_BYTES = 8;
/** See `repeatsForStockLoader`. */
const STOCK_LOADER_SUM_BYTES = 3 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);
const ZERO_BYTE = Buffer.from([0]);

export interface SnapshotOptions {
  /** For a Raft snapshot: the group's id. The stream then begins with a record that only our nodes read. */
  readonly preamble?: number;
  /** The table's name, for records that strangers read. */
  readonly table?: Buffer;
  /** Ends the stream with a DUMMY of this leader_index, as Snapshot.Stream does; a backup has none. */
  readonly leaderIndex?: number;
  /**
   * A stock loader counts the lengths of records, drops the one that brings its sum to 3 MiB, and starts a new
   * sum. Written twice, that record survives, and any loader takes a repeated pair without harm.
   */
  readonly repeatsForStockLoader?: boolean;
  /** Begins behind this place, as an earlier stream of the same revision gave it. */
  readonly behind?: Pick<SnapshotPlace, 'lastKey' | 'stockLoaderSumBytes'>;
}

/** A place in a stream between two records, from which a second stream can go on. */
export interface SnapshotPlace {
  /** The key of the record before it. */
  readonly lastKey: Buffer;
  /** See `repeatsForStockLoader`: what the sum of a stock loader is there. */
  readonly stockLoaderSumBytes: number;
  /** Of pairs from the beginning of this stream to here. */
  readonly keyCount: number;
}

/** A part of a stream. */
export interface SnapshotPiece {
  readonly frames: Buffer;
  /** Where it ends with a whole record. */
  readonly place: SnapshotPlace | undefined;
}

/**
 * The table as a stream of framed snappy, in chunks well below 1 MiB: records of u64 little-endian length and
 * a marshalled mvcc.v1.Command, one PUT per key in key order (regatta-protocol.md section 3). Works at the
 * pace of its reader, and holds no more than a chunk. The view must stay open meanwhile.
 */
export async function* writeSnapshot(
  view: TableView,
  options: SnapshotOptions,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { frames } of writeSnapshotPieces(view, options)) yield frames;
}

/** As `writeSnapshot`, and tells where a stream that breaks off can be taken up again. */
export async function* writeSnapshotPieces(
  view: TableView,
  options: SnapshotOptions,
): AsyncGenerator<SnapshotPiece, void, undefined> {
  yield { frames: STREAM_IDENTIFIER, place: undefined };
  for await (const { plain, place } of slabs(view, options)) yield { frames: compressToFrames(plain), place };
}

/** A part of the plain stream, of at most the slab's size, valid until the next one is asked for. */
interface PlainPiece {
  readonly plain: Buffer;
  readonly place: SnapshotPlace | undefined;
}

async function* slabs(
  view: TableView,
  { preamble, table = EMPTY, leaderIndex, repeatsForStockLoader = false, behind }: SnapshotOptions,
): AsyncGenerator<PlainPiece, void, undefined> {
  const slab = new RecordSlab(table);
  if (preamble !== undefined) slab.add(encodePreamble({ group: preamble, state: view.state }));
  let stockLoaderSumBytes = behind?.stockLoaderSumBytes ?? 0;
  let keyCount = 0;
  let last: Buffer | undefined;
  const place = (): SnapshotPlace | undefined =>
    last && { lastKey: keyInLatestKey(last), stockLoaderSumBytes, keyCount };
  const bounds = boundsBehind(behind?.lastKey);
  // Our own nodes take the state as it is, with range deletions that are under way, and go on with them.
  const scan = preamble === undefined ? view.scan(bounds, {}) : view.scanStored(bounds);
  try {
    for (;;) {
      const pairs = await scan.next(CHUNK_ENTRIES_MAX);
      if (pairs.length === 0) break;
      for (const [storeKey, stored] of pairs) {
        const sizeBytes = slab.addPut(storeKey, stored);
        stockLoaderSumBytes += sizeBytes;
        if (stockLoaderSumBytes >= STOCK_LOADER_SUM_BYTES) {
          stockLoaderSumBytes = sizeBytes;
          if (repeatsForStockLoader) slab.addPut(storeKey, stored);
        }
        last = storeKey;
        keyCount++;
        if (slab.sizeBytes >= SLAB_SIZE_BYTES) yield* slab.take(place());
      }
    }
  } finally {
    await scan.close();
  }
  if (leaderIndex !== undefined) slab.add(encodeDummy(table, leaderIndex));
  yield* slab.take(leaderIndex === undefined ? place() : undefined);
}

function boundsBehind(key: Buffer | undefined): KeyBounds {
  return key === undefined ? ALL_KEYS : { first: Buffer.concat([key, ZERO_BYTE]), end: undefined };
}

/** Tags of mvcc.v1.Command and of KeyValue in it: field number and wire type. */
const TABLE = (1 << 3) | 2;
const KV = (3 << 3) | 2;
const KEY = (1 << 3) | 2;
const CREATE_REVISION = 2 << 3;
const MOD_REVISION = 3 << 3;
const VALUE = (4 << 3) | 2;
/** Field 100, which takes two bytes: 0xa0 0x06. */
const VERSION_LOW = 0xa0;
const VERSION_HIGH = 0x06;

/**
 * Gathers records. A pair is marshalled by hand, from the store's record to its place in the slab: it is all that
 * this node does for a follower cluster that starts, and takes a third of the time that the generated code takes.
 */
class RecordSlab {
  /** With its tag and length; empty where the records name none. */
  readonly #tableField: Buffer;
  #buffer = Buffer.allocUnsafe(2 * SLAB_SIZE_BYTES);
  #end = 0;

  constructor(table: Buffer) {
    const field = Buffer.allocUnsafe(bytesFieldSize(table.length));
    if (table.length > 0) {
      field[0] = TABLE;
      field.set(table, putVarint(field, 1, table.length));
    }
    this.#tableField = field;
  }

  get sizeBytes(): number {
    return this.#end;
  }

  /** What was added, in pieces; they are valid until something is added. `place` is where the last one ends. */
  *take(place: SnapshotPlace | undefined): Generator<PlainPiece, void, undefined> {
    const length = this.#end;
    this.#end = 0;
    for (let at = 0; at < length; at += SLAB_SIZE_BYTES) {
      const end = Math.min(at + SLAB_SIZE_BYTES, length);
      yield { plain: this.#buffer.subarray(at, end), place: end === length ? place : undefined };
    }
  }

  add(record: Buffer): void {
    this.#begin(record.length);
    this.#buffer.set(record, this.#end);
    this.#end += record.length;
  }

  /** A PUT of the pair that the store holds. Gives the length of the record. */
  addPut(storeKey: Buffer, stored: Buffer): number {
    const keyLength = storeKey.length - 1;
    const valueLength = stored.length - RECORD_HEADER_SIZE_BYTES;
    const createRevision = createRevisionOf(stored);
    const modRevision = modRevisionOf(stored);
    const version = versionOf(stored);
    const versionLength = numberFieldSize(version, 2);
    const kvLength =
      bytesFieldSize(keyLength) +
      numberFieldSize(createRevision, 1) +
      numberFieldSize(modRevision, 1) +
      bytesFieldSize(valueLength) +
      versionLength;
    const tableField = this.#tableField;
    const length = tableField.length + 1 + varintSize(kvLength) + kvLength;
    this.#begin(length);
    const target = this.#buffer;
    const start = this.#end;
    const valueAt = start + length - versionLength - valueLength;
    // To copy a part of a Buffer Node makes an object for it, so all of the record is copied, and what stands before its
    // value is written over, where all of that is of this record.
    const isCopied = valueAt - RECORD_HEADER_SIZE_BYTES >= start;
    if (isCopied) target.set(stored, valueAt - RECORD_HEADER_SIZE_BYTES);
    else stored.copy(target, valueAt, RECORD_HEADER_SIZE_BYTES);
    copyBytes(tableField, 0, tableField.length, target, start);
    let at = start + tableField.length;
    target[at++] = KV;
    at = putVarint(target, at, kvLength);
    // Nobody here can put an empty one, but a Txn of a stock leader cluster can (A3).
    if (keyLength > 0) {
      target[at++] = KEY;
      at = putVarint(target, at, keyLength);
      copyBytes(storeKey, 1, storeKey.length, target, at);
      at += keyLength;
    }
    if (createRevision !== 0) {
      target[at++] = CREATE_REVISION;
      at = putVarint(target, at, createRevision);
    }
    if (modRevision !== 0) {
      target[at++] = MOD_REVISION;
      at = putVarint(target, at, modRevision);
    }
    if (valueLength > 0) {
      target[at++] = VALUE;
      at = putVarint(target, at, valueLength) + valueLength;
    }
    if (version !== 0) {
      target[at++] = VERSION_LOW;
      target[at++] = VERSION_HIGH;
      at = putVarint(target, at, version);
    }
    this.#end = at;
    return length;
  }

  /** Makes room for a record, and writes its length. */
  #begin(length: number): void {
    const needed = this.#end + LENGTH_SIZE_BYTES + length;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(needed);
      this.#buffer.copy(larger, 0, 0, this.#end);
      this.#buffer = larger;
    }
    writeSafeInteger(this.#buffer, this.#end, length);
    this.#end += LENGTH_SIZE_BYTES;
  }
}

/** Empty fields and zeros are left out, as proto3 has it. */
function bytesFieldSize(length: number): number {
  return length === 0 ? 0 : 1 + varintSize(length) + length;
}

function numberFieldSize(value: number, tagSize: number): number {
  return value === 0 ? 0 : tagSize + varintSize(value);
}

function varintSize(value: number): number {
  let size = 1;
  let rest = value;
  // What has more than 31 bits is no integer to a processor, and takes longer.
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) size++;
  for (; rest >= 0x80; rest >>>= 7) size++;
  return size;
}

/** Gives where it ends. */
function putVarint(target: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) target[at++] = (rest % 0x80) | 0x80;
  for (; rest >= 0x80; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}

function encodeDummy(table: Buffer, leaderIndex: number): Buffer {
  const dummy = mvcc.Command.fromPartial({
    table,
    type: mvcc.Command_CommandType.DUMMY,
    leaderIndex: BigInt(leaderIndex),
  });
  return Buffer.from(mvcc.Command.encode(dummy).finish());
}
