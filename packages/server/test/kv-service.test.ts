import { mvcc, regatta } from '@coxswain/protocol';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { OneNode } from './support/one-node.js';
import { collect, type Rpc } from './support/rpc.js';

const { range, iterateRange, put, deleteRange, txn } = regatta.KVService;
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

let node: OneNode;
let rpc: Rpc;
let table: Buffer;
let shardId: bigint;
let tableCount = 0;

beforeAll(async () => {
  // Each tick costs processor time for each of the many tables.
  node = await OneNode.start({ 'raft.rtt': '20ms' });
  rpc = node.rpc();
});

afterAll(async () => {
  rpc.close();
  await node.stop();
});

beforeEach(async () => {
  const name = `table-${++tableCount}`;
  shardId = await node.createTable(rpc, name);
  table = bytes(name);
});

async function store(key: string, value: string): Promise<bigint> {
  const { header } = await rpc.call(put, { table, key: bytes(key), value: bytes(value) });
  return header!.revision;
}

async function storeAll(...keys: readonly string[]): Promise<void> {
  for (const key of keys) await store(key, `value of ${key}`);
}

async function keysOf(request: Partial<regatta.RangeRequest>): Promise<string[]> {
  const { kvs } = await rpc.call(range, { table, ...request });
  return kvs.map(({ key }) => key.toString('latin1'));
}

const rangeOp = (value: Partial<mvcc.RequestOp_Range>): mvcc.RequestOp => ({
  request: { $case: 'requestRange', value: mvcc.RequestOp_Range.create(value) },
});
const putOp = (value: Partial<mvcc.RequestOp_Put>): mvcc.RequestOp => ({
  request: { $case: 'requestPut', value: mvcc.RequestOp_Put.create(value) },
});
const deleteOp = (value: Partial<mvcc.RequestOp_DeleteRange>): mvcc.RequestOp => ({
  request: { $case: 'requestDeleteRange', value: mvcc.RequestOp_DeleteRange.create(value) },
});

describe('Range (docs/protocol.md §2)', () => {
  test('one key: the pair with its revisions, or nothing with status OK', async () => {
    const created = await store('k', 'v1');
    const modified = await store('k', 'v2');
    const response = await rpc.call(range, { table, key: bytes('k') });
    expect(response.kvs).toEqual([
      { key: bytes('k'), value: bytes('v2'), createRevision: created, modRevision: modified, version: 2n },
    ]);
    expect(response).toMatchObject({ more: false, count: 1n });
    const missing = await rpc.call(range, { table, key: bytes('missing') });
    expect(missing).toMatchObject({ kvs: [], more: false, count: 0n });
  });

  test.each([false, true])(
    'the header tells who answered and what the read saw (linearizable %p)',
    async (linearizable) => {
      const revision = await store('k', 'v');
      const { header } = await rpc.call(range, { table, key: bytes('k'), linearizable });
      expect(header).toMatchObject({ shardId, replicaId: 1n, revision, raftLeaderId: 1n });
      expect(header!.raftTerm).toBeGreaterThan(0n);
    },
  );

  test('range_end: [key, range_end) in byte order; a zero byte is no upper bound; an inverted range is empty', async () => {
    await storeAll('a', 'ab', 'b', 'b\xff', 'c');
    expect(await keysOf({ key: bytes('ab'), rangeEnd: bytes('c') })).toEqual(['ab', 'b', 'b\xff']);
    expect(await keysOf({ key: bytes('b'), rangeEnd: bytes('\0') })).toEqual(['b', 'b\xff', 'c']);
    expect(await keysOf({ key: bytes('\0'), rangeEnd: bytes('\0') })).toEqual(['a', 'ab', 'b', 'b\xff', 'c']);
    expect(await keysOf({ key: bytes('c'), rangeEnd: bytes('a') })).toEqual([]);
    expect(await keysOf({ key: bytes('c'), rangeEnd: bytes('c') })).toEqual([]);
  });

  test('range_end without a key begins at the first key, as in Armada', async () => {
    await storeAll('a', 'ab', 'b');
    const key = bytes('');
    expect(await keysOf({ key, rangeEnd: bytes('\0') })).toEqual(['a', 'ab', 'b']);
    expect(await keysOf({ key, rangeEnd: bytes('b') })).toEqual(['a', 'ab']);
    expect(await keysOf({ key, rangeEnd: bytes('\0'), limit: 1n })).toEqual(['a']);
    expect((await rpc.call(range, { table, key, rangeEnd: bytes('\0'), countOnly: true })).count).toBe(3n);
    const pages = await collect(rpc.stream(iterateRange, { table, key, rangeEnd: bytes('b') }));
    expect(pages.flatMap(({ kvs }) => kvs.map((pair) => pair.key.toString()))).toEqual(['a', 'ab']);
  });

  test('limit: count is the keys of the response, and more is right at exactly limit and limit+1 matches', async () => {
    await storeAll('a', 'b', 'c');
    const all = { table, key: bytes('\0'), rangeEnd: bytes('\0') };
    expect(await rpc.call(range, { ...all, limit: 2n })).toMatchObject({ count: 2n, more: true });
    expect(await rpc.call(range, { ...all, limit: 3n })).toMatchObject({ count: 3n, more: false });
    expect(await rpc.call(range, { ...all, limit: 4n })).toMatchObject({ count: 3n, more: false });
  });

  test('keys_only leaves values out, count_only leaves pairs out; with a limit at most limit are counted', async () => {
    await storeAll('a', 'b', 'c');
    const all = { table, key: bytes('\0'), rangeEnd: bytes('\0') };
    const keys = await rpc.call(range, { ...all, keysOnly: true });
    expect(keys.kvs.map(({ value }) => value.length)).toEqual([0, 0, 0]);
    expect(keys.kvs[0]!.modRevision).toBeGreaterThan(0n);
    expect(await rpc.call(range, { ...all, countOnly: true })).toMatchObject({ kvs: [], count: 3n });
    expect(await rpc.call(range, { ...all, countOnly: true, limit: 2n })).toMatchObject({
      kvs: [],
      count: 2n,
    });
    expect(await rpc.call(range, { table, key: bytes('a'), countOnly: true })).toMatchObject({
      kvs: [],
      count: 1n,
    });
    const one = await rpc.call(range, { table, key: bytes('a'), keysOnly: true });
    expect(one.kvs[0]!.value).toHaveLength(0);
  });

  test('min and max revision filters work, each inclusive', async () => {
    const first = await store('a', '1');
    const second = await store('b', '1');
    const third = await store('a', '2');
    const all = { key: bytes('\0'), rangeEnd: bytes('\0') };
    expect(await keysOf({ ...all, minModRevision: third })).toEqual(['a']);
    expect(await keysOf({ ...all, maxModRevision: second })).toEqual(['b']);
    expect(await keysOf({ ...all, minCreateRevision: second })).toEqual(['b']);
    expect(await keysOf({ ...all, maxCreateRevision: first })).toEqual(['a']);
    expect(await keysOf({ key: bytes('a'), maxModRevision: second })).toEqual([]);
  });

  test('revision: the table as it was; outside of history OUT_OF_RANGE with the bound', async () => {
    const first = await store('a', '1');
    await store('b', '1');
    const last = await store('a', '2');
    const then = await rpc.call(range, { table, key: bytes('\0'), rangeEnd: bytes('\0'), revision: first });
    expect(then.kvs.map(({ key, value }) => `${key}=${value}`)).toEqual(['a=1']);
    expect(then.header!.revision).toBe(first);
    expect(await rpc.failure(range, { table, key: bytes('a'), revision: last + 1n })).toEqual({
      code: status.OUT_OF_RANGE,
      details: `revision is above the newest one applied, which is ${last}`,
    });
  });

  test('a page ends before 4 MiB - 1 KiB, then more is set', async () => {
    const value = Buffer.alloc(1024 * 1024, 'v');
    for (let i = 0; i < 5; i++) await rpc.call(put, { table, key: bytes(`k${i}`), value });
    const page = await rpc.call(range, { table, key: bytes('k'), rangeEnd: bytes('l') });
    expect(page).toMatchObject({ count: 3n, more: true });
    expect(range.responseSerialize(page).length).toBeLessThanOrEqual(4 * 1024 * 1024);
  });
});

describe('IterateRange', () => {
  test('splits into pages that grow: more on all but the last message, and one point-in-time view', async () => {
    const value = Buffer.alloc(10_000, 'v');
    for (let i = 0; i < 12; i++) await rpc.call(put, { table, key: bytes(`k${i}`), value });
    const stream = rpc.stream(iterateRange, { table, key: bytes('k'), rangeEnd: bytes('l') });
    const iterator = stream[Symbol.asyncIterator]();
    const first = (await iterator.next()).value as regatta.RangeResponse;
    await rpc.call(deleteRange, { table, key: bytes('k'), rangeEnd: bytes('l') });
    const messages = [first];
    for (let next = await iterator.next(); !next.done; next = await iterator.next())
      messages.push(next.value);
    expect(messages.map(({ count, more }) => [count, more])).toEqual([
      [1n, true],
      [3n, true],
      [6n, true],
      [2n, false],
    ]);
    expect(new Set(messages.map(({ header }) => header!.revision)).size).toBe(1);
  });

  test('limit counts across messages, and sets more on the last when it cut the range short', async () => {
    const value = Buffer.alloc(10_000, 'v');
    for (let i = 0; i < 6; i++) await rpc.call(put, { table, key: bytes(`k${i}`), value });
    const all = { table, key: bytes('k'), rangeEnd: bytes('l') };
    const cut = await collect(rpc.stream(iterateRange, { ...all, limit: 5n }));
    expect(cut.map(({ count, more }) => [count, more])).toEqual([
      [1n, true],
      [3n, true],
      [1n, true],
    ]);
    const whole = await collect(rpc.stream(iterateRange, { ...all, limit: 6n }));
    expect(whole.map(({ count, more }) => [count, more])).toEqual([
      [1n, true],
      [3n, true],
      [2n, false],
    ]);
  });

  test('sends at least one message', async () => {
    const messages = await collect(
      rpc.stream(iterateRange, { table, key: bytes('a'), rangeEnd: bytes('b') }),
    );
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject({ kvs: [], more: false, count: 0n });
  });

  test('refuses what Range refuses, and a caller that leaves is no fault of the node', async () => {
    const stream = rpc.stream(iterateRange, { table: bytes('nowhere'), key: bytes('a') });
    await expect(collect(stream)).rejects.toMatchObject({
      code: status.NOT_FOUND,
      details: 'table not found',
    });
    await storeAll('a', 'b');
    const left = rpc.stream(iterateRange, { table, key: bytes('\0'), rangeEnd: bytes('\0') });
    left.on('error', () => undefined);
    left.cancel();
    expect(await keysOf({ key: bytes('a') })).toEqual(['a']);
  });
});

describe('Put', () => {
  test('writes and overwrites; an empty value is a value; revisions grow', async () => {
    const first = await store('k', 'v');
    const second = await store('k', '');
    expect(second).toBeGreaterThan(first);
    const { kvs } = await rpc.call(range, { table, key: bytes('k') });
    expect(kvs[0]).toMatchObject({ value: bytes(''), createRevision: first, modRevision: second });
  });

  test('prev_kv returns the old pair if there was any, and only when asked', async () => {
    const key = bytes('k');
    expect((await rpc.call(put, { table, key, value: bytes('1'), prevKv: true })).prevKv).toBeUndefined();
    const again = await rpc.call(put, { table, key, value: bytes('2'), prevKv: true });
    expect(again.prevKv).toMatchObject({ key, value: bytes('1'), version: 1n });
    expect((await rpc.call(put, { table, key, value: bytes('3') })).prevKv).toBeUndefined();
  });

  test('the largest key and value are accepted', async () => {
    const key = Buffer.alloc(1024, 'k');
    const value = Buffer.alloc(2 * 1024 * 1024, 'v');
    await rpc.call(put, { table, key, value });
    const { kvs } = await rpc.call(range, { table, key });
    expect(kvs[0]!.value.equals(value)).toBe(true);
  });
});

describe('DeleteRange', () => {
  test('deleted is exact, asked for or not', async () => {
    await storeAll('a', 'b', 'c', 'd');
    expect((await rpc.call(deleteRange, { table, key: bytes('a') })).deleted).toBe(1n);
    expect((await rpc.call(deleteRange, { table, key: bytes('a') })).deleted).toBe(0n);
    const rest = await rpc.call(deleteRange, { table, key: bytes('b'), rangeEnd: bytes('\0'), count: true });
    expect(rest).toMatchObject({ deleted: 3n, prevKvs: [], more: false });
    expect(await keysOf({ key: bytes('\0'), rangeEnd: bytes('\0') })).toEqual([]);
  });

  test('prev_kv returns the pairs up to the response cap, then sets more; deleted is exact still', async () => {
    const value = Buffer.alloc(1024 * 1024, 'v');
    for (let i = 0; i < 5; i++) await rpc.call(put, { table, key: bytes(`k${i}`), value });
    const response = await rpc.call(deleteRange, {
      table,
      key: bytes('k'),
      rangeEnd: bytes('l'),
      prevKv: true,
    });
    expect(response).toMatchObject({ deleted: 5n, more: true });
    expect(response.prevKvs.map(({ key }) => key.toString())).toEqual(['k0', 'k1', 'k2']);
  });
});

describe('Txn', () => {
  const compareValue = (key: string, result: mvcc.Compare_CompareResult, value: string): mvcc.Compare =>
    mvcc.Compare.create({ key: bytes(key), result, targetUnion: { $case: 'value', value: bytes(value) } });
  const { EQUAL, GREATER, LESS, NOT_EQUAL } = mvcc.Compare_CompareResult;
  const { VERSION, CREATE, MOD } = mvcc.Compare_CompareTarget;

  async function holds(...compare: readonly mvcc.Compare[]): Promise<boolean> {
    const { succeeded } = await rpc.call(txn, { table, compare: [...compare] });
    return succeeded;
  }

  test('the stored value is the left side, byte-wise; all compares must hold; none is true', async () => {
    await store('k', 'm');
    expect(await holds()).toBe(true);
    expect(await holds(compareValue('k', EQUAL, 'm'))).toBe(true);
    expect(await holds(compareValue('k', GREATER, 'a'))).toBe(true);
    expect(await holds(compareValue('k', GREATER, 'z'))).toBe(false);
    expect(await holds(compareValue('k', LESS, '\xff'))).toBe(true);
    expect(await holds(compareValue('k', NOT_EQUAL, 'm'))).toBe(false);
    expect(await holds(compareValue('k', EQUAL, 'm'), compareValue('k', EQUAL, 'n'))).toBe(false);
  });

  test('without value it is an existence test, whatever result says; a missing key is false for every operator', async () => {
    await store('k', 'v');
    for (const result of [EQUAL, GREATER, LESS, NOT_EQUAL]) {
      expect(await holds(mvcc.Compare.create({ key: bytes('k'), result }))).toBe(true);
      expect(await holds(mvcc.Compare.create({ key: bytes('missing'), result }))).toBe(false);
      expect(await holds(compareValue('missing', result, 'v'))).toBe(false);
    }
  });

  test('a range compare holds for every key in it, and not for none', async () => {
    await store('a', 'v');
    await store('b', 'v');
    const inRange = (value: string, end: string): mvcc.Compare => ({
      ...compareValue('a', EQUAL, value),
      rangeEnd: bytes(end),
    });
    expect(await holds(inRange('v', 'c'))).toBe(true);
    await store('b', 'w');
    expect(await holds(inRange('v', 'c'))).toBe(false);
    expect(await holds(inRange('v', 'b'))).toBe(true);
    expect(await holds({ ...compareValue('x', EQUAL, 'v'), rangeEnd: bytes('z') })).toBe(false);
  });

  test('VERSION, CREATE and MOD compare revisions, and a missing key counts as 0', async () => {
    const created = await store('k', '1');
    const modified = await store('k', '2');
    const by = (target: mvcc.Compare_CompareTarget, key: string, targetUnion: mvcc.Compare['targetUnion']) =>
      mvcc.Compare.create({ key: bytes(key), result: EQUAL, target, ...(targetUnion && { targetUnion }) });
    expect(await holds(by(VERSION, 'k', { $case: 'version', value: 2n }))).toBe(true);
    expect(await holds(by(CREATE, 'k', { $case: 'createRevision', value: created }))).toBe(true);
    expect(await holds(by(MOD, 'k', { $case: 'modRevision', value: modified }))).toBe(true);
    expect(await holds(by(MOD, 'k', { $case: 'modRevision', value: created }))).toBe(false);
    expect(await holds(by(VERSION, 'missing', { $case: 'version', value: 0n }))).toBe(true);
    expect(await holds(by(VERSION, 'k', { $case: 'version', value: 0n }))).toBe(false);
  });

  test('operations run in order, later ones see earlier ones, the last write wins, responses are positional', async () => {
    const key = bytes('k');
    const response = await rpc.call(txn, {
      table,
      success: [
        putOp({ key, value: bytes('1') }),
        rangeOp({ key }),
        putOp({ key, value: bytes('2'), prevKv: true }),
        deleteOp({ key, prevKv: true, count: true }),
        rangeOp({ key }),
        putOp({ key, value: bytes('3') }),
      ],
      failure: [deleteOp({ key })],
    });
    expect(response.succeeded).toBe(true);
    expect(response.responses.map(({ response: op }) => op?.$case)).toEqual([
      'responsePut',
      'responseRange',
      'responsePut',
      'responseDeleteRange',
      'responseRange',
      'responsePut',
    ]);
    const [, seen, overwritten, deleted, gone] = response.responses.map(({ response: op }) => op?.value);
    expect((seen as mvcc.ResponseOp_Range).kvs[0]!.value).toEqual(bytes('1'));
    expect((overwritten as mvcc.ResponseOp_Put).prevKv!.value).toEqual(bytes('1'));
    expect(deleted as mvcc.ResponseOp_DeleteRange).toMatchObject({ deleted: 1n });
    expect((deleted as mvcc.ResponseOp_DeleteRange).prevKvs[0]!.value).toEqual(bytes('2'));
    expect((gone as mvcc.ResponseOp_Range).kvs).toEqual([]);
    const { kvs } = await rpc.call(range, { table, key });
    expect(kvs[0]).toMatchObject({ value: bytes('3'), modRevision: response.header!.revision });
  });

  test('the failure branch runs when a compare does not hold', async () => {
    const response = await rpc.call(txn, {
      table,
      compare: [compareValue('missing', EQUAL, '')],
      success: [putOp({ key: bytes('yes') })],
      failure: [putOp({ key: bytes('no') })],
    });
    expect(response.succeeded).toBe(false);
    expect(await keysOf({ key: bytes('\0'), rangeEnd: bytes('\0') })).toEqual(['no']);
  });

  test('a written Txn with an empty chosen branch still has a revision of its own', async () => {
    const before = await store('k', 'v');
    const { header } = await rpc.call(txn, {
      table,
      compare: [compareValue('missing', EQUAL, '')],
      success: [putOp({ key: bytes('k') })],
    });
    expect(header!.revision).toBeGreaterThan(before);
  });

  test('a read-only Txn, or one without operations, is never proposed, and tells the revision that it saw (P3)', async () => {
    const revision = await store('k', 'v');
    const read = await rpc.call(txn, {
      table,
      success: [rangeOp({ key: bytes('k') })],
      failure: [rangeOp({ key: bytes('x') })],
    });
    expect(read.header!.revision).toBe(revision);
    expect(read.responses[0]!.response).toMatchObject({ $case: 'responseRange', value: { count: 1n } });
    const empty = await rpc.call(txn, { table });
    expect(empty).toMatchObject({ succeeded: true, responses: [] });
    expect(empty.header!.revision).toBe(revision);
    expect(await store('k', 'v')).toBe(revision + 1n);
  });

  test('over the response cap a read-only Txn is RESOURCE_EXHAUSTED, and a written one sets more', async () => {
    const value = Buffer.alloc(1024 * 1024, 'v');
    for (let i = 0; i < 5; i++) await rpc.call(put, { table, key: bytes(`k${i}`), value });
    const all = rangeOp({ key: bytes('k'), rangeEnd: bytes('l') });
    expect(await rpc.failure(txn, { table, success: [all] })).toEqual({
      code: status.RESOURCE_EXHAUSTED,
      details: 'the answer would exceed 4 MiB: ask for fewer keys at a time',
    });
    const written = await rpc.call(txn, { table, success: [putOp({ key: bytes('w') }), all] });
    expect(written.responses[1]!.response).toMatchObject({ value: { more: true, count: 3n } });
  });
});

describe('errors, in the order in which they are checked', () => {
  const long = Buffer.alloc(1025, 'k');
  const large = Buffer.alloc(2 * 1024 * 1024 + 1);
  const key = bytes('k');
  const nowhere = bytes('nowhere');
  const none = Buffer.alloc(0);
  const refusals = {
    limit: { code: status.INVALID_ARGUMENT, details: 'limit must be a positive number' },
    both: {
      code: status.INVALID_ARGUMENT,
      details: 'keys_only and count_only must not be set at the same time',
    },
    table: { code: status.INVALID_ARGUMENT, details: 'table must be set' },
    key: { code: status.INVALID_ARGUMENT, details: 'key must be set' },
    notFound: { code: status.NOT_FOUND, details: 'table not found' },
    keyLength: { code: status.FAILED_PRECONDITION, details: 'key length exceeded max allowed value' },
    valueLength: { code: status.FAILED_PRECONDITION, details: 'value length exceeded max allowed value' },
  };

  test('Range: each one hides those after it', async () => {
    const failure = (request: Partial<regatta.RangeRequest>) => rpc.failure(range, request);
    const worst = {
      limit: -1n,
      keysOnly: true,
      countOnly: true,
      minModRevision: -1n,
      table: none,
      key: none,
      rangeEnd: long,
    };
    expect(await failure(worst)).toEqual(refusals.limit);
    expect(await failure({ ...worst, limit: 0n })).toEqual(refusals.both);
    expect(await failure({ ...worst, limit: 0n, keysOnly: false })).toEqual({
      code: status.INVALID_ARGUMENT,
      details: 'min_mod_revision must not be negative',
    });
    expect(await failure({ table: none, key: none, rangeEnd: long })).toEqual(refusals.table);
    expect(await failure({ table: nowhere, key: none })).toEqual(refusals.key);
    expect(await failure({ table: nowhere, key, rangeEnd: long })).toEqual(refusals.notFound);
    expect(await failure({ table, key, rangeEnd: long })).toEqual(refusals.keyLength);
    expect(await failure({ table, key: long })).toEqual(refusals.keyLength);
  });

  test.each([
    'minModRevision',
    'maxModRevision',
    'minCreateRevision',
    'maxCreateRevision',
    'revision',
  ] as const)('a negative %s is INVALID_ARGUMENT', async (field) => {
    const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    expect(await rpc.failure(range, { table, key, [field]: -1n })).toEqual({
      code: status.INVALID_ARGUMENT,
      details: `${name} must not be negative`,
    });
  });

  test('Put', async () => {
    expect(await rpc.failure(put, { table: none, key: none, value: large })).toEqual(refusals.table);
    expect(await rpc.failure(put, { table: nowhere, key: none, value: large })).toEqual(refusals.key);
    expect(await rpc.failure(put, { table: nowhere, key: long, value: large })).toEqual(refusals.notFound);
    expect(await rpc.failure(put, { table, key: long, value: large })).toEqual(refusals.keyLength);
    expect(await rpc.failure(put, { table, key, value: large })).toEqual(refusals.valueLength);
  });

  test('DeleteRange', async () => {
    expect(await rpc.failure(deleteRange, { table: none, key: none })).toEqual(refusals.table);
    expect(await rpc.failure(deleteRange, { table: nowhere, key: none })).toEqual(refusals.key);
    expect(await rpc.failure(deleteRange, { table: nowhere, key, rangeEnd: long })).toEqual(
      refusals.notFound,
    );
    expect(await rpc.failure(deleteRange, { table, key, rangeEnd: long })).toEqual(refusals.keyLength);
    expect(await rpc.failure(deleteRange, { table, key: long })).toEqual(refusals.keyLength);
  });

  test('Txn holds keys and values to the limits of Put', async () => {
    const failure = (success: mvcc.RequestOp[], at = table) => rpc.failure(txn, { table: at, success });
    expect(await failure([rangeOp({ key: none, limit: -1n })], none)).toEqual(refusals.limit);
    expect(await failure([rangeOp({ key, keysOnly: true, countOnly: true })])).toEqual(refusals.both);
    expect(await failure([putOp({ key: none })], none)).toEqual(refusals.table);
    expect(await failure([putOp({ key: none })], nowhere)).toEqual(refusals.key);
    expect(await failure([putOp({ key: long })], nowhere)).toEqual(refusals.notFound);
    expect(await failure([putOp({ key: long, value: large })])).toEqual(refusals.keyLength);
    expect(await failure([putOp({ key, value: large })])).toEqual(refusals.valueLength);
    expect(await failure([rangeOp({ key, rangeEnd: long })])).toEqual(refusals.keyLength);
    expect(await failure([deleteOp({ key, rangeEnd: long })])).toEqual(refusals.keyLength);
    expect(await rpc.failure(txn, { table, failure: [putOp({ key: long })] })).toEqual(refusals.keyLength);
    const compare = [mvcc.Compare.create({ key: long })];
    expect(await rpc.failure(txn, { table, compare })).toEqual(refusals.keyLength);
  });

  test('a RequestOp with nothing set, and an unknown compare, are INVALID_ARGUMENT', async () => {
    expect(await rpc.failure(txn, { table, success: [{ request: undefined }] })).toEqual({
      code: status.INVALID_ARGUMENT,
      details: 'every operation of a transaction must be a range, put or delete',
    });
    const compare = [{ ...mvcc.Compare.create({ key }), target: 9 as mvcc.Compare_CompareTarget }];
    expect(await rpc.failure(txn, { table, compare })).toEqual({
      code: status.INVALID_ARGUMENT,
      details: 'the operator or the target of a compare is not known',
    });
  });
});

describe('a transaction over ranges', () => {
  const everything = { key: bytes('\0'), rangeEnd: bytes('\0') };
  const ranges = (count: number): mvcc.RequestOp[] =>
    Array.from({ length: count }, (_, at) =>
      rangeOp({ ...everything, key: bytes(`k${at}`), countOnly: true }),
    );
  const refusal = (what: string): { code: number; details: string } => ({
    code: status.INVALID_ARGUMENT,
    details: `a transaction may hold ${what} over ranges of keys at most: split it, or name keys one by one`,
  });

  test('holds to the documented limits before it is proposed, also where it only reads (A3, A4)', async () => {
    const write = putOp({ key: bytes('w') });
    const tooMany = refusal('1024 different ranges');
    expect(await rpc.failure(txn, { table, success: [...ranges(1025), write] })).toEqual(tooMany);
    expect(await rpc.failure(txn, { table, failure: ranges(1025) })).toEqual(tooMany);
    const alternating = Array.from({ length: 1025 }, () => [write, rangeOp(everything)]).flat();
    expect(await rpc.failure(txn, { table, success: alternating })).toEqual(tooMany);
    const deletions = Array.from({ length: 129 }, () => deleteOp(everything));
    expect(await rpc.failure(txn, { table, success: deletions })).toEqual(refusal('128 deletions'));
    const compare = Array.from({ length: 65 }, () => mvcc.Compare.fromPartial(everything));
    expect(await rpc.failure(txn, { table, compare })).toEqual(refusal('64 compares'));
  });

  test('counts equal ranges once', async () => {
    const equal = Array.from({ length: 10_000 }, () => rangeOp({ ...everything, countOnly: true }));
    const { responses } = await rpc.call(txn, { table, success: [...equal, putOp({ key: bytes('w') })] });
    expect(responses).toHaveLength(10_001);
  });
});

describe('integers past 2^53-1', () => {
  const huge = 2n ** 62n;

  test('are clamped in limit and max_*', async () => {
    await storeAll('a', 'b');
    const all = { key: bytes('\0'), rangeEnd: bytes('\0') };
    expect(await keysOf({ ...all, limit: huge })).toEqual(['a', 'b']);
    expect(await keysOf({ ...all, maxModRevision: huge, maxCreateRevision: huge })).toEqual(['a', 'b']);
  });

  test('match nothing in min_* and compares, and are no revision', async () => {
    await storeAll('a');
    const all = { key: bytes('\0'), rangeEnd: bytes('\0') };
    expect(await keysOf({ ...all, minModRevision: huge })).toEqual([]);
    expect(await keysOf({ ...all, minCreateRevision: huge })).toEqual([]);
    expect((await rpc.failure(range, { table, key: bytes('a'), revision: huge })).code).toBe(
      status.OUT_OF_RANGE,
    );
    for (const result of [0, 1, 2, 3]) {
      const compare = [
        mvcc.Compare.create({
          key: bytes('a'),
          result,
          target: mvcc.Compare_CompareTarget.MOD,
          targetUnion: { $case: 'modRevision', value: huge },
        }),
      ];
      expect(await rpc.call(txn, { table, compare })).toMatchObject({ succeeded: false });
    }
  });
});

describe('history', () => {
  test('a revision below the floor is OUT_OF_RANGE, with the oldest one kept in the text (A5)', async () => {
    const brief = await OneNode.start({ 'tables.names': 'brief', 'storage.history-retention': '1ms' });
    const client = brief.rpc();
    const pair = { table: bytes('brief'), key: bytes('k') };
    const { header } = await client.call(put, { ...pair, value: bytes('0') });
    let failure: { code: number; details: string } | undefined;
    while (failure === undefined) {
      // Only what was superseded is worth removing.
      await client.call(put, { ...pair, value: bytes('again') });
      await client.call(range, { ...pair, revision: header!.revision }).catch((error: typeof failure) => {
        failure = error;
      });
    }
    expect(failure.code).toBe(status.OUT_OF_RANGE);
    const floor = /^revision is below the oldest one kept, which is (\d+)$/.exec(failure.details)?.[1];
    expect(BigInt(floor!)).toBeGreaterThan(header!.revision);
    client.close();
    await brief.stop();
  });
});
