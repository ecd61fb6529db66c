import { deepEqual } from 'node:assert/strict';
import { regatta } from '@coxswain/protocol';
import { microtasks } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BufferedStore } from '../src/buffered-store.js';
import { encodePair, recordOfPair } from '../src/encoded-pair.js';
import { type EncodedPairs, EncodedPoint } from '../src/encoded-pairs.js';
import { MemoryStoreDirectory, PageBudget, Table } from '../src/index.js';
import { KeyBlocks } from '../src/key-blocks.js';
import { latestKey, writeRecordHeader } from '../src/layout.js';
import { Gap, PageCache } from '../src/page-cache.js';
import { keyId, keyOfId } from '../src/sorted-tree.js';
import type { Operation } from '../src/store.js';
import { bytes, del, entry, put, putBatch, text } from './commands.js';
import { asTablesWrite } from './table-writes.js';

const revision = fc.oneof(fc.nat(300), fc.bigInt({ min: 0n, max: 2n ** 52n }).map(Number));

function recordOf(value: Buffer, create = 1, mod = 1, version = 1): Buffer {
  const record = Buffer.concat([Buffer.alloc(24), value]);
  writeRecordHeader(record, create, mod, version);
  return record;
}

/** The pairs as a client reads them. */
function decoded(pairs: EncodedPairs): regatta.RangeResponse['kvs'] {
  const message = Buffer.alloc(pairs.sizeBytes);
  pairs.copyTo(message, 0);
  const { kvs } = regatta.RangeResponse.decode(message);
  expect(kvs).toHaveLength(pairs.count);
  return kvs;
}

test('a pair is encoded in the bytes of the generated code, and read back as it was', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(20_000).map((size) => Buffer.alloc(size, 'v')),
      ),
      fc.tuple(revision, revision, revision),
      (key, value, [create, mod, version]) => {
        const record = recordOf(Buffer.from(value), create, mod, version);
        const encoded = encodePair(Buffer.from(key), record);
        const pair = {
          key: Buffer.from(key),
          value: Buffer.from(value),
          createRevision: BigInt(create),
          modRevision: BigInt(mod),
          version: BigInt(version),
        };
        const response = { header: undefined, kvs: [pair], more: false, count: 0n };
        deepEqual(encoded, regatta.RangeResponse.encode(response).finish());
        deepEqual(recordOfPair(encoded), record);
        const point = new EncodedPoint(mod, Buffer.from(key), record);
        const target = Buffer.alloc(point.sizeBytes + 7);
        point.copyTo(target, 7);
        deepEqual(target.subarray(7), encoded);
      },
    ),
    { numRuns: 500 },
  );
});

describe('pages', () => {
  const ids = Array.from({ length: 24 }, (_, at) =>
    String.fromCharCode(97 + Math.floor(at / 6), 48 + (at % 6)),
  );
  const id = fc.constantFrom(...ids);
  const write = fc.array(
    fc.record({ id, value: fc.option(fc.string({ maxLength: 12 }), { nil: undefined }) }),
    { minLength: 1, maxLength: 6 },
  );
  const range = fc.record({
    first: fc.oneof(id, fc.constant('')),
    end: fc.option(id, { nil: undefined }),
    limit: fc.integer({ min: 1, max: 12 }),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ write }) },
    { weight: 5, arbitrary: fc.record({ range }) },
    { weight: 3, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 12 }) }) },
  );

  test.each([
    ['with room for all of them', 1 << 20],
    ['with room for some of them', 3000],
  ])('%s, know what was written last, however it falls between their reads (P2)', async (_, budgetBytes) => {
    let rangeCount = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(write, { maxLength: 3 }),
        fc.array(step, { minLength: 10, maxLength: 60 }),
        fc.array(fc.nat(6), { minLength: 1, maxLength: 5 }),
        async (before, steps, delays) => {
          let delayAt = 0;
          const delay = () => microtasks(delays[delayAt++ % delays.length]!);
          const directory = new MemoryStoreDirectory({
            beforeWrite: delay,
            afterWrite: delay,
            beforeFlush: delay,
            beforeScan: delay,
          });
          const store = new BufferedStore(await directory.open('store', { create: true }), KeyBlocks.empty());
          const budget = new PageBudget(budgetBytes);
          const cache = new PageCache(store, budget, 3);
          /** What readers were told of. */
          const published = new Map<string, Buffer>();
          let mod = 0;
          let written: Promise<void> = Promise.resolve();
          const begin = (list: readonly { id: string; value: string | undefined }[]): void => {
            const operations = list.map(({ id: key, value }): Operation => {
              mod += 1;
              const record = value === undefined ? undefined : recordOf(bytes(value), 1, mod);
              return { storeKey: latestKey(keyOfId(key)), record };
            });
            // A table tells its pages in the turn in which its store gets a batch.
            written = written.then(async () => {
              await delay();
              store.write(asTablesWrite(store, operations));
              cache.written(operations);
              for (const { storeKey, record } of operations) {
                if (record === undefined) published.delete(keyId(storeKey, 1));
                else published.set(keyId(storeKey, 1), record);
              }
              if (mod % 7 === 0) await store.flush({ historyFloor: 0, batchNumber: mod });
            });
          };
          const expected = (first: string, end: string | undefined) =>
            [...published].filter(([key]) => key >= first && (end === undefined || key < end)).sort();
          const check = (one: { first: string; end: string | undefined; limit: number }): Gap | undefined => {
            for (const key of ids) {
              const record = cache.record(key);
              if (record !== undefined) deepEqual(record ?? undefined, published.get(key));
            }
            const found = cache.range(one, one.limit, 1 << 20, 1);
            if (found instanceof Gap) return found;
            const all = expected(one.first, one.end);
            const kvs = decoded(found!);
            deepEqual(
              kvs.map(({ key, value, modRevision }) => [text(key), text(value), modRevision]),
              all
                .slice(0, one.limit)
                .map(([key, record]) => [key, text(record.subarray(24)), record.readBigUInt64LE(8)]),
            );
            expect(found!.more).toBe(all.length > one.limit);
            rangeCount += 1;
            return undefined;
          };
          const fills: Promise<void>[] = [];
          for (const list of before) begin(list);
          for (const one of steps) {
            if ('write' in one) begin(one.write);
            else if ('turns' in one) await microtasks(one.turns);
            else {
              const gap = check(one.range);
              if (gap !== undefined) fills.push(cache.fill(gap, one.range.limit + 1));
            }
            expect(budget.usedBytes).toBeLessThanOrEqual(budgetBytes);
          }
          await written;
          await Promise.all(fills);
          for (const one of steps) if ('range' in one) check(one.range);
          cache.clear();
          expect(budget.usedBytes).toBe(0);
        },
      ),
      { numRuns: 100 },
    );
    expect(rangeCount).toBeGreaterThan(150);
  });

  test('are read once, and a range of them takes no read of the store', async () => {
    let scanCount = 0;
    const directory = new MemoryStoreDirectory({
      beforeScan: async () => {
        scanCount += 1;
      },
    });
    const table = await Table.open({
      directory,
      name: '10001',
      create: true,
      initialIndex: 0,
      writeBufferSizeBytes: 1 << 20,
      pageBudget: new PageBudget(1 << 20),
    });
    await table.apply([entry(1, putBatch(Array.from({ length: 1000 }, (_, at) => [`k${1000 + at}`, 'v'])))]);
    const query = { key: bytes('k1500'), rangeEnd: bytes('k2'), limit: 100 };
    const keysOf = async (): Promise<string[]> => {
      for (;;) {
        const found = table.cachedRange(query, 1 << 20);
        if (!(found instanceof Gap)) return decoded(found!).map(({ key }) => text(key));
        await table.fillGap(found, query.limit + 1);
      }
    };
    const keys = Array.from({ length: 100 }, (_, at) => `k${1500 + at}`);
    expect(await keysOf()).toEqual(keys);
    const before = scanCount;
    await table.apply([
      entry(2, put('k1503', 'a longer value')),
      entry(3, del('k1504')),
      entry(4, put('k1505x', '')),
    ]);
    expect(table.cachedRange(query, 1 << 20)).toMatchObject({ count: 100, more: true, revision: 4 });
    expect(await keysOf()).toEqual([...keys.slice(0, 4), 'k1505', 'k1505x', ...keys.slice(6)]);
    expect(scanCount).toBe(before);
    // The second of two overwrites finds the version before it where the first has left it.
    await table.apply([entry(5, put('k1503', 'again'))]);
    expect(table.get(bytes('k1503')).record).toMatchObject({ version: 3, createRevision: 1, modRevision: 5 });
    expect(table.cachedRange({ ...query, limit: 3 }, 50)).toBeUndefined();
    await table.close();
    expect(() => table.cachedRange(query, 1 << 20)).toThrow('closed');
  });

  test('say nothing while keys of a range deletion are being removed (A4)', async () => {
    const table = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: '10001',
      create: true,
      initialIndex: 0,
      writeBufferSizeBytes: 1 << 20,
      effectsSizeBytesMax: 1,
      pageBudget: new PageBudget(1 << 20),
    });
    await table.apply([entry(1, putBatch(Array.from({ length: 50 }, (_, at) => [`k${10 + at}`, 'v'])))]);
    const query = { key: bytes('k'), rangeEnd: bytes('l'), limit: 0 };
    const gap = table.cachedRange(query, 1 << 20);
    await table.fillGap(gap as Gap, 100);
    expect(table.cachedRange(query, 1 << 20)).toMatchObject({ count: 50, more: false });
    await table.apply([entry(2, del('k', 'l'))]);
    expect(table.isSweeping).toBe(true);
    expect(table.cachedRange(query, 1 << 20)).toBeUndefined();
    while (table.isSweeping) await microtasks(1);
    expect(table.cachedRange(query, 1 << 20)).toMatchObject({ count: 0, more: false });
    await table.close();
  });
});
