import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { StoreClosedError } from '../src/errors.js';
import type { Operation, OrderedStore, ScanOptions, StoreDirectory, StoreSnapshot } from '../src/index.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (buffer: Buffer): string => buffer.toString('latin1');

const toPut = (key: string, value: string): Operation => ({ storeKey: bytes(key), record: bytes(value) });
const toDelete = (key: string): Operation => ({ storeKey: bytes(key), record: undefined });

async function put(store: OrderedStore, pairs: Record<string, string>): Promise<void> {
  await store.write(Object.entries(pairs).map(([key, value]) => toPut(key, value)));
}

async function collect(store: OrderedStore, options: ScanOptions, pageEntries = 2): Promise<string[]> {
  const scan = store.scan(options);
  const found: string[] = [];
  for (;;) {
    const page = await scan.next(pageEntries, 1 << 20);
    if (page.length === 0) break;
    for (const [key, value] of page) found.push(`${key.toString('latin1')}=${value.toString('latin1')}`);
  }
  await scan.close();
  await scan.close();
  return found;
}

/** What every ordered store must do; run on each implementation, so that the simulator's stands for the real one. */
export function describeStoreConformance(
  name: string,
  makeDirectory: () => Promise<{ directory: StoreDirectory; dispose: () => Promise<void> }>,
): void {
  describe(`${name} as an ordered store`, () => {
    let directory: StoreDirectory;
    let dispose: () => Promise<void>;
    let store: OrderedStore;

    beforeEach(async () => {
      ({ directory, dispose } = await makeDirectory());
      store = await directory.open('10001', { create: true });
    });

    afterEach(async () => {
      await store.close();
      await dispose();
    });

    test('a batch is applied as a whole, in its order', async () => {
      await put(store, { a: '1', b: '2' });
      await store.write([
        toPut('c', '3'),
        toDelete('a'),
        toPut('b', 'old'),
        toPut('b', 'new'),
        toDelete('absent'),
      ]);
      expect(await collect(store, {})).toEqual(['b=new', 'c=3']);
      expect(store.getSync(bytes('a'))).toBeUndefined();
      expect(store.getSync(bytes('b'))).toEqual(bytes('new'));
    });

    test('keys are in byte order, and empty values are values', async () => {
      await put(store, { '\xff': 'last', '\x00': 'first', a: '', '\x7f': '1', '\x80': '2', 'a\x00': 'b' });
      expect(await collect(store, {})).toEqual([
        '\x00=first',
        'a=',
        'a\x00=b',
        '\x7f=1',
        '\x80=2',
        '\xff=last',
      ]);
      expect(store.getSync(bytes('a'))).toEqual(Buffer.alloc(0));
    });

    test('a scan keeps to its bounds, in both directions, with a limit and without values', async () => {
      await put(store, { a: '1', b: '2', c: '3', d: '4', e: '5' });
      const bounds = { gte: bytes('b'), lt: bytes('e') };
      expect(await collect(store, bounds)).toEqual(['b=2', 'c=3', 'd=4']);
      expect(await collect(store, { ...bounds, reverse: true })).toEqual(['d=4', 'c=3', 'b=2']);
      expect(await collect(store, { ...bounds, reverse: true, limit: 1 })).toEqual(['d=4']);
      expect(await collect(store, { ...bounds, limit: 2 })).toEqual(['b=2', 'c=3']);
      expect(await collect(store, { ...bounds, keysOnly: true })).toEqual(['b=', 'c=', 'd=']);
      expect(await collect(store, { gte: bytes('c1') })).toEqual(['d=4', 'e=5']);
      expect(await collect(store, { lt: bytes('b') })).toEqual(['a=1']);
      expect(await collect(store, { gte: bytes('x'), lt: bytes('y') })).toEqual([]);
    });

    test('a scan gives keys of any bytes as they are, also from a snapshot, in both directions and with a limit', async () => {
      const keys = [
        'a',
        'b\x00',
        '\xc3\xa4',
        '\xc3\x28',
        '\xef\xbb\xbfbom',
        '\xef\xbf\xbd',
        '\xed\xa0\x80',
        '\xf0\x9f\x8e\x88',
      ];
      const random = Array.from(
        { length: 300 },
        (_, at) => `r${at}-${at % 7 === 0 ? String.fromCharCode(at % 256) : ''}`,
      );
      const all = [...keys, ...random];
      await put(store, Object.fromEntries(all.map((key) => [key, key])));
      const sorted = all.sort((left, right) => Buffer.compare(bytes(left), bytes(right)));
      const expected = sorted.map((key) => `${key}=${key}`);
      const snapshot = store.snapshot();
      await put(store, { a: 'changed', '\xc3': 'new' });
      for (const page of [1, 2, 50, 1000]) {
        expect(await collect(store, { snapshot }, page)).toEqual(expected);
        expect(await collect(store, { snapshot, reverse: true }, page)).toEqual(expected.toReversed());
        for (const limit of [1, 3, 200, 305])
          expect(await collect(store, { snapshot, limit }, page)).toEqual(expected.slice(0, limit));
        const bounds = { gte: bytes('b'), lt: bytes('\xef\xbf') };
        const within = sorted.filter((key) => key >= 'b' && key < '\xef\xbf').map((key) => `${key}=`);
        expect(await collect(store, { snapshot, ...bounds, keysOnly: true }, page)).toEqual(within);
      }
      snapshot.close();
    });

    test('a scan gives no more entries than it is asked for', async () => {
      await put(store, { a: '1', b: '2', c: '3' });
      const scan = store.scan({});
      expect(await scan.next(2, 1 << 20)).toHaveLength(2);
      expect(await scan.next(2, 1 << 20)).toHaveLength(1);
      expect(await scan.next(2, 1 << 20)).toHaveLength(0);
      await scan.close();
    });

    test('a scan sees the store as it was when it began', async () => {
      await put(store, { a: '1', b: '2' });
      const scan = store.scan({});
      await put(store, { a: 'changed', c: '3' });
      const page = await scan.next(10, 1 << 20);
      expect(page.map(([key, value]) => `${key}=${value}`)).toEqual(['a=1', 'b=2']);
      await scan.close();
    });

    test('many keys are read at once, in the order asked for', async () => {
      await put(store, { a: '1', b: '', '\xff': '3' });
      const keys = ['\xff', 'absent', 'a', 'b', 'a'].map(bytes);
      const read = async (from?: StoreSnapshot): Promise<(string | undefined)[]> =>
        (await store.getMany(keys, from)).map((value) => (value === undefined ? undefined : text(value)));
      expect(await read()).toEqual(['3', undefined, '1', '', '1']);
      const snapshot = store.snapshot();
      await put(store, { a: 'changed', absent: 'new' });
      expect(await read(snapshot)).toEqual(['3', undefined, '1', '', '1']);
      expect(await read()).toEqual(['3', 'new', 'changed', '', 'changed']);
      expect(await store.getMany([])).toEqual([]);
      snapshot.close();
    });

    test('a count is of the range and of the snapshot, whatever bytes the keys are', async () => {
      await store.write(
        Array.from({ length: 10_000 }, (_, at) => {
          const storeKey = Buffer.alloc(5, 'k');
          storeKey.writeUInt32BE(at * 400_000, 1);
          return { storeKey, record: bytes('v') };
        }),
      );
      await put(store, { '\xc3': 'no UTF-8', '\xc3\x28': 'nor this', '\xff': '' });
      const count = async (range: Parameters<OrderedStore['count']>[0]): Promise<number> => {
        let sum = 0;
        for await (const part of store.count(range)) {
          expect(part).toBeGreaterThan(0);
          sum += part;
        }
        return sum;
      };
      expect(await count({})).toBe(10_003);
      expect(await count({ gte: bytes('k'), lt: bytes('l') })).toBe(10_000);
      expect(await count({ gte: bytes('\xc3\x28'), lt: bytes('\xff') })).toBe(1);
      expect(await count({ gte: bytes('\xc3'), lt: bytes('\xc3\x28') })).toBe(1);
      expect(await count({ gte: bytes('x'), lt: bytes('y') })).toBe(0);
      const snapshot = store.snapshot();
      await put(store, { kk: 'new' });
      expect(await count({ gte: bytes('k'), snapshot })).toBe(10_003);
      expect(await count({ gte: bytes('k') })).toBe(10_004);
      for await (const part of store.count({ gte: bytes('k') })) {
        expect(part).toBeLessThan(10_000);
        break;
      }
      snapshot.close();
    });

    if (name !== 'BufferedStore') {
      test('a count in parts says where each ends, or that it does not know', async () => {
        const key = (at: number): string => `k${String(at).padStart(6, '0')}`;
        await put(store, Object.fromEntries(Array.from({ length: 9_001 }, (_, at) => [key(at), 'v'])));
        await put(store, { 'l\xff1': 'no UTF-8', 'l\xff2': 'nor this' });
        const snapshot = store.snapshot();
        await put(store, { k1: 'new' });
        const parts: (readonly [count: number, last: string | undefined])[] = [];
        for await (const { count, last } of store.countParts(
          { gte: bytes('k'), lt: bytes('l'), snapshot },
          1000,
        ))
          parts.push([count, last && text(last)]);
        expect(parts).toEqual([
          ...Array.from({ length: 9 }, (_, at) => [1000, key(1000 * at + 999)]),
          [1, key(9000)],
        ]);
        const others: (string | undefined)[] = [];
        for await (const { last } of store.countParts({ gte: bytes('l'), lt: bytes('m'), snapshot }, 1))
          others.push(last && text(last));
        for (const [at, other] of others.entries()) expect([`l\xff${at + 1}`, undefined]).toContain(other);
        expect(others).toHaveLength(2);
        snapshot.close();
      });
    }

    test('a snapshot keeps points and ranges while writes and flushes go on', async () => {
      await put(store, { a: '1', b: '2' });
      const snapshot = store.snapshot();
      await put(store, { a: 'changed', c: '3' });
      await store.flush();
      expect(store.getSync(bytes('a'), snapshot)).toEqual(bytes('1'));
      expect(store.getSync(bytes('c'), snapshot)).toBeUndefined();
      expect(await collect(store, { snapshot })).toEqual(['a=1', 'b=2']);
      expect(await collect(store, {})).toEqual(['a=changed', 'b=2', 'c=3']);
      snapshot.close();
    });

    test('what was written is there after closing and opening', async () => {
      await put(store, { a: '1' });
      await store.flush();
      await put(store, { b: '2' });
      await store.close();
      store = await directory.open('10001', { create: false });
      expect(await collect(store, {})).toEqual(['a=1', 'b=2']);
    });

    test('a missing store is only made when asked', async () => {
      await expect(directory.open('10002', { create: false })).rejects.toThrow();
      expect(await directory.list()).toEqual(['10001']);
    });

    test('a store that is open is not opened again', async () => {
      await expect(directory.open('10001', { create: true })).rejects.toThrow();
    });

    test('a closed store refuses reads and writes', async () => {
      await put(store, { b: '1' });
      const scan = store.scan({});
      await store.close();
      expect(() => store.getSync(bytes('a'))).toThrow(StoreClosedError);
      await expect(store.getMany([bytes('a')])).rejects.toThrow(StoreClosedError);
      await expect(store.count({}).next()).rejects.toThrow(StoreClosedError);
      await expect(scan.next(1, 1)).rejects.toThrow(StoreClosedError);
      await expect(put(store, { a: '1' })).rejects.toThrow();
    });

    test('renaming replaces the target (D7)', async () => {
      await put(store, { a: 'old' });
      await store.close();
      const loaded = await directory.open('10001-load', { create: true });
      await put(loaded, { a: 'new' });
      await loaded.flush();
      await loaded.close();
      await directory.rename('10001-load', '10001');
      expect(await directory.list()).toEqual(['10001']);
      store = await directory.open('10001', { create: false });
      expect(await collect(store, {})).toEqual(['a=new']);
    });

    test('removing a store leaves the others', async () => {
      const other = await directory.open('10002', { create: true });
      await other.close();
      await directory.remove('10002');
      await directory.remove('10003');
      expect(await directory.list()).toEqual(['10001']);
    });

    test('the size of a range grows with what is flushed', async () => {
      const before = await store.approximateSizeBytes({});
      await store.write(
        // Digits of an irrational number keep compression from hiding the size.
        Array.from({ length: 2000 }, (_, at) => toPut(`k${at}`, `${Math.sin(at)}${Math.cos(at)}`.repeat(5))),
      );
      await store.flush();
      expect(await store.approximateSizeBytes({})).toBeGreaterThan(before + 50_000);
    });
  });
}
