import { mvcc } from '@coxswain/protocol';
import { writeSafeInteger } from './integers.js';
import { createRevisionOf, keyInLatestKey, modRevisionOf, valueIn, versionOf } from './layout.js';
import { ALL_KEYS } from './record-source.js';
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
  yield STREAM_IDENTIFIER;
  for await (const slab of slabs(view, options)) yield compressToFrames(slab);
}

/** The plain stream in pieces of about the slab's size. */
async function* slabs(view: TableView, options: SnapshotOptions): AsyncGenerator<Buffer, void, undefined> {
  let parts: Buffer[] = [];
  let sizeBytes = 0;
  const add = (record: Buffer): void => {
    const length = Buffer.allocUnsafe(LENGTH_SIZE_BYTES);
    writeSafeInteger(length, 0, record.length);
    parts.push(length, record);
    sizeBytes += LENGTH_SIZE_BYTES + record.length;
  };
  for await (const record of records(view, options)) {
    add(record);
    if (sizeBytes < SLAB_SIZE_BYTES) continue;
    const plain = Buffer.concat(parts);
    parts = [];
    sizeBytes = 0;
    for (let at = 0; at < plain.length; at += SLAB_SIZE_BYTES) yield plain.subarray(at, at + SLAB_SIZE_BYTES);
  }
  if (sizeBytes > 0) yield Buffer.concat(parts);
}

async function* records(
  view: TableView,
  { preamble, table = EMPTY, leaderIndex, repeatsForStockLoader = false }: SnapshotOptions,
): AsyncGenerator<Buffer, void, undefined> {
  if (preamble !== undefined) yield encodePreamble({ group: preamble, state: view.state });
  let stockLoaderSumBytes = 0;
  const scan = view.scan(ALL_KEYS, {});
  try {
    for (;;) {
      const pairs = await scan.next(CHUNK_ENTRIES_MAX);
      if (pairs.length === 0) break;
      for (const [storeKey, stored] of pairs) {
        const record = encodePut(table, keyInLatestKey(storeKey), stored);
        yield record;
        stockLoaderSumBytes += record.length;
        if (stockLoaderSumBytes < STOCK_LOADER_SUM_BYTES) continue;
        stockLoaderSumBytes = record.length;
        if (repeatsForStockLoader) yield record;
      }
    }
  } finally {
    await scan.close();
  }
  if (leaderIndex !== undefined) yield encodeDummy(table, leaderIndex);
}

function encodePut(table: Buffer, key: Buffer, record: Buffer): Buffer {
  const kv: mvcc.KeyValue = {
    key,
    value: valueIn(record),
    createRevision: BigInt(createRevisionOf(record)),
    modRevision: BigInt(modRevisionOf(record)),
    version: BigInt(versionOf(record)),
  };
  return encode({ ...NOTHING, table, type: mvcc.Command_CommandType.PUT, kv });
}

function encodeDummy(table: Buffer, leaderIndex: number): Buffer {
  return encode({
    ...NOTHING,
    table,
    type: mvcc.Command_CommandType.DUMMY,
    leaderIndex: BigInt(leaderIndex),
  });
}

const NOTHING = { kv: undefined, batch: [], prevKvs: false, sequence: [], count: false };

function encode(command: mvcc.Command): Buffer {
  return Buffer.from(mvcc.Command.encode(command).finish());
}
