import { FRAME_HEADER_SIZE_BYTES, writeFrameHeader } from './frame.js';

/** A payload up to this is copied after its frame's header: one piece less to send is worth more. */
const COPIED_BYTES_MAX = 4 * 1024;
/** Small frames are written side by side into memory that is taken in chunks of at least, and usually at most, this size. */
const CHUNK_BYTES_MIN = 1024;
const CHUNK_BYTES_MAX = 64 * 1024;

const EMPTY = Buffer.alloc(0);

/** The frames that a connection has made and not yet written to its socket. */
export class OutgoingFrames {
  #pieces: Uint8Array[] = [];
  #sizeBytes = 0;
  /** `#chunk[#start, #end)` is the last piece, and the rest of the chunk is free. Bytes before it were handed out. */
  #chunk = EMPTY;
  #start = 0;
  #end = 0;
  /** How much was handed out the last time. */
  #takenBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds a frame. A large payload must stay as it is until it is written. */
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

  /** Adds bytes that are frames already. */
  pushEncoded(frames: Uint8Array): void {
    this.#reserve(frames.length);
    this.#chunk.set(frames, this.#end);
    this.#end += frames.length;
    this.#sizeBytes += frames.length;
  }

  /** Hands out what was added, in order. It stays as it is. */
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
    // A connection that says little keeps little memory, and one that says much takes few pieces.
    const wanted = Math.min(
      Math.max(2 * this.#sizeBytes, this.#takenBytes, CHUNK_BYTES_MIN),
      CHUNK_BYTES_MAX,
    );
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(wanted, sizeBytes));
    this.#start = 0;
    this.#end = 0;
  }
}
