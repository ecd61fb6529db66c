import { readSafeInteger, writeSafeInteger } from './integers.js';
import { type HistoryLane, historyBlockKey, keyInLatestKey } from './layout.js';
import type { StoredPair } from './record-source.js';

/** u32 key length, u32 record length, u64 superseding revision, all little-endian; key and record follow. */
const HEADER_SIZE_BYTES = 16;
/** A block is no larger, but for a single larger version: a read of one key takes in a whole block. */
const BLOCK_SIZE_BYTES = 64 * 1024;
const FIRST_SIZE_BYTES = 1024;

/** A version of a key: its latest store key, its record, and the revision that replaced or deleted it. */
type Version = readonly [...StoredPair, supersededAt: number];

/**
 * Gathers versions of one lane, which come in the order of keys and of the revisions that superseded them, into records
 * of many: to write a record for each would cost more than all else that is done for it.
 */
export class HistoryBlockWriter {
  readonly #lane: HistoryLane;
  readonly #write: (storeKey: Buffer, block: Buffer) => void;
  /** Grows to the size of a block, and is used for each. */
  #memory = Buffer.allocUnsafe(FIRST_SIZE_BYTES);
  #sizeBytes = 0;
  /** Where the block will be. */
  #place: Buffer | undefined;

  constructor(lane: HistoryLane, write: (storeKey: Buffer, block: Buffer) => void) {
    this.#lane = lane;
    this.#write = write;
  }

  add(storeKey: Buffer, record: Buffer, supersededAt: number): void {
    const sizeBytes = HEADER_SIZE_BYTES + storeKey.length + record.length;
    if (this.#sizeBytes + sizeBytes > BLOCK_SIZE_BYTES) this.end();
    this.#place ??= historyBlockKey(this.#lane, keyInLatestKey(storeKey), supersededAt);
    if (this.#sizeBytes + sizeBytes > this.#memory.length) this.#grow(this.#sizeBytes + sizeBytes);
    const block = this.#memory;
    let at = this.#sizeBytes;
    block.writeUInt32LE(storeKey.length, at);
    block.writeUInt32LE(record.length, at + 4);
    writeSafeInteger(block, at + 8, supersededAt);
    at += HEADER_SIZE_BYTES;
    block.set(storeKey, at);
    block.set(record, at + storeKey.length);
    this.#sizeBytes += sizeBytes;
  }

  #grow(sizeBytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(sizeBytes, 2 * this.#memory.length));
    larger.set(this.#memory.subarray(0, this.#sizeBytes));
    this.#memory = larger;
  }

  /** Writes the versions that were added since the last block. */
  end(): void {
    if (this.#place === undefined) return;
    this.#write(this.#place, Buffer.from(this.#memory.subarray(0, this.#sizeBytes)));
    this.#place = undefined;
    this.#sizeBytes = 0;
  }
}

/** The versions of a block in order. They share its memory. */
export function* readHistoryBlock(block: Buffer): Generator<Version> {
  for (let at = 0; at < block.length; ) {
    const keyAt = at + HEADER_SIZE_BYTES;
    const recordAt = keyAt + block.readUInt32LE(at);
    const supersededAt = readSafeInteger(block, at + 8);
    at = recordAt + block.readUInt32LE(at + 4);
    yield [block.subarray(keyAt, recordAt), block.subarray(recordAt, at), supersededAt];
  }
}
