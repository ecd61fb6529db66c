import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BufferedStore } from '../src/buffered-store.js';
import {
  LevelStoreDirectory,
  MemoryStoreDirectory,
  type Operation,
  type OrderedStore,
  type ScanOptions,
  type StoreDirectory,
  type StoreSnapshot,
} from '../src/index.js';
import { describeStoreConformance } from './store-conformance.js';
import { makeTemporaryDirectory } from './temporary-directory.js';

describeStoreConformance('MemoryStore', async () => ({
  directory: new MemoryStoreDirectory(),
  dispose: () => Promise.resolve(),
}));

describeStoreConformance('LevelStore', async () => {
  const { path, dispose } = await makeTemporaryDirectory();
  const options = { writeBufferSizeBytes: 4 << 20, cacheSizeBytes: 4 << 20 };
  return { directory: await LevelStoreDirectory.open(path, options), dispose };
});

let flushCount = 0;

/** Stores that keep in memory what is written, and flush it when they are closed. */
function buffered(directory: StoreDirectory): StoreDirectory {
  const wrap = (base: OrderedStore): OrderedStore => {
    const store = new BufferedStore(base);
    let isClosed = false;
    return {
      getSync: (key, snapshot) => store.getSync(key, snapshot),
      getMany: (keys, snapshot) => store.getMany(keys, snapshot),
      scan: (options) => store.scan(options),
      count: (range) => store.count(range),
      snapshot: () => store.snapshot(),
      turn: () => store.turn(),
      write: async (operations) => {
        if (isClosed) throw new Error('closed');
        store.write(operations);
      },
      flush: () => store.flush({ historyFloor: 0, batchNumber: ++flushCount }),
      approximateSizeBytes: (range) => store.approximateSizeBytes(range),
      close: async () => {
        if (!isClosed) await store.flush({ historyFloor: 0, batchNumber: ++flushCount });
        isClosed = true;
        await store.close();
      },
    };
  };
  return {
    list: () => directory.list(),
    open: async (name, options) => wrap(await directory.open(name, options)),
    rename: (from, to) => directory.rename(from, to),
    remove: (name) => directory.remove(name),
  };
}

describeStoreConformance('BufferedStore', async () => ({
  directory: buffered(new MemoryStoreDirectory()),
  dispose: () => Promise.resolve(),
}));

describe('a buffered store', () => {
  const keys = Array.from({ length: 12 }, (_, at) => Buffer.from([Math.floor(at / 4), at % 4]));
  const keyAt = fc.integer({ min: 0, max: keys.length - 1 }).map((at) => keys[at]!);
  const operation = fc.record({
    storeKey: keyAt,
    record: fc.option(fc.string({ maxLength: 3 }).map(Buffer.from), { nil: undefined }),
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ write: fc.array(operation, { maxLength: 5 }) }) },
    { weight: 2, arbitrary: fc.constant('flush' as const) },
    { weight: 1, arbitrary: fc.constant('snapshot' as const) },
  );
  const scanned = fc.record({
    gte: keyAt,
    lt: keyAt,
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
    limit: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
  });

  async function all(
    store: Pick<OrderedStore, 'scan'>,
    options: ScanOptions,
    page: number,
  ): Promise<string[]> {
    const scan = store.scan(options);
    const found: string[] = [];
    for (;;) {
      const pairs = await scan.next(page, 1 << 20);
      if (pairs.length === 0) break;
      for (const [key, value] of pairs) found.push(`${key.toString('hex')}=${value.toString('latin1')}`);
    }
    await scan.close();
    return found;
  }

  async function countOf(store: Pick<OrderedStore, 'count'>, range: ScanOptions): Promise<number> {
    let sum = 0;
    for await (const part of store.count(range)) sum += part;
    return sum;
  }

  test('answers as a plain one does, before, in and after flushes, also from snapshots (P3)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.array(scanned, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 5 }),
        async (steps, scans, page) => {
          const directory = new MemoryStoreDirectory({
            // Reads meet each moment of a flush.
            beforeWrite: turns,
            afterWrite: turns,
            beforeFlush: turns,
          });
          const plain = await new MemoryStoreDirectory().open('plain', { create: true });
          const store = new BufferedStore(await directory.open('buffered', { create: true }));
          const snapshots: [StoreSnapshot | undefined, StoreSnapshot | undefined][] = [
            [undefined, undefined],
          ];
          let flushing: Promise<void> = Promise.resolve();
          const check = async (): Promise<void> => {
            for (const [expected, found] of snapshots) {
              const of = (snapshot: StoreSnapshot | undefined) =>
                snapshot === undefined ? {} : { snapshot };
              expect(keys.map((key) => store.getSync(key, found))).toEqual(
                keys.map((key) => plain.getSync(key, expected)),
              );
              expect(await store.getMany(keys, found)).toEqual(await plain.getMany(keys, expected));
              for (const { limit, ...rest } of scans) {
                const options = { ...rest, ...(limit !== undefined && { limit }) };
                expect(await all(store, { ...options, ...of(found) }, page)).toEqual(
                  await all(plain, { ...options, ...of(expected) }, page),
                );
                const { gte, lt } = rest;
                expect(await countOf(store, { gte, lt, ...of(found) })).toBe(
                  await countOf(plain, { gte, lt, ...of(expected) }),
                );
              }
            }
          };
          for (const one of steps) {
            if (one === 'flush')
              flushing = flushing.then(() => store.flush({ historyFloor: 0, batchNumber: ++flushCount }));
            else if (one === 'snapshot') snapshots.push([plain.snapshot(), store.snapshot()]);
            else {
              store.write(one.write);
              await plain.write(one.write);
            }
            await check();
          }
          await flushing;
          await check();
        },
      ),
      { numRuns: 40 },
    );
  });

  async function turns(): Promise<void> {
    for (let turn = 0; turn < 7; turn++) await Promise.resolve();
  }

  test('gives the store below the last write of each key, in key order, as one (D3)', async () => {
    const written: string[] = [];
    const base = await new MemoryStoreDirectory().open('base', { create: true });
    const { write } = base;
    base.write = async (operations: Iterable<Operation>) => {
      const all = [...operations];
      written.push(all.map(({ storeKey, record }) => `${storeKey}=${record}`).join());
      await write.call(base, all);
    };
    const store = new BufferedStore(base);
    for (const [key, value] of ['b1', 'a1', 'c1', 'b2', 'a-', 'b3'].map(
      (text) => [...text] as [string, string],
    )) {
      store.write([{ storeKey: Buffer.from(key), record: value === '-' ? undefined : Buffer.from(value) }]);
    }
    await store.flush({ historyFloor: 0, batchNumber: ++flushCount });
    expect(written).toEqual(['a=undefined,b=3,c=1']);
    expect(store.usedBytes).toBe(0);
  });

  test('lets others have their turn while it gives what is in memory alone', async () => {
    let turnCount = 0;
    const base = await new MemoryStoreDirectory({
      beforeScan: async () => {
        turnCount += 1;
      },
    }).open('base', { create: true });
    const store = new BufferedStore(base);
    store.write(
      Array.from({ length: 10_000 }, (_, at) => ({
        storeKey: Buffer.from(String(at)),
        record: Buffer.from('value'),
      })),
    );
    expect(await all(store, {}, 500)).toHaveLength(10_000);
    expect(turnCount).toBeGreaterThanOrEqual(9);
  });
});
