import { mvcc } from '@coxswain/protocol';
import {
  compressToFrames,
  readSnapshotRecords,
  SnapshotDamagedError,
  STREAM_IDENTIFIER,
} from '@coxswain/stream';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Compressor, Decompressor } from 'snappy';
import {
  LevelStoreDirectory,
  loadSnapshot,
  MemoryStoreDirectory,
  type SnapshotOptions,
  type StoreDirectory,
  Table,
  writeSnapshot,
} from '../src/index.js';
import { bytes, del, entry, put, putBatch, query, replicated, text } from './commands.js';

const WRITE_BUFFER_SIZE_BYTES = 1 << 20;

function openTable(directory: StoreDirectory, name: string, create: boolean): Promise<Table> {
  return Table.open({
    directory,
    name,
    create,
    initialIndex: 0,
    writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES,
  });
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function snapshotOf(table: Table, options: SnapshotOptions): Promise<Buffer> {
  const view = table.view();
  const stream = await collect(writeSnapshot(view, options));
  view.close();
  return stream;
}

/** Hands a stream over in odd pieces, as a network does. */
async function* inPieces(stream: Buffer, sizeBytes = 777): AsyncGenerator<Buffer> {
  for (let at = 0; at < stream.length; at += sizeBytes) yield stream.subarray(at, at + sizeBytes);
}

/** A stream as a stock leader makes it: no revisions, any records. */
async function stockStream(records: Buffer[]): Promise<Buffer> {
  const compressor = new Compressor();
  const parts = records.map((record) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(record.length));
    return compressor.update(Buffer.concat([length, record]));
  });
  return Buffer.concat([...parts, await compressor.finish()]);
}

const encoded = (command: mvcc.Command): Buffer => Buffer.from(mvcc.Command.encode(command).finish());

async function recordsOf(stream: Buffer): Promise<Buffer[]> {
  const decompressor = new Decompressor();
  const plain = Buffer.concat([decompressor.update(stream), await decompressor.finish()]);
  const records = [];
  for (let at = 0; at < plain.length; ) {
    const length = Number(plain.readBigUInt64LE(at));
    records.push(plain.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return records;
}

async function pairs(table: Table): Promise<unknown[]> {
  const { records } = await table.range(query('\0', '\0'));
  return records.map((record) => ({ ...record, key: text(record.key), value: text(record.value) }));
}

describe('a snapshot stream', () => {
  let directory: MemoryStoreDirectory;
  let source: Table;

  beforeEach(async () => {
    directory = new MemoryStoreDirectory();
    source = await openTable(directory, 'source', true);
    await source.apply([
      entry(1, put('a', '1')),
      entry(2, put('a', '2')),
      entry(
        3,
        putBatch([
          ['b', ''],
          ['c', 'x'.repeat(1000)],
          ['d', ''],
        ]),
      ),
      entry(4, del('d')),
    ]);
  });

  afterEach(() => source.close());

  async function load(stream: Buffer): Promise<Table> {
    await loadSnapshot(directory, 'incoming', inPieces(stream));
    await directory.rename('incoming', 'loaded');
    return openTable(directory, 'loaded', false);
  }

  test('of a Raft group carries the whole state, and the receiver applies on (D7, T3)', async () => {
    const stream = await snapshotOf(source, { preamble: 10001 });
    const loaded = await loadSnapshot(directory, 'incoming', inPieces(stream));
    expect(loaded).toMatchObject({ index: 4, term: 1, group: 10001 });
    await directory.rename('incoming', 'loaded');
    const table = await openTable(directory, 'loaded', false);
    expect(await pairs(table)).toEqual(await pairs(source));
    expect(table.state).toEqual({ ...source.state, historyFloor: 4, changeCount: 0 });
    expect(table.checkpointIndex).toBe(4);
    for (const replica of [source, table]) await replica.apply([entry(5, put('a', '3'))]);
    expect(table.contentHash).toBe(source.contentHash);
    expect(table.get(bytes('a')).record).toMatchObject({ createRevision: 1, modRevision: 5, version: 3 });
    await table.close();
  });

  test('that is not what its hash says is refused, and nothing is left (A6, D7)', async () => {
    const records = await recordsOf(await snapshotOf(source, { preamble: 10001 }));
    const forged = records.map((record) => {
      if (record[0] === 0) return record;
      const command = mvcc.Command.decode(record);
      return text(command.kv!.key) === 'a'
        ? encoded({ ...command, kv: { ...command.kv!, value: bytes('9') } })
        : record;
    });
    await expect(load(await stockStream(forged))).rejects.toThrow(/content hash/);
    await expect(load(await stockStream(records.slice(0, -1)))).rejects.toThrow(/2 keys, not 3/);
    expect(await directory.list()).toEqual(['source']);
  });

  test('that is cut short is refused, and one that is damaged is refused or harmless', async () => {
    const stream = await snapshotOf(source, { preamble: 10001 });
    let refusedCount = 0;
    for (let at = 0; at < stream.length; at += 3) {
      await expect(load(stream.subarray(0, at))).rejects.toThrow(SnapshotDamagedError);
      const flipped = Buffer.from(stream);
      flipped[at]! ^= 0x10;
      try {
        // Some bits make no difference, such as where in a run of equal bytes a copy begins.
        const table = await load(flipped);
        expect(table.contentHash).toBe(source.contentHash);
        await table.close();
        await directory.remove('loaded');
      } catch (error) {
        expect(error).toBeInstanceOf(SnapshotDamagedError);
        refusedCount += 1;
      }
    }
    expect(refusedCount).toBeGreaterThan((stream.length / 3) * 0.9);
    expect(await directory.list()).toEqual(['source']);
  });

  test('with a key twice, a revision that cannot be, or what is no pair, is refused', async () => {
    const [preamble, a, ...rest] = (await recordsOf(await snapshotOf(source, { preamble: 10001 }))) as [
      Buffer,
      Buffer,
      ...Buffer[],
    ];
    const { kv, ...command } = mvcc.Command.decode(a);
    const negative = encoded({ ...command, kv: { ...kv!, modRevision: -1n } });
    for (const [records, reason] of [
      [[preamble, a, a, ...rest], /not in order/],
      [[preamble, negative, ...rest], /out of range/],
      [[preamble, a, ...rest, encoded(del('b'))], /a command of type/],
      [[a, ...rest], /no record of ours/],
    ] as const) {
      await expect(load(await stockStream([...records]))).rejects.toThrow(reason);
    }
    expect(await directory.list()).toEqual(['source']);
  });

  test('for a follower cluster ends with the leader_index, and has revisions and versions', async () => {
    const stream = await snapshotOf(source, { table: bytes('table'), leaderIndex: source.revision });
    const commands = (await recordsOf(stream)).map((record) => mvcc.Command.decode(record));
    expect(commands.pop()).toMatchObject({ type: mvcc.Command_CommandType.DUMMY, leaderIndex: 4n });
    expect(commands.map(({ kv }) => text(kv!.key))).toEqual(['a', 'b', 'c']);
    expect(commands[0]).toMatchObject({
      table: bytes('table'),
      kv: { createRevision: 1n, modRevision: 2n, version: 2n },
    });
  });

  test('holds the bytes that the generated code makes of each pair, whatever its size', async () => {
    const table = await openTable(directory, 'sizes', true);
    const lengths = [0, 1, 127, 128, 16_383, 16_384, 300_000, 1_000_000];
    await table.apply([
      ...lengths.map((length, index) =>
        entry(index + 1, replicated(2 ** (6 * index), put(`k${length}`, 'v'.repeat(length)))),
      ),
      entry(9, replicated(2 ** 50, put('\0'.repeat(1024), 'v'))),
      entry(10, replicated(2 ** 51, putBatch([['', 'of a stock leader cluster']]))),
    ]);
    const records = await recordsOf(await snapshotOf(table, { table: bytes('table') }));
    expect(records).toHaveLength(lengths.length + 2);
    for (const record of records) {
      const command = mvcc.Command.decode(record);
      const { kv } = command;
      const { record: stored } = table.get(kv!.key);
      expect(kv).toMatchObject({ version: 1n, modRevision: BigInt(stored!.modRevision) });
      expect(kv!.value.equals(stored!.value)).toBe(true);
      expect(encoded(command).equals(record)).toBe(true);
    }
    await table.close();
  });

  test('repeats the record that a stock loader would drop', async () => {
    const large = 'v'.repeat(700_000);
    const list = Array.from({ length: 12 }, (_, at) => entry(5 + at, put(`k${10 + at}`, large)));
    await source.apply(list);
    const stream = await snapshotOf(source, { repeatsForStockLoader: true });
    // What a stock loader does: see docs/protocol.md §3.
    const kept = new Set<string>();
    let sumBytes = 0;
    const records = await recordsOf(stream);
    for (const record of records) {
      sumBytes += record.length;
      if (sumBytes >= 3 * 1024 * 1024) sumBytes = 0;
      else kept.add(text(mvcc.Command.decode(record).kv!.key));
    }
    expect(records.length).toBeGreaterThan(source.keyCount!);
    expect(kept.size).toBe(source.keyCount);
  });

  test('is read without copying a large record for each of its pieces', async () => {
    const record = Buffer.alloc(8 + 4 * 1024 * 1024, 'a record ');
    record.writeBigUInt64LE(BigInt(record.length - 8));
    const frames = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(record)]);
    const concat = Buffer.concat;
    let copiedBytes = 0;
    Buffer.concat = (list, totalLength) => {
      const bytes = concat(list, totalLength);
      if (list.length > 1) copiedBytes += bytes.length;
      return bytes;
    };
    let lengths: number[];
    try {
      const stream = (async function* () {
        for (let at = 0; at < frames.length; at += 1000) yield frames.subarray(at, at + 1000);
      })();
      lengths = [];
      for await (const records of readSnapshotRecords(stream)) {
        for (const each of records) lengths.push(each.length);
      }
    } finally {
      Buffer.concat = concat;
    }
    expect(lengths).toEqual([4 * 1024 * 1024]);
    expect(copiedBytes).toBeLessThan(3 * record.length);
  });

  test('is one point in time while writes go on', async () => {
    const view = source.view();
    const stream = writeSnapshot(view, { preamble: 10001 });
    await source.apply([entry(5, put('a', 'later')), entry(6, del('b'))]);
    const table = await load(await collect(stream));
    view.close();
    expect(table.appliedIndex).toBe(4);
    expect(table.get(bytes('b')).record).toBeDefined();
    await table.close();
  });

  test('passes from a LevelDB to another one', async () => {
    const temporary = new TemporaryDirectory();
    const { path } = temporary;
    const options = { writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES, cacheSizeBytes: 1 << 20 };
    const stores = await LevelStoreDirectory.open(path, options);
    const first = await openTable(stores, 'first', true);
    for (let at = 0; at < 20; at++) {
      const batch: [string, string][] = [];
      for (let key = 0; key < 500; key++) batch.push([`key-${(key * 37) % 500}-${at}`, `${at}`.repeat(200)]);
      await first.apply([entry(at + 1, putBatch(batch))]);
    }
    const stream = await snapshotOf(first, { preamble: 1 });
    await loadSnapshot(stores, 'second.incoming', inPieces(stream, 300_000));
    await stores.rename('second.incoming', 'second');
    const second = await openTable(stores, 'second', false);
    expect(second.keyCount).toBe(10_000);
    expect(second.contentHash).toBe(first.contentHash);
    await first.close();
    await second.close();
    temporary.remove();
  });
});
