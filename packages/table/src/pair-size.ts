import { createRevisionOf, modRevisionOf, RECORD_HEADER_SIZE_BYTES, versionOf } from './layout.js';

export function varintSizeBytes(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

/** A field number from 1 to 15 takes one byte of tag, version=100 takes two. */
function integerFieldSizeBytes(value: number, tagSizeBytes: number): number {
  return value === 0 ? 0 : tagSizeBytes + varintSizeBytes(value);
}

function bytesFieldSizeBytes(length: number): number {
  return length === 0 ? 0 : 1 + varintSizeBytes(length) + length;
}

/** What the pair takes as an element of a repeated mvcc.v1.KeyValue in a response. */
export function encodedPairSizeBytes(keySizeBytes: number, record: Buffer, keysOnly: boolean): number {
  const size =
    bytesFieldSizeBytes(keySizeBytes) +
    integerFieldSizeBytes(createRevisionOf(record), 1) +
    integerFieldSizeBytes(modRevisionOf(record), 1) +
    integerFieldSizeBytes(versionOf(record), 2) +
    (keysOnly ? 0 : bytesFieldSizeBytes(record.length - RECORD_HEADER_SIZE_BYTES));
  return 1 + varintSizeBytes(size) + size;
}
