import { microtasks, TemporaryDirectory } from '@coxswain/testing';
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
import { KeyBlocks } from '../src/key-blocks.js';
import { writeRecordHeader } from '../src/layout.js';
import { isWithinRevisions, type RevisionBounds } from '../src/revision-bounds.js';
import { describeStoreConformance } from './store-conformance.js';
import { asTablesWrite } from './table-writes.js';

describeStoreConformance('MemoryStore', async () => ({
  directory: new MemoryStoreDirectory(),
  dispose: () => Promise.resolve(),
}));

describeStoreConformance('LevelStore', async () => {
  const temporary = new TemporaryDirectory();
  const { path } = temporary;
  const options = { writeBufferSizeBytes: 4 << 20, cacheSizeBytes: 4 << 20 };
  return {
    directory: await LevelStoreDirectory.open(path, options),
    dispose: async () => temporary.remove(),
  };
});

let flushCount = 0;

/** A buffered store counts latest keys alone. */
async function* countedByScan(
  store: BufferedStore,
  range: Parameters<OrderedStore['count']>[0],
): AsyncGenerator<number, void, undefined> {
  const scan = store.scan({ ...range, keysOnly: true });
  for (;;) {
    const { length } = await scan.next(100, 1 << 20);
    if (length === 0) return;
    yield length;
  }
}

/** Stores that keep in memory what is written, and flush it when they are closed. */
function buffered(directory: StoreDirectory): StoreDirectory {
  const wrap = (base: OrderedStore): OrderedStore => {
    const store = new BufferedStore(base, KeyBlocks.empty());
    let isClosed = false;
    return {
      get isAwake() {
        return store.isAwake;
      },
      hold: () => store.hold(),
      release: () => store.release(),
      getSync: (key, snapshot) => store.getSync(key, snapshot),
      getMany: (keys, snapshot) => store.getMany(keys, snapshot),
      scan: (options) => store.scan(options),
      count: (range) => countedByScan(store, range),
      countParts: () => {
        throw new Error('of a store below alone');
      },
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
  const keys = Array.from({ length: 24 }, (_, at) =>
    Buffer.from(`L${String.fromCharCode(Math.floor(at / 4), at % 4)}`),
  );
  const keyAt = fc.integer({ min: 0, max: keys.length - 1 }).map((at) => keys[at]!);
  const revision = fc.integer({ min: 1, max: 9 });
  const bound = fc.oneof(fc.constant(0), revision);
  const revisions: fc.Arbitrary<RevisionBounds> = fc.record({
    minModRevision: bound,
    maxModRevision: bound,
    minCreateRevision: bound,
    maxCreateRevision: bound,
  });
  const operation = fc.record({
    storeKey: keyAt,
    record: fc.option(fc.tuple(revision, revision).map(toRecord), { nil: undefined }),
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ write: fc.array(operation, { maxLength: 5 }) }) },
    { weight: 2, arbitrary: fc.constant('flush' as const) },
    { weight: 1, arbitrary: fc.constant('snapshot' as const) },
  );
  const scanned = fc.record({
    gte: fc.oneof({ weight: 3, arbitrary: keyAt }, fc.constant(Buffer.from('L'))),
    lt: keyAt,
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
    limit: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
    revisions,
    countsFirst: fc.boolean(),
  });

  function toRecord([createRevision, modRevision]: readonly [number, number]): Buffer {
    const record = Buffer.alloc(24);
    writeRecordHeader(record, createRevision, modRevision, 1);
    return record;
  }

  async function all(
    store: Pick<OrderedStore, 'scan'>,
    options: ScanOptions,
    page: number,
    holds: (record: Buffer) => boolean = () => true,
  ): Promise<string[]> {
    const scan = store.scan(options);
    const found: string[] = [];
    for (;;) {
      const pairs = await scan.next(page, 1 << 20);
      if (pairs.length === 0) break;
      for (const [key, value] of pairs) {
        if (holds(value)) found.push(`${key.toString('hex')}=${value.toString('latin1')}`);
      }
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
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(300, 1500, 1 << 20),
        fc.array(operation, { maxLength: 12 }),
        async (steps, scans, page, blockKeys, sizeBytesMax, there) => {
          const directory = new MemoryStoreDirectory({
            // Reads meet each moment of a flush.
            beforeWrite: () => microtasks(7),
            afterWrite: () => microtasks(7),
            beforeFlush: () => microtasks(7),
          });
          const plain = await new MemoryStoreDirectory().open('plain', { create: true });
          // What the store below has from before: nobody knows of it but how much it is.
          const base = await directory.open('buffered', { create: true });
          for (const one of [base, plain]) await one.write(there);
          const keyCount = await countOf(base, {});
          const store = new BufferedStore(base, KeyBlocks.unknown(keyCount, { blockKeys, sizeBytesMax }));
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
              for (const { limit, revisions: bounds, countsFirst, ...rest } of scans) {
                const options = { ...rest, ...(limit !== undefined && { limit }) };
                expect(await all(store, { ...options, ...of(found) }, page)).toEqual(
                  await all(plain, { ...options, ...of(expected) }, page),
                );
                const { gte, lt } = rest;
                const holds = (record: Buffer): boolean => isWithinRevisions(bounds, record);
                if (countsFirst)
                  expect(await countOf(store, { gte, lt, ...of(found) })).toBe(
                    await countOf(plain, { gte, lt, ...of(expected) }),
                  );
                // Both at once learn of the same blocks.
                const [matching, count] = await Promise.all([
                  all(store, { gte, lt, revisions: bounds, ...of(found) }, page, holds),
                  countOf(store, { gte, lt, ...of(found) }),
                ]);
                expect(matching).toEqual(await all(plain, { gte, lt, ...of(expected) }, page, holds));
                expect(count).toBe(await countOf(plain, { gte, lt, ...of(expected) }));
                const snapshot = found ?? store.snapshot();
                let within = 0;
                for await (const part of store.countRevisions({ gte, lt, snapshot }, bounds)) within += part;
                expect(within).toBe(matching.length);
                if (found === undefined) snapshot.close();
              }
            }
          };
          for (const one of steps) {
            if (one === 'flush')
              flushing = flushing.then(() => store.flush({ historyFloor: 0, batchNumber: ++flushCount }));
            else if (one === 'snapshot') snapshots.push([plain.snapshot(), store.snapshot()]);
            else {
              store.write(asTablesWrite(store, one.write));
              await plain.write(one.write);
            }
            await check();
          }
          await flushing;
          await check();
        },
      ),
      { numRuns: 60 },
    );
  });

  test('counts in the middle of a flush as before it, also where nobody has read before', async () => {
    const range = { gte: keys[0]!, lt: keys[3]! };
    const counted: number[] = [];
    const base = await new MemoryStoreDirectory({
      afterWrite: async () => {
        counted.push(await countOf(store, range));
      },
    }).open('base', { create: true });
    const store = new BufferedStore(base, KeyBlocks.empty());
    store.write([0, 5].map((at) => ({ storeKey: keys[at]!, record: toRecord([1, 1]), isNew: true })));
    await store.flush({ historyFloor: 0, batchNumber: ++flushCount });
    store.write([{ storeKey: keys[2]!, record: toRecord([2, 2]), isNew: true }]);
    await store.flush({ historyFloor: 0, batchNumber: ++flushCount });
    expect(counted).toEqual([1, 2]);
  });

  test('has nothing in a range that ends before it begins, whatever is known of its blocks', async () => {
    const base = await new MemoryStoreDirectory().open('base', { create: true });
    const store = new BufferedStore(base, KeyBlocks.empty({ blockKeys: 2 }));
    // One block, and then all others among its keys: it is counted, and large.
    for (const written of [[keys[0]!, keys.at(-1)!], keys.slice(1, -1)]) {
      store.write(written.map((storeKey) => ({ storeKey, record: toRecord([1, 1]), isNew: true })));
      await store.flush({ historyFloor: 0, batchNumber: ++flushCount });
    }
    for (const [gte, lt] of [
      [1, 0],
      [4, 1],
      [3, 3],
    ] as const) {
      expect(await countOf(store, { gte: keys[gte]!, lt: keys[lt]! })).toBe(0);
      expect(await all(store, { gte: keys[gte]!, lt: keys[lt]! }, 5)).toEqual([]);
    }
    expect(await countOf(store, { gte: keys[0]!, lt: Buffer.from('M') })).toBe(keys.length);
  });

  test('gives the store below the last write of each key, in key order, as one (D3)', async () => {
    const written: string[] = [];
    const base = await new MemoryStoreDirectory().open('base', { create: true });
    const { write } = base;
    base.write = async (operations: Iterable<Operation>) => {
      const all = [...operations];
      written.push(all.map(({ storeKey, record }) => `${storeKey}=${record}`).join());
      await write.call(base, all);
    };
    const store = new BufferedStore(base, KeyBlocks.empty());
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
    const store = new BufferedStore(base, KeyBlocks.empty());
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
