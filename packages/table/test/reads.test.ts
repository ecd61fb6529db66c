import { mvcc, regatta } from '@coxswain/protocol';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  AnswerAbandonedError,
  MemoryStoreDirectory,
  type RangePage,
  ResponseTooLargeError,
  RevisionCompactedError,
  RevisionInFutureError,
  Table,
} from '../src/index.js';
import { encodedPairSizeBytes } from '../src/pair-size.js';
import {
  answered,
  bytes,
  compare,
  del,
  entry,
  opPut,
  opRange,
  put,
  putBatch,
  query,
  text,
  txn,
} from './commands.js';

const keys = (page: RangePage): string[] => page.records.map(({ key }) => text(key));

async function openTable(directory = new MemoryStoreDirectory()): Promise<Table> {
  return Table.open({
    directory,
    name: '10001',
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes: 1 << 22,
  });
}

describe('a range', () => {
  let table: Table;

  beforeEach(async () => {
    table = await openTable();
    await table.apply([
      entry(
        1,
        putBatch([
          ['a', '1'],
          ['b', '2'],
          ['c', '3'],
        ]),
      ),
      entry(2, put('b', '22')),
      entry(3, put('d', '4')),
    ]);
  });

  afterEach(() => table.close());

  test('is read no further once nobody waits for it, be it a page, a count by revision, or a part of a Txn', async () => {
    const pairs = Array.from({ length: 10_000 }, (_, index): [string, string] => [`k${index}`, 'v']);
    await table.apply([entry(4, putBatch(pairs))]);
    const view = table.view();
    const all = query('\0', '\0');
    const reads: ((isAwaited: () => boolean) => Promise<unknown>)[] = [
      (isAwaited) => view.range(all, isAwaited),
      (isAwaited) => view.range({ ...all, countOnly: true, minModRevision: 1 }, isAwaited),
      (isAwaited) =>
        view.readOnlyTxn({ compare: [], success: [opRange('\0', '\0')], failure: [] }, isAwaited),
    ];
    for (const read of reads) {
      let asked = 0;
      await expect(read(() => ++asked < 3)).rejects.toThrow(AnswerAbandonedError);
      expect(asked).toBe(3);
      await read(() => ++asked > 0);
      // Between any two parts of it.
      expect(asked).toBeGreaterThan(10);
    }
    view.close();
  });

  test('without an end is one key; a missing one is empty', async () => {
    expect(keys(await table.range(query('b')))).toEqual(['b']);
    expect(keys(await table.range(query('b', '')))).toEqual(['b']);
    expect(await table.range(query('x'))).toMatchObject({ records: [], count: 0, more: false, revision: 3 });
  });

  test('reaches up to its end, and a zero byte is no end', async () => {
    expect(keys(await table.range(query('a', 'c')))).toEqual(['a', 'b']);
    expect(keys(await table.range(query('b', '\0')))).toEqual(['b', 'c', 'd']);
    expect(keys(await table.range(query('\0', '\0')))).toEqual(['a', 'b', 'c', 'd']);
  });

  test('whose end is not above its key is empty', async () => {
    expect(keys(await table.range(query('c', 'b')))).toEqual([]);
    expect(keys(await table.range(query('c', 'c')))).toEqual([]);
  });

  test('says exactly whether there is more, at the limit and one beside it', async () => {
    const more = async (limit: number): Promise<unknown> => {
      const page = await table.range(query('\0', '\0', { limit }));
      return [page.count, page.more, page.nextKey];
    };
    expect(await more(3)).toEqual([3, true, undefined]);
    expect(await more(4)).toEqual([4, false, undefined]);
    expect(await more(5)).toEqual([4, false, undefined]);
    expect(await table.range(query('\0', '\0', { limit: 1, minModRevision: 3 }))).toMatchObject({
      count: 1,
      more: false,
    });
  });

  test('counts the keys of the answer, also with the count alone', async () => {
    const counted = await table.range(query('\0', '\0', { countOnly: true }));
    expect(counted).toMatchObject({ records: [], count: 4, more: false });
    const limited = await table.range(query('\0', '\0', { countOnly: true, limit: 2 }));
    expect(limited).toMatchObject({ records: [], count: 2, more: true });
  });

  test('with keys only has no values, but revisions and versions', async () => {
    const { records } = await table.range(query('b', undefined, { keysOnly: true }));
    expect(records).toEqual([
      { key: bytes('b'), value: bytes(''), createRevision: 1, modRevision: 2, version: 2 },
    ]);
  });

  test('keeps to the revision filters, which are inclusive', async () => {
    const filtered = async (filters: object): Promise<string[]> =>
      keys(await table.range(query('\0', '\0', filters)));
    expect(await filtered({ minModRevision: 2 })).toEqual(['b', 'd']);
    expect(await filtered({ maxModRevision: 2 })).toEqual(['a', 'b', 'c']);
    expect(await filtered({ minCreateRevision: 3 })).toEqual(['d']);
    expect(await filtered({ maxCreateRevision: 1, minModRevision: 2 })).toEqual(['b']);
    expect(await filtered({ minModRevision: Number.MAX_SAFE_INTEGER })).toEqual([]);
  });

  test('ends a page before its encoded pairs pass the cap, and goes on from the next key', async () => {
    const value = 'v'.repeat(1000);
    await table.apply([entry(4, putBatch(Array.from({ length: 30 }, (_, at) => [`k${10 + at}`, value])))]);
    const maxBytes = 10_500;
    const found: string[] = [];
    let from = 'k';
    for (let pages = 1; ; pages++) {
      const page = await table.range(query(from, 'l', { maxBytes }));
      found.push(...keys(page));
      const kvs = page.records.map((record) => ({
        ...record,
        createRevision: BigInt(record.createRevision),
        modRevision: BigInt(record.modRevision),
        version: BigInt(record.version),
      }));
      const encoded = regatta.RangeResponse.encode({
        header: undefined,
        kvs,
        more: false,
        count: 0n,
      }).finish();
      expect(encoded.length).toBeLessThanOrEqual(maxBytes);
      if (page.nextKey === undefined) {
        expect(pages).toBe(3);
        expect(page.more).toBe(false);
        break;
      }
      expect(page).toMatchObject({ more: true, count: 10 });
      from = text(page.nextKey);
    }
    expect(found).toEqual(Array.from({ length: 30 }, (_, at) => `k${10 + at}`));
  });

  test('gives a pair that is larger than the cap on a page of its own', async () => {
    await table.apply([entry(4, put('b', 'v'.repeat(500)))]);
    const page = await table.range(query('b', '\0', { maxBytes: 100 }));
    expect(keys(page)).toEqual(['b']);
    expect(page).toMatchObject({ more: true, nextKey: bytes('c') });
  });

  test('comes in pages of one view, with the limit across them and at least one page', async () => {
    const pagesOf = async (options: object): Promise<[string[], boolean][]> => {
      const view = table.view();
      const pages: [string[], boolean][] = [];
      for await (const page of view.pages(query('\0', '\0', { maxBytes: 1, ...options }))) {
        pages.push([keys(page), page.more]);
        await table.apply([entry(table.appliedIndex + 1, put(`new-${table.appliedIndex}`, ''))]);
      }
      view.close();
      return pages;
    };
    const pages = await pagesOf({ limit: 3 });
    expect(pages).toEqual([
      [['a'], true],
      [['b'], true],
      [['c'], true],
    ]);
    expect(await pagesOf({ maxModRevision: 1 })).toEqual([
      [['a'], true],
      [['c'], false],
    ]);
    expect(await pagesOf({ minModRevision: 1000 })).toEqual([[[], false]]);
  });

  test('the size of a pair is what it takes encoded', () => {
    for (const value of ['', 'x', 'y'.repeat(127), 'y'.repeat(128), 'z'.repeat(20_000)]) {
      for (const revision of [1, 127, 128, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
        const record = Buffer.concat([Buffer.alloc(24), bytes(value)]);
        for (const offset of [0, 8, 16]) record.writeBigUInt64LE(BigInt(revision), offset);
        const kv = {
          key: bytes('key'),
          value: bytes(value),
          createRevision: BigInt(revision),
          modRevision: BigInt(revision),
          version: BigInt(revision),
        };
        const encoded = mvcc.ResponseOp_Range.encode({ kvs: [kv], more: false, count: 0n }).finish();
        expect(encodedPairSizeBytes(3, record, false)).toBe(encoded.length);
      }
    }
  });
});

describe('a read at an earlier revision', () => {
  test('sees what was there then', async () => {
    const table = await openTable();
    await table.apply([
      entry(1, put('a', '1')),
      entry(2, del('a')),
      entry(3, put('a', '3')),
      entry(4, del('a')),
    ]);
    const at = async (revision: number): Promise<unknown> => {
      const view = table.view(revision);
      const { records } = await view.range(query('a'));
      view.close();
      return [view.revision, records[0] && { ...records[0], value: text(records[0].value), key: 'a' }];
    };
    expect(await at(0)).toEqual([0, undefined]);
    expect(await at(1)).toEqual([1, { key: 'a', value: '1', createRevision: 1, modRevision: 1, version: 1 }]);
    expect(await at(2)).toEqual([2, undefined]);
    expect(await at(3)).toEqual([3, { key: 'a', value: '3', createRevision: 3, modRevision: 3, version: 1 }]);
    expect(await at(4)).toEqual([4, undefined]);
    await table.close();
  });

  test('above the applied one, or below the floor, is refused with the bound (A5)', async () => {
    const table = await openTable();
    await table.apply([entry(1, put('a', '1'))]);
    expect(() => table.view(2)).toThrow(RevisionInFutureError);
    expect(() => table.view(2)).toThrow(/latest revision is 1/);
    const later = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: '10002',
      create: true,
      initialIndex: 1_000_000_007,
      writeBufferSizeBytes: 1 << 20,
    });
    expect(later.state).toMatchObject({ appliedIndex: 1_000_000_007, revision: 1_000_000_007 });
    expect(() => later.view(1_000_000_006)).toThrow(RevisionCompactedError);
    expect(() => later.view(5)).toThrow(/oldest readable revision is 1000000007/);
    await table.close();
    await later.close();
  });
});

describe('a read while a flush is under way', () => {
  test('reports just the revision that it saw (P2, P3)', async () => {
    let table: Table | undefined;
    const seen: unknown[] = [];
    const look = async (): Promise<void> => {
      if (table === undefined) return;
      const view = table.view();
      const { records } = await view.range(query('a', '\0'));
      const point = table.get(bytes('a'));
      seen.push([point.revision, point.record && text(point.record.value)]);
      seen.push([view.revision, records[0] && text(records[0].value)]);
      view.close();
    };
    const hooks = { beforeWrite: look, afterWrite: look, beforeFlush: look };
    table = await openTable(new MemoryStoreDirectory(hooks));
    await table.apply([entry(1, put('a', '1'))]);
    const checkpoint = table.checkpoint();
    await table.apply([entry(2, put('a', '2'))]);
    await checkpoint;
    expect(seen).toEqual([
      [2, '2'],
      // The view was opened before the second entry.
      [1, '1'],
      ...Array.from({ length: 4 }, () => [2, '2']),
    ]);
    expect(table.checkpointIndex).toBe(1);
    await table.close();
  });
});

describe('a Txn that only reads', () => {
  test('does its compares and ranges on one view (P3)', async () => {
    const table = await openTable();
    await table.apply([entry(1, put('a', '1'))]);
    const view = table.view();
    await table.apply([entry(2, put('a', '2')), entry(3, put('b', '3'))]);
    const compares = [compare('VALUE', 'a', 'EQUAL', '1'), compare('VERSION', 'b', 'EQUAL', 0)];
    const command = txn({ compare: compares, success: [opRange('a', '\0')], failure: [] });
    const result = await view.readOnlyTxn(command.txn!);
    expect(result.succeeded).toBe(true);
    expect(result.responses[0]!.response!.value).toMatchObject({ count: 1n, more: false });
    expect(await view.compare([compare('MOD', 'a', 'EQUAL', 1)])).toBe(true);
    view.close();
    await table.close();
  });

  test('is refused when its ranges pass the response cap together', async () => {
    const table = await openTable();
    await table.apply([entry(1, put('a', 'x'.repeat(1 << 21))), entry(2, put('b', 'x'.repeat(1 << 20)))]);
    const view = table.view();
    const range = opRange('a', '\0');
    expect((await view.readOnlyTxn(txn({ success: [range] }).txn!)).responses).toHaveLength(1);
    await expect(view.readOnlyTxn(txn({ success: [range, range] }).txn!)).rejects.toThrow(
      ResponseTooLargeError,
    );
    view.close();
    await table.close();
  });
});

describe('a compare', () => {
  test('with a number past 2^53-1 matches nothing, with any operator', async () => {
    const table = await openTable();
    await table.apply([entry(1, put('a', '1'))]);
    const view = table.view();
    for (const target of ['VERSION', 'CREATE', 'MOD'] as const) {
      for (const result of ['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL'] as const) {
        expect(await view.compare([compare(target, 'a', result, 2n ** 53n)])).toBe(false);
      }
      expect(await view.compare([compare(target, 'a', 'GREATER', -(2n ** 60n))])).toBe(true);
    }
    view.close();
    await table.close();
  });
});

describe('a written Txn', () => {
  test('shares the response cap among its ranges, and says that there is more', async () => {
    const table = await openTable();
    await table.apply([entry(1, put('a', 'x'.repeat(1 << 21))), entry(2, put('b', 'x'.repeat(1 << 20)))]);
    const [result] = await answered(
      table.apply([entry(3, txn({ success: [opPut('c', ''), opRange('a', '\0'), opRange('a', '\0')] }))]),
    );
    expect(result!.responses.slice(1).map(({ response }) => response!.value)).toMatchObject([
      { count: 3n, more: false },
      { count: 0n, more: true },
    ]);
    await table.close();
  });
});
