import type { PairRecord } from '@coxswain/stream';
import { LATEST, RECORD_HEADER_SIZE_BYTES } from './layout.js';

const LENGTH_SIZE_BYTES = 4;
/**
 * The size of the slabs from which blocks are cut. Node's own pool, of 8 KiB, makes an ArrayBuffer for every 25
 * records, which garbage collection has to trace. A slab lives as long as its last record does, which is until a batch
 * is written.
 */
const SLAB_SIZE_BYTES = 64 * 1024;
/** The size of the largest block that is cut from a slab. A larger one gets memory of its own. */
const SLAB_BLOCK_SIZE_BYTES_MAX = SLAB_SIZE_BYTES / 8;
/** The most bytes that are copied one by one, since Node makes an object to copy a part of a buffer. */
const SHORT_BYTES_MAX = 48;

/** A record about to be stored. One allocation holds its store key, the record itself, and the input of its hash. */
export interface RecordBlock {
  /**
   * The input of the content hash (A6): u32 key length, store key, record. The length keeps different pairs from having
   * the same input.
   */
  readonly identity: Buffer;
  readonly storeKey: Buffer;
  /** The record, whose header is not filled in. */
  readonly record: Buffer;
}

/** Makes a block for a pair, whose bytes it copies. */
export function newRecordBlock(key: Buffer, value: Buffer): RecordBlock {
  const block = emptyBlock(key.length, value.length);
  block.storeKey.set(key, 1);
  block.record.set(value, RECORD_HEADER_SIZE_BYTES);
  return block;
}

/** Makes a block for a pair that lies in other bytes, which it copies. */
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

/** Returns the hash input of a record that is already stored. It is valid until the next call. */
export function identityOf(storeKey: Buffer, record: Buffer): Buffer {
  const recordAt = LENGTH_SIZE_BYTES + storeKey.length;
  const length = recordAt + record.length;
  if (scratch.length < length) scratch = Buffer.allocUnsafe(length * 2);
  scratch.writeUInt32LE(storeKey.length - 1, 0);
  scratch.set(storeKey, LENGTH_SIZE_BYTES);
  scratch.set(record, recordAt);
  return scratch.subarray(0, length);
}
