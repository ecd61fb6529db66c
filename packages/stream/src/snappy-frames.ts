import { crc32c } from '@node-rs/crc32';
import { compressSync, uncompressSync } from 'snappy';

/*
 * Framed snappy (google/snappy, framing_format.txt). The streams that the snappy package brings work on threads
 * of their own, whose timing no simulation can repeat (ARCHITECTURE.md, "Determinism"); blocks of at most 64 KiB are
 * done here in a fraction of a millisecond each.
 */

/** The chunk with which a compressed stream begins. The stream may repeat it. */
export const STREAM_IDENTIFIER = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1');
const BLOCK_SIZE_BYTES_MAX = 65_536;
const HEADER_BYTES = 4;
const CHECKSUM_BYTES = 4;
/** The first skippable chunk type: unknown types below it must be refused, and those from it on are padding. */
const FIRST_SKIPPABLE = 0x80;
const EMPTY = Buffer.alloc(0);

enum ChunkType {
  Compressed = 0x00,
  Plain = 0x01,
  StreamIdentifier = 0xff,
}

/**
 * Compresses `plain` into the chunks of a stream. When its first block does not shrink, the others are not tried: next
 * to encrypted or compressed data there is mostly more of it, and trying costs as much as everything else here.
 */
export function compressToFrames(plain: Buffer): Buffer {
  const blocks: Buffer[] = [];
  const bodies: Buffer[] = [];
  let sizeBytes = 0;
  let isTried = true;
  for (let at = 0; at < plain.length; at += BLOCK_SIZE_BYTES_MAX) {
    const block = plain.subarray(at, at + BLOCK_SIZE_BYTES_MAX);
    const compressed: Buffer = isTried ? compressSync(block) : block;
    // As the format advises: a block that shrinks by less than an eighth is not worth the reader's work.
    const isWorthIt = compressed.length < block.length - block.length / 8;
    if (at === 0) isTried = isWorthIt;
    blocks.push(block);
    bodies.push(isWorthIt ? compressed : block);
    sizeBytes += HEADER_BYTES + CHECKSUM_BYTES + (isWorthIt ? compressed : block).length;
  }
  const frames = Buffer.allocUnsafeSlow(sizeBytes);
  let end = 0;
  for (const [place, body] of bodies.entries()) {
    const block = blocks[place]!;
    frames[end] = body === block ? ChunkType.Plain : ChunkType.Compressed;
    frames.writeUIntLE(CHECKSUM_BYTES + body.length, end + 1, 3);
    frames.writeUInt32LE(maskedChecksum(block), end + HEADER_BYTES);
    frames.set(body, end + HEADER_BYTES + CHECKSUM_BYTES);
    end += HEADER_BYTES + CHECKSUM_BYTES + body.length;
  }
  return frames;
}

/** A stream holds more bytes than its reader accepts. */
export class FramesTooLargeError extends Error {
  override readonly name = 'FramesTooLargeError';
}

/** Decompresses a framed stream that comes in pieces of any size. Its methods throw an Error for any other bytes. */
export class FrameDecompressor {
  readonly #plainBytesMax: number;
  #plainBytes = 0;
  #rest: Buffer = EMPTY;
  #hasBegun = false;

  /**
   * A stream with more than `plainBytesMax` bytes after decompression causes a FramesTooLargeError, which is thrown
   * before memory is allocated for them.
   */
  constructor(plainBytesMax = Number.POSITIVE_INFINITY) {
    this.#plainBytesMax = plainBytesMax;
  }

  /** Returns the decompressed bytes of the chunks that `piece` completes. */
  update(piece: Buffer): Buffer {
    const blocks = [...this.blocks(piece)];
    return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks);
  }

  /**
   * Yields the decompressed bytes of the chunks that `piece` completes, one chunk after the other; they may share the
   * memory of `piece`. The caller must iterate to the end.
   */
  *blocks(piece: Buffer): Generator<Buffer, void, undefined> {
    let at = 0;
    // Only the chunk that spans pieces is joined; no other is copied.
    while (this.#rest.length > 0 && at < piece.length) {
      const end = Math.min(at + chunkSize(this.#rest, 0) - this.#rest.length, piece.length);
      this.#rest = Buffer.concat([this.#rest, piece.subarray(at, end)]);
      at = end;
      if (this.#rest.length < HEADER_BYTES || this.#rest.length < chunkSize(this.#rest, 0)) continue;
      const chunk = this.#rest;
      this.#rest = EMPTY;
      const block = this.#chunk(chunk[0]!, chunk.subarray(HEADER_BYTES));
      if (block.length > 0) yield block;
    }
    while (piece.length - at >= HEADER_BYTES) {
      const end = at + chunkSize(piece, at);
      if (end > piece.length) break;
      const block = this.#chunk(piece[at]!, piece.subarray(at + HEADER_BYTES, end));
      at = end;
      if (block.length > 0) yield block;
    }
    if (at < piece.length) this.#rest = piece.subarray(at);
  }

  /** Ends the stream. Throws an Error when it ends within a chunk. */
  end(): void {
    if (this.#rest.length > 0) throw new Error('the stream ends within a chunk');
  }

  #chunk(type: number, body: Buffer): Buffer {
    if (type === ChunkType.StreamIdentifier) {
      if (!body.equals(STREAM_IDENTIFIER.subarray(HEADER_BYTES)))
        throw new Error('the stream is of another kind');
      this.#hasBegun = true;
      return EMPTY;
    }
    if (!this.#hasBegun) throw new Error('the stream has no beginning');
    if (type >= FIRST_SKIPPABLE) return EMPTY;
    if (type > ChunkType.Plain) throw new Error(`a chunk has the unknown type ${type}`);
    if (body.length < CHECKSUM_BYTES) throw new Error('a chunk has no checksum');
    const data = body.subarray(CHECKSUM_BYTES);
    this.#plainBytes += type === ChunkType.Plain ? data.length : claimedLength(data);
    if (this.#plainBytes > this.#plainBytesMax) {
      throw new FramesTooLargeError(`the stream holds more than ${this.#plainBytesMax} bytes`);
    }
    const block = type === ChunkType.Plain ? data : uncompress(data);
    if (block.length > BLOCK_SIZE_BYTES_MAX) throw new Error('a block is too large');
    if (maskedChecksum(block) !== body.readUInt32LE(0)) throw new Error('the checksum of a block is wrong');
    return block;
  }
}

/** Returns the size of the chunk that begins at `at`; while its header is incomplete, the size of the header. */
function chunkSize(buffer: Buffer, at: number): number {
  return buffer.length - at < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + buffer.readUIntLE(at + 1, 3);
}

function uncompress(data: Buffer): Buffer {
  // A block first states its decompressed size; one that states too much must not get the memory.
  if (claimedLength(data) > BLOCK_SIZE_BYTES_MAX) throw new Error('a block is too large');
  return uncompressSync(data, { asBuffer: true }) as Buffer;
}

/** Reads a little-endian varint. */
function claimedLength(data: Buffer): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = data[i];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length;
  }
  throw new Error('a block has no length');
}

/** Masks the checksum, as the format requires: a checksum over data that itself holds checksums is weak. */
function maskedChecksum(block: Buffer): number {
  const checksum = crc32c(block);
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282ead8) >>> 0;
}
