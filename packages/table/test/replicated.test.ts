import { mvcc } from '@coxswain/protocol';
import { readSnapshotRecords } from '@coxswain/stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CommandKind,
  loadSnapshot,
  MemoryStoreDirectory,
  type StoreDirectory,
  Table,
  type TableEntry,
  UnknownCommandError,
  writeSnapshot,
} from '../src/index.js';
import {
  bytes,
  compare,
  del,
  dummy,
  entry,
  gc,
  internalEntry,
  opDelete,
  opPut,
  put,
  putBatch,
  replicated,
  sequence,
  txn,
} from './commands.js';
import { closeWhole, hashOfRecords } from './records.js';

const NAME = '10001';
/** A shard that takes over a name starts there (T1). */
const BASE = 1_000_000_000;

function open(
  directory: StoreDirectory,
  {
    isReplicated = true,
    base = 0,
    create = true,
    writeBufferSizeBytes = 1 << 22,
    effectsSizeBytesMax = 1 << 20,
  } = {},
): Promise<Table> {
  return Table.open({
    directory,
    name: NAME,
    create,
    initialIndex: base,
    isReplicated,
    writeBufferSizeBytes,
    effectsSizeBytesMax,
  });
}

async function closed(
  table: Table,
): Promise<Pick<Table, 'contentHash' | 'revision' | 'keyCount' | 'leaderIndex'>> {
  const { contentHash, revision, keyCount, leaderIndex } = table;
  await closeWhole(table);
  return { contentHash, revision, keyCount, leaderIndex };
}

/** Every latest record, as text. */
async function contentOf(table: Table): Promise<string[]> {
  const found: string[] = [];
  const view = table.view();
  for await (const chunk of readSnapshotRecords(writeSnapshot(view, {}))) {
    for (const record of chunk) {
      const { kv } = mvcc.Command.decode(record);
      found.push(`${kv!.key}=${kv!.value} ${kv!.createRevision}/${kv!.modRevision}/${kv!.version}`);
    }
  }
  view.close();
  return found;
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const command = fc.oneof(
  fc.tuple(key, fc.string({ maxLength: 4 })).map(([k, v]) => put(k, v)),
  key.map((k) => del(k)),
  fc.tuple(key, key).map(([from, to]) => del(from, to)),
  fc.constant(dummy()),
  fc.constant(gc()),
  fc.tuple(key, key).map(([a, b]) =>
    putBatch([
      [a, '1'],
      [b, '2'],
    ]),
  ),
  fc
    .record({
      key,
      target: fc.constantFrom('VERSION' as const, 'CREATE' as const, 'MOD' as const),
      result: fc.constantFrom('EQUAL' as const, 'GREATER' as const, 'LESS' as const),
      right: fc.nat(8),
    })
    .map(({ key: k, target, result, right }) =>
      txn({
        compare: [compare(target, k, result, right)],
        success: [opPut(k, 'yes'), opDelete('e')],
        failure: [opPut('e', 'no'), opDelete('a', 'c')],
      }),
    ),
);

/** What a leader cluster's log sends: contiguous indices, each command with its own. */
function packed(
  commands: readonly mvcc.Command[],
  from: number,
  sizes: readonly number[],
  firstIndex: number,
): TableEntry[] {
  const entries: TableEntry[] = [];
  let index = firstIndex;
  for (let at = from, turn = 0; at < commands.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    const inner = commands.slice(at, at + size).map((one, place) => replicated(at + place + 1, one));
    const last = at + inner.length;
    const whole = inner.length === 1 ? inner[0]! : replicated(last, sequence(inner));
    entries.push({ ...entry(index++, whole), cursor: at, wantsResult: false });
    at = last;
  }
  return entries;
}

function load(index: number, mode: number, records: readonly Buffer[]): TableEntry {
  const parts = records.flatMap((record) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(record.length));
    return [length, record];
  });
  const payload = Buffer.concat([Buffer.from([mode]), ...parts]);
  return { ...internalEntry(index, CommandKind.Load), payload };
}

function loaded(index: number, leaderIndex: number, hasUnstamped = false): TableEntry {
  const payload = Buffer.alloc(9);
  payload.writeBigUInt64LE(BigInt(leaderIndex));
  payload[8] = hasUnstamped ? 1 : 0;
  return { ...internalEntry(index, CommandKind.Loaded), payload };
}

const pair = (name: string, value: string, revisions: Partial<mvcc.KeyValue> = {}): Buffer =>
  Buffer.from(
    mvcc.Command.encode(
      mvcc.Command.fromPartial({ kv: { key: bytes(name), value: bytes(value), ...revisions } }),
    ).finish(),
  );

describe('a replica of a leader cluster', () => {
  test('equals the leader at the same index, however its commands were packed, or taken by snapshot', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { minLength: 1, maxLength: 30 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.nat(29),
        fc.constantFrom(0, BASE),
        async (commands, sizes, cut, base) => {
          const leader = await open(new MemoryStoreDirectory(), { isReplicated: false });
          const snapshotAt = cut % commands.length;
          const records: Buffer[] = [];
          for (const [at, one] of commands.entries()) {
            if (at === snapshotAt) {
              const view = leader.view();
              for await (const chunk of readSnapshotRecords(writeSnapshot(view, {}))) {
                for (const record of chunk) records.push(Buffer.from(record));
              }
              view.close();
            }
            await leader.apply([entry(at + 1, one)]);
          }
          const content = await contentOf(leader);

          const fed = await open(new MemoryStoreDirectory(), { base });
          expect([fed.revision, fed.leaderIndex]).toEqual([0, 0]);
          await fed.apply(packed(commands, 0, sizes, base + 1));
          expect(await contentOf(fed)).toEqual(content);

          const taken = await open(new MemoryStoreDirectory(), { base });
          const first = base + 1;
          if (snapshotAt > 0) {
            const half = Math.ceil(records.length / 2);
            await taken.apply([
              load(first, 0, records.slice(0, half)),
              load(first + 1, 0, records.slice(half)),
              loaded(first + 2, snapshotAt),
            ]);
          }
          await taken.apply(packed(commands, snapshotAt, sizes, first + 3));
          expect(await contentOf(taken)).toEqual(content);

          const { contentHash, revision, keyCount } = await closed(leader);
          const expected = { contentHash, revision, keyCount, leaderIndex: commands.length };
          expect(await closed(fed)).toEqual(expected);
          expect(await closed(taken)).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('takes no effect from an entry that was built on another cursor (R1)', async () => {
    const table = await open(new MemoryStoreDirectory());
    const at = (cursor: number | undefined, index: number, one: mvcc.Command) => ({
      ...entry(index, one),
      cursor,
    });
    const [first, again, hole, next, free] = await table.apply([
      at(0, 1, replicated(1, put('a', '1'))),
      at(0, 2, replicated(1, put('a', '1'))),
      at(5, 3, replicated(6, put('b', '6'))),
      at(1, 4, replicated(2, put('a', '2'))),
      at(undefined, 5, replicated(3, put('c', '3'))),
    ]);
    const results = [first, again, hole, next, free];
    expect(results.map((result) => result!.hasStaleCursor)).toEqual([false, true, true, false, false]);
    expect(await contentOf(table)).toEqual(['a=2 1/2/2', 'c=3 3/3/1']);
    expect([table.appliedIndex, table.leaderIndex, table.revision]).toEqual([5, 3, 3]);
    await table.close();
  });

  test('is sealed only at the cursor that the seal was made for, and says so when it was sealed before (R1, T2)', async () => {
    const table = await open(new MemoryStoreDirectory());
    const seal = (index: number, cursor: number) => ({
      ...internalEntry(index, CommandKind.Seal, 10_002),
      cursor,
    });
    await table.apply([entry(1, replicated(4, put('a', '1')))]);
    const [early] = await table.apply([seal(2, 3)]);
    expect([early!.hasStaleCursor, table.sealedBy]).toEqual([true, undefined]);
    const [right] = await table.apply([seal(3, 4)]);
    expect([right!.hasStaleCursor, table.sealedBy]).toEqual([false, 10_002]);
    const [late] = await table.apply([{ ...entry(4, replicated(5, put('a', '2'))), cursor: 4 }]);
    expect([late!.sealedBy, await contentOf(table)]).toEqual([10_002, ['a=1 4/4/1']]);
    await table.close();
  });
});

describe('a load', () => {
  test('is the same in any order of keys, and of a key that comes again the last one counts', async () => {
    const at = (revision: bigint) => ({ createRevision: 1n, modRevision: revision, version: 1n });
    const table = await open(new MemoryStoreDirectory(), { base: BASE });
    await table.apply([load(BASE + 1, 0, [pair('b', '1', at(1n)), pair('d', '2', at(2n))])]);
    await table.apply([
      load(BASE + 2, 0, [pair('a', '3', at(3n)), pair('d', '4', at(4n)), pair('e', '5', at(5n))]),
      load(BASE + 3, 0, [pair('c', '6', at(6n)), pair('b', '7', at(7n)), pair('f', '8', at(8n))]),
      loaded(BASE + 4, 9),
    ]);
    const inOrder = await open(new MemoryStoreDirectory(), { base: BASE });
    await inOrder.apply([
      load(BASE + 1, 0, [
        pair('a', '3', at(3n)),
        pair('b', '7', at(7n)),
        pair('c', '6', at(6n)),
        pair('d', '4', at(4n)),
        pair('e', '5', at(5n)),
        pair('f', '8', at(8n)),
      ]),
      loaded(BASE + 2, 9),
    ]);
    expect(await contentOf(table)).toEqual(await contentOf(inOrder));
    expect(await closed(table)).toMatchObject({ ...(await closed(inOrder)), keyCount: 6 });
  });

  test('stamps what came without revisions with the index that comes last, and only that (T3)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await open(directory, { base: BASE });
    await table.apply([
      internalEntry(BASE + 1, CommandKind.None),
      load(BASE + 2, 0, [
        pair('a', '1'),
        pair('b', '2', { createRevision: 3n, modRevision: 5n, version: 2n }),
      ]),
      load(BASE + 3, 0, [pair('c', '3')]),
      loaded(BASE + 4, 77, true),
    ]);
    expect(await contentOf(table)).toEqual(['a=1 77/77/1', 'b=2 3/5/2', 'c=3 77/77/1']);
    expect([table.revision, table.leaderIndex, table.historyFloor]).toEqual([77, 77, 77]);
    await table.apply([{ ...entry(BASE + 5, replicated(78, put('a', '2'))), cursor: 77 }]);
    expect(await contentOf(table)).toContain('a=2 77/78/2');
    const { contentHash, keyCount } = await closed(table);
    expect(await hashOfRecords(directory, NAME)).toEqual({ kept: contentHash, keyCount });
  });

  test('half done, travels between nodes, and goes on there (D7, T3)', async () => {
    const directory = new MemoryStoreDirectory();
    const source = await open(directory);
    const old = { createRevision: 3n, modRevision: 5n, version: 2n };
    await source.apply([load(1, 0, [pair('a', '1'), pair('b', '2', old)])]);
    const view = source.view();
    const { index } = await loadSnapshot(directory, 'incoming', writeSnapshot(view, { preamble: 10_001 }));
    view.close();
    expect(index).toBe(1);
    const rest = [load(2, 0, [pair('c', '3')]), loaded(3, 77, true)];
    await source.apply(rest);
    const there = await contentOf(source);
    const expected = await closed(source);
    await directory.rename('incoming', NAME);
    const table = await open(directory, { create: false });
    await table.apply(rest);
    expect(await contentOf(table)).toEqual(there);
    expect(await closed(table)).toEqual(expected);
  });

  test('of a restore stamps every key with its own entry, version 1 (T3)', async () => {
    const table = await open(new MemoryStoreDirectory(), { isReplicated: false, base: BASE });
    const old = { createRevision: 3n, modRevision: 5n, version: 2n };
    await table.apply([load(BASE + 1, 1, [pair('a', '1', old)]), loaded(BASE + 2, 0)]);
    expect(await contentOf(table)).toEqual([`a=1 ${BASE + 1}/${BASE + 1}/1`]);
    expect([table.revision, table.leaderIndex]).toEqual([BASE + 2, undefined]);
    await table.close();
  });

  test('takes a pair that comes twice, as stock loaders want it, once', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await open(directory);
    const twice = pair('a', '1', { createRevision: 1n, modRevision: 1n, version: 1n });
    await table.apply([load(1, 0, [twice, twice]), loaded(2, 9)]);
    const { contentHash, keyCount } = await closed(table);
    expect(keyCount).toBe(1);
    expect(await hashOfRecords(directory, NAME)).toEqual({ kept: contentHash, keyCount: 1 });
  });

  test('of a kind that is not known stops the table (A8)', async () => {
    const table = await open(new MemoryStoreDirectory());
    await expect(table.apply([load(1, 2, [pair('a', '1')])])).rejects.toThrow(UnknownCommandError);
    await table.close();
  });

  test('goes on where a crash left it, at every batch, to the same content (A4)', async () => {
    const names = Array.from({ length: 40 }, (_, at) => `key-${String(at).padStart(3, '0')}`);
    const records = names.map((name, at) =>
      at % 2 === 0
        ? pair(name, 'x'.repeat(900))
        : pair(name, 'y'.repeat(900), { createRevision: 1n, modRevision: 2n, version: 2n }),
    );
    const entries = [load(1, 0, records.slice(0, 30)), load(2, 0, records.slice(30)), loaded(3, 50, true)];
    // A small write buffer: each entry is written in several parts.
    const small = { writeBufferSizeBytes: 8 * 1024, effectsSizeBytesMax: 4 * 1024 };
    const whole = await open(new MemoryStoreDirectory(), small);
    await whole.apply(entries);
    const content = await contentOf(whole);
    expect(content).toHaveLength(40);
    const expected = await closed(whole);
    let crashes = 0;
    for (let kept = 1; ; kept++) {
      let writes = 0;
      const directory = new MemoryStoreDirectory({
        beforeWrite: () => (++writes > kept ? new Promise(() => undefined) : Promise.resolve()),
      });
      const table = await open(directory, small);
      let isDone = false;
      table.apply(entries).then(
        () => {
          isDone = true;
        },
        // The store is gone.
        () => undefined,
      );
      while (writes <= kept && !isDone) await Promise.resolve();
      directory.crash(() => true);
      writes = Number.NEGATIVE_INFINITY;
      const reopened = await open(directory, { ...small, create: false });
      if (!isDone) crashes++;
      await reopened.apply(entries.filter(({ index }) => index > reopened.appliedIndex));
      expect(await contentOf(reopened)).toEqual(content);
      expect(await closed(reopened)).toEqual(expected);
      if (isDone) break;
    }
    expect(crashes).toBeGreaterThan(6);
  });
});
