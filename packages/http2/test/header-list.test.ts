import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HeaderListReader } from '../src/header-list.js';
import { HpackDecoder } from '../src/hpack-decoder.js';

/** Fields of all kinds: with and without a place in the table, of the table, and changes of its size. */
const field = fc.constantFrom(
  '83', // :method: POST
  '86', // :scheme: http
  'be', // the newest of the table
  'bf', // the one before it
  '40 01 61 01 31', // a: 1, into the table
  '40 01 62 01 32', // b: 2, into the table
  '00 01 63 01 33', // c: 3, not into the table
  '20', // the table is emptied
  '3f e1 1f', // and as large as it may be
);
const block = fc.array(field, { minLength: 1, maxLength: 4 }).map((fields) => toBytes(fields.join('')));

function toBytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** What comes of a block: its fields, or the error. */
function outcomeOf(read: () => string[]): string {
  try {
    return read().join(' ');
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the reader of header lists', () => {
  test('gives what the decoder gives, however often and in whatever order blocks come again', () => {
    fc.assert(
      fc.property(
        fc.array(block, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(5), { maxLength: 40 }),
        (blocks, order) => {
          const decoder = new HpackDecoder();
          const reader = new HeaderListReader();
          for (const at of order) {
            const bytes = blocks[at % blocks.length]!;
            const expected = outcomeOf(() => {
              const fields: string[] = [];
              decoder.decode(bytes, 0, bytes.length, (name, value) => fields.push(name, value));
              return fields;
            });
            // Behind other bytes, as it lies in a chunk.
            const chunk = Buffer.concat([Buffer.from([0xff]), bytes, Buffer.from([0xff])]);
            const actual = outcomeOf(() => [...reader.read(chunk, 1, 1 + bytes.length).headers]);
            expect(actual).toBe(expected);
            // A connection is over with its first error.
            if (expected.startsWith('HPACK')) return;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('decodes a block once that means the same as before', () => {
    const reader = new HeaderListReader();
    const bytes = toBytes('83 86 00 01 63 01 33');
    const list = reader.read(bytes, 0, bytes.length);
    expect(list.headers).toEqual([':method', 'POST', ':scheme', 'http', 'c', '3']);
    expect(reader.read(Buffer.from(bytes), 0, bytes.length)).toBe(list);
    const change = toBytes('40 01 61 01 31');
    expect(reader.read(change, 0, change.length).headers).toEqual(['a', '1']);
    // It names nothing of the table, but nobody looks at that.
    const again = reader.read(bytes, 0, bytes.length);
    expect(again).not.toBe(list);
    expect(again.headers).toEqual(list.headers);
  });

  test('keeps a few short blocks and no more', () => {
    const reader = new HeaderListReader();
    const blockOf = (value: string) => toBytes(`00 01 63 01 ${value}`);
    const first = reader.read(blockOf('30'), 0, 5);
    for (const value of ['31', '32', '33']) reader.read(blockOf(value), 0, 5);
    expect(reader.read(blockOf('30'), 0, 5)).toBe(first);
    reader.read(blockOf('34'), 0, 5);
    expect(reader.read(blockOf('30'), 0, 5)).not.toBe(first);
    const long = Buffer.concat(Array.from({ length: 300 }, () => blockOf('35')));
    const list = reader.read(long, 0, long.length);
    expect(list.headers).toHaveLength(600);
    expect(reader.read(long, 0, long.length)).not.toBe(list);
  });
});
