import { historyBlockKey, keyInLatestKey } from './layout.js';
import type { StoredPair } from './record-source.js';

const LENGTH_SIZE_BYTES = 4;
/** A block ends with the record that takes it past this: a read of one key takes in a whole block. */
const BLOCK_SIZE_BYTES = 64 * 1024;

/**
 * Gathers the versions that one range deletion deleted, in key order, into records of many: to write a record for each
 * would cost more than all the rest of the deletion.
 */
export class HistoryBlockWriter {
  readonly #revision: number;
  readonly #lane: number;
  readonly #write: (storeKey: Buffer, block: Buffer) => void;
  #pairs: StoredPair[] = [];
  #sizeBytes = 0;

  constructor(revision: number, lane: number, write: (storeKey: Buffer, block: Buffer) => void) {
    this.#revision = revision;
    this.#lane = lane;
    this.#write = write;
  }

  add(storeKey: Buffer, record: Buffer): void {
    this.#pairs.push([storeKey, record]);
    this.#sizeBytes += 2 * LENGTH_SIZE_BYTES + storeKey.length + record.length;
    if (this.#sizeBytes >= BLOCK_SIZE_BYTES) this.end();
  }

  /** Writes what was added since the last block. */
  end(): void {
    const [first] = this.#pairs;
    if (first === undefined) return;
    const block = Buffer.allocUnsafe(this.#sizeBytes);
    let at = 0;
    for (const [storeKey, record] of this.#pairs) {
      block.writeUInt32LE(storeKey.length, at);
      block.writeUInt32LE(record.length, at + LENGTH_SIZE_BYTES);
      at += 2 * LENGTH_SIZE_BYTES;
      block.set(storeKey, at);
      at += storeKey.length;
      block.set(record, at);
      at += record.length;
    }
    this.#write(historyBlockKey(this.#revision, this.#lane, keyInLatestKey(first[0])), block);
    this.#pairs = [];
    this.#sizeBytes = 0;
  }
}

/** The pairs of a block: latest keys and records, in key order. They share its memory. */
export function* readHistoryBlock(block: Buffer): Generator<StoredPair> {
  for (let at = 0; at < block.length; ) {
    const keyAt = at + 2 * LENGTH_SIZE_BYTES;
    const recordAt = keyAt + block.readUInt32LE(at);
    at = recordAt + block.readUInt32LE(at + LENGTH_SIZE_BYTES);
    yield [block.subarray(keyAt, recordAt), block.subarray(recordAt, at)];
  }
}
