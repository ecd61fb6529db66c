import { equal } from 'node:assert/strict';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readSafeInteger, writeSafeInteger } from '../src/integers.js';
import { elementSizeBytes } from '../src/pair-size.js';

const integer = fc.oneof(fc.nat(300), fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }).map(Number));

test('integers are stored as u64, little-endian, wherever they are', () => {
  fc.assert(
    fc.property(integer, fc.nat(9), (value, at) => {
      const bytes = Buffer.alloc(20, 0xff);
      writeSafeInteger(bytes, at, value);
      equal(bytes.readBigUInt64LE(at), BigInt(value));
      equal(readSafeInteger(bytes, at), value);
      bytes.fill(0xff, at, at + 8);
      expect(bytes.equals(Buffer.alloc(20, 0xff))).toBe(true);
    }),
  );
});

test('what no number holds exactly, and what is cut off, is damage and never a number', () => {
  const bytes = Buffer.alloc(16);
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    bytes.writeBigUInt64LE(value, 3);
    expect(() => readSafeInteger(bytes, 3)).toThrow('larger than any that was written');
  }
  expect(() => readSafeInteger(bytes, 9)).toThrow('cut off');
  expect(() => writeSafeInteger(bytes, 9, 1)).toThrow('out of range');
  for (const value of [-1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => writeSafeInteger(bytes, 0, value)).toThrow('out of range');
});

test('a size takes a byte for each seven bits', () => {
  for (let bits = 7; bits <= 49; bits += 7) {
    const first = 2 ** bits;
    expect(elementSizeBytes(first - 1) - first).toBe(bits / 7);
    expect(elementSizeBytes(first) - first).toBe(bits / 7 + 2);
  }
});
