import { ContentHash } from '../src/content-hash.js';
import type { StoreDirectory } from '../src/index.js';

const BATCH_RECORDS = 'N'.charCodeAt(0);
const LATEST_RECORDS = 'L'.charCodeAt(0);

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

/** Everything that a store holds but its batch records: those depend on how entries came in batches. */
export async function logicalRecords(directory: StoreDirectory, name: string): Promise<string[]> {
  const records = await allRecords(directory, name);
  return records
    .filter(([key]) => key[0] !== BATCH_RECORDS)
    .map(([key, value]) => `${key.toString('hex')}=${value.toString('hex')}`);
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
