import { mvcc, regatta } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { type SortOptions, sortedPage } from '../src/sorted-pages.js';

const pair = (key: string, value: string, createRevision: bigint, modRevision: bigint, version: bigint) =>
  mvcc.KeyValue.fromPartial({
    key: Buffer.from(key),
    value: Buffer.from(value),
    createRevision,
    modRevision,
    version,
  });

const pairs = [
  pair('a', 'z', 3n, 9n, 1n),
  pair('b', 'x', 1n, 9n, 4n),
  pair('c', 'y', 2n, 5n, 2n),
  pair('d', 'x', 4n, 6n, 3n),
];

async function* pages(): AsyncGenerator<regatta.RangeResponse> {
  for (const one of [pairs.slice(0, 1), pairs.slice(1)]) {
    yield regatta.RangeResponse.fromPartial({
      header: { revision: 9n },
      kvs: one,
      count: BigInt(one.length),
    });
  }
}

async function sorted(options: Partial<SortOptions>): Promise<regatta.RangeResponse> {
  const all: regatta.RangeResponse[] = [];
  const defaults = { by: 'KEY', order: 'ASCEND', limit: 0, keysOnly: false } as const;
  for await (const page of sortedPage(pages(), { ...defaults, ...options })) all.push(page);
  expect(all).toHaveLength(1);
  return all[0]!;
}

const keys = ({ kvs }: regatta.RangeResponse): string => kvs.map(({ key }) => key.toString()).join('');

describe('sorting as etcdctl does', () => {
  test.each([
    ['CREATE', 'bcad', 'dacb'],
    ['KEY', 'abcd', 'dcba'],
    ['MODIFY', 'cdab', 'abdc'],
    ['VALUE', 'bdca', 'acbd'],
    ['VERSION', 'acdb', 'bdca'],
  ] as const)('by %s; equal ones stay in the order of keys', async (by, ascending, descending) => {
    expect(keys(await sorted({ by }))).toBe(ascending);
    expect(keys(await sorted({ by, order: 'DESCEND' }))).toBe(descending);
  });

  test('a limit counts after sorting, and says that there is more', async () => {
    const page = await sorted({ by: 'VERSION', order: 'DESCEND', limit: 1 });
    expect(keys(page)).toBe('b');
    expect(page).toMatchObject({ count: 1n, more: true, header: { revision: 9n } });
    expect(await sorted({ limit: 4 })).toMatchObject({ count: 4n, more: false });
  });

  test('values decide and are left out with --keys-only', async () => {
    const page = await sorted({ by: 'VALUE', keysOnly: true });
    expect(keys(page)).toBe('bdca');
    expect(page.kvs.every(({ value }) => value.length === 0)).toBe(true);
  });

  test('what is held has a limit, which --limit keeps', async () => {
    async function* large(): AsyncGenerator<regatta.RangeResponse> {
      const value = Buffer.alloc(4 * 1024 * 1024);
      for (let i = 0; i < 70; i++) {
        const kvs = [mvcc.KeyValue.fromPartial({ key: Buffer.from(`${100 + i}`), value })];
        yield regatta.RangeResponse.fromPartial({ kvs });
      }
    }
    const options = { by: 'KEY', order: 'DESCEND', keysOnly: false } as const;
    await expect(sortedPage(large(), { ...options, limit: 0 }).next()).rejects.toThrow(
      'more than 256 MiB would have to be sorted: give a smaller range or --limit',
    );
    const { value } = await sortedPage(large(), { ...options, limit: 2 }).next();
    expect(keys(value as regatta.RangeResponse)).toBe('169168');
  });
});
