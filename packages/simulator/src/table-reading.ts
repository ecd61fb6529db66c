import { type Header, tableApiError } from '@coxswain/node';
import { mvcc, regatta } from '@coxswain/protocol';
import { readSnapshotRecords } from '@coxswain/stream';
import {
  Gap,
  type KeyRecord,
  type RangeQuery,
  type Table,
  type TableView,
  writeSnapshot,
} from '@coxswain/table';
import type { KeyState } from './history.js';

const toTheEnd = Buffer.from([0]);

export const wholeRange: RangeQuery = {
  key: toTheEnd,
  rangeEnd: toTheEnd,
  limit: 0,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
  maxBytes: 4 * 1024 * 1024,
};

/** The most gaps of a range that are filled before it is read from a view instead. */
const FILLS_MAX = 4;

/**
 * Reads every record of the range as it is now from cached pages, as the KV service answers ranges; undefined when the
 * pages do not have all of them.
 */
async function readCached(
  table: Table,
  query: RangeQuery,
): Promise<{ revision: number; records: KeyRecord[] } | undefined> {
  for (let fillsLeft = FILLS_MAX; ; fillsLeft--) {
    const found = table.cachedRange(query, query.maxBytes);
    if (found === undefined) return undefined;
    if (!(found instanceof Gap)) {
      const message = Buffer.alloc(found.sizeBytes);
      found.copyTo(message, 0);
      return { revision: found.revision, records: regatta.RangeResponse.decode(message).kvs.map(toRecord) };
    }
    if (fillsLeft === 0) return undefined;
    await table.fillGap(found, found.end === undefined ? 1 : FILLS_MAX);
  }
}

function toRecord({ key, value, createRevision, modRevision, version }: mvcc.KeyValue): KeyRecord {
  return {
    key,
    value,
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
  };
}

/** Reads every record of the range from one view, of `at` or of now, and returns the view's header with them. */
export async function readAll(
  table: Table,
  query: RangeQuery,
  headerOf: (revision: number) => Header,
  at?: number,
): Promise<{ header: Header; records: KeyRecord[] }> {
  if (at === undefined) {
    const cached = await readCached(table, query);
    if (cached !== undefined) return { header: headerOf(cached.revision), records: cached.records };
  }
  const view = table.view(at);
  try {
    const header = headerOf(view.revision);
    const records: KeyRecord[] = [];
    for await (const page of view.pages(query)) records.push(...page.records);
    return { header, records };
  } finally {
    view.close();
  }
}

/** Returns the records of a backup of the view, as a restore reads them. */
export async function backedUp(view: TableView, table: string): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  const stream = writeSnapshot(view, { table: Buffer.from(table), repeatsForStockLoader: true });
  for await (const read of readSnapshotRecords(stream)) {
    for (const record of read) {
      records.push(toRecord(mvcc.Command.decode(record).kv!));
    }
  }
  return records;
}

type ReadRecord = Pick<KeyRecord, 'key' | 'value' | 'createRevision' | 'modRevision' | 'version'>;

export function statesOf(keys: readonly string[], records: readonly ReadRecord[]): KeyState[] {
  const byKey = new Map(records.map((record) => [record.key.toString(), record]));
  return keys.map((key) => {
    const record = byKey.get(key);
    if (record === undefined) return { key, record: undefined };
    const { createRevision, modRevision, version } = record;
    return { key, record: { value: record.value.toString(), createRevision, modRevision, version } };
  });
}

/**
 * Maps errors of a table that a snapshot, a deletion or a stop closed while it was read: its service asks to try again.
 */
export async function asApi<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw tableApiError(error);
  }
}
