import { randomBytes } from 'node:crypto';

/**
 * Bytes that may be sent before the client shows that it has read them, see `MemoryHolder.isReading`: at first, and at
 * most. The limit doubles whenever the client shows it, as TCP's window does, so that a distant reader is not held up
 * for long.
 */
const UNREAD_BYTES_MIN = 64 * 1024;
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Proves how much of what was sent a client has read: the client acknowledges a PING whose payload only a reader knows.
 */
export class ReadProof {
  readonly #ping: (payload: Buffer) => void;
  /** The bytes that the client has certainly read: those that were sent before the last PING that it acknowledged. */
  #readBytes = 0;
  #unreadBytesMax = UNREAD_BYTES_MIN;
  /** The PING that is not acknowledged yet, and the number of bytes that were sent before it. */
  #probe: { readonly payload: Buffer; readonly atBytes: number } | undefined;

  /** `ping` writes a PING with this payload. */
  constructor(ping: (payload: Buffer) => void) {
    this.#ping = ping;
  }

  /** Whether the client has read enough of `sentBytes` to be sent more. */
  isReading(sentBytes: number): boolean {
    return sentBytes - this.#readBytes < this.#unreadBytesMax;
  }

  /** Sends a PING for `sentBytes` when one is due: early enough that a reader is not held up. */
  probeWhenDue(sentBytes: number): void {
    if (this.#probe !== undefined || sentBytes - this.#readBytes < this.#unreadBytesMax / 2) return;
    const payload = randomBytes(8);
    this.#probe = { payload, atBytes: sentBytes };
    this.#ping(payload);
  }

  /** Handles the acknowledgement of a PING. Returns whether it was the PING of this proof. */
  acknowledged(payload: Buffer): boolean {
    if (this.#probe === undefined || !this.#probe.payload.equals(payload)) return false;
    this.#readBytes = this.#probe.atBytes;
    this.#probe = undefined;
    this.#unreadBytesMax = Math.min(2 * this.#unreadBytesMax, UNREAD_BYTES_MAX);
    return true;
  }
}
