import type { PairRecord } from '@coxswain/stream';
import { LATEST, RECORD_HEADER_SIZE_BYTES } from './layout.js';

const LENGTH_SIZE_BYTES = 4;
/**
 * Blocks are cut from slabs of this size. Node's own pool, of 8 KiB, makes an ArrayBuffer for every 25 records, which
 * garbage collection has to follow. A slab lives as long as its last record does, which is until a batch is written.
 */
const SLAB_SIZE_BYTES = 64 * 1024;
/** A larger block gets memory of its own. */
const SLAB_BLOCK_SIZE_BYTES_MAX = SLAB_SIZE_BYTES / 8;
/** Copied byte by byte: to copy a part of a buffer Node makes an object for it first. */
const SHORT_BYTES_MAX = 48;

/** A record about to be stored. One allocation holds its store key, itself, and what its hash is made of. */
export interface RecordBlock {
  /** u32 key length, store key, record: what the content hash takes (A6). The length keeps pairs apart. */
  readonly identity: Buffer;
  readonly storeKey: Buffer;
  /** Its header is not filled in. */
  readonly record: Buffer;
}

export function newRecordBlock(key: Buffer, value: Buffer): RecordBlock {
  const block = emptyBlock(key.length, value.length);
  block.storeKey.set(key, 1);
  block.record.set(value, RECORD_HEADER_SIZE_BYTES);
  return block;
}

/** The same for a pair that lies in other bytes. */
export function recordBlockOf({ bytes, keyStart, keyEnd, valueStart, valueEnd }: PairRecord): RecordBlock {
  const block = emptyBlock(keyEnd - keyStart, valueEnd - valueStart);
  copyBytes(bytes, keyStart, keyEnd, block.storeKey, 1);
  copyBytes(bytes, valueStart, valueEnd, block.record, RECORD_HEADER_SIZE_BYTES);
  return block;
}

function emptyBlock(keyLength: number, valueLength: number): RecordBlock {
  const recordAt = LENGTH_SIZE_BYTES + 1 + keyLength;
  const identity = allocate(recordAt + RECORD_HEADER_SIZE_BYTES + valueLength);
  identity.writeUInt32LE(keyLength, 0);
  identity[LENGTH_SIZE_BYTES] = LATEST;
  return {
    identity,
    storeKey: identity.subarray(LENGTH_SIZE_BYTES, recordAt),
    record: identity.subarray(recordAt),
  };
}

/** Copies `source[start…end)` to `target[at…]`. */
export function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): void {
  if (end - start > SHORT_BYTES_MAX) {
    source.copy(target, at, start, end);
    return;
  }
  for (let from = start, to = at; from < end; ) target[to++] = source[from++]!;
}

let slab = Buffer.alloc(0);
let slabUsedBytes = 0;

function allocate(sizeBytes: number): Buffer {
  if (sizeBytes > SLAB_BLOCK_SIZE_BYTES_MAX) return Buffer.allocUnsafeSlow(sizeBytes);
  if (slabUsedBytes + sizeBytes > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB_SIZE_BYTES);
    slabUsedBytes = 0;
  }
  const start = slabUsedBytes;
  slabUsedBytes += sizeBytes;
  return slab.subarray(start, slabUsedBytes);
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
