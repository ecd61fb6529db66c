import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HpackDecoder } from '../src/hpack-decoder.js';
import { type Field, HpackEncoder } from '../src/hpack-encoder.js';

function decodeWith(decoder: HpackDecoder, block: Buffer): Field[] {
  const fields: Field[] = [];
  decoder.decode(block, 0, block.length, (name, value) => fields.push([name, value]));
  return fields;
}

const call: readonly Field[] = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':path', '/a.B/C'],
  ['authorization', 'Bearer secret'],
  ['te', 'trailers'],
];

describe('the encoder of header blocks', () => {
  test('is understood by a decoder, whatever lists of fields come in whatever order', () => {
    const name = fc.constantFrom('a', 'te', ':path', 'user-agent', 'x-long-name');
    const field = fc.tuple(
      name,
      fc.oneof(fc.string({ maxLength: 5 }), fc.string({ minLength: 900, maxLength: 1_100 })),
    );
    const ascii = field.map(([key, value]): Field => [key, value.replace(/[^ -~]/g, '?')]);
    const lists = fc.array(fc.array(ascii, { maxLength: 4 }), { minLength: 1, maxLength: 4 });
    const uses = fc.array(fc.tuple(fc.nat(), fc.array(ascii, { maxLength: 2 }), fc.boolean()), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(lists, uses, fc.nat({ max: 20 }), (constants, calls, shrinksAt) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        calls.forEach(([which, varying], at) => {
          if (at === shrinksAt) encoder.limitTable(100);
          const constant = constants[which % constants.length]!;
          const block = encoder.encode(constant, varying);
          expect(decodeWith(decoder, block)).toEqual([...constant, ...varying]);
        });
      }),
    );
  });

  test('takes one byte for a field that came before, and nothing of what varies enters the table', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    encoder.encode(call, [['grpc-timeout', '5000m']]);
    expect(encoder.encode(call, [])).toHaveLength(call.length);
    const long = encoder.encode(call, [['grpc-timeout', '5000m']]);
    expect(encoder.encode(call, [['grpc-timeout', '5000m']])).toEqual(long);
    expect(() => decodeWith(decoder, long)).toThrow('no table entry');
  });

  test('uses no table of a peer that wants a smaller one, and says so once', () => {
    const encoder = new HpackEncoder();
    const first = encoder.encode(call, []);
    encoder.limitTable(0);
    const decoder = new HpackDecoder();
    expect(decodeWith(decoder, first)).toEqual(call);
    const second = encoder.encode(call, []);
    expect(second[0]).toBe(0x20);
    expect(decodeWith(decoder, second)).toEqual(call);
    const third = encoder.encode(call, []);
    expect(third[0]).not.toBe(0x20);
    expect(decodeWith(decoder, third)).toEqual(call);
  });
});
