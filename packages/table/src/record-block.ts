import { LATEST, RECORD_HEADER_SIZE_BYTES } from './layout.js';

const LENGTH_SIZE_BYTES = 4;

/** A record about to be stored. One allocation holds its store key, itself, and what its hash is made of. */
export interface RecordBlock {
  /** u32 key length, store key, record: what the content hash takes (A6). The length keeps pairs apart. */
  readonly identity: Buffer;
  readonly storeKey: Buffer;
  /** Its header is not filled in. */
  readonly record: Buffer;
}

export function newRecordBlock(key: Buffer, value: Buffer): RecordBlock {
  const recordAt = LENGTH_SIZE_BYTES + 1 + key.length;
  const identity = Buffer.allocUnsafe(recordAt + RECORD_HEADER_SIZE_BYTES + value.length);
  identity.writeUInt32LE(key.length, 0);
  identity[LENGTH_SIZE_BYTES] = LATEST;
  identity.set(key, LENGTH_SIZE_BYTES + 1);
  identity.set(value, recordAt + RECORD_HEADER_SIZE_BYTES);
  return {
    identity,
    storeKey: identity.subarray(LENGTH_SIZE_BYTES, recordAt),
    record: identity.subarray(recordAt),
  };
}

let scratch = Buffer.allocUnsafe(4096);

/** The identity of a record that is stored already. Valid until the next call. */
export function identityOf(storeKey: Buffer, record: Buffer): Buffer {
  const recordAt = LENGTH_SIZE_BYTES + storeKey.length;
  const length = recordAt + record.length;
  if (scratch.length < length) scratch = Buffer.allocUnsafe(length * 2);
  scratch.writeUInt32LE(storeKey.length - 1, 0);
  scratch.set(storeKey, LENGTH_SIZE_BYTES);
  scratch.set(record, recordAt);
  return scratch.subarray(0, length);
}
