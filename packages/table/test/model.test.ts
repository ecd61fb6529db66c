// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual, equal } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ApplyResult, MemoryStoreDirectory, Table } from '../src/index.js';
import { plain, plainPage, query, simpleCommand } from './arbitraries.js';
import * as commands from './commands.js';
import { text } from './commands.js';
import { Model } from './model.js';
import { closeWhole, hashOfRecords, logicalRecords } from './records.js';

async function openTable(
  directory = new MemoryStoreDirectory(),
  writeBufferSizeBytes = 1 << 20,
): Promise<Table> {
  const effectsSizeBytesMax = 1 << 18;
  return Table.open({
    directory,
    name: '10001',
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes,
    effectsSizeBytesMax,
  });
}

/** Applies in batches of the given sizes, without waiting for one before handing over the next. */
async function applyInBatches(
  table: Table,
  entries: ReturnType<typeof commands.entry>[],
  sizes: number[],
): Promise<ApplyResult[]> {
  const results: Promise<ApplyResult[]>[] = [];
  for (let at = 0, turn = 0; at < entries.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    results.push(table.apply(entries.slice(at, at + size)));
    at += size;
  }
  return (await Promise.all(results)).flat();
}

describe('the table against a model that keeps every state', () => {
  test('answers, latest state, history and filters are as the model has them (A1, A2)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(simpleCommand, { minLength: 1, maxLength: 15 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(query, fc.nat(15)), { maxLength: 6 }),
        fc.constantFrom(1, 1000, 4000, 1 << 20),
        async (list, sizes, queries, writeBufferSizeBytes) => {
          const model = new Model();
          // With small buffers each batch, or a few of them, are flushed.
          const table = await openTable(new MemoryStoreDirectory(), writeBufferSizeBytes);
          const results = await applyInBatches(
            table,
            list.map((command, at) => commands.entry(at + 1, command)),
            sizes,
          );
          for (const { reading } of results) await reading;
          for (const [at, command] of list.entries()) {
            const expected = model.apply(at + 1, command);
            const { index, revision, succeeded } = results[at]!;
            deepEqual([index, revision, succeeded], [at + 1, at + 1, expected.succeeded]);
            if (command.batch.length > 0) continue;
            deepEqual(
              results[at]!.responses.map((of) => plain(of.response!.value)),
              expected.responses,
            );
          }
          equal(table.keyCount, model.at(model.revision).size);
          for (const [range, revision] of queries) {
            const at = Math.min(revision, list.length);
            const view = table.view(at);
            deepEqual(plainPage(await view.range(range)), model.range(at, range));
            view.close();
            const point = table.get(range.key);
            deepEqual(
              plain(point.record),
              model.range(list.length, commands.query(text(range.key))).records[0],
            );
          }
          await table.close();
        },
      ),
      { numRuns: 250 },
    );
  });

  test('replicas that apply in other batches have the same records, byte for byte (A1)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(simpleCommand, { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
        async (list, sizes) => {
          const entries = list.map((command, at) => commands.entry(at + 1, command));
          const replicas = [];
          for (const how of [[1], sizes, [list.length]]) {
            const directory = new MemoryStoreDirectory();
            const table = await openTable(directory);
            await applyInBatches(table, entries, how);
            const { state } = table;
            await closeWhole(table);
            replicas.push({ state, records: await logicalRecords(directory, '10001') });
          }
          deepEqual(replicas[1], replicas[0]);
          deepEqual(replicas[2], replicas[0]);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('the hash depends on what the table holds, not on how it came about (A6)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(simpleCommand, { maxLength: 12 }), async (list) => {
        const directory = new MemoryStoreDirectory();
        const table = await openTable(directory);
        await applyInBatches(
          table,
          list.map((command, at) => commands.entry(at + 1, command)),
          [3],
        );
        const kept = table.contentHash;
        const { keyCount } = table;
        await closeWhole(table);
        deepEqual(await hashOfRecords(directory, '10001'), { kept, keyCount });
      }),
      { numRuns: 100 },
    );
  });

  test('a SEQUENCE gives each command its own revision (R1)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(simpleCommand, { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(query, fc.nat(20)), { maxLength: 4 }),
        async (list, queries) => {
          const model = new Model();
          const table = await openTable();
          const inner = list.map((command, at) => commands.replicated(100 + 3 * at, command));
          const last = 100 + 3 * (list.length - 1);
          await table.apply([commands.entry(1, commands.replicated(last, commands.sequence(inner)))]);
          model.apply(last, commands.sequence(inner));
          expect(table.state).toMatchObject({ appliedIndex: 1, revision: last, leaderIndex: last });
          for (const [range, back] of queries) {
            const at = Math.max(last - back, 0);
            const view = table.view(at);
            deepEqual(plainPage(await view.range(range)), model.range(at, range));
            view.close();
          }
          await table.close();
        },
      ),
      { numRuns: 150 },
    );
  });
});
