import type { mvcc, regatta } from '@coxswain/protocol';
import { failure } from './exit.js';

/** The properties by which pairs may be sorted, in etcdctl's words. */
export const sortTargets = ['CREATE', 'KEY', 'MODIFY', 'VALUE', 'VERSION'] as const;
/** The orders in which pairs may be sorted, in etcdctl's words. */
export const sortOrders = ['ASCEND', 'DESCEND'] as const;

export type SortTarget = (typeof sortTargets)[number];
export type SortOrder = (typeof sortOrders)[number];

/**
 * The most bytes of keys and values that are sorted: servers answer in the order of keys, so any other order is made
 * here, in memory.
 */
const SORTED_SIZE_BYTES_MAX = 256 * 1024 * 1024;

const compares: Readonly<Record<SortTarget, (a: mvcc.KeyValue, b: mvcc.KeyValue) => number>> = {
  CREATE: (a, b) => compareNumbers(a.createRevision, b.createRevision),
  KEY: (a, b) => Buffer.compare(a.key, b.key),
  MODIFY: (a, b) => compareNumbers(a.modRevision, b.modRevision),
  VALUE: (a, b) => Buffer.compare(a.value, b.value),
  VERSION: (a, b) => compareNumbers(a.version, b.version),
};

export interface SortOptions {
  readonly by: SortTarget;
  readonly order: SortOrder;
  /** The number of pairs to keep; 0 for no limit. */
  readonly limit: number;
  readonly keysOnly: boolean;
}

/**
 * Yields the pairs of all pages as one sorted page. Pairs that are equal in the property stay in the order of keys.
 * With a `limit` above 0 the page has the first so many, and no more are held; with `keysOnly` it has no values, which
 * may still decide the order. Throws a failure above 256 MiB.
 */
export async function* sortedPage(
  pages: AsyncIterable<regatta.RangeResponse>,
  { by, order, limit, keysOnly }: SortOptions,
): AsyncGenerator<regatta.RangeResponse> {
  const sign = order === 'ASCEND' ? 1 : -1;
  const compare = (a: mvcc.KeyValue, b: mvcc.KeyValue): number =>
    sign * compares[by](a, b) || Buffer.compare(a.key, b.key);
  let kept: mvcc.KeyValue[] = [];
  let sizeBytes = 0;
  let seenCount = 0;
  let header: regatta.ResponseHeader | undefined;
  const cut = (): void => {
    kept.sort(compare);
    if (limit === 0 || kept.length <= limit) return;
    kept = kept.slice(0, limit);
    sizeBytes = kept.reduce((sum, pair) => sum + sizeOf(pair), 0);
  };
  for await (const page of pages) {
    header ??= page.header;
    seenCount += page.kvs.length;
    for (const pair of page.kvs) {
      // A decoded pair keeps its whole page alive.
      kept.push(limit === 0 ? pair : { ...pair, key: Buffer.from(pair.key), value: Buffer.from(pair.value) });
      sizeBytes += sizeOf(pair);
    }
    if (limit > 0 && kept.length >= 2 * limit) cut();
    if (sizeBytes > SORTED_SIZE_BYTES_MAX) cut();
    if (sizeBytes > SORTED_SIZE_BYTES_MAX)
      throw failure('more than 256 MiB would have to be sorted: give a smaller range or --limit');
  }
  cut();
  yield {
    header,
    kvs: keysOnly ? kept.map((pair) => ({ ...pair, value: Buffer.alloc(0) })) : kept,
    count: BigInt(kept.length),
    more: kept.length < seenCount,
  };
}

function sizeOf({ key, value }: mvcc.KeyValue): number {
  return key.length + value.length;
}

function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
