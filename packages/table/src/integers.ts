import { strict as assert } from 'node:assert/strict';

const TWO_TO_32 = 0x1_0000_0000;
/** The upper 32 bits of 2^53-1, plus one. */
const HIGH_END = 0x20_0000;

// These work byte by byte, since Buffer's own methods check type and bounds of each argument, and every read and write
// of a key calls these functions.

/**
 * Reads a u64, little-endian. Throws AssertionError for a number above 2^53-1, which is damage since none is ever
 * written, and for bytes that end too early.
 */
export function readSafeInteger(source: Buffer, offset: number): number {
  if (offset + 8 > source.length) assert.fail('a stored integer is cut off');
  const low =
    (source[offset]! |
      (source[offset + 1]! << 8) |
      (source[offset + 2]! << 16) |
      (source[offset + 3]! << 24)) >>>
    0;
  const high =
    (source[offset + 4]! |
      (source[offset + 5]! << 8) |
      (source[offset + 6]! << 16) |
      (source[offset + 7]! << 24)) >>>
    0;
  if (high >= HIGH_END) assert.fail('a stored integer is larger than any that was written');
  return high * TWO_TO_32 + low;
}

/**
 * Writes a u64, little-endian. Throws AssertionError unless the number is an integer from 0 to 2^53-1 and there is room
 * for it.
 */
export function writeSafeInteger(target: Buffer, offset: number, value: number): void {
  const high = Math.floor(value / TWO_TO_32);
  if (offset + 8 > target.length || !(high >= 0 && high < HIGH_END))
    assert.fail('an integer is out of range, or where it is to be stored');
  const low = value >>> 0;
  target[offset] = low;
  target[offset + 1] = low >>> 8;
  target[offset + 2] = low >>> 16;
  target[offset + 3] = low >>> 24;
  target[offset + 4] = high;
  target[offset + 5] = high >>> 8;
  target[offset + 6] = high >>> 16;
  target[offset + 7] = high >>> 24;
}
