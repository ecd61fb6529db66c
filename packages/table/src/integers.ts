import { strict as assert } from 'node:assert/strict';

const TWO_TO_32 = 0x1_0000_0000;

/** Reads a u64, little-endian. Numbers past 2^53-1 are never written, so one is damage. */
export function readSafeInteger(source: Buffer, offset: number): number {
  const high = source.readUInt32LE(offset + 4);
  assert(high < 0x20_0000, 'a stored integer is larger than any that was written');
  return high * TWO_TO_32 + source.readUInt32LE(offset);
}

/** Writes a u64, little-endian. */
export function writeSafeInteger(target: Buffer, offset: number, value: number): void {
  target.writeUInt32LE(value >>> 0, offset);
  target.writeUInt32LE(Math.floor(value / TWO_TO_32), offset + 4);
}
