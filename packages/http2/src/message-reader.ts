/** The compressed flag and the length before each message (gRPC over HTTP/2, Length-Prefixed-Message). */
export const MESSAGE_PREFIX_BYTES = 5;

/**
 * How many times what has really come is reserved for a message that announces more: few steps for a long one, each of
 * which takes new memory and copies, and little for one that never comes.
 */
const GROWTH = 8;

/** A message of a gRPC call's body, as it came. */
export interface ReceivedMessage {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

/** A message is longer than the reader takes. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError';
}

/** The byte before a message, which says whether it is compressed, says neither. */
export class MessageFlagError extends Error {
  override readonly name = 'MessageFlagError';
}

/** Cuts the body of a gRPC call, a request's or an answer's, into messages. What comes is copied once, but for the growth of a long message. */
export class MessageReader {
  readonly #messageBytesMax: number;
  /** Nobody has taken them yet. */
  readonly #whole: ReceivedMessage[] = [];
  /** A prefix of which a part has come. */
  #prefix: Buffer | undefined;
  #prefixLength = 0;
  /** The message that is coming, undefined between two; it has `#length` bytes of `#announcedLength`. */
  #body: Buffer | undefined;
  #length = 0;
  #announcedLength = 0;
  #isCompressed = false;
  #takenBytes = 0;
  #refusal: Error | undefined;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Nothing is left of a message that has begun. */
  get isEmpty(): boolean {
    return this.#whole.length === 0 && this.#prefixLength === 0 && this.#body === undefined;
  }

  /** A message is complete, or is refused, that nobody has taken. */
  get hasNext(): boolean {
    return this.#whole.length > 0 || this.#refusal !== undefined;
  }

  /** How much of what came the last message took, with its prefix. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Takes `bytes[start, end)`. */
  push(bytes: Buffer, start: number, end: number): void {
    let position = start;
    while (position < end && this.#refusal === undefined) {
      position =
        this.#body === undefined ? this.#begin(bytes, position, end) : this.#fill(bytes, position, end);
    }
  }

  /**
   * The next message that is complete. Throws MessageTooLargeError as soon as one is announced that is
   * longer than the reader takes, and MessageFlagError where the flag before a message is none.
   */
  next(): ReceivedMessage | undefined {
    const message = this.#whole.shift();
    if (message !== undefined) this.#takenBytes = MESSAGE_PREFIX_BYTES + message.bytes.length;
    else if (this.#refusal !== undefined) throw this.#refusal;
    return message;
  }

  /** Takes a prefix, or a part of one. Gives the position after it. */
  #begin(bytes: Buffer, position: number, end: number): number {
    if (this.#prefixLength === 0 && end - position >= MESSAGE_PREFIX_BYTES) {
      const next = position + MESSAGE_PREFIX_BYTES;
      this.#announce(bytes, position, end - next);
      return next;
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

  /** Takes the bytes of the message that is coming. Gives the position after them. */
  #fill(bytes: Buffer, position: number, end: number): number {
    const next = Math.min(end, position + this.#announcedLength - this.#length);
    const length = this.#length + next - position;
    if (length > this.#body!.length) {
      const larger = this.#reserve(length);
      this.#body!.copy(larger, 0, 0, this.#length);
      this.#body = larger;
    }
    bytes.copy(this.#body!, this.#length, position, next);
    this.#length = length;
    this.#completeIfWhole();
    return next;
  }

  #reserve(arrivedBytes: number): Buffer {
    const reserved = GROWTH * arrivedBytes;
    // The last step is never a small one.
    return Buffer.allocUnsafe(2 * reserved < this.#announcedLength ? reserved : this.#announcedLength);
  }

  #completeIfWhole(): void {
    if (this.#length < this.#announcedLength) return;
    this.#whole.push({ isCompressed: this.#isCompressed, bytes: this.#body! });
    this.#body = undefined;
  }
}
