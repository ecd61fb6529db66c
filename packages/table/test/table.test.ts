import type { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import {
  CommandKind,
  MemoryStoreDirectory,
  RevisionCompactedError,
  Table,
  type TableEntry,
  UnknownCommandError,
} from '../src/index.js';
import { batchKey } from '../src/layout.js';
import {
  answered,
  bytes,
  compare,
  del,
  dummy,
  entry,
  internalEntry,
  opDelete,
  opPut,
  opRange,
  put,
  putBatch,
  query,
  replicated,
  text,
  txn,
} from './commands.js';
import { closeWhole, historyCount, logicalRecords } from './records.js';

const NAME = '10001';

async function openTable(
  directory = new MemoryStoreDirectory(),
  writeBufferSizeBytes = 1 << 22,
): Promise<Table> {
  const effectsSizeBytesMax = 1 << 20;
  return Table.open({
    directory,
    name: NAME,
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes,
    effectsSizeBytesMax,
  });
}

describe('apply', () => {
  test('sees what calls before it have not written yet, for points and ranges (A2)', async () => {
    const held: (() => void)[] = [];
    let holds = false;
    const directory = new MemoryStoreDirectory({
      beforeWrite: () => (holds ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()),
    });
    // Memory is full after one batch, and after another while that is being flushed.
    const table = await openTable(directory, 1);
    holds = true;
    await table.apply([
      entry(
        1,
        putBatch([
          ['a', '1'],
          ['b', '1'],
        ]),
      ),
    ]);
    await table.apply([entry(2, put('c', '1'))]);
    const order: number[] = [];
    const all = [
      table.apply([entry(3, put('bb', '2')), entry(4, del('a'))]),
      table.apply([entry(5, txn({ success: [opRange('\0', '\0', { keysOnly: true })] }))]),
      table.apply([entry(6, put('a', '5', true)), entry(7, del('b', 'c', true))]),
      table.apply([entry(8, txn({ compare: [compare('VERSION', 'bb', 'EQUAL', 0)] }))]),
    ].map((result, at) =>
      result.then((results) => {
        order.push(at);
        return results;
      }),
    );
    while (held.length === 0) await Promise.resolve();
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    expect(table.appliedIndex).toBe(2);
    expect(order).toEqual([]);
    holds = false;
    held.shift()!();
    const results = (await Promise.all(all)).flat();
    await results[2]!.reading;
    expect(order).toEqual([0, 1, 2, 3]);
    expect(results[2]!.responses[0]!.response!.value).toMatchObject({ count: 3n });
    expect(results[3]!.responses[0]!.response!.value).toEqual({ prevKv: undefined, more: false });
    expect(results[4]!.responses[0]!.response!.value).toMatchObject({ deleted: 2n });
    expect(results[5]!.succeeded).toBe(true);
    await table.close();
  });

  test('has the same effects when nobody wants to know them (A1)', async () => {
    const list = [
      put('a', '1'),
      txn({
        compare: [compare('MOD', 'a', 'EQUAL', 1)],
        success: [opDelete('a', '', true), opPut('b', '2')],
      }),
      del('\0', '\0', true),
      put('c', '3'),
    ].map((command, at) => entry(at + 1, command));
    const records = [];
    for (const wantsResult of [true, false]) {
      const directory = new MemoryStoreDirectory();
      const table = await openTable(directory);
      const results = await table.apply(list.map((one) => ({ ...one, wantsResult })));
      expect(results.every(({ responses }) => responses.length > 0)).toBe(wantsResult);
      await closeWhole(table);
      records.push(await logicalRecords(directory, NAME));
    }
    expect(records[0]).toEqual(records[1]);
  });

  test('applies what stock Regatta applies, though the API would refuse it (A3)', async () => {
    const table = await openTable();
    const [first, second] = await table.apply([
      entry(1, put('k'.repeat(5000), 'v'.repeat(3 << 20))),
      entry(2, txn({ success: [{ request: undefined }, opPut('a', '1')] })),
    ]);
    expect(first!.succeeded).toBe(true);
    expect(second!.responses).toHaveLength(1);
    expect(table.keyCount).toBe(2);
    await table.close();
  });

  test('stops at what it does not know, and never skips it (A8)', async () => {
    const unknown: TableEntry[] = [
      { ...internalEntry(2, CommandKind.None), kind: 9 as CommandKind },
      entry(2, { ...dummy(), type: 9 as mvcc.Command_CommandType }),
      entry(
        2,
        txn({
          compare: [{ ...compare('VALUE', 'a', 'EQUAL', '1'), target: 9 as mvcc.Compare_CompareTarget }],
        }),
      ),
      entry(
        2,
        txn({
          compare: [{ ...compare('VALUE', 'a', 'EQUAL', '1'), result: 9 as mvcc.Compare_CompareResult }],
        }),
      ),
    ];
    for (const one of unknown) {
      const table = await openTable();
      await table.apply([entry(1, put('a', '1'))]);
      await expect(table.apply([one])).rejects.toThrow(UnknownCommandError);
      await expect(table.apply([entry(3, put('a', '3'))])).rejects.toThrow(/closed itself/);
      expect(table.appliedIndex).toBe(1);
      await table.close();
    }
  });

  test('gives the revision on every write, also on one without effect', async () => {
    const table = await openTable();
    const results = await table.apply([
      internalEntry(1, CommandKind.None),
      entry(2, del('absent')),
      entry(3, txn({ compare: [compare('VALUE', 'absent', 'EQUAL', '')], success: [opPut('a', '1')] })),
    ]);
    expect(results.map(({ index, revision, succeeded }) => [index, revision, succeeded])).toEqual([
      [1, 1, true],
      [2, 2, true],
      [3, 3, false],
    ]);
    expect(table.revision).toBe(3);
    await table.close();
  });

  test('takes the revision from the leader cluster where a command has one (D3, R1)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory);
    const [first] = await table.apply([
      entry(1, replicated(70, put('a', '1'))),
      internalEntry(2, CommandKind.None),
      entry(3, replicated(75, dummy())),
    ]);
    expect(first!.revision).toBe(70);
    expect(table.get(bytes('a'))).toMatchObject({ record: { modRevision: 70 }, revision: 75 });
    await table.checkpoint();
    directory.crash(() => true);
    const reopened = await openTable(directory);
    expect(reopened.state).toMatchObject({ appliedIndex: 3, revision: 75, leaderIndex: 75 });
    await reopened.close();
  });

  test('counts what a range deletion deletes, and cuts the pairs before it at the response cap', async () => {
    const table = await openTable();
    const value = 'x'.repeat(1 << 20);
    await table.apply(Array.from({ length: 6 }, (_, at) => entry(at + 1, put(`k${at}`, value))));
    const [result] = await answered(table.apply([entry(7, del('k', 'l', true))]));
    const { value: response } = result!.responses[0]!.response!;
    expect(response).toMatchObject({ deleted: 6n, more: true });
    expect((response as { prevKvs: unknown[] }).prevKvs).toHaveLength(3);
    await table.close();
  });
});

describe('the outcome of a Txn', () => {
  test('is recorded when its compares are ours, and only as long as the log is kept (R3)', async () => {
    const table = await openTable();
    await table.apply([
      entry(1, txn({ compare: [compare('VERSION', 'a', 'EQUAL', 0)], success: [opPut('a', '1')] })),
      entry(2, txn({ compare: [compare('MOD', 'a', 'EQUAL', 9)] })),
      entry(3, txn({ compare: [compare('VALUE', 'a', 'EQUAL', '1')] })),
    ]);
    expect(await Promise.all([1, 2, 3].map((index) => table.txnOutcome(index)))).toEqual([
      true,
      false,
      undefined,
    ]);
    await table.pruneOutcomes(2);
    expect(await Promise.all([1, 2].map((index) => table.txnOutcome(index)))).toEqual([undefined, false]);
    await table.pruneOutcomes(3);
    expect(await table.txnOutcome(2)).toBeUndefined();
    await table.close();
  });
});

describe('sealing', () => {
  test('leaves every later entry without effect, and names the shard that took over (T2)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory);
    const results = await table.apply([
      entry(1, put('a', '1')),
      internalEntry(2, CommandKind.Seal, 10_002),
      entry(3, put('a', '3')),
      internalEntry(4, CommandKind.Seal, 10_003),
      internalEntry(5, CommandKind.Compact, 3),
    ]);
    expect(results.map(({ sealedBy, succeeded }) => [sealedBy, succeeded])).toEqual([
      [undefined, true],
      [undefined, true],
      [10_002, false],
      [10_002, false],
      [10_002, false],
    ]);
    expect(table.state).toMatchObject({ appliedIndex: 5, sealedBy: 10_002, historyFloor: 0 });
    expect(text(table.get(bytes('a')).record!.value)).toBe('1');
    await table.checkpoint();
    directory.crash(() => true);
    const reopened = await openTable(directory);
    expect(reopened.sealedBy).toBe(10_002);
    await reopened.close();
  });
});

describe('history', () => {
  test('is unreadable below a Compact at once, and still there above it (A5)', async () => {
    const table = await openTable();
    await table.apply([1, 2, 3, 4].map((index) => entry(index, put('a', String(index)))));
    const before = table.view(2);
    await table.apply([internalEntry(5, CommandKind.Compact, 3)]);
    expect(table.historyFloor).toBe(3);
    expect(() => table.view(2)).toThrow(RevisionCompactedError);
    const view = table.view(3);
    expect((await view.range(query('a'))).records[0]!.modRevision).toBe(3);
    expect((await before.range(query('a'))).records[0]!.modRevision).toBe(2);
    await table.apply([
      internalEntry(6, CommandKind.Compact, 2),
      internalEntry(7, CommandKind.Compact, 1000),
    ]);
    expect(table.historyFloor).toBe(7);
    view.close();
    before.close();
    await table.close();
  });

  test('is read once while a flush has written it, and memory still has it', async () => {
    const held: (() => void)[] = [];
    let holds = false;
    const directory = new MemoryStoreDirectory({
      beforeFlush: () => (holds ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()),
    });
    const table = await openTable(directory);
    await table.apply([1, 2, 3].map((index) => entry(index, put('a', String(index)))));
    await table.apply([entry(4, put('b', '4'))]);
    holds = true;
    const checkpoint = table.checkpoint();
    while (held.length === 0) await Promise.resolve();
    await table.apply([entry(5, del('b')), entry(6, put('a', '6'))]);
    for (const revision of [1, 2, 3, 4, 5, 6]) {
      const view = table.view(revision);
      const { records } = await view.range(query('\0', '\0'));
      const expected = [`a@${[1, 2, 3, 3, 3, 6][revision - 1]}`, ...(revision === 4 ? ['b@4'] : [])];
      expect(records.map(({ key, modRevision }) => `${text(key)}@${modRevision}`)).toEqual(expected);
      view.close();
    }
    held.shift()!();
    await checkpoint;
    await table.close();
  });

  test('is removed below the floor and nowhere else, in steps, also after a restart (A5)', async () => {
    const directory = new MemoryStoreDirectory();
    let table = await openTable(directory);
    for (let index = 1; index <= 3000; index++) await table.apply([entry(index, put(`k${index % 10}`, 'v'))]);
    await table.apply([internalEntry(3001, CommandKind.Compact, 2000)]);
    await table.checkpoint();
    await table.removeHistory();
    const state = table.state;
    const seen = async (revision: number): Promise<unknown> => {
      const view = table.view(revision);
      const { records } = await view.range(query('\0', '\0'));
      view.close();
      return records.map(({ modRevision, version }) => [modRevision, version]);
    };
    expect(await seen(2000)).toHaveLength(10);
    expect((await seen(2000)) as unknown[]).toContainEqual([1999, 200]);
    await closeWhole(table);
    // Each write but the first of a key superseded one; those up to revision 2000 are gone.
    expect(await historyCount(directory, NAME)).toBe(1000);
    table = await openTable(directory);
    expect(table.state).toEqual(state);
    await table.apply([internalEntry(3002, CommandKind.Compact, 3000)]);
    await table.checkpoint();
    await table.removeHistory();
    expect(await seen(3000)).toHaveLength(10);
    await closeWhole(table);
    expect(await historyCount(directory, NAME)).toBe(0);
  });

  test('is removed block by block: what is current at the floor stays, whatever flush wrote it (A5)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory);
    for (let index = 1; index <= 10; index++) {
      await table.apply([entry(index, put('a', String(index)))]);
      await table.checkpoint();
    }
    await table.apply([internalEntry(11, CommandKind.Compact, 5)]);
    await table.checkpoint();
    await table.removeHistory();
    for (let revision = 5; revision <= 10; revision++) {
      const view = table.view(revision);
      expect((await view.range(query('a'))).records.map(({ modRevision }) => modRevision)).toEqual([
        revision,
      ]);
      view.close();
    }
    await closeWhole(table);
    // What revisions 6 to 10 superseded.
    expect(await historyCount(directory, NAME)).toBe(5);
  });

  test('of batches since the last checkpoint stays, so that a gap would show (D4)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory);
    await table.apply([1, 2, 3].map((index) => entry(index, put('a', String(index)))));
    await table.apply([internalEntry(4, CommandKind.Compact, 3)]);
    await table.removeHistory();
    await closeWhole(table);
    const store = await directory.open(NAME, { create: false });
    await store.write([{ storeKey: batchKey(2), record: undefined }]);
    await store.close();
    await expect(openTable(directory)).rejects.toThrow(/batch 2 is missing/);
  });

  test('that is older than the cutoff is named by entry times, once (A5, A7)', async () => {
    const table = await openTable();
    expect(await table.compactableRevision(1_000_000)).toBeUndefined();
    for (let index = 1; index <= 50; index++) await table.apply([entry(index, put('a', 'v'), 1000 * index)]);
    expect(await table.compactableRevision(500)).toBeUndefined();
    expect(await table.compactableRevision(20_500)).toBe(20);
    expect(await table.compactableRevision(20_000)).toBe(20);
    await table.apply([internalEntry(51, CommandKind.Compact, 20, 51_000)]);
    expect(await table.compactableRevision(20_500)).toBeUndefined();
    await table.checkpoint();
    await table.removeHistory();
    expect(await table.compactableRevision(20_999)).toBeUndefined();
    expect(await table.compactableRevision(21_000)).toBe(21);
    expect(await table.compactableRevision(1_000_000)).toBe(51);
    await table.apply([internalEntry(52, CommandKind.Compact, 51, 52_000)]);
    expect(await table.compactableRevision(1_000_000)).toBeUndefined();
    // Also when all batches of that time are gone, and by a table that is opened then: else it never came to rest.
    await table.checkpoint();
    await table.removeHistory();
    await table.apply([internalEntry(53, CommandKind.Compact, 51, 53_000)]);
    expect(await table.compactableRevision(1_000_000)).toBeUndefined();
    await table.apply([entry(54, put('a', 'v'), 54_000)]);
    expect(await table.compactableRevision(1_000_000)).toBe(54);
    await table.close();
  });

  test('time never goes back, whatever an entry says (A7)', async () => {
    const table = await openTable();
    await table.apply([
      entry(1, put('a', '1'), 5000),
      entry(2, put('a', '2'), 3000),
      internalEntry(3, CommandKind.None, 0, 0),
    ]);
    expect(table.lastTimeMs).toBe(5000);
    await table.close();
  });
});
