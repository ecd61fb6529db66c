import { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { compare, operation, prefixEnd } from '../src/index.js';
import { TxnBuilder, type TxnParts } from '../src/txn.js';

describe('prefixEnd', () => {
  test.each([
    ['aa', 'ab'],
    ['a\xff', 'b'],
    ['\xff\xff', '\0'],
    ['', '\0'],
  ])('the keys that begin with %j end before %j', (prefix, end) => {
    expect(prefixEnd(Buffer.from(prefix, 'latin1')).toString('latin1')).toBe(end);
  });

  test('leaves the prefix as it is', () => {
    const prefix = Buffer.from('a');
    prefixEnd(prefix);
    expect(prefix.toString()).toBe('a');
  });
});

describe('transactions', () => {
  test('the builder gathers compares and operations in order', async () => {
    let parts: TxnParts | undefined;
    const builder = new TxnBuilder(async (given) => {
      parts = given;
    });
    await builder
      .when(compare.version('k', '=', 0), compare.exists('other'))
      .do(operation.put('k', 'v'), operation.range('k'))
      .otherwise(operation.deleteRange('k', { prevKv: true }))
      .commit();
    expect(parts?.compare.map(({ target }) => target)).toEqual([
      mvcc.Compare_CompareTarget.VERSION,
      mvcc.Compare_CompareTarget.VALUE,
    ]);
    expect(parts?.success.map(({ request }) => request?.$case)).toEqual(['requestPut', 'requestRange']);
    expect(parts?.failure[0]?.request).toMatchObject({
      $case: 'requestDeleteRange',
      value: { prevKv: true },
    });
  });

  test('an existence test has no value, which a comparison with an empty value has', () => {
    expect(compare.exists('k').targetUnion).toBeUndefined();
    expect(compare.value('k', '=', '').targetUnion).toEqual({ $case: 'value', value: Buffer.alloc(0) });
  });

  test('revisions past 2^53-1 are exact', () => {
    const revision = 2n ** 53n + 1n;
    expect(compare.modRevision('k', '>', revision).targetUnion).toEqual({
      $case: 'modRevision',
      value: revision,
    });
  });
});
