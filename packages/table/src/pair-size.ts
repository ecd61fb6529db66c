import { createRevisionOf, modRevisionOf, RECORD_HEADER_SIZE_BYTES, versionOf } from './layout.js';

function varintSizeBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  let size = 4;
  for (let rest = Math.floor(value / 0x20_0000); rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

/**
 * Returns the encoded size of an integer field. The tag of a field number from 1 to 15 takes one byte, that of
 * version=100 takes two.
 */
export function integerFieldSizeBytes(value: number, tagSizeBytes: number): number {
  return value === 0 ? 0 : tagSizeBytes + varintSizeBytes(value);
}

function bytesFieldSizeBytes(length: number): number {
  return length === 0 ? 0 : 1 + varintSizeBytes(length) + length;
}

/** Returns the encoded size of the pair as a mvcc.v1.KeyValue, without a tag and length of its own. */
export function keyValueSizeBytes(keySizeBytes: number, record: Buffer, keysOnly: boolean): number {
  return (
    bytesFieldSizeBytes(keySizeBytes) +
    integerFieldSizeBytes(createRevisionOf(record), 1) +
    integerFieldSizeBytes(modRevisionOf(record), 1) +
    integerFieldSizeBytes(versionOf(record), 2) +
    (keysOnly ? 0 : bytesFieldSizeBytes(record.length - RECORD_HEADER_SIZE_BYTES))
  );
}

/** Returns the encoded size of a KeyValue of `sizeBytes` as an element of a response, with tag and length. */
export function elementSizeBytes(sizeBytes: number): number {
  return 1 + varintSizeBytes(sizeBytes) + sizeBytes;
}

/** Returns the encoded size of the pair as an element of a repeated mvcc.v1.KeyValue in a response. */
export function encodedPairSizeBytes(keySizeBytes: number, record: Buffer, keysOnly: boolean): number {
  return elementSizeBytes(keyValueSizeBytes(keySizeBytes, record, keysOnly));
}
