/**
 * The length of the prefix before each message: a flag for compression and the message's length (gRPC over HTTP/2,
 * Length-Prefixed-Message).
 */
export const MESSAGE_PREFIX_BYTES = 5;

/**
 * The factor by which the memory reserved for an announced message exceeds the bytes that have come. So a long message
 * takes few steps, each of which allocates and copies, and one that is announced but never sent takes little.
 */
const GROWTH = 8;

/** A message of a gRPC call's body, compressed or not, without its prefix. */
export interface ReceivedMessage {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

/** A message is announced that is longer than the limit. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError';
}

/** The first byte of a message's prefix is neither 0 nor 1, so it does not say whether the message is compressed. */
export class MessageFlagError extends Error {
  override readonly name = 'MessageFlagError';
}

/**
 * Cuts the body of a gRPC call, a request's or an answer's, into messages. It copies the bytes once, and again when the
 * buffer of a long message grows.
 */
export class MessageReader {
  readonly #messageBytesMax: number;
  /** Complete messages that nobody has taken yet. */
  readonly #whole: ReceivedMessage[] = [];
  /** The beginning of a prefix of which the rest has not come. */
  #prefix: Buffer | undefined;
  #prefixLength = 0;
  /**
   * The buffer of the message that is coming in, undefined between two messages; `#length` bytes of `#announcedLength`
   * have come.
   */
  #body: Buffer | undefined;
  #length = 0;
  #announcedLength = 0;
  #isCompressed = false;
  #takenBytes = 0;
  #refusal: Error | undefined;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** True when there is neither a complete message nor the beginning of one. */
  get isEmpty(): boolean {
    return this.#whole.length === 0 && this.#prefixLength === 0 && this.#body === undefined;
  }

  /** True when `next` would return a message or throw. */
  get hasNext(): boolean {
    return this.#whole.length > 0 || this.#refusal !== undefined;
  }

  /** The length of the last message that was taken, with its prefix, in bytes. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Takes the bytes `bytes[start, end)` of the body. */
  push(bytes: Buffer, start: number, end: number): void {
    let position = start;
    while (position < end && this.#refusal === undefined) {
      position =
        this.#body === undefined ? this.#begin(bytes, position, end) : this.#fill(bytes, position, end);
    }
  }

  /**
   * Returns the next complete message, or undefined. Throws MessageTooLargeError as soon as a message above the limit
   * is announced, and MessageFlagError for a prefix with an invalid flag.
   */
  next(): ReceivedMessage | undefined {
    const message = this.#whole.shift();
    if (message !== undefined) this.#takenBytes = MESSAGE_PREFIX_BYTES + message.bytes.length;
    else if (this.#refusal !== undefined) throw this.#refusal;
    return message;
  }

  /** Reads a prefix or a part of one, and returns the position after it. */
  #begin(bytes: Buffer, position: number, end: number): number {
    if (this.#prefixLength === 0 && end - position >= MESSAGE_PREFIX_BYTES) {
      const after = position + MESSAGE_PREFIX_BYTES;
      this.#announce(bytes, position, end - after);
      return after;
    }
    this.#prefix ??= Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES);
    const copied = bytes.copy(this.#prefix, this.#prefixLength, position, end);
    this.#prefixLength += copied;
    if (this.#prefixLength === MESSAGE_PREFIX_BYTES) {
      this.#prefixLength = 0;
      this.#announce(this.#prefix, 0, end - position - copied);
    }
    return position + copied;
  }

  #announce(prefix: Buffer, offset: number, arrivedBytes: number): void {
    const flag = prefix[offset]!;
    const length = prefix.readUInt32BE(offset + 1);
    if (flag > 1) {
      this.#refusal = new MessageFlagError('the flag before a message is neither 0 nor 1');
    } else if (length > this.#messageBytesMax) {
      this.#refusal = new MessageTooLargeError(
        `Received message larger than max (${length} vs ${this.#messageBytesMax})`,
      );
    } else {
      this.#isCompressed = flag === 1;
      this.#announcedLength = length;
      this.#length = 0;
      this.#body = this.#reserve(arrivedBytes);
      this.#completeIfWhole();
    }
  }

  /** Copies the bytes that belong to the current message, and returns the position after them. */
  #fill(bytes: Buffer, position: number, end: number): number {
    const after = Math.min(end, position + this.#announcedLength - this.#length);
    const length = this.#length + after - position;
    if (length > this.#body!.length) {
      const larger = this.#reserve(length);
      this.#body!.copy(larger, 0, 0, this.#length);
      this.#body = larger;
    }
    bytes.copy(this.#body!, this.#length, position, after);
    this.#length = length;
    this.#completeIfWhole();
    return after;
  }

  #reserve(arrivedBytes: number): Buffer {
    const reserved = GROWTH * arrivedBytes;
    // Allocates the rest at once when little is missing, so that the last step is never a small one.
    return Buffer.allocUnsafe(2 * reserved < this.#announcedLength ? reserved : this.#announcedLength);
  }

  #completeIfWhole(): void {
    if (this.#length < this.#announcedLength) return;
    this.#whole.push({ isCompressed: this.#isCompressed, bytes: this.#body! });
    this.#body = undefined;
  }
}
