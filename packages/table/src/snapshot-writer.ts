import { mvcc } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { writePair } from './encoded-pair.js';
import { writeSafeInteger } from './integers.js';
import { ALL_KEYS, type KeyBounds } from './key-bounds.js';
import { keyInLatestKey } from './layout.js';
import { elementSizeBytes, keyValueSizeBytes } from './pair-size.js';
import { copyBytes } from './record-block.js';
import { encodePreamble } from './snapshot-preamble.js';
import type { TableView } from './table-view.js';

const CHUNK_ENTRIES_MAX = 500;
/**
 * The number of plain bytes that are compressed at a time, which takes a fraction of a millisecond of the event loop.
 */
const SLAB_SIZE_BYTES = 256 * 1024;
const LENGTH_SIZE_BYTES = 8;
/** The sum of record lengths at which a stock loader drops a record; see `repeatsForStockLoader`. */
const STOCK_LOADER_SUM_BYTES = 3 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);
const ZERO_BYTE = Buffer.from([0]);

/** The options of a snapshot stream, which depend on its receiver. */
export interface SnapshotOptions {
  /** The group's id, for a Raft snapshot. The stream then begins with a record that only our nodes read. */
  readonly preamble?: number;
  /** The table's name, for records that nodes of others read. */
  readonly table?: Buffer;
  /** The leader_index of the DUMMY that ends the stream, as in Snapshot.Stream. A backup has none. */
  readonly leaderIndex?: number;
  /**
   * True repeats the records that a stock loader would lose. It sums up the lengths of records, drops the one that
   * brings the sum to 3 MiB, and starts a new sum. A record that is written twice survives, and any loader takes a
   * repeated pair without harm.
   */
  readonly repeatsForStockLoader?: boolean;
  /** The place after which the stream begins, from an earlier stream of the same revision. */
  readonly behind?: Pick<SnapshotPlace, 'lastKey' | 'stockLoaderSumBytes'>;
}

/** A place in a stream between two records, from which a second stream can continue. */
export interface SnapshotPlace {
  /** The key of the record before the place. */
  readonly lastKey: Buffer;
  /** The sum that a stock loader has reached there; see `repeatsForStockLoader`. */
  readonly stockLoaderSumBytes: number;
  /** The number of pairs from the beginning of this stream up to the place. */
  readonly keyCount: number;
}

/** A part of a stream. */
export interface SnapshotPiece {
  readonly frames: Buffer;
  /** The place where the piece ends, if it ends with a whole record. */
  readonly place: SnapshotPlace | undefined;
}

/**
 * Yields the table as a stream of framed snappy, in chunks well below 1 MiB: records of u64 little-endian length and a
 * marshalled mvcc.v1.Command, one PUT per key in key order (docs/protocol.md §3). It works at the pace of its reader,
 * and holds no more than a chunk. The view must stay open meanwhile.
 */
export async function* writeSnapshot(
  view: TableView,
  options: SnapshotOptions,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { frames } of writeSnapshotPieces(view, options)) yield frames;
}

/**
 * Yields a snapshot as `writeSnapshot` does, with the place where each piece ends, from which a stream that breaks off
 * can be continued.
 */
export async function* writeSnapshotPieces(
  view: TableView,
  options: SnapshotOptions,
): AsyncGenerator<SnapshotPiece, void, undefined> {
  yield { frames: STREAM_IDENTIFIER, place: undefined };
  for await (const { plain, place } of slabs(view, options)) yield { frames: compressToFrames(plain), place };
}

/** A part of the plain stream, of at most the slab's size. It is valid until the next one is asked for. */
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
  // Our own nodes take the state as it is, with range deletions that are under way, and continue these.
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

/**
 * Gathers records. A pair is marshalled by hand, from the store's record to its place in the slab: that is all the work
 * of this node for a follower cluster that starts, and takes a third of the time of the generated code.
 */
class RecordSlab {
  /** The encoded table name with its tag and length; empty when the records name no table. */
  readonly #tableField: Buffer;
  #buffer = Buffer.allocUnsafe(2 * SLAB_SIZE_BYTES);
  #end = 0;

  constructor(table: Buffer) {
    this.#tableField = Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial({ table })).finish());
  }

  get sizeBytes(): number {
    return this.#end;
  }

  /**
   * Yields the records that were added, in pieces, which are valid until something is added. `place` is where the last
   * record ends.
   */
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

  /** Adds a PUT of a stored pair. Returns the length of the record. */
  addPut(storeKey: Buffer, stored: Buffer): number {
    const tableField = this.#tableField;
    const pairBytes = keyValueSizeBytes(storeKey.length - 1, stored, false);
    const length = tableField.length + elementSizeBytes(pairBytes);
    this.#begin(length);
    copyBytes(tableField, 0, tableField.length, this.#buffer, this.#end);
    // The pair is written as an element of a RangeResponse, since the field of a Command that holds its pair has the
    // same number.
    this.#end = writePair(this.#buffer, this.#end + tableField.length, storeKey, stored, pairBytes, 1);
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

function encodeDummy(table: Buffer, leaderIndex: number): Buffer {
  const dummy = mvcc.Command.fromPartial({
    table,
    type: mvcc.Command_CommandType.DUMMY,
    leaderIndex: BigInt(leaderIndex),
  });
  return Buffer.from(mvcc.Command.encode(dummy).finish());
}
