import { strict as assert } from 'node:assert/strict';

/** The size of the chunks into which pieces are packed. */
const CHUNK_SIZE_BYTES = 64 * 1024;
/** The size at which the first chunk begins. It grows, since most tables of a node hold little in memory. */
const FIRST_CHUNK_SIZE_BYTES = 1024;
/** The largest piece that is packed, with its length. A larger one stays in the memory that it came in. */
const PACKED_SIZE_BYTES_MAX = CHUNK_SIZE_BYTES / 8;
const LENGTH_SIZE_BYTES = 4;
/** The place of no piece. It and all places are small integers to V8, which makes no object for one. */
export const NOWHERE = 2 ** 31 - 1;

/**
 * An arena of byte strings, each of which is found by a number, its place. Small ones are packed into large chunks of
 * memory. A Buffer for each, living until the next flush, would be copied twice by garbage collection and then traced
 * by each full one; here a few hundred are one object.
 */
export class ByteArena {
  readonly #chunks: Buffer[] = [];
  /** The bytes that are used in the last chunk. */
  #chunkUsedBytes = 0;
  /** The large pieces. Their places are below zero. */
  readonly #large: Buffer[] = [];
  #usedBytes = 0;

  /** The bytes that all pieces take together. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Adds a piece, which must not be changed afterwards, and returns its place. Throws AssertionError above 2 GiB. */
  add(bytes: Buffer): number {
    const sizeBytes = LENGTH_SIZE_BYTES + bytes.length;
    this.#usedBytes += sizeBytes;
    if (sizeBytes > PACKED_SIZE_BYTES_MAX) return -this.#large.push(bytes);
    let chunk = this.#chunks[this.#chunks.length - 1];
    if (chunk === undefined || this.#chunkUsedBytes + sizeBytes > chunk.length)
      chunk = this.#makeRoom(sizeBytes);
    const at = this.#chunkUsedBytes;
    chunk.writeUInt32LE(bytes.length, at);
    chunk.set(bytes, at + LENGTH_SIZE_BYTES);
    this.#chunkUsedBytes += sizeBytes;
    return (this.#chunks.length - 1) * CHUNK_SIZE_BYTES + at;
  }

  /** Returns a chunk that has room for `sizeBytes` after the bytes in use. */
  #makeRoom(sizeBytes: number): Buffer {
    const needed = this.#chunkUsedBytes + sizeBytes;
    const first = this.#chunks[0];
    if (this.#chunks.length < 2 && needed <= CHUNK_SIZE_BYTES) {
      // A reader that holds a piece of the old chunk keeps the old chunk alive.
      const wanted = Math.max(FIRST_CHUNK_SIZE_BYTES, 2 * (first?.length ?? 0), needed);
      const grown = Buffer.allocUnsafeSlow(Math.min(CHUNK_SIZE_BYTES, wanted));
      first?.copy(grown, 0, 0, this.#chunkUsedBytes);
      this.#chunks[0] = grown;
      return grown;
    }
    const chunk = Buffer.allocUnsafeSlow(CHUNK_SIZE_BYTES);
    this.#chunks.push(chunk);
    this.#chunkUsedBytes = 0;
    assert(this.#chunks.length * CHUNK_SIZE_BYTES < NOWHERE, 'an arena has places for 2 GiB');
    return chunk;
  }

  /** Returns the piece at a place. It shares the arena's memory, and later additions do not change it. */
  at(place: number): Buffer {
    if (place < 0) return this.#large[-1 - place]!;
    const chunk = this.#chunks[Math.floor(place / CHUNK_SIZE_BYTES)]!;
    const lengthAt = place % CHUNK_SIZE_BYTES;
    const start = lengthAt + LENGTH_SIZE_BYTES;
    return chunk.subarray(start, start + chunk.readUInt32LE(lengthAt));
  }
}
