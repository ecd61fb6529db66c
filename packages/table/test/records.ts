import { createHash } from 'node:crypto';
import { ContentHash } from '../src/content-hash.js';
import { readHistoryBlock } from '../src/history-block.js';
import type { StoreDirectory, Table } from '../src/index.js';
import { ALL_KEYS } from '../src/key-bounds.js';

const BATCH_RECORDS = 'N'.charCodeAt(0);
const LATEST_RECORDS = 'L'.charCodeAt(0);
const HISTORY_BLOCKS = 'D'.charCodeAt(0);

async function allRecords(directory: StoreDirectory, name: string): Promise<[Buffer, Buffer][]> {
  const store = await directory.open(name, { create: false });
  const scan = store.scan({});
  const found: [Buffer, Buffer][] = [];
  for (;;) {
    const page = await scan.next(1000, 1 << 20);
    if (page.length === 0) break;
    found.push(...page);
  }
  await scan.close();
  await store.close();
  return found;
}

/** Everything that a store holds but its batch records and its history: those depend on how entries came in batches and flushes. */
export async function logicalRecords(directory: StoreDirectory, name: string): Promise<string[]> {
  const records = await allRecords(directory, name);
  return records
    .filter(([key]) => key[0] !== BATCH_RECORDS && key[0] !== HISTORY_BLOCKS)
    .map(([key, value]) => `${key.toString('hex')}=${value.toString('hex')}`);
}

/** How many versions a store has in its history. */
export async function historyCount(directory: StoreDirectory, name: string): Promise<number> {
  const records = await allRecords(directory, name);
  const blocks = records.filter(([key]) => key[0] === HISTORY_BLOCKS);
  return blocks.flatMap(([, block]) => [...readHistoryBlock(block)]).length;
}

/** Makes durable what the table holds, and closes it. */
export async function closeWhole(table: Table): Promise<void> {
  await table.checkpoint();
  await table.close();
}

/** All that readers can see of a table at the revisions, and its hash, once nothing is left to be removed. */
export async function contentOf(table: Table, revisions: readonly number[]): Promise<unknown> {
  while (table.isSweeping) await Promise.resolve();
  const states = [];
  const sizes = Buffer.alloc(8);
  for (const revision of revisions) {
    const view = table.view(Math.min(revision, table.revision));
    const hash = createHash('sha256');
    let count = 0;
    const scan = view.scan(ALL_KEYS, {});
    for (;;) {
      const pairs = await scan.next(1000);
      if (pairs.length === 0) break;
      for (const [key, record] of pairs) {
        sizes.writeUInt32LE(key.length, 0);
        sizes.writeUInt32LE(record.length, 4);
        hash.update(Buffer.concat([sizes, key, record]));
      }
      count += pairs.length;
    }
    await scan.close();
    view.close();
    states.push({ revision, count, hash: hash.digest('hex') });
  }
  const { revision, keyCount, contentHash } = table;
  return { states, revision, keyCount, contentHash };
}

/** The first byte of each record that a store holds: what kind of record it is. */
export async function recordKinds(directory: StoreDirectory, name: string): Promise<Set<string>> {
  return new Set((await allRecords(directory, name)).map(([key]) => String.fromCharCode(key[0]!)));
}

/** The content hash computed anew from what the store holds. */
export async function hashOfRecords(
  directory: StoreDirectory,
  name: string,
): Promise<{ kept: string; keyCount: number }> {
  const hash = new ContentHash();
  let keyCount = 0;
  for (const [key, value] of await allRecords(directory, name)) {
    if (key[0] !== LATEST_RECORDS) continue;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(key.length - 1);
    hash.add(Buffer.concat([length, key, value]));
    keyCount += 1;
  }
  return { kept: hash.toBuffer().toString('hex'), keyCount };
}
