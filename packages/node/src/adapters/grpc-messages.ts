/** What stands before the content of a gRPC message. */
export const PREFIX_BYTES = 5;
/** An entry may be as large as a client's message, and a frame as an entry and its neighbours (P4). */
const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

/** A gRPC message: a byte that says whether the content is compressed, the length, the content. */
export function messageOf(content: Buffer, isCompressed = false): Buffer {
  const message = Buffer.allocUnsafe(PREFIX_BYTES + content.length);
  message[0] = isCompressed ? 1 : 0;
  message.writeUInt32BE(content.length, 1);
  content.copy(message, PREFIX_BYTES);
  return message;
}

/** Cuts a stream of bytes into gRPC messages. They share the memory of the chunks. */
export class MessageReader {
  readonly #onMessage: (message: Buffer) => void;
  #chunks: Buffer[] = [];
  #lengthBytes = 0;
  #neededBytes = PREFIX_BYTES;

  constructor(onMessage: (message: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  /** False for bytes that are no messages, or a message that is too large: nothing after it can be read. */
  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    this.#lengthBytes += chunk.length;
    if (this.#lengthBytes < this.#neededBytes) return true;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    while (bytes.length >= PREFIX_BYTES) {
      const length = bytes.readUInt32BE(1);
      if (bytes[0] !== 0 || length > MESSAGE_BYTES_MAX) return false;
      this.#neededBytes = PREFIX_BYTES + length;
      if (bytes.length < this.#neededBytes) break;
      this.#onMessage(bytes.subarray(PREFIX_BYTES, this.#neededBytes));
      bytes = bytes.subarray(this.#neededBytes);
      this.#neededBytes = PREFIX_BYTES;
    }
    this.#chunks = bytes.length === 0 ? [] : [bytes];
    this.#lengthBytes = bytes.length;
    return true;
  }
}
