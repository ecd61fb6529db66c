import { ApiError, Status } from '@coxswain/node';

/** The compressed flag and the length before each message (gRPC over HTTP/2, Length-Prefixed-Message). */
export const MESSAGE_PREFIX_BYTES = 5;

/** A message of a request's body. */
export interface ReceivedMessage {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

/** A message is longer than what is taken. */
export class MessageTooLargeError extends Error {
  override readonly name = 'MessageTooLargeError';
}

/** Cuts a request's body into messages. What comes is copied once. */
export class MessageReader {
  readonly #messageBytesMax: number;
  #buffer = Buffer.alloc(0);
  #length = 0;
  #takenBytes = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Nothing is left of a message that has begun. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** How much of what came the last message took, with its prefix. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Takes `bytes[start, end)`. */
  push(bytes: Buffer, start: number, end: number): void {
    const needed = this.#length + end - start;
    if (needed > this.#buffer.length) {
      // Twice as much each time, but no more than the message takes: never far from what has really come.
      const announced = this.#length < MESSAGE_PREFIX_BYTES ? 0 : this.#messageEnd();
      const larger = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * this.#buffer.length, announced)));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    bytes.copy(this.#buffer, this.#length, start, end);
    this.#length = needed;
  }

  /**
   * The next message that is complete. Throws MessageTooLargeError as soon as one is announced, and an INTERNAL
   * ApiError where the flag before a message is none.
   */
  next(): ReceivedMessage | undefined {
    if (this.#length < MESSAGE_PREFIX_BYTES) return undefined;
    if (this.#buffer[0]! > 1)
      throw new ApiError(Status.Internal, 'the flag before a message is neither 0 nor 1');
    const end = this.#messageEnd();
    if (end - MESSAGE_PREFIX_BYTES > this.#messageBytesMax) {
      throw new MessageTooLargeError(
        `Received message larger than max (${end - MESSAGE_PREFIX_BYTES} vs ${this.#messageBytesMax})`,
      );
    }
    if (this.#length < end) return undefined;
    const buffer = this.#buffer;
    // What follows goes behind the message, so its bytes stay as they are.
    this.#buffer = buffer.subarray(end);
    this.#length -= end;
    this.#takenBytes = end;
    return { isCompressed: buffer[0] === 1, bytes: buffer.subarray(MESSAGE_PREFIX_BYTES, end) };
  }

  #messageEnd(): number {
    return MESSAGE_PREFIX_BYTES + this.#buffer.readUInt32BE(1);
  }
}
