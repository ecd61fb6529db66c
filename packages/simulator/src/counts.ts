import type { KeyRecord, RangeQuery, Table } from '@coxswain/table';
import { check } from './violation.js';

const BEFORE_ALL = Buffer.from([0x01]);
const AFTER_ALL = Buffer.from([0xff]);

/**
 * Checks the table's own counts of keys, of parts of the table and of keys written since some revision, which it
 * computes without reading each record, against the records themselves. `all` selects every key.
 */
export async function checkCounts(table: Table, all: RangeQuery, at?: number): Promise<void> {
  const view = table.view(at);
  try {
    const records: KeyRecord[] = [];
    for await (const page of view.pages(all)) records.push(...page.records);
    const middle = records[Math.floor(records.length / 2)];
    const ranges = [
      [BEFORE_ALL, AFTER_ALL],
      [BEFORE_ALL, middle?.key ?? AFTER_ALL],
      [middle?.key ?? BEFORE_ALL, AFTER_ALL],
    ] as const;
    for (const [key, rangeEnd] of ranges) {
      const within = records.filter(
        (record) => Buffer.compare(key, record.key) <= 0 && Buffer.compare(record.key, rangeEnd) < 0,
      );
      const range = { ...all, key, rangeEnd, countOnly: true };
      const { count } = await view.range(range);
      check(count === within.length, 'counts', () => `${count} of ${within.length} keys at ${view.revision}`);
      const minModRevision = middle?.modRevision ?? 1;
      const since = within.filter(({ modRevision }) => modRevision >= minModRevision).length;
      const { count: counted } = await view.range({ ...range, minModRevision });
      check(
        counted === since,
        'counts',
        () => `${counted} of ${since} keys since ${minModRevision} at ${view.revision}`,
      );
    }
  } finally {
    view.close();
  }
}
