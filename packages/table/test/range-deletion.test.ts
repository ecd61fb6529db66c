// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual, equal } from 'node:assert/strict';
import { microtasks, TemporaryDirectory, until } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CommandKind,
  LevelStoreDirectory,
  loadSnapshot,
  MemoryStoreDirectory,
  RESPONSE_SIZE_BYTES_MAX,
  type StoreDirectory,
  Table,
  type TableEntry,
  type TableOptions,
  writeSnapshot,
} from '../src/index.js';
import { ALL_KEYS, isWithinBounds } from '../src/key-bounds.js';
import { partsOf } from '../src/range-deletion.js';
import { WrittenKeys } from '../src/written-keys.js';
import { plain, plainPage, query, simpleCommand } from './arbitraries.js';
import * as commands from './commands.js';
import {
  answered,
  bytes,
  del,
  entry,
  opDelete,
  opPut,
  opRange,
  put,
  putBatch,
  text,
  txn,
} from './commands.js';
import { Model } from './model.js';
import { closeWhole, hashOfRecords, recordKinds } from './records.js';

const NAME = '10001';
const everything = commands.query('\0', '\0');
const middle = commands.query('a\0', 'c');

/** A range deletion that finds more keys than one leaves the rest to the sweep, which takes one at a time. */
function openTable(
  directory: StoreDirectory = new MemoryStoreDirectory(),
  effectsSizeBytesMax = 1,
  options: Partial<TableOptions> = {},
): Promise<Table> {
  const writeBufferSizeBytes = 1 << 26;
  return Table.open({
    directory,
    name: NAME,
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes,
    effectsSizeBytesMax,
    ...options,
  });
}

async function swept(table: Table): Promise<void> {
  // A real store has its answers from other threads.
  await until('nothing is left to sweep', () => !table.isSweeping);
}

/** What a table that deletes key by key, and is asked when all is done, says. */
async function hashOfNaive(entries: readonly TableEntry[]): Promise<string | undefined> {
  const table = await openTable(new MemoryStoreDirectory(), Number.POSITIVE_INFINITY);
  await table.apply(entries);
  const hash = table.contentHash;
  await table.close();
  return hash;
}

const keys = ['a', 'a\0', 'a\x01', 'a\xff', 'b', 'bb', 'c', '\xff'];
const anyKey = fc.constantFrom(...keys);

const step = fc.record({
  command: fc.oneof(
    { weight: 5, arbitrary: simpleCommand },
    { weight: 1, arbitrary: fc.constant(del('\0', '\0', true)) },
    { weight: 3, arbitrary: fc.constant(putBatch(keys.map((key) => [key, key] as [string, string]))) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(anyKey, anyKey, anyKey)
        .map(([from, to, key]) =>
          txn({ success: [opDelete(from, '\0'), opDelete('\0', to), opPut(key, 'in both')] }),
        ),
    },
    {
      weight: 1,
      arbitrary: fc
        .array(simpleCommand, { minLength: 1, maxLength: 4 })
        .map((list) => commands.sequence(list)),
    },
  ),
  /** How far the sweep gets before the next entry. */
  turns: fc.oneof(fc.constant(0), fc.nat(60)),
  event: fc.oneof(
    { weight: 4, arbitrary: fc.constant('nothing' as const) },
    { weight: 3, arbitrary: fc.constant('flush' as const) },
    { weight: 3, arbitrary: fc.constant('crash' as const) },
    { weight: 1, arbitrary: fc.constant('compact' as const) },
    { weight: 1, arbitrary: fc.constant('snapshot' as const) },
  ),
  reads: fc.array(fc.tuple(query, fc.nat(20)), { maxLength: 3 }),
});

/** A table beside a model of it. */
class Comparison {
  readonly model = new Model();
  readonly #directory = new MemoryStoreDirectory({
    beforeWrite: () => microtasks(this.#writeTurns),
    beforeFlush: () => microtasks(this.#writeTurns),
  });
  readonly #writeTurns: number;
  readonly #effectsSizeBytesMax: number;
  readonly #options: Partial<TableOptions>;
  #table: Table | undefined;
  readonly #entries: TableEntry[] = [];

  /**
   * `writeTurns`: how long the store takes for a write. `effectsSizeBytesMax`: the limit of A4. Of the options
   * `writtenKeysSizeBytesMax` is what is known of a deletion's keys before they are too many.
   */
  constructor(writeTurns: number, effectsSizeBytesMax: number, options: Partial<TableOptions>) {
    this.#writeTurns = writeTurns;
    this.#effectsSizeBytesMax = effectsSizeBytesMax;
    this.#options = options;
  }

  get table(): Table {
    return this.#table!;
  }

  get entries(): readonly TableEntry[] {
    return this.#entries;
  }

  async open(): Promise<void> {
    this.#table = await openTable(this.#directory, this.#effectsSizeBytesMax, this.#options);
  }

  async apply(command: Parameters<typeof entry>[1]): Promise<void> {
    const index = this.#entries.length + 1;
    const one = entry(index, command);
    this.#entries.push(one);
    const expected = this.model.apply(index, command);
    const [result] = await answered(this.table.apply([one]));
    equal(result!.succeeded, expected.succeeded);
    if (command.batch.length > 0 || command.sequence.length > 0) return;
    deepEqual(
      result!.responses.map((of) => plain(of.response!.value)),
      expected.responses,
    );
  }

  async compact(): Promise<void> {
    const index = this.#entries.length + 1;
    const one = commands.internalEntry(index, CommandKind.Compact, index - 1);
    this.#entries.push(one);
    this.model.apply(index, commands.dummy());
    await this.table.apply([one]);
    await this.table.removeHistory();
  }

  /** Begins to make durable what was written. */
  flush(): void {
    // It fails where a crash comes before its end.
    this.table.checkpoint().catch(() => undefined);
  }

  /** Loses what was not flushed, and maybe what was being flushed, which the log then has to bring again. */
  async crash(losesFlush: boolean): Promise<void> {
    this.#directory.crash(() => !losesFlush);
    await this.open();
    await this.table.apply(this.#entries.slice(this.table.appliedIndex));
  }

  /** Goes on with what a Raft snapshot makes of the table. */
  async takeSnapshot(): Promise<void> {
    const view = this.table.view();
    await loadSnapshot(this.#directory, 'loaded', writeSnapshot(view, { preamble: 7 }));
    view.close();
    await this.table.close();
    await this.#directory.rename('loaded', NAME);
    await this.open();
  }

  async compare(reads: readonly (readonly [Parameters<Model['range']>[1], number])[]): Promise<void> {
    const { table, model } = this;
    for (const [range, back] of reads) {
      const revision = Math.max(model.revision - back, table.historyFloor);
      const view = table.view(revision);
      deepEqual(plainPage(await view.range(range)), model.range(revision, range));
      const counted = { ...range, keysOnly: false, countOnly: true, limit: 0 };
      deepEqual(plainPage(await view.range(counted)), model.range(revision, counted));
      const unfiltered = commands.query(text(range.key), text(range.rangeEnd!), { countOnly: true });
      deepEqual(plainPage(await view.range(unfiltered)), model.range(revision, unfiltered));
      const point = await view.get(range.key);
      const [known] = model.range(revision, commands.query(text(range.key))).records;
      equal(point === undefined, known === undefined);
      view.close();
      const [latest] = model.range(model.revision, commands.query(text(range.key))).records;
      deepEqual(plain(table.get(range.key).record), latest);
    }
    equal(await table.countKeys(), model.at(model.revision).size);
  }

  async end(): Promise<void> {
    await swept(this.table);
    const { contentHash, keyCount } = this.table;
    expect(contentHash).toBe(await hashOfNaive(this.#entries));
    const all = Array.from({ length: this.model.revision }, (_, back) =>
      [everything, middle].map((range) => [range, back] as const),
    ).flat();
    await this.compare(all);
    await closeWhole(this.table);
    expect(await hashOfRecords(this.#directory, NAME)).toEqual({ kept: contentHash, keyCount });
  }
}

describe('range deletions whose keys are removed later, against a model that keeps every state', () => {
  test('are read as done at once at every revision, with writes, crashes, compaction and snapshots meanwhile (A1, A2, A4, A6)', async () => {
    const seen = { known: 0, unknown: 0, recalled: 0, several: 0, swept: 0 };
    const note = ({ state: { deletions, swept } }: Table, isReopened: boolean): void => {
      const known = deletions.filter(({ written }) => written?.tree !== undefined);
      if (known.some(({ written }) => written!.tree!.size > 0)) seen.known += 1;
      if (isReopened && known.length > 0) seen.recalled += 1;
      if (known.length < deletions.length) seen.unknown += 1;
      if (known.length > 1) seen.several += 1;
      if (swept.some(({ written }) => (written?.tree?.size ?? 0) > 0)) seen.swept += 1;
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 14 }),
        fc.boolean(),
        fc.nat(40),
        fc.constantFrom(1, 50, 100, 200),
        fc.constantFrom(0, 150, 100_000),
        fc.constantFrom(1, 2, 256),
        async (steps, losesFlush, writeTurns, batchBytes, writtenKeysSizeBytesMax, keyBlockKeys) => {
          const comparison = new Comparison(writeTurns, batchBytes, {
            writtenKeysSizeBytesMax,
            keyBlockKeys,
          });
          await comparison.open();
          for (const one of steps) {
            await comparison.apply(one.command);
            note(comparison.table, false);
            await microtasks(one.turns);
            if (one.event === 'flush') comparison.flush();
            if (one.event === 'crash') {
              await comparison.crash(losesFlush);
              note(comparison.table, true);
            }
            if (one.event === 'compact') await comparison.compact();
            if (one.event === 'snapshot') await comparison.takeSnapshot();
            await comparison.compare(one.reads);
          }
          await comparison.end();
        },
      ),
      { numRuns: 120 },
    );
    // Otherwise nothing of this was tested.
    for (const [what, count] of Object.entries(seen)) expect([what, count > 3]).toEqual([what, true]);
  });
});

describe('a range deletion whose keys are removed later', () => {
  const KEY_COUNT = 200;
  const keyAt = (at: number): string => `k${String(at).padStart(4, '0')}`;
  const pairs = (count: number, value = ''): [string, string][] =>
    Array.from({ length: count }, (_, at) => [keyAt(at), value]);

  /** A table whose sweep stands still until `release`: a checkpoint goes on. */
  async function openHeld(
    value = '',
    effectsSizeBytesMax = 1,
    keyCount = KEY_COUNT,
    options: Partial<TableOptions> = {},
  ): Promise<{ table: Table; release: () => void; scans: { count: number } }> {
    let release = (): void => undefined;
    let holds = false;
    const scans = { count: 0 };
    const directory = new MemoryStoreDirectory({
      beforeFlush: () =>
        holds
          ? new Promise((resolve) => {
              release = resolve;
            })
          : Promise.resolve(),
      beforeScan: async () => {
        scans.count += 1;
      },
    });
    const table = await openTable(directory, effectsSizeBytesMax, options);
    await table.apply([entry(1, putBatch(pairs(keyCount, value)))]);
    holds = true;
    table.checkpoint().catch(() => undefined);
    while (!table.isCheckpointing) await microtasks(1);
    return {
      table,
      release: () => {
        holds = false;
        release();
      },
      scans,
    };
  }

  test('holds up no later entry, and nobody sees its keys (A4)', async () => {
    const { table, release } = await openHeld();
    const [result] = await answered(table.apply([entry(2, del('k', 'l'))]));
    expect(result!.responses[0]!.response!.value).toMatchObject({ deleted: BigInt(KEY_COUNT) });
    await table.apply([entry(3, put(keyAt(7), 'new'))]);
    expect([table.appliedIndex, table.isSweeping, table.contentHash, table.keyCount]).toEqual([
      3,
      true,
      undefined,
      undefined,
    ]);
    expect((await table.range(everything)).records.map(({ key }) => text(key))).toEqual([keyAt(7)]);
    expect(table.get(bytes(keyAt(8))).record).toBeUndefined();
    expect(table.get(bytes(keyAt(7))).record).toMatchObject({ createRevision: 3, version: 1 });
    const before = table.view(1);
    expect((await before.range({ ...everything, countOnly: true })).count).toBe(KEY_COUNT);
    release();
    await swept(table);
    expect([table.keyCount, (await before.range({ ...everything, countOnly: true })).count]).toEqual([
      1,
      KEY_COUNT,
    ]);
    before.close();
    const after = table.view(1);
    expect((await after.range({ ...everything, countOnly: true })).count).toBe(KEY_COUNT);
    after.close();
    await table.close();
  });

  test('gives back what it deleted up to 4 MiB, in order, and counts all', async () => {
    const { table, release } = await openHeld('v'.repeat(40_000));
    const success = [opDelete('k', 'l', true), opPut(keyAt(3), 'new', true), opRange('k', 'l')];
    const [result] = await answered(table.apply([entry(2, txn({ success }))]));
    const [deleted, replaced, range] = result!.responses.map(({ response }) => response!.value);
    const { prevKvs, ...rest } = deleted as { prevKvs: { key: Buffer }[] };
    expect(rest).toEqual({ deleted: BigInt(KEY_COUNT), more: true });
    expect(prevKvs).toHaveLength(Math.floor(RESPONSE_SIZE_BYTES_MAX / 40_030));
    expect(prevKvs.map(({ key }) => text(key))).toEqual(pairs(prevKvs.length).map(([key]) => key));
    expect([replaced, range]).toMatchObject([{ prevKv: undefined, more: false }, { count: 1n }]);
    release();
    await table.close();
  });

  test('has removed a key for what comes next before the store has (A2)', async () => {
    const held: (() => void)[] = [];
    let holds = false;
    const directory = new MemoryStoreDirectory({
      beforeScan: () => (holds ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()),
    });
    const table = await openTable(directory);
    await table.apply([entry(1, putBatch(pairs(30)))]);
    await answered(table.apply([entry(2, del('k', 'l'))]));
    holds = true;
    // The sweep looks for the next key.
    while (held.length === 0) await microtasks(1);
    const sweptUpTo = (): string => text(table.state.deletions[0]!.first);
    const next = pairs(30)
      .map(([key]) => key)
      .find((key) => key > sweptUpTo())!;
    const put3 = table.apply([entry(3, put(next, 'new'))]);
    await microtasks(20);
    holds = false;
    held.shift()!();
    await put3;
    expect(sweptUpTo() > next).toBe(true);
    expect(table.get(bytes(next)).record).toMatchObject({ createRevision: 3, version: 1 });
    await swept(table);
    expect(table.keyCount).toBe(1);
    await table.close();
  });

  test('deletes what its own Txn wrote before it, and nothing that it writes after it (A1)', async () => {
    const { table, release } = await openHeld('', 4000);
    const success = [
      opPut(keyAt(199), 'before'),
      opDelete('k', 'l'),
      opPut(keyAt(198), 'after'),
      opRange('k', 'l'),
    ];
    const [result] = await answered(table.apply([entry(2, txn({ success }))]));
    expect(table.isSweeping).toBe(true);
    expect(result!.responses.map(({ response }) => response!.value)).toMatchObject([
      {},
      { deleted: BigInt(KEY_COUNT) },
      {},
      { count: 1n },
    ]);
    expect(table.get(bytes(keyAt(198))).record).toMatchObject({ createRevision: 2, version: 1 });
    release();
    await swept(table);
    expect(table.keyCount).toBe(1);
    await table.close();
  });

  test('is not walked over again by what comes after it in its Txn', async () => {
    const { table, release, scans } = await openHeld('', 4000);
    const one = opDelete('k', 'l');
    await answered(table.apply([entry(2, txn({ success: [one] }))]));
    const once = scans.count;
    await table.apply([entry(3, putBatch(pairs(KEY_COUNT)))]);
    scans.count = 0;
    const success = Array.from({ length: 100 }, () => [one, opPut(keyAt(199), 'again')]).flat();
    const [result] = await answered(table.apply([entry(4, txn({ success }))]));
    expect(scans.count).toBeLessThan(4 * once);
    expect(
      result!.responses.filter((_, at) => at % 2 === 0).map(({ response }) => response!.value),
    ).toMatchObject(Array.from({ length: 100 }, (_, at) => ({ deleted: at === 0 ? BigInt(KEY_COUNT) : 1n })));
    expect(await table.countKeys()).toBe(1);
    release();
    await swept(table);
    expect(table.keyCount).toBe(1);
    await table.close();
  });

  const COUNT = 2000;
  /** Some thirty keys at a time: nothing depends on how many, and one at a time takes its while. */
  const SWEEP_SIZE_BYTES = 2000;
  const firsts = { ...commands.query('k', 'l'), limit: 100 };

  test('is jumped over by whoever reads the keys that were written since', async () => {
    const { table, release, scans } = await openHeld('', 1, COUNT);
    await answered(table.apply([entry(2, del('k', 'l'))]));
    await table.apply([entry(3, putBatch([0, 7, COUNT - 1].map((at) => [keyAt(at), 'new'])))]);
    await table.apply([entry(4, commands.deleteBatch([keyAt(7)]))]);
    const left = [keyAt(0), keyAt(COUNT - 1)];
    const keysOf = ({ records }: { records: { key: Buffer }[] }): string[] =>
      records.map(({ key }) => text(key));
    // To walk over the keys would take as many scans as there are hundreds of them.
    scans.count = 0;
    expect(keysOf(await table.range(firsts))).toEqual(left);
    expect((await table.range({ ...firsts, limit: 0, countOnly: true })).count).toBe(2);
    expect(await table.countKeys()).toBe(2);
    const past = table.view(3);
    expect(keysOf(await past.range(firsts))).toEqual([keyAt(0), keyAt(7), keyAt(COUNT - 1)]);
    past.close();
    const isNew = commands.compare('VALUE', 'k', 'EQUAL', 'new', 'l');
    const success = [opRange('k', 'l'), opDelete('k', 'l')];
    const [result] = await answered(table.apply([entry(5, txn({ compare: [isNew], success }))]));
    expect(result!.succeeded).toBe(true);
    expect(result!.responses.map(({ response }) => response!.value)).toMatchObject([
      { count: 2n },
      { deleted: 2n },
    ]);
    expect(scans.count).toBeLessThan(40);
    // What it deleted is there at every revision before it.
    const before = table.view(1);
    expect((await before.range({ ...firsts, limit: 0, countOnly: true })).count).toBe(COUNT);
    before.close();
    release();
    await swept(table);
    expect(table.keyCount).toBe(0);
    // The store may have to walk over what the sweep has removed for long: LevelDB keeps tombstones of it.
    await table.apply([entry(6, putBatch([[keyAt(3), 'newest']])), entry(7, put('l', 'outside'))]);
    expect(table.state.swept.map(({ written }) => [...written!.tree!.keys()])).toEqual([
      [keyAt(0), keyAt(3), keyAt(7), keyAt(COUNT - 1)],
      [keyAt(3)],
    ]);
    expect(keysOf(await table.range(everything))).toEqual([keyAt(3), 'l']);
    const later = table.view(6);
    expect([keysOf(await later.range(firsts)), await later.count(ALL_KEYS, () => true)]).toEqual([
      [keyAt(3)],
      1,
    ]);
    later.close();
    await table.close();
  });

  test('is walked over where too many keys were written since, by whoever comes then', async () => {
    const { table, release, scans } = await openHeld('', SWEEP_SIZE_BYTES, COUNT, {
      writtenKeysSizeBytesMax: 1000,
    });
    await answered(table.apply([entry(2, del('k', 'l'))]));
    await table.apply([entry(3, putBatch(pairs(10, 'new')))]);
    const view = table.view();
    const pages = view.pages({ ...firsts, limit: 0, maxBytes: 1 });
    expect((await pages.next()).value!.records.map(({ key }) => text(key))).toEqual([keyAt(0)]);
    await table.apply([entry(4, putBatch(pairs(20, 'newer')))]);
    expect(table.state.deletions.map(({ written }) => written!.tree)).toEqual([undefined]);
    // A reader that has begun goes on as before.
    for (let at = 1; at < 10; at++)
      expect((await pages.next()).value!.records.map(({ key }) => text(key))).toEqual([keyAt(at)]);
    expect((await pages.next()).done).toBe(true);
    view.close();
    scans.count = 0;
    expect((await table.range(firsts)).count).toBe(20);
    // In memory others have their turn after a thousand keys.
    expect(scans.count).toBeGreaterThanOrEqual(COUNT / 1000);
    release();
    await swept(table);
    expect(table.keyCount).toBe(20);
    await table.close();
  });

  test('is read and counted alike in a LevelDB', async () => {
    const temporary = new TemporaryDirectory();
    const { path } = temporary;
    const sizes = { writeBufferSizeBytes: 1 << 20, cacheSizeBytes: 1 << 20 };
    const directory = await LevelStoreDirectory.open(path, sizes);
    const table = await openTable(directory, 2000);
    await table.apply([entry(1, putBatch(pairs(COUNT, 'old'))), entry(2, putBatch([['l', 'left']]))]);
    await table.checkpoint();
    const success = [opPut(keyAt(5), 'before'), opDelete('k', 'l'), opPut(keyAt(6), 'after')];
    const [result] = await answered(
      table.apply([entry(3, txn({ success })), entry(4, put(keyAt(COUNT - 1), 'later'))]),
    );
    expect(table.isSweeping).toBe(true);
    expect(result!.responses[1]!.response!.value).toMatchObject({ deleted: BigInt(COUNT) });
    const { records } = await table.range(everything);
    expect(records.map(({ key, value }) => [text(key), text(value)])).toEqual([
      [keyAt(6), 'after'],
      [keyAt(COUNT - 1), 'later'],
      ['l', 'left'],
    ]);
    expect([await table.countKeys(), (await table.range({ ...firsts, countOnly: true })).count]).toEqual([
      3, 2,
    ]);
    const before = table.view(2);
    expect(await before.count(ALL_KEYS, () => true)).toBe(COUNT + 1);
    await swept(table);
    expect([table.keyCount, await before.count(ALL_KEYS, () => true)]).toEqual([3, COUNT + 1]);
    before.close();
    await table.close();
    temporary.remove();
  });

  describe('when it is opened again', () => {
    /** A table that has lost its process in the middle of a sweep, which stands still when it is opened. */
    async function openCrashed(
      beforeCrash: (table: Table) => Promise<void> = async () => undefined,
    ): Promise<{ table: Table; scans: { count: number }; release: () => void }> {
      const held: (() => void)[] = [];
      let holds = false;
      const scans = { count: 0 };
      const directory = new MemoryStoreDirectory({
        beforeFlush: () => (holds ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()),
        beforeScan: async () => {
          scans.count += 1;
        },
      });
      const table = await openTable(directory);
      await table.apply([entry(1, putBatch(pairs(COUNT)))]);
      const some = putBatch([0, 7, COUNT - 1].map((at) => [keyAt(at), 'new']));
      // In one batch: its journal is of the deletion's own as well.
      await answered(table.apply([entry(2, del('k', 'l')), entry(3, some)]));
      await beforeCrash(table);
      while (text(table.state.deletions[0]!.first) === 'k') await microtasks(1);
      await table.checkpoint();
      holds = true;
      directory.crash(() => true);
      const again = await openTable(directory, SWEEP_SIZE_BYTES);
      // A sweep stands back while a checkpoint is made.
      again.checkpoint().catch(() => undefined);
      return {
        table: again,
        scans,
        release: () => {
          holds = false;
          for (const resolve of held) resolve();
        },
      };
    }

    test('the journals say which keys were written since', async () => {
      const { table, scans, release } = await openCrashed();
      const { first, written } = table.state.deletions[0]!;
      // The sweep has begun, and what it has removed is jumped over as well.
      expect([text(first) > 'k', text(written!.bounds.first), [...written!.tree!.keys()]]).toEqual([
        true,
        'k',
        [keyAt(0), keyAt(7), keyAt(COUNT - 1)],
      ]);
      scans.count = 0;
      expect((await table.range(firsts)).count).toBe(3);
      expect(scans.count).toBeLessThan(10);
      release();
      await swept(table);
      expect(table.keyCount).toBe(3);
      await table.close();
    });

    test('and where the journals went with the history, nobody guesses (A5)', async () => {
      const { table, scans, release } = await openCrashed(async (before) => {
        await before.apply([commands.internalEntry(4, CommandKind.Compact, 3)]);
        await before.checkpoint();
        await before.removeHistory();
      });
      expect(table.state.deletions.map(({ written }) => written)).toEqual([undefined]);
      scans.count = 0;
      expect((await table.range(firsts)).count).toBe(3);
      expect(scans.count).toBeGreaterThan(10);
      release();
      await swept(table);
      expect(table.keyCount).toBe(3);
      await table.close();
    });
  });

  test('goes on in parts where sixteen are under way (A4)', async () => {
    const { table, release } = await openHeld();
    for (let at = 0; at < 17; at++) {
      const [result] = await answered(table.apply([entry(2 + at, del(keyAt(10 * at), keyAt(10 * at + 10)))]));
      expect(result!.responses[0]!.response!.value).toMatchObject({ deleted: 10n });
    }
    expect(table.state.deletions).toHaveLength(16);
    expect(await table.countKeys()).toBe(KEY_COUNT - 170);
    release();
    await swept(table);
    expect(table.keyCount).toBe(KEY_COUNT - 170);
    await table.close();
  });

  test('leaves nothing in the store when the history has passed it (A5)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory);
    await table.apply([
      entry(1, putBatch(pairs(KEY_COUNT))),
      entry(2, del('k', 'l')),
      entry(3, put('a', '')),
    ]);
    await swept(table);
    expect(await table.compactableRevision(3)).toBe(3);
    await table.apply([commands.internalEntry(4, CommandKind.Compact, 3)]);
    await table.checkpoint();
    await table.removeHistory();
    await closeWhole(table);
    expect(await recordKinds(directory, NAME)).toEqual(new Set(['L', 'N']));
  });

  test('stops a table that is loaded while it goes on: a pair might be older (T2)', async () => {
    const { table, release } = await openHeld();
    await table.apply([entry(2, del('k', 'l'))]);
    const load = { ...commands.internalEntry(3, CommandKind.Load), payload: Buffer.from([0]) };
    await expect(table.apply([load])).rejects.toThrow('loads a table that was written to');
    release();
    await table.close();
  });
});

test('the parts of a range are its own, in order, and each has the keys of the latest deletion that covers it', () => {
  const bound = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
  const end = fc.option(bound, { nil: undefined });
  const bounds = (first: string, to: string | undefined) => ({
    first: bytes(first),
    end: to === undefined ? undefined : bytes(to),
  });
  const has = (first: string, to: string | undefined, key: string): boolean =>
    first <= key && (to === undefined || key < to);
  fc.assert(
    fc.property(
      bound,
      end,
      fc.array(fc.tuple(bound, end, fc.boolean()), { maxLength: 4 }),
      (first, to, list) => {
        const deletions = list
          .filter(([from, until]) => until === undefined || from < until)
          .map(([from, until, isKnown]) => ({
            // The sweep has come to its end, which makes no difference.
            ...bounds('g', until),
            revision: 1,
            lane: 0,
            written: isKnown ? new WrittenKeys(bounds(from, until), 1000) : undefined,
          }));
        const parts = partsOf(bounds(first, to), deletions);
        for (const key of 'abcdefg') {
          const found = parts.filter((part) => has(text(part.first), part.end && text(part.end), key));
          expect(found).toHaveLength(has(first, to, key) ? 1 : 0);
          const covering = deletions.findLast(
            ({ written }) => written !== undefined && isWithinBounds(written.bounds, bytes(key)),
          );
          for (const { keys } of found) expect(keys).toBe(covering?.written?.tree);
        }
        expect(parts.map((part) => text(part.first))).toEqual(
          parts.map((part) => text(part.first)).toSorted(),
        );
      },
    ),
  );
});
