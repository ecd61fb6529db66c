import { PairRecord } from '@coxswain/stream';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BufferedStore } from '../src/buffered-store.js';
import { MemoryStoreDirectory } from '../src/index.js';
import { KeyBlocks } from '../src/key-blocks.js';
import { LATEST_END, latestKey, writeRecordHeader } from '../src/layout.js';
import { newRecordBlock } from '../src/record-block.js';
import { runAround, SortedRun } from '../src/sorted-run.js';
import { keyId } from '../src/sorted-tree.js';
import type { StoreSnapshot } from '../src/store.js';

const STAMP = { createRevision: 3, modRevision: 2 ** 33, version: 5 };

function pair(key: string, value: string): PairRecord {
  const record = new PairRecord();
  const none = { createRevision: 0n, modRevision: 0n, version: 0n };
  record.assign({ key: Buffer.from(key, 'latin1'), value: Buffer.from(value), ...none });
  return record;
}

function runOf(keys: readonly string[], sizeBytes = 10): SortedRun {
  const run = new SortedRun(sizeBytes);
  for (const key of keys) run.add(pair(key, `value of ${key}`), STAMP);
  run.seal();
  return run;
}

const idOf = (key: string): string => keyId(latestKey(Buffer.from(key, 'latin1')));

describe('a sorted run', () => {
  test('holds what a record block would, and gives what the content hash takes', () => {
    const { identity, storeKey, record } = newRecordBlock(Buffer.from('key'), Buffer.from('some value'));
    record.writeBigUInt64LE(3n, 0);
    record.writeBigUInt64LE(2n ** 33n, 8);
    record.writeBigUInt64LE(5n, 16);
    const run = new SortedRun(1);
    expect(run.add(pair('key', 'some value'), STAMP)).toEqual(identity);
    expect([run.storeKey(0), run.record(0)]).toEqual([storeKey, record]);
    expect([...run.operations()]).toEqual([{ storeKey, record }]);
  });

  test('finds keys and places of any bytes', () => {
    const keys = ['', 'a', 'a\x00', 'ab', 'b', '\x7f', '\x80', '\xff\xff'];
    const run = runOf(keys);
    for (const [place, key] of keys.entries()) {
      expect(run.find(idOf(key))).toBe(place);
      expect(run.find(`${idOf(key)}!`)).toBeUndefined();
    }
    expect(run.between(undefined, undefined)).toEqual({ from: 0, to: 8 });
    expect(run.between(idOf('a'), idOf('b'))).toEqual({ from: 1, to: 4 });
    expect(run.between(idOf('aa'), idOf('a'))).toEqual({ from: 3, to: 3 });
    expect(run.between('A', 'Z')).toEqual({ from: 0, to: 8 });
    expect(run.between('Z', undefined)).toEqual({ from: 8, to: 8 });
  });
});

test('of some runs the one is found in which a key can be, whatever bytes it has', () => {
  const runs = [
    ['b', 'c'],
    ['c\x00', 'd'],
    ['\x7f', '\xff'],
  ].map((keys) => ({ run: runOf(keys) }));
  const placeOf = (key: string): number => runs.indexOf(runAround(runs, idOf(key))!);
  expect(['', 'a', 'a\xff'].map(placeOf)).toEqual([-1, -1, -1]);
  expect(['b', 'ba', 'c'].map(placeOf)).toEqual([0, 0, 0]);
  expect(['c\x00', 'cc', 'e', '~'].map(placeOf)).toEqual([1, 1, 1, 1]);
  expect(['\x7f', '\x80', '\xff', '\xff\xff'].map(placeOf)).toEqual([2, 2, 2, 2]);
  expect(runAround([], idOf('b'))).toBeUndefined();
});

/** What is done to a store: keys are loaded above all that were loaded before. */
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('load' as const), count: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ kind: fc.constant('put' as const), at: fc.nat(), number: fc.nat(9) }),
    fc.record({ kind: fc.constant('delete' as const), at: fc.nat() }),
    fc.record({ kind: fc.constant('snapshot' as const) }),
    fc.record({ kind: fc.constant('beginFlush' as const) }),
    fc.record({ kind: fc.constant('endFlush' as const) }),
  ),
  { maxLength: 40 },
);

describe('a buffered store into which runs are loaded', () => {
  test('reads like one that was written key by key, also from snapshots and through flushes', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (given) => {
        const directory = new MemoryStoreDirectory();
        const store = new BufferedStore(
          await directory.open('store', { create: true }),
          KeyBlocks.empty({ blockKeys: 4 }),
        );
        const model = new Map<string, string>();
        const snapshots: { snapshot: StoreSnapshot; seen: Map<string, string> }[] = [];
        let loadedCount = 0;
        let flushing: Promise<void> | undefined;
        const nameOf = (number: number): string => `k${String(number).padStart(6, '0')}`;
        for (const step of given) {
          switch (step.kind) {
            case 'load': {
              const keys = Array.from({ length: step.count }, () => nameOf(2 * loadedCount++));
              store.write([], [runOf(keys, step.count * 20)]);
              for (const key of keys) model.set(key, `value of ${key}`);
              break;
            }
            case 'put': {
              const key = nameOf(step.at % (2 * loadedCount + 1));
              // Above a run's keys nothing is written before them: such keys are not loaded.
              if (step.at % (2 * loadedCount + 1) >= 2 * loadedCount) break;
              const { storeKey, record } = newRecordBlock(
                Buffer.from(key),
                Buffer.from(`put ${step.number}`),
              );
              writeRecordHeader(record, 1, 1, 1);
              store.write([{ storeKey, record, isNew: !model.has(key) }]);
              model.set(key, `put ${step.number}`);
              break;
            }
            case 'delete': {
              if (loadedCount === 0) break;
              const key = nameOf(step.at % (2 * loadedCount));
              // What is not there is not deleted.
              if (!model.has(key)) break;
              store.write([{ storeKey: latestKey(Buffer.from(key)), record: undefined }]);
              model.delete(key);
              break;
            }
            case 'snapshot':
              snapshots.push({ snapshot: store.snapshot(), seen: new Map(model) });
              break;
            case 'beginFlush':
              flushing ??= store.flush({ historyFloor: 0, batchNumber: 1 });
              break;
            case 'endFlush':
              await flushing;
              flushing = undefined;
              break;
          }
        }
        snapshots.push({ snapshot: store.snapshot(), seen: new Map(model) });
        for (const { snapshot, seen } of snapshots) {
          const expected = [...seen].sort(([left], [right]) => (left < right ? -1 : 1));
          for (const reverse of [false, true]) {
            const scan = store.scan({ snapshot, reverse });
            const found: [string, string][] = [];
            for (
              let page = await scan.next(7, 1 << 20);
              page.length > 0;
              page = await scan.next(7, 1 << 20)
            ) {
              for (const [key, record] of page) found.push([key.toString('latin1', 1), textOf(record)]);
            }
            await scan.close();
            expect(found).toEqual(reverse ? expected.toReversed() : expected);
          }
          const keys = Array.from({ length: 2 * loadedCount + 1 }, (_, at) => nameOf(at));
          const records = await store.getMany(
            keys.map((key) => latestKey(Buffer.from(key))),
            snapshot,
          );
          expect(records.map((record) => record && textOf(record))).toEqual(keys.map((key) => seen.get(key)));
          let count = 0;
          const all = { gte: latestKey(Buffer.alloc(0)), lt: LATEST_END };
          for await (const part of store.count({ ...all, snapshot })) count += part;
          expect(count).toBe(seen.size);
          snapshot.close();
        }
        for (const [key, value] of model)
          expect(textOf(store.getSync(latestKey(Buffer.from(key)))!)).toBe(value);
        await flushing;
        await store.close();
      }),
      { numRuns: 150 },
    );
  });
});

function textOf(record: Buffer): string {
  return record.toString('latin1', 24);
}
