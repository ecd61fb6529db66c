import { strict as assert } from 'node:assert/strict';

/** Pieces are packed into chunks of this size. */
const CHUNK_SIZE_BYTES = 64 * 1024;
/** The first chunk begins so small, and grows: most tables of a node hold little in memory. */
const FIRST_CHUNK_SIZE_BYTES = 1024;
/** A larger piece stays in the memory that it came in. */
const PACKED_SIZE_BYTES_MAX = CHUNK_SIZE_BYTES / 8;
const LENGTH_SIZE_BYTES = 4;
/** No piece is there. It and all places are small integers to V8, which makes no object for one. */
export const NOWHERE = 2 ** 31 - 1;

/**
 * Pieces of bytes that are found by a number, their place: small ones packed into large chunks of memory, one behind the
 * other. A Buffer for each that lives until a flush would be copied twice by garbage collection, and followed from then on;
 * here a few hundred of them are one object.
 */
export class ByteArena {
  readonly #chunks: Buffer[] = [];
  /** Of the last chunk. */
  #chunkUsedBytes = 0;
  /** Their places are below zero. */
  readonly #large: Buffer[] = [];
  #usedBytes = 0;

  /** What the pieces take together. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Gives the place of a piece, which must stay as it is. */
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

  /** Gives a chunk with room for so many bytes after those in use. */
  #makeRoom(sizeBytes: number): Buffer {
    const needed = this.#chunkUsedBytes + sizeBytes;
    const first = this.#chunks[0];
    if (this.#chunks.length < 2 && needed <= CHUNK_SIZE_BYTES) {
      // Whoever holds a piece of the old one holds that.
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

  /** The piece at a place. Shares the arena's memory, and stays as it is whatever is added. */
  at(place: number): Buffer {
    if (place < 0) return this.#large[-1 - place]!;
    const chunk = this.#chunks[Math.floor(place / CHUNK_SIZE_BYTES)]!;
    const lengthAt = place % CHUNK_SIZE_BYTES;
    const start = lengthAt + LENGTH_SIZE_BYTES;
    return chunk.subarray(start, start + chunk.readUInt32LE(lengthAt));
  }
}
