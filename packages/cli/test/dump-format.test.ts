import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  DUMP_HEADER,
  DumpReader,
  dumpEnd,
  formatPair,
  MalformedLineError,
  parsePair,
} from '../src/dump-format.js';

/** Bytes of every kind, among which those that mean something in the format come often. */
const bytes = (minLength: number): fc.Arbitrary<Buffer> =>
  fc
    .array(fc.oneof(fc.constantFrom(...Buffer.from('\\\t\n\r#x0nrt\0\x7f\xff"', 'latin1')), fc.nat(255)), {
      minLength,
      maxLength: 24,
    })
    .map((list) => Buffer.from(list));

function reads(lines: readonly string[]): DumpReader {
  const reader = new DumpReader();
  for (const line of lines) reader.read(Buffer.from(line));
  return reader;
}

describe('the lines of a dump', () => {
  test('hold any bytes, as ASCII', () => {
    fc.assert(
      fc.property(bytes(1), bytes(0), (key, value) => {
        const line = formatPair(key, value);
        const pair = parsePair(Buffer.from(line));
        return (
          /^[\x20-\x7e]+\t[\x20-\x7e]*$/.test(line) &&
          !line.startsWith('#') &&
          pair.key.equals(key) &&
          pair.value.equals(value)
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('are readable where the bytes are', () => {
    expect(formatPair(Buffer.from('eu/anna'), Buffer.from('{"a": 1}'))).toBe('eu/anna\t{"a": 1}');
    expect(formatPair(Buffer.from('#\t'), Buffer.from('a\\b\n\r\0é'))).toBe(
      '\\x23\\t\ta\\\\b\\n\\r\\x00\\xc3\\xa9',
    );
    expect(formatPair(Buffer.from('k'), Buffer.alloc(0))).toBe('k\t');
    expect(parsePair(Buffer.from('k\té \\XFF')).value).toEqual(Buffer.from([0xc3, 0xa9, 0x20, 0xff]));
  });

  test.each([
    ['no tab', 'it is not key<TAB>value'],
    ['\tvalue', 'it is not key<TAB>value'],
    ['', 'it is not key<TAB>value'],
    ['k\tv\r', 'it holds the control character 0x0d: write it as \\x0d'],
    ['k\tv\tw', 'it holds the control character 0x09: write it as \\x09'],
    ['k\t\\q', 'it holds a backslash that begins none of'],
    ['k\t\\x0', 'it holds a backslash that begins none of'],
    ['k\tend\\', 'it holds a backslash that begins none of'],
  ])('refuses %j', (line, reason) => {
    expect(() => parsePair(Buffer.from(line))).toThrow(MalformedLineError);
    expect(() => parsePair(Buffer.from(line))).toThrow(reason);
  });
});

describe('whether a dump is whole', () => {
  test('is known by its end line, also of dumps one after another', () => {
    expect(reads([DUMP_HEADER, 'a\t1', '# a comment', 'b\t2', dumpEnd(2)]).whyIncomplete).toBeUndefined();
    const two = [DUMP_HEADER, 'a\t1', dumpEnd(1), DUMP_HEADER, dumpEnd(0)];
    expect(reads(two).whyIncomplete).toBeUndefined();
    expect(reads([DUMP_HEADER, 'a\t1']).whyIncomplete).toMatch('no end line');
    expect(reads([DUMP_HEADER, dumpEnd(0), 'a\t1']).whyIncomplete).toMatch('no end line');
    expect(reads([]).whyIncomplete).toMatch('no end line');
    expect(reads([DUMP_HEADER, 'a\t1', dumpEnd(2), DUMP_HEADER, dumpEnd(0)]).whyIncomplete).toBe(
      'its end line counts 2 pairs, and 1 is there',
    );
  });

  test('another format is refused at its first line', () => {
    expect(() => reads(['# coxswain dump 2'])).toThrow('format 2, which this version does not read');
  });
});
