import { FRAME_PAYLOAD_SIZE_BYTES_MAX, FrameFlag, FrameType } from './frame.js';

/** Takes what a server answers on one stream. After `onEnd`, `onReset` or `onLost` nothing more comes. */
export interface ClientStreamListener {
  /** Called for each header block, names and values in turn; `isLast` for the one that ends the answer. Informational ones (1xx) are left out. */
  onHeaders(fields: readonly string[], isLast: boolean): void;
  /** A part of the body: `bytes[start, end)`, which are valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The answer is complete. */
  onEnd(): void;
  /**
   * The server gave the stream up, or this side did because the server broke its rules. `isUnprocessed` where the server
   * says that nothing was done with the request: it is above what GOAWAY names, or REFUSED_STREAM came in place of an answer
   * (RFC 9113, 8.7).
   *
   * @param errorCode one of `ErrorCode`, or what else the server sent.
   */
  onReset(errorCode: number, isUnprocessed: boolean): void;
  /** The connection is gone, and nobody knows what became of the request. */
  onLost(cause: Error | undefined): void;
}

/** What a stream needs of its connection. */
export interface ClientStreamHost {
  /** How much DATA may leave now: what the connection's window lets through, nothing while the socket is congested. */
  readonly allowedBytes: number;
  /** Sends a frame. The payload must stay as it is; that of DATA counts in flow control. */
  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void;
  /** The stream waits for the connection's window, or for the socket. */
  wait(stream: ClientStream): void;
  /** The request has been sent as a whole. */
  sent(stream: ClientStream): void;
  /** The server may send `sizeBytes` more on the stream. */
  replenish(stream: ClientStream, sizeBytes: number): void;
  reset(stream: ClientStream, errorCode: number): void;
}

const EMPTY = Buffer.alloc(0);
/** A window is given back in parts of this size, of 1. */
const REPLENISH_SHARE = 1 / 4;

/** One request, and the server's answer to it (RFC 9113, 5). */
export class ClientStream {
  /** The request has been sent as a whole. */
  isSent = false;
  /** The answer is complete, or nobody waits for it any more. */
  isClosed = false;
  /** A header block of the answer has come. */
  isAnswered = false;
  sendWindowBytes: number;
  /** Received, and not given back to the server's window. */
  unconsumedBytes = 0;

  readonly id: number;
  readonly listener: ClientStreamListener;
  readonly #host: ClientStreamHost;
  readonly #receiveWindowBytes: number;
  /** Bytes of `unconsumedBytes` that are consumed, and too few to report to the server. */
  #consumedBytes = 0;
  /** DATA that waits for a window. */
  #waiting: Buffer[] = [];
  #isLastGiven = false;
  #onDrain: (() => void) | undefined;

  constructor(
    host: ClientStreamHost,
    id: number,
    listener: ClientStreamListener,
    sendWindowBytes: number,
    receiveWindowBytes: number,
  ) {
    this.#host = host;
    this.id = id;
    this.listener = listener;
    this.sendWindowBytes = sendWindowBytes;
    this.#receiveWindowBytes = receiveWindowBytes;
  }

  /** More of the request would only pile up. */
  get isCongested(): boolean {
    return this.#waiting.length > 0;
  }

  /** Sends as much as flow control allows, and keeps the rest. The bytes must stay as they are. */
  send(data: Buffer, isLast: boolean): void {
    if (this.isClosed) return;
    if (data.length > 0 || isLast) this.#waiting.push(data);
    if (isLast) this.#isLastGiven = true;
    this.flush();
  }

  /** Ends the request. */
  endRequest(): void {
    if (!this.#isLastGiven) this.send(EMPTY, true);
  }

  /** Calls back, once, as soon as more of the request is welcome, or nobody takes it any more. */
  whenDrained(callback: () => void): void {
    this.#onDrain = callback;
    if (this.#waiting.length === 0 || this.isClosed) this.#drained();
  }

  /** Gives the stream up. The listener hears nothing more. */
  cancel(errorCode: number): void {
    if (!this.isClosed) this.#host.reset(this, errorCode);
  }

  /** Lets the server send `sizeBytes` more: so much of what it has sent is done with. */
  consume(sizeBytes: number): void {
    this.#consumedBytes += sizeBytes;
    if (this.isClosed || this.#consumedBytes < this.#receiveWindowBytes * REPLENISH_SHARE) return;
    const consumedBytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    this.unconsumedBytes -= consumedBytes;
    this.#host.replenish(this, consumedBytes);
  }

  /** As `consume`, of all that has come. Gives how much that was. */
  consumeAll(): number {
    const sizeBytes = this.unconsumedBytes - this.#consumedBytes;
    this.consume(sizeBytes);
    return sizeBytes;
  }

  /** Sends what the windows let through. */
  flush(): void {
    const host = this.#host;
    while (this.#waiting.length > 0) {
      const data = this.#waiting[0]!;
      const connectionBytes = host.allowedBytes;
      const allowedBytes = Math.min(this.sendWindowBytes, connectionBytes, FRAME_PAYLOAD_SIZE_BYTES_MAX);
      if (allowedBytes <= 0 && data.length > 0) {
        // What opens its own window comes to the stream itself.
        if (connectionBytes <= 0) host.wait(this);
        return;
      }
      const isWhole = data.length <= allowedBytes;
      if (isWhole) this.#waiting.shift();
      else this.#waiting[0] = data.subarray(allowedBytes);
      const part = isWhole ? data : data.subarray(0, allowedBytes);
      this.sendWindowBytes -= part.length;
      const isEnd = this.#isLastGiven && this.#waiting.length === 0;
      host.writeFrame(FrameType.data, isEnd ? FrameFlag.endStream : 0, this.id, part);
      if (isEnd) {
        this.isSent = true;
        host.sent(this);
      }
    }
    this.#drained();
  }

  /** The stream has ended, however that was. */
  abandon(): void {
    this.isClosed = true;
    this.#waiting = [];
    this.#drained();
  }

  #drained(): void {
    const callback = this.#onDrain;
    this.#onDrain = undefined;
    callback?.();
  }
}
