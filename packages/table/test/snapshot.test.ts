import { mvcc } from '@coxswain/protocol';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Compressor, Decompressor } from 'snappy';
import {
  LevelStoreDirectory,
  loadSnapshot,
  MemoryStoreDirectory,
  SnapshotDamagedError,
  type SnapshotKind,
  type SnapshotOptions,
  type StoreDirectory,
  Table,
  writeSnapshot,
} from '../src/index.js';
import { bytes, del, entry, put, putBatch, query, replicated, text } from './commands.js';
import { makeTemporaryDirectory } from './temporary-directory.js';

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

  async function load(stream: Buffer, how?: SnapshotKind): Promise<Table> {
    await loadSnapshot(directory, 'incoming', inPieces(stream), how);
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

  test('for a follower cluster keeps revisions and versions, and ends with the leader_index', async () => {
    const stream = await snapshotOf(source, { table: bytes('table'), leaderIndex: source.revision });
    const table = await load(stream, { kind: 'replication', index: 1000 });
    expect(await pairs(table)).toEqual(await pairs(source));
    expect(table.contentHash).toBe(source.contentHash);
    expect(table.state).toMatchObject({ appliedIndex: 1000, revision: 4, leaderIndex: 4, historyFloor: 4 });
    await table.apply([entry(1001, replicated(5, put('a', '3')))]);
    expect(table.get(bytes('a'))).toMatchObject({ record: { modRevision: 5, version: 3 }, revision: 5 });
    await table.close();
  });

  test('for a follower cluster without its end is refused', async () => {
    const stream = await snapshotOf(source, { table: bytes('table') });
    await expect(load(stream, { kind: 'replication', index: 1000 })).rejects.toThrow(/leader_index/);
  });

  test('of a stock leader gives every key its leader_index and version 1', async () => {
    const stream = await stockStream([
      encoded(put('a', '1')),
      encoded(put('b', '2')),
      encoded(replicated(70, { ...put('', ''), kv: undefined, type: mvcc.Command_CommandType.DUMMY })),
    ]);
    const table = await load(stream, { kind: 'replication', index: 1000 });
    expect(await pairs(table)).toEqual([
      { key: 'a', value: '1', createRevision: 70, modRevision: 70, version: 1 },
      { key: 'b', value: '2', createRevision: 70, modRevision: 70, version: 1 },
    ]);
    expect(table.state).toMatchObject({ appliedIndex: 1000, revision: 70, keyCount: 2 });
    await table.close();
  });

  test('that is restored stamps every key anew (T3)', async () => {
    const stream = await snapshotOf(source, { table: bytes('table') });
    const table = await load(stream, { kind: 'restore', index: 1_000_000_004 });
    const [first] = await pairs(table);
    expect(first).toEqual({
      key: 'a',
      value: '2',
      createRevision: 1_000_000_004,
      modRevision: 1_000_000_004,
      version: 1,
    });
    expect(table.state).toMatchObject({ appliedIndex: 1_000_000_004, leaderIndex: undefined, keyCount: 3 });
    await table.close();
  });

  test('with a revision that cannot be is refused', async () => {
    const { kv, ...rest } = put('a', '1');
    const negative = encoded({ ...rest, kv: { ...kv!, modRevision: -1n } });
    const stream = await stockStream([negative]);
    await expect(load(stream, { kind: 'replication', index: 7 })).rejects.toThrow(SnapshotDamagedError);
  });

  test('of an empty table may be an empty file or a bare header', async () => {
    for (const stream of [Buffer.alloc(0), await stockStream([])]) {
      const table = await load(stream, { kind: 'restore', index: 7 });
      expect(table.keyCount).toBe(0);
      await table.close();
      await directory.remove('loaded');
    }
  });

  test('holds the bytes that the generated code makes of each pair, whatever its size', async () => {
    const table = await openTable(directory, 'sizes', true);
    const lengths = [0, 1, 127, 128, 16_383, 16_384, 300_000, 1_000_000];
    await table.apply([
      ...lengths.map((length, index) =>
        entry(index + 1, replicated(2 ** (6 * index), put(`k${length}`, 'v'.repeat(length)))),
      ),
      entry(9, replicated(2 ** 50, put('\0'.repeat(1024), 'v'))),
    ]);
    const records = await recordsOf(await snapshotOf(table, { table: bytes('table') }));
    expect(records).toHaveLength(lengths.length + 1);
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

  test('repeats the record that a stock loader would drop, and ours takes it once', async () => {
    const large = 'v'.repeat(700_000);
    const list = Array.from({ length: 12 }, (_, at) => entry(5 + at, put(`k${10 + at}`, large)));
    await source.apply(list);
    const stream = await snapshotOf(source, { repeatsForStockLoader: true });
    // What a stock loader does: see regatta-protocol.md section 3.
    const kept = new Set<string>();
    let sumBytes = 0;
    const records = await recordsOf(stream);
    for (const record of records) {
      sumBytes += record.length;
      if (sumBytes >= 3 * 1024 * 1024) sumBytes = 0;
      else kept.add(text(mvcc.Command.decode(record).kv!.key));
    }
    expect(records.length).toBeGreaterThan(source.keyCount);
    expect(kept.size).toBe(source.keyCount);
    const table = await load(stream, { kind: 'restore', index: 100 });
    expect(table.keyCount).toBe(source.keyCount);
    await table.close();
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
    const { path, dispose } = await makeTemporaryDirectory();
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
    await dispose();
  });
});
