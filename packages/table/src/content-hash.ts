import { hash } from 'node:crypto';

const LANES = 4;
const TWO_TO_32 = 0x1_0000_0000;

export const CONTENT_HASH_SIZE_BYTES = 16;

/**
 * The sum, modulo 2^128, of a 128-bit hash of every live record (A6). A sum does not depend on order, so replicas can
 * keep it incrementally and compare it at the same applied index. The hash of a record is SHA-256 cut to 128 bits: of
 * the hashes built into Node it is the fastest but SHA-1 (bench/hash.mjs), and needs no defending.
 */
export class ContentHash {
  readonly #lanes = new Uint32Array(LANES);

  /** Adds a live record, given as the bytes that identify it. */
  add(record: Uint8Array): void {
    const digest = hash('sha256', record, 'binary');
    let carry = 0;
    for (let lane = 0; lane < LANES; lane++) {
      const sum = this.#lanes[lane]! + laneOf(digest, lane) + carry;
      carry = sum >= TWO_TO_32 ? 1 : 0;
      this.#lanes[lane] = sum;
    }
  }

  /** Subtracts a record that is no longer live, given as the bytes that identify it. */
  remove(record: Uint8Array): void {
    const digest = hash('sha256', record, 'binary');
    let borrow = 0;
    for (let lane = 0; lane < LANES; lane++) {
      const difference = this.#lanes[lane]! - laneOf(digest, lane) - borrow;
      borrow = difference < 0 ? 1 : 0;
      this.#lanes[lane] = difference;
    }
  }

  /** Returns the present sum, in 16 bytes that later calls do not change. */
  toBuffer(): Buffer {
    const bytes = Buffer.allocUnsafe(CONTENT_HASH_SIZE_BYTES);
    for (let lane = 0; lane < LANES; lane++) bytes.writeUInt32LE(this.#lanes[lane]!, lane * 4);
    return bytes;
  }

  static fromBuffer(bytes: Buffer): ContentHash {
    const contentHash = new ContentHash();
    for (let lane = 0; lane < LANES; lane++) contentHash.#lanes[lane] = bytes.readUInt32LE(lane * 4);
    return contentHash;
  }
}

/** Returns 32 bits of a digest. A Latin-1 string is the cheapest form of a digest in Node, since no Buffer is made. */
function laneOf(digest: string, lane: number): number {
  const at = lane * 4;
  return (
    (digest.charCodeAt(at) |
      (digest.charCodeAt(at + 1) << 8) |
      (digest.charCodeAt(at + 2) << 16) |
      (digest.charCodeAt(at + 3) << 24)) >>>
    0
  );
}
