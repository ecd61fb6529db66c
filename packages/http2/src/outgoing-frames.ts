import { FRAME_HEADER_SIZE_BYTES, writeFrameHeader } from './frame.js';

/**
 * A payload of up to this many bytes is copied after its frame's header: saving a buffer is worth more than the copy.
 */
const COPIED_BYTES_MAX = 4 * 1024;
/**
 * Small frames are written side by side into chunks of memory, each of at least the first and usually at most the
 * second size, in bytes.
 */
const CHUNK_BYTES_MIN = 1024;
const CHUNK_BYTES_MAX = 64 * 1024;

const EMPTY = Buffer.alloc(0);

/** Collects the frames of a connection that are not written to its socket yet. */
export class OutgoingFrames {
  #pieces: Uint8Array[] = [];
  #sizeBytes = 0;
  /** `#chunk[#start, #end)` is the last piece, and the rest of the chunk is free. The part before it was handed out. */
  #chunk = EMPTY;
  #start = 0;
  #end = 0;
  /** The number of bytes that `take` returned last. */
  #takenBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds a frame. A payload above 4 KiB must not change until it is written. */
  push(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    const { length } = payload;
    if (length > COPIED_BYTES_MAX) {
      this.#reserve(FRAME_HEADER_SIZE_BYTES);
      writeFrameHeader(this.#chunk, this.#end, type, flags, streamId, length);
      this.#end += FRAME_HEADER_SIZE_BYTES;
      this.#seal();
      this.#pieces.push(payload);
    } else {
      this.#reserve(FRAME_HEADER_SIZE_BYTES + length);
      writeFrameHeader(this.#chunk, this.#end, type, flags, streamId, length);
      this.#chunk.set(payload, this.#end + FRAME_HEADER_SIZE_BYTES);
      this.#end += FRAME_HEADER_SIZE_BYTES + length;
    }
    this.#sizeBytes += FRAME_HEADER_SIZE_BYTES + length;
  }

  /** Adds bytes that are encoded frames already. */
  pushEncoded(frames: Uint8Array): void {
    this.#reserve(frames.length);
    this.#chunk.set(frames, this.#end);
    this.#end += frames.length;
    this.#sizeBytes += frames.length;
  }

  /** Returns the collected bytes in order and starts over. The returned bytes do not change. */
  take(): readonly Uint8Array[] {
    this.#seal();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#takenBytes = this.#sizeBytes;
    this.#sizeBytes = 0;
    return pieces;
  }

  #seal(): void {
    if (this.#start === this.#end) return;
    this.#pieces.push(this.#chunk.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #reserve(sizeBytes: number): void {
    if (this.#end + sizeBytes <= this.#chunk.length) return;
    this.#seal();
    // A quiet connection takes little memory, and a busy one few chunks.
    const wanted = Math.min(
      Math.max(2 * this.#sizeBytes, this.#takenBytes, CHUNK_BYTES_MIN),
      CHUNK_BYTES_MAX,
    );
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(wanted, sizeBytes));
    this.#start = 0;
    this.#end = 0;
  }
}
