import { LENGTH_BYTES, MESSAGE_BYTES_MAX } from './peer-protocol.js';

/**
 * The limit of the memory that is taken at once for a message that is under way; beyond it, memory is taken as the
 * message arrives.
 */
const AHEAD_BYTES_MAX = 1024 * 1024;

/**
 * Cuts a stream of bytes into messages, without the signs of life. A message that lies within one chunk shares its
 * memory.
 */
export class MessageCutter {
  readonly #onMessage: (message: Buffer) => void;
  /** The bytes that have arrived of a length that was cut. */
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthFilled = 0;
  /** The bytes that have arrived of a content that was cut, once its length is known. */
  #content: Buffer | undefined;
  #contentBytes = 0;
  #filled = 0;

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes in a chunk. Returns false for a message that is too large: nothing after it can be read. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#content !== undefined) {
        at = this.#fill(this.#content, chunk, at);
      } else if (this.#lengthFilled === 0 && chunk.length - at >= LENGTH_BYTES) {
        const length = chunk.readUInt32BE(at);
        if (length > MESSAGE_BYTES_MAX) return false;
        at += LENGTH_BYTES;
        if (length > chunk.length - at) {
          this.#begin(length);
          continue;
        }
        if (length > 0) this.#onMessage(chunk.subarray(at, at + length));
        at += length;
      } else {
        this.#length[this.#lengthFilled++] = chunk[at++]!;
        if (this.#lengthFilled < LENGTH_BYTES) continue;
        this.#lengthFilled = 0;
        const length = this.#length.readUInt32BE(0);
        if (length > MESSAGE_BYTES_MAX) return false;
        if (length > 0) this.#begin(length);
      }
    }
    return true;
  }

  #begin(length: number): void {
    this.#contentBytes = length;
    this.#content = Buffer.allocUnsafe(Math.min(length, AHEAD_BYTES_MAX));
    this.#filled = 0;
  }

  /**
   * Takes the part of the chunk that belongs to the message that is under way. Gives the position at which the chunk
   * goes on.
   */
  #fill(begun: Buffer, chunk: Buffer, at: number): number {
    let content = begun;
    const end = Math.min(chunk.length, at + this.#contentBytes - this.#filled);
    const filled = this.#filled + end - at;
    if (filled > content.length) {
      content = Buffer.allocUnsafe(Math.min(this.#contentBytes, Math.max(filled, 2 * begun.length)));
      begun.copy(content, 0, 0, this.#filled);
    }
    chunk.copy(content, this.#filled, at, end);
    this.#filled = filled;
    this.#content = filled < this.#contentBytes ? content : undefined;
    if (this.#content === undefined) this.#onMessage(content);
    return end;
  }
}
