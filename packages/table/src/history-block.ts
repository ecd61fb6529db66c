import { readSafeInteger, writeSafeInteger } from './integers.js';
import { type HistoryLane, historyBlockKey, keyInLatestKey } from './layout.js';
import type { StoredPair } from './record-source.js';

/**
 * The size of a version's header: u32 key length, u32 record length, u64 superseding revision, all little-endian. Key
 * and record follow it.
 */
const HEADER_SIZE_BYTES = 16;
/**
 * The largest size of a block, unless it holds a single version that is larger. A read of one key reads a whole block,
 * so blocks are small.
 */
const BLOCK_SIZE_BYTES = 64 * 1024;
const FIRST_SIZE_BYTES = 1024;

/** A version of a key: its latest store key, its record, and the revision that replaced or deleted it. */
type Version = readonly [...StoredPair, supersededAt: number];

/**
 * Packs the versions of one lane into blocks of many. The versions must be added in the order of keys and of the
 * revisions that superseded them. A record for each version would cost more than all other work for it.
 */
export class HistoryBlockWriter {
  readonly #lane: HistoryLane;
  readonly #write: (storeKey: Buffer, block: Buffer) => void;
  /** The memory of the present block. It grows to the size of a block, and is used for every one. */
  #memory = Buffer.allocUnsafe(FIRST_SIZE_BYTES);
  #sizeBytes = 0;
  /** The store key of the present block; undefined while it is empty. */
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

  /** Writes the versions that were added since the last block, if there are any. */
  end(): void {
    if (this.#place === undefined) return;
    this.#write(this.#place, Buffer.from(this.#memory.subarray(0, this.#sizeBytes)));
    this.#place = undefined;
    this.#sizeBytes = 0;
  }
}

/** Yields the versions of a block in order. They share its memory. */
export function* readHistoryBlock(block: Buffer): Generator<Version> {
  for (let at = 0; at < block.length; ) {
    const keyAt = at + HEADER_SIZE_BYTES;
    const recordAt = keyAt + block.readUInt32LE(at);
    const supersededAt = readSafeInteger(block, at + 8);
    at = recordAt + block.readUInt32LE(at + 4);
    yield [block.subarray(keyAt, recordAt), block.subarray(recordAt, at), supersededAt];
  }
}
