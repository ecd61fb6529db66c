import { type mvcc, regatta } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { MemoryStoreDirectory, Table } from '../src/index.js';
import { answered, compare, del, entry, opDelete, opPut, opRange, put, putBatch, txn } from './commands.js';

/** What a gRPC client takes when nothing else was set. */
const CLIENT_BYTES_MAX = 4 * 1024 * 1024;
const MANY_KEYS = 2500;

/** A table of many keys, and how often its store was asked for pages. */
async function openCounted(): Promise<{
  table: Table;
  scans: { count: number; held: Promise<void> | undefined };
}> {
  const scans = { count: 0, held: undefined as Promise<void> | undefined };
  const beforeScan = async (): Promise<void> => {
    scans.count += 1;
    await scans.held;
  };
  const directory = new MemoryStoreDirectory({ beforeScan });
  const table = await Table.open({
    directory,
    name: '10001',
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes: 1 << 26,
  });
  const pairs = Array.from({ length: MANY_KEYS }, (_, at): [string, string] => [`k${at}`, '']);
  await table.apply([entry(1, putBatch(pairs))]);
  scans.count = 0;
  return { table, scans };
}

const valuesOf = (responses: mvcc.ResponseOp[]): unknown[] =>
  responses.map(({ response }) => response!.value);

function encodedSizeBytes(responses: mvcc.ResponseOp[]): number {
  return regatta.TxnResponse.encode(regatta.TxnResponse.fromPartial({ responses })).finish().length;
}

describe('the ranges of a written Txn (A4)', () => {
  test('hold up no later entry, and are read from the table as it was between its operations (A2)', async () => {
    const { table, scans } = await openCounted();
    let release = (): void => undefined;
    scans.held = new Promise((resolve) => {
      release = resolve;
    });
    const all = opRange('k', 'l', { countOnly: true });
    const [result] = await table.apply([
      entry(
        2,
        txn({
          success: [all, opPut('kx', '1'), all, opDelete('kx'), opPut('ky', '1'), opPut('kz', '1'), all],
        }),
      ),
    ]);
    await table.apply([entry(3, put('kzz', 'later')), entry(4, del('k0'))]);
    expect(table.appliedIndex).toBe(4);
    release();
    await result!.reading;
    const counts = valuesOf(result!.responses).filter((value) => 'count' in (value as object));
    expect(counts).toMatchObject([
      { count: BigInt(MANY_KEYS), more: false },
      { count: BigInt(MANY_KEYS + 1), more: false },
      { count: BigInt(MANY_KEYS + 2), more: false },
    ]);
    await table.close();
  });

  test('count the whole table without a look at its keys', async () => {
    const { table, scans } = await openCounted();
    const count = opRange('\0', '\0', { countOnly: true });
    const success = [...Array.from({ length: 100 }, () => count), opPut('new', ''), count];
    const [result] = await answered(table.apply([entry(2, txn({ success }))]));
    expect(scans.count).toBe(0);
    expect(valuesOf([result!.responses[99]!, result!.responses[101]!])).toMatchObject([
      { count: BigInt(MANY_KEYS) },
      { count: BigInt(MANY_KEYS + 1) },
    ]);
    await table.close();
  });

  test('are read once where they are equal, written or not (P3)', async () => {
    const { table, scans } = await openCounted();
    const success = Array.from({ length: 200 }, () => opRange('k', 'l', { countOnly: true }));
    await answered(table.apply([entry(2, txn({ success: success.slice(0, 1).concat(opPut('k0', '')) }))]));
    const once = scans.count;
    const [result] = await answered(table.apply([entry(3, txn({ success: [...success, opPut('k0', '')] }))]));
    expect(scans.count).toBe(2 * once);
    expect(valuesOf(result!.responses)[199]).toMatchObject({ count: BigInt(MANY_KEYS) });
    const view = table.view();
    const read = await view.readOnlyTxn(txn({ success }).txn!);
    expect(scans.count).toBe(3 * once);
    expect(valuesOf(read.responses)[199]).toMatchObject({ count: BigInt(MANY_KEYS) });
    view.close();
    await table.close();
  });

  test('are not read when nobody waits for them any more', async () => {
    const { table, scans } = await openCounted();
    const success = [opPut('k0', ''), opRange('k', 'l')];
    const [result] = await table.apply([{ ...entry(2, txn({ success })), isAwaited: () => false }]);
    await expect(result!.reading).rejects.toMatchObject({ code: 'answerAbandoned' });
    expect(scans.count).toBe(0);
    await table.close();
  });

  test('end with the table, and are lost', async () => {
    const { table } = await openCounted();
    const [result] = await table.apply([entry(2, txn({ success: [opPut('k0', ''), opRange('k', 'l')] }))]);
    const lost = expect(result!.reading).rejects.toMatchObject({ code: 'closed' });
    await table.close();
    await lost;
  });
});

test('compares of ranges that overlap read each key once', async () => {
  const { table, scans } = await openCounted();
  const compares = Array.from({ length: 50 }, (_, at) => compare('VERSION', `k${at}`, 'EQUAL', 1, '\0'));
  const [one] = await table.apply([entry(2, txn({ compare: [compares[0]!], success: [opPut('a', '')] }))]);
  const once = scans.count;
  const [many] = await table.apply([entry(3, txn({ compare: compares, success: [opPut('a', '')] }))]);
  expect([one!.succeeded, many!.succeeded]).toEqual([true, true]);
  expect(scans.count).toBe(2 * once);
  const failing = [...compares, compare('VERSION', 'k7', 'GREATER', 1, 'k8')];
  const [none] = await table.apply([entry(4, txn({ compare: failing, success: [opPut('a', '')] }))]);
  expect(none!.succeeded).toBe(false);
  await table.close();
});

describe('the answer of a Txn that was applied', () => {
  const large = 'x'.repeat(2 << 20);

  test('leaves out previous pairs that pass 4 MiB, in order, and says so', async () => {
    const { table } = await openCounted();
    const names = ['a', 'b', 'c'];
    await table.apply(names.map((key, at) => entry(at + 2, put(key, large))));
    const success = [...names.map((key) => opPut(key, '', true)), opDelete('k0', '', true), opRange('k1')];
    const [result] = await answered(table.apply([entry(5, txn({ success }))]));
    expect(encodedSizeBytes(result!.responses)).toBeLessThan(CLIENT_BYTES_MAX);
    const [first, ...others] = valuesOf(result!.responses) as mvcc.ResponseOp_Put[];
    expect(first!.prevKv?.value).toHaveLength(large.length);
    expect(first!.more).toBe(false);
    expect(others).toMatchObject([
      { prevKv: undefined, more: true },
      { prevKv: undefined, more: true },
      { deleted: 1n, prevKvs: [], more: true },
      { count: 1n, more: false },
    ]);
    await table.close();
  });

  test('fits also when ranges, deletions and many operations share it', async () => {
    const { table } = await openCounted();
    await table.apply([entry(2, put('a', large)), entry(3, put('b', large))]);
    const small = Array.from({ length: 15_000 }, () => opPut('s', 'x'.repeat(140), true));
    const success = [opRange('a', '\0'), ...small, opDelete('a', 'c', true), opRange('a', '\0')];
    const [result] = await answered(table.apply([entry(4, txn({ success }))]));
    expect(encodedSizeBytes(result!.responses)).toBeLessThan(CLIENT_BYTES_MAX);
    expect(result!.responses).toHaveLength(success.length);
    await table.close();
  });

  test('gives a page that was read before only where it fits once more', async () => {
    const { table } = await openCounted();
    await table.apply([entry(2, put('a', large))]);
    const range = opRange('a', 'b');
    const [result] = await answered(
      table.apply([entry(3, txn({ success: [range, range, range, opPut('z', '')] }))]),
    );
    expect(encodedSizeBytes(result!.responses)).toBeLessThan(CLIENT_BYTES_MAX);
    expect(valuesOf(result!.responses).slice(0, 3)).toMatchObject([
      { count: 1n, more: false },
      { count: 0n, more: true },
      { count: 0n, more: true },
    ]);
    await table.close();
  });

  test('leaves room for what each of many answers takes beside its pair', async () => {
    const { table } = await openCounted();
    const success = Array.from({ length: 15_000 }, () => opPut('s', 'x'.repeat(280), true));
    const [result] = await answered(table.apply([entry(2, txn({ success }))]));
    const sizeBytes = encodedSizeBytes(result!.responses);
    expect(sizeBytes).toBeLessThan(CLIENT_BYTES_MAX);
    expect(sizeBytes).toBeGreaterThan(0.8 * CLIENT_BYTES_MAX);
    expect(valuesOf(result!.responses).at(-1)).toMatchObject({ prevKv: undefined, more: true });
    await table.close();
  });
});
