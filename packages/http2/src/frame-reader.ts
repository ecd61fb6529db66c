import { ConnectionError, ErrorCode } from './errors.js';
import { FRAME_HEADER_SIZE_BYTES, FRAME_PAYLOAD_SIZE_BYTES_MAX } from './frame.js';

/** Takes one frame, whose payload is `bytes[start, end)`; the bytes are valid only during the call. */
export type FrameVisitor = (
  type: number,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
) => void;

const NONE = Buffer.alloc(0);

/**
 * Cuts a byte stream into HTTP/2 frames. Frames that lie whole in a chunk are visited in place; one that spans
 * chunks is put together in a buffer of its own, so nothing else is copied and nothing is allocated per frame.
 */
export class FrameReader {
  readonly #visit: FrameVisitor;
  /** Made when the first frame spans chunks: most connections that only stay open never need it. */
  #partial = NONE;
  #partialSizeBytes = 0;

  constructor(visit: FrameVisitor) {
    this.#visit = visit;
  }

  /** @throws ConnectionError when a frame is longer than we allow, or whatever the visitor throws. */
  push(chunk: Buffer): void {
    let position = 0;
    while (this.#partialSizeBytes > 0 && position < chunk.length) {
      position += this.#fillPartial(chunk, position);
    }
    while (chunk.length - position >= FRAME_HEADER_SIZE_BYTES) {
      const end = position + FRAME_HEADER_SIZE_BYTES + payloadSizeBytes(chunk, position);
      if (end > chunk.length) break;
      this.#dispatch(chunk, position, end);
      position = end;
    }
    if (position < chunk.length) {
      if (this.#partial === NONE) {
        this.#partial = Buffer.allocUnsafe(FRAME_HEADER_SIZE_BYTES + FRAME_PAYLOAD_SIZE_BYTES_MAX);
      }
      this.#partialSizeBytes = chunk.copy(this.#partial, 0, position);
    }
  }

  /** Takes from the chunk what the started frame lacks, visits it when whole, and gives how many bytes were taken. */
  #fillPartial(chunk: Buffer, position: number): number {
    const hasHeader = this.#partialSizeBytes >= FRAME_HEADER_SIZE_BYTES;
    const neededSizeBytes =
      FRAME_HEADER_SIZE_BYTES + (hasHeader ? payloadSizeBytes(this.#partial, 0) : 0) - this.#partialSizeBytes;
    const copied = chunk.copy(this.#partial, this.#partialSizeBytes, position, position + neededSizeBytes);
    this.#partialSizeBytes += copied;
    if (this.#partialSizeBytes < FRAME_HEADER_SIZE_BYTES) return copied;
    const end = FRAME_HEADER_SIZE_BYTES + payloadSizeBytes(this.#partial, 0);
    if (this.#partialSizeBytes === end) {
      this.#partialSizeBytes = 0;
      this.#dispatch(this.#partial, 0, end);
    }
    return copied;
  }

  #dispatch(bytes: Buffer, position: number, end: number): void {
    const type = bytes[position + 3]!;
    const flags = bytes[position + 4]!;
    const streamId = bytes.readUInt32BE(position + 5) & 0x7fffffff;
    this.#visit(type, flags, streamId, bytes, position + FRAME_HEADER_SIZE_BYTES, end);
  }
}

function payloadSizeBytes(bytes: Buffer, position: number): number {
  const sizeBytes = (bytes[position]! << 16) | (bytes[position + 1]! << 8) | bytes[position + 2]!;
  if (sizeBytes > FRAME_PAYLOAD_SIZE_BYTES_MAX) {
    throw new ConnectionError(ErrorCode.frameSizeError, `a frame of ${sizeBytes} bytes`);
  }
  return sizeBytes;
}
