import { randomBytes } from 'node:crypto';

/**
 * How much may be sent that the client has not shown to have read, see `MemoryHolder.isReading`: at first, and at most. It
 * doubles whenever the client shows it, as TCP's window does, so that a reader far away is not held up for long.
 */
const UNREAD_BYTES_MIN = 64 * 1024;
const UNREAD_BYTES_MAX = 16 * 1024 * 1024;

/** What a client has shown to have read of what was sent: it acknowledges a PING that only its reader knows. */
export class ReadProof {
  readonly #ping: (payload: Buffer) => void;
  /** The bytes that the client has read for certain: those that were sent before a PING that it has acknowledged. */
  #readBytes = 0;
  #unreadBytesMax = UNREAD_BYTES_MIN;
  /** The PING that is not acknowledged, and the bytes that were sent when it was written. */
  #probe: { readonly payload: Buffer; readonly atBytes: number } | undefined;

  /** `ping` writes a PING with this payload. */
  constructor(ping: (payload: Buffer) => void) {
    this.#ping = ping;
  }

  /** Whether the client has read enough of `sentBytes` to be sent more. */
  isReading(sentBytes: number): boolean {
    return sentBytes - this.#readBytes < this.#unreadBytesMax;
  }

  /** Asks the client to show that it has read `sentBytes`, in time for a reader not to be held up. */
  probeWhenDue(sentBytes: number): void {
    if (this.#probe !== undefined || sentBytes - this.#readBytes < this.#unreadBytesMax / 2) return;
    const payload = randomBytes(8);
    this.#probe = { payload, atBytes: sentBytes };
    this.#ping(payload);
  }

  /** A PING was acknowledged. Says whether it was the one of this proof. */
  acknowledged(payload: Buffer): boolean {
    if (this.#probe === undefined || !this.#probe.payload.equals(payload)) return false;
    this.#readBytes = this.#probe.atBytes;
    this.#probe = undefined;
    this.#unreadBytesMax = Math.min(2 * this.#unreadBytesMax, UNREAD_BYTES_MAX);
    return true;
  }
}
