import { cp, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  LevelStoreDirectory,
  MemoryStoreDirectory,
  type MemoryStoreHooks,
  type StoreDirectory,
  type StoresCopy,
  Table,
  TableClosedError,
  type TableEntry,
  TableGapError,
  TableHalfAppliedError,
} from '../src/index.js';
import { batchKey } from '../src/layout.js';
import {
  bytes,
  compare,
  del,
  deleteBatch,
  entry,
  opDelete,
  opPut,
  put,
  putBatch,
  query,
  replicated,
  sequence,
  text,
  txn,
} from './commands.js';
import { closeWhole, contentOf } from './records.js';

const NAME = '10001';

function openTable(
  directory: StoreDirectory,
  { create = false, writeBufferSizeBytes = 1 << 20 } = {},
): Promise<Table> {
  const effectsSizeBytesMax = writeBufferSizeBytes / 4;
  return Table.open({
    directory,
    name: NAME,
    create,
    initialIndex: 0,
    writeBufferSizeBytes,
    effectsSizeBytesMax,
  });
}

/** Overwrites and deletes among few keys, so that every state differs from the one before. */
function someEntries(count: number, valueSizeBytes = 20): TableEntry[] {
  return Array.from({ length: count }, (_, at) => {
    const index = at + 1;
    const key = `key-${(at * 7) % 13}`;
    const value = `${index}-`.padEnd(valueSizeBytes, String(index));
    return entry(index, at % 5 === 4 ? del(key, `${key}\xff`) : put(key, value));
  });
}

/** The content hash after each entry, by index. */
async function hashesOf(entries: readonly TableEntry[]): Promise<(string | undefined)[]> {
  const table = await openTable(new MemoryStoreDirectory(), { create: true, writeBufferSizeBytes: 1 << 26 });
  const hashes = [table.contentHash];
  for (const one of entries) {
    await table.apply([one]);
    hashes.push(table.contentHash);
  }
  await table.close();
  return hashes;
}

describe('what a crash leaves', () => {
  test('is the data of the applied index, whether a flush was lost or not (D3)', async () => {
    const entries = someEntries(30);
    const hashes = await hashesOf(entries);
    for (const isLost of [true, false]) {
      for (let count = 1; count <= 30; count++) {
        let flushCount = 0;
        let reached = (): void => undefined;
        const hanging = new Promise<void>((resolve) => {
          reached = resolve;
        });
        const directory = new MemoryStoreDirectory({
          beforeFlush: async () => {
            // The first flush made the store, the second is of the entries before the last.
            if (++flushCount < 3) return;
            reached();
            await new Promise(() => undefined);
          },
        });
        const table = await openTable(directory, { create: true });
        await table.apply(entries.slice(0, count - 1));
        await table.checkpoint();
        await table.apply([entries[count - 1]!]);
        if (count === 1) flushCount += 1;
        table.checkpoint().catch(() => undefined);
        await hanging;
        directory.crash(() => !isLost);
        const reopened = await openTable(directory);
        const appliedIndex = isLost ? count - 1 : count;
        expect(reopened.appliedIndex).toBe(appliedIndex);
        expect(reopened.contentHash).toBe(hashes[appliedIndex]);
        await reopened.close();
      }
    }
  });

  test('is refused when a batch in the middle is gone (D4)', async () => {
    const entries = someEntries(10);
    for (let lost = 2; lost <= 10; lost++) {
      const directory = new MemoryStoreDirectory();
      const table = await openTable(directory, { create: true });
      for (const one of entries) await table.apply([one]);
      await table.checkpoint();
      await table.close();
      const store = await directory.open(NAME, { create: false });
      await store.write([{ storeKey: batchKey(lost), record: undefined }]);
      await store.close();
      await expect(openTable(directory)).rejects.toThrow(TableGapError);
    }
  });

  test('is refused when all of it is gone, and the table is known to exist (D4, T4)', async () => {
    const directory = new MemoryStoreDirectory();
    await (await directory.open(NAME, { create: true })).close();
    await expect(openTable(directory)).rejects.toThrow(TableGapError);
  });

  test('is right, whatever is lost, with checkpoints under way (D3, D4)', async () => {
    const entries = someEntries(60, 60);
    const hashes = await hashesOf(entries);
    await fc.assert(
      fc.asyncProperty(
        fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 5 }),
        async (luck, count, batchSize) => {
          // A flush that takes its time: batches are written meanwhile.
          const directory = new MemoryStoreDirectory({
            beforeFlush: async () => {
              for (let wait = 0; wait < luck.next().value * 5; wait++) await Promise.resolve();
            },
          });
          const table = await openTable(directory, { create: true, writeBufferSizeBytes: 6000 });
          for (let at = 0; at < count; at += batchSize) {
            await table.apply(entries.slice(at, Math.min(at + batchSize, count)));
          }
          const { checkpointIndex } = table;
          directory.crash(() => luck.next().value < 5);
          const reopened = await openTable(directory, { writeBufferSizeBytes: 6000 });
          expect(reopened.appliedIndex).toBeGreaterThanOrEqual(checkpointIndex);
          expect(reopened.contentHash).toBe(hashes[reopened.appliedIndex]);
          await reopened.apply(entries.slice(reopened.appliedIndex));
          expect(reopened.contentHash).toBe(hashes[60]);
          await reopened.close();
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('a checkpoint', () => {
  test('is made when half of the write buffer is used, and survives the loss of all else (D4)', async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory, { create: true, writeBufferSizeBytes: 8000 });
    expect(table.checkpointIndex).toBe(0);
    const entries = someEntries(100);
    for (const one of entries) await table.apply([one]);
    const { checkpointIndex } = table;
    expect(checkpointIndex).toBeGreaterThan(50);
    directory.crash(() => false);
    const reopened = await openTable(directory);
    expect(reopened.appliedIndex).toBeGreaterThanOrEqual(checkpointIndex);
    expect(reopened.contentHash).toBe((await hashesOf(entries))[reopened.appliedIndex]);
    await reopened.close();
  });

  test('can be asked for, and costs nothing when there is nothing new', async () => {
    let flushCount = 0;
    const directory = new MemoryStoreDirectory({
      beforeFlush: async () => {
        flushCount += 1;
      },
    });
    const table = await openTable(directory, { create: true });
    await table.apply(someEntries(3));
    await table.checkpoint();
    expect(table.checkpointIndex).toBe(3);
    expect(flushCount).toBe(2);
    await table.checkpoint();
    expect(flushCount).toBe(2);
    await table.close();
  });

  test('does not keep writes or reads waiting', async () => {
    let endFlush = (): void => undefined;
    let flushCount = 0;
    const directory = new MemoryStoreDirectory({
      beforeFlush: () => {
        flushCount += 1;
        if (flushCount === 1) return Promise.resolve();
        return new Promise((resolve) => {
          endFlush = resolve;
        });
      },
    });
    const table = await openTable(directory, { create: true });
    await table.apply(someEntries(3));
    const checkpoint = table.checkpoint();
    await table.apply([entry(4, put('during', 'flush'))]);
    expect(table.isCheckpointing).toBe(true);
    expect(table.checkpointIndex).toBe(0);
    expect(table.get(bytes('during'))).toMatchObject({ revision: 4 });
    endFlush();
    await checkpoint;
    expect(table.checkpointIndex).toBe(3);
    await table.close();
  });
});

test('a table tells its size before anything of it is on disk', async () => {
  const table = await openTable(new MemoryStoreDirectory(), { create: true });
  await table.apply([entry(1, put('a', 'x'.repeat(10_000)))]);
  expect(table.approximateSizeBytes).toBeGreaterThan(10_000);
  await table.close();
});

describe('a failed write', () => {
  test('ends writing, not reading; opening and replaying repairs it (D4, D6)', async () => {
    let failing = false;
    const directory = new MemoryStoreDirectory({
      beforeWrite: async () => {
        if (failing) throw new Error('no space left');
      },
    });
    const table = await openTable(directory, { create: true });
    await table.apply([entry(1, put('a', '1'))]);
    await table.checkpoint();
    await table.apply([entry(2, put('a', '2'))]);
    failing = true;
    await expect(table.checkpoint()).rejects.toThrow(TableClosedError);
    await expect(table.apply([entry(3, put('a', '3'))])).rejects.toThrow(TableClosedError);
    // D6: what was applied before can still be read, and nothing of what was refused.
    expect(text(table.get(bytes('a')).record!.value)).toBe('2');
    expect(table.hasFailed).toBe(true);
    await table.close();
    expect(() => table.get(bytes('a'))).toThrow(TableClosedError);
    expect(() => table.view()).toThrow(TableClosedError);
    failing = false;
    const reopened = await openTable(directory);
    expect(reopened.appliedIndex).toBe(1);
    await reopened.apply([entry(2, put('a', '2')), entry(3, put('a', '3'))]);
    expect(text(reopened.get(bytes('a')).record!.value)).toBe('3');
    await reopened.close();
  });

  test('refuses what waited for room (D6)', async () => {
    let fail = (_: Error): void => undefined;
    const directory = new MemoryStoreDirectory({
      beforeFlush: () => (isOpened ? new Promise((_, reject) => (fail = reject)) : Promise.resolve()),
    });
    let isOpened = false;
    const table = await openTable(directory, { create: true, writeBufferSizeBytes: 1 });
    isOpened = true;
    await table.apply([entry(1, put('a', '1'))]);
    await table.apply([entry(2, put('a', '2'))]);
    const waiting = [3, 4].map((index) => table.apply([entry(index, put('a', String(index)))]));
    fail(new Error('no space left'));
    for (const one of waiting) await expect(one).rejects.toThrow(TableClosedError);
    expect(text(table.get(bytes('a')).record!.value)).toBe('2');
    await table.close();
  });

  test('of a flush closes the table as well (D4)', async () => {
    let failing = false;
    const directory = new MemoryStoreDirectory({
      beforeFlush: async () => {
        if (failing) throw new Error('no space left');
      },
    });
    const table = await openTable(directory, { create: true });
    await table.apply([entry(1, put('a', '1'))]);
    failing = true;
    await expect(table.checkpoint()).rejects.toThrow(TableClosedError);
    expect(table.checkpointIndex).toBe(0);
    await table.close();
  });
});

describe('an entry with a large effect', () => {
  const WRITE_BUFFER_SIZE_BYTES = 32 * 1024;
  const KEY_COUNT = 1300;

  const keyAt = (at: number): string => `key-${String(at).padStart(6, '0')}`;

  function load(): TableEntry {
    return entry(
      1,
      putBatch(Array.from({ length: KEY_COUNT }, (_, at) => [keyAt(at), `value of ${at}`.padEnd(40, '.')])),
    );
  }

  const filler = 'filler'.repeat(20);
  const manyPuts = (from: number): ReturnType<typeof opPut>[] =>
    Array.from({ length: 75 }, (_, at) => opPut(keyAt(from * 50 + at), filler));

  const large = {
    TXN: entry(
      3,
      txn({
        compare: [compare('VERSION', keyAt(5), 'EQUAL', 1)],
        success: [
          // So many that the range deletions find records of their own revision in the store.
          ...manyPuts(0),
          // Were the compare made again after a crash, it would not hold.
          opPut(keyAt(5), 'changed'),
          opDelete(keyAt(20), keyAt(KEY_COUNT - 20)),
          opPut(keyAt(30), 'back'),
          opDelete(keyAt(6), '\0'),
          opPut(keyAt(40), 'last'),
        ],
        failure: [opPut('wrong', 'branch')],
      }),
    ),
    SEQUENCE: entry(
      3,
      replicated(
        12,
        sequence([
          replicated(10, putBatch(Array.from({ length: 100 }, (_, at) => [keyAt(at), filler]))),
          replicated(10, del(keyAt(0), '\0')),
          replicated(12, put(keyAt(9), 'last')),
        ]),
      ),
    ),
    PUT_BATCH: entry(3, putBatch(Array.from({ length: 750 }, (_, at) => [keyAt(at * 2), filler]))),
    DELETE_BATCH: entry(3, deleteBatch(Array.from({ length: 750 }, (_, at) => keyAt(at * 2)))),
    'TXN of many operations': entry(
      3,
      txn({
        compare: [compare('MOD', keyAt(0), 'EQUAL', 99)],
        failure: Array.from({ length: 600 }, (_, at) =>
          at % 3 === 2 ? opDelete(keyAt(at)) : opPut(keyAt(at % 450), filler),
        ),
      }),
    ),
    'SEQUENCE of batches and Txns': entry(
      3,
      replicated(
        21,
        sequence(
          [10, 12, 14, 16, 18, 20].flatMap((leaderIndex) => [
            // Small enough to be applied at once, large enough to be written before the next command.
            replicated(
              leaderIndex,
              putBatch(Array.from({ length: 100 }, (_, at) => [keyAt(leaderIndex * 45 + at), filler])),
            ),
            replicated(
              leaderIndex + 1,
              txn({
                // True for every other one, by what the one before it did.
                compare: [compare('VALUE', keyAt(0), 'EQUAL', 'odd')],
                success: [opPut(keyAt(0), 'even'), ...manyPuts(leaderIndex)],
                failure: [opPut(keyAt(0), 'odd'), ...manyPuts(leaderIndex), opDelete(keyAt(leaderIndex))],
              }),
            ),
          ]),
        ),
      ),
    ),
  };

  const content = (table: Table): Promise<unknown> => contentOf(table, [0, 1, 2, 3, 9, 10, 11, 12, 20, 30]);

  /** Every store of a directory whose table has applied the first two entries: made once, and put back for each test. */
  let loaded: StoresCopy;
  beforeAll(async () => {
    const directory = new MemoryStoreDirectory();
    const table = await openTable(directory, { create: true, writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES });
    await table.apply([load(), entry(2, put('other', '1'))]);
    await closeWhole(table);
    loaded = directory.copy();
  });

  function loadedDirectory(hooks: MemoryStoreHooks = {}): MemoryStoreDirectory {
    const directory = new MemoryStoreDirectory(hooks);
    directory.putBack(loaded);
    return directory;
  }

  async function expected(one: TableEntry): Promise<unknown> {
    const table = await openTable(loadedDirectory(), { writeBufferSizeBytes: 1 << 26 });
    await table.apply([one, entry(4, replicated(30, put('after', '1')))]);
    const found = await content(table);
    await table.close();
    return found;
  }

  for (const [type, one] of Object.entries(large)) {
    test(`${type}: is read as it was before until its last batch is written (A4)`, async () => {
      let writes = 0;
      let table: Table | undefined;
      let checkpoint: Promise<void> | undefined;
      const seen: unknown[] = [];
      const directory = loadedDirectory({
        afterWrite: async () => {
          writes += 1;
          if (table?.appliedIndex !== 2) return;
          // Queued behind what came before the entry, and before its first part.
          checkpoint ??= table.checkpoint();
          const view = table.view();
          const page = await view.range(query('\0', '\0', { countOnly: true }));
          seen.push([view.revision, page.count, table.get(bytes(keyAt(50))).record?.modRevision]);
          view.close();
        },
      });
      table = await openTable(directory, { writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES });
      const writesBefore = writes;
      const [[result]] = await Promise.all([
        table.apply([one]),
        table.apply([entry(4, replicated(30, put('after', '1')))]),
      ]);
      expect(writes - writesBefore).toBeGreaterThan(3);
      // All but the last batch of the entry, and maybe that one, which was just about to be announced.
      expect(
        seen.slice(0, -1).every((of) => JSON.stringify(of) === JSON.stringify([2, KEY_COUNT + 1, 1])),
      ).toBe(true);
      expect(seen.length).toBeGreaterThan(3);
      if (type === 'TXN') {
        const deletions = result!.responses.filter(
          ({ response }) => response!.$case === 'responseDeleteRange',
        );
        expect(deletions.map(({ response }) => response!.value)).toMatchObject([
          { deleted: BigInt(KEY_COUNT - 40) },
          { deleted: 36n },
        ]);
      }
      expect(await content(table)).toEqual(await expected(one));
      await checkpoint;
      await table.close();
    });

    test(`${type}: crashes in the middle resume where they were (A4)`, async () => {
      const wanted = await expected(one);
      for (let partCount = 1; partCount < 5; partCount++) {
        let writesLeft = Number.POSITIVE_INFINITY;
        const directory = loadedDirectory({
          beforeWrite: () => {
            writesLeft -= 1;
            return writesLeft < 0 ? new Promise(() => undefined) : Promise.resolve();
          },
        });
        const options = { writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES };
        let table = await openTable(directory, options);
        // The batch before the large entry, which is empty, comes first.
        for (const writesUntilCrash of [1 + partCount, 1]) {
          writesLeft = writesUntilCrash;
          let isDone = false;
          table.apply([one]).then(
            () => {
              isDone = true;
            },
            // The store is gone.
            () => undefined,
          );
          while (writesLeft >= 0 && !isDone) await Promise.resolve();
          directory.crash(() => true);
          writesLeft = Number.POSITIVE_INFINITY;
          table = await openTable(directory, options);
          if (isDone) break;
          expect(table.appliedIndex).toBe(2);
          expect(() => table.get(bytes('other'))).toThrow(TableHalfAppliedError);
          expect(() => table.view()).toThrow(TableHalfAppliedError);
          await expect(table.range(query('a'))).rejects.toThrow(TableHalfAppliedError);
          expect(table.contentHash).toBeUndefined();
        }
        if (table.appliedIndex === 2) await table.apply([one]);
        expect(table.appliedIndex).toBe(3);
        await table.apply([entry(4, replicated(30, put('after', '1')))]);
        if (type === 'TXN') expect(await table.txnOutcome(3)).toBe(true);
        expect(await content(table)).toEqual(wanted);
        await table.close();
      }
    });
  }
});

describe('a real LevelDB', () => {
  test('of which a batch in the middle is gone is refused (D4)', async () => {
    const temporary = new TemporaryDirectory();
    const { path } = temporary;
    const options = { writeBufferSizeBytes: 1 << 20, cacheSizeBytes: 1 << 20 };
    const directory = await LevelStoreDirectory.open(path, options);
    const table = await openTable(directory, { create: true });
    for (const one of someEntries(10)) await table.apply([one]);
    await closeWhole(table);
    const store = await directory.open(NAME, { create: false });
    await store.write([{ storeKey: batchKey(5), record: undefined }]);
    await store.close();
    await expect(openTable(directory)).rejects.toThrow(/batch 5 is missing/);
    temporary.remove();
  });
});

describe('a bit that flips in the log of a real LevelDB', () => {
  test('costs the flush that was being made, all of it, which is applied again (D3, D4)', async () => {
    const temporary = new TemporaryDirectory();
    const { path } = temporary;
    const options = { writeBufferSizeBytes: 1 << 20, cacheSizeBytes: 1 << 20 };
    // Larger than one 32 KiB block of LevelDB's log: damage costs the rest of a block.
    const entries = someEntries(300, 400);
    const hashes = await hashesOf(entries);
    const live = await LevelStoreDirectory.open(join(path, 'live'), options);
    let holds = false;
    let written = (): void => undefined;
    const isWritten = new Promise<void>((resolve) => {
      written = resolve;
    });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The flush stops between LevelDB's log and its table file.
    const stopping: StoreDirectory = {
      list: () => live.list(),
      rename: (from, to) => live.rename(from, to),
      remove: (name) => live.remove(name),
      open: async (name, how) => {
        const store = await live.open(name, how);
        const flush = store.flush.bind(store);
        store.flush = async () => {
          if (holds) {
            written();
            await held;
          }
          await flush();
        };
        return store;
      },
    };
    const table = await openTable(stopping, { create: true });
    holds = true;
    for (const one of entries) await table.apply([one]);
    const checkpoint = table.checkpoint();
    await isWritten;
    for (let at = 0; at < 24; at++) {
      // What SIGKILL leaves: the files as they are, with the table still open.
      const copy = join(path, `copy-${at}`);
      await cp(join(path, 'live'), copy, { recursive: true });
      const store = join(copy, NAME);
      const logs = (await readdir(store)).filter((name) => name.endsWith('.log')).sort();
      const file = await open(join(store, logs.at(-1)!), 'r+');
      const { size } = await file.stat();
      expect(size).toBeGreaterThan(32 * 1024);
      const byte = Buffer.alloc(1);
      const offset = Math.floor((size * at) / 24) + 11;
      await file.read(byte, 0, 1, offset);
      byte[0]! ^= 4;
      await file.write(byte, 0, 1, offset);
      await file.close();
      const directory = await LevelStoreDirectory.open(copy, options);
      const reopened = await openTable(directory);
      expect(reopened.appliedIndex).toBe(0);
      await reopened.apply(entries);
      expect(reopened.contentHash).toBe(hashes[300]);
      await reopened.close();
    }
    release();
    await checkpoint;
    await table.close();
    temporary.remove();
  });
});
