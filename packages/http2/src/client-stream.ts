import { FRAME_PAYLOAD_SIZE_BYTES_MAX, FrameFlag, FrameType } from './frame.js';

/** Receives what a server answers on one stream. After `onEnd`, `onReset` or `onLost` nothing more comes. */
export interface ClientStreamListener {
  /**
   * A header block has come, names and values in turn; `isLast` is true for the block that ends the answer.
   * Informational blocks (1xx) are left out.
   */
  onHeaders(fields: readonly string[], isLast: boolean): void;
  /** A part of the body has come: `bytes[start, end)`, which are valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The answer is complete. */
  onEnd(): void;
  /**
   * The server has reset the stream, or this side has because the server broke its rules. `isUnprocessed` is true when
   * the server declares that it did nothing with the request: the stream's number is above the one in GOAWAY, or
   * REFUSED_STREAM came instead of an answer (RFC 9113, 8.7). `errorCode` is one of `ErrorCode`, or any other number
   * that the server sent.
   */
  onReset(errorCode: number, isUnprocessed: boolean): void;
  /** The connection is gone; the server may or may not have processed the request. */
  onLost(cause: Error | undefined): void;
}

/** The parts of its connection that a stream uses. */
export interface ClientStreamHost {
  /** The bytes of DATA that may leave now: the rest of the connection's window, or 0 while the socket is congested. */
  readonly allowedBytes: number;
  /** Sends a frame. The payload must not change afterwards; that of DATA counts in flow control. */
  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void;
  /** Calls `flush` of the stream again when the connection's window opens, or the socket has drained. */
  wait(stream: ClientStream): void;
  /** Reports that the whole request has been sent. */
  sent(stream: ClientStream): void;
  /** Lets the server send `sizeBytes` more on the stream. */
  replenish(stream: ClientStream, sizeBytes: number): void;
  reset(stream: ClientStream, errorCode: number): void;
}

const EMPTY = Buffer.alloc(0);
/** The part of a window, of 1, that must be consumed before it is given back. */
const REPLENISH_SHARE = 1 / 4;

/** One request and the server's answer to it (RFC 9113, 5). */
export class ClientStream {
  /** True when the whole request has been sent. */
  isSent = false;
  /** True when the answer is complete, or nobody waits for it any more. */
  isClosed = false;
  /** True when a header block of the answer has come. */
  isAnswered = false;
  sendWindowBytes: number;
  /** Received bytes that were not given back to the server's window yet. */
  unconsumedBytes = 0;

  readonly id: number;
  readonly listener: ClientStreamListener;
  readonly #host: ClientStreamHost;
  readonly #receiveWindowBytes: number;
  /** The part of `unconsumedBytes` that is consumed, but too little to report to the server. */
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

  /** True when more of the request would only pile up. */
  get isCongested(): boolean {
    return this.#waiting.length > 0;
  }

  /** Sends as much as flow control allows, and keeps the rest. The bytes must not change afterwards. */
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

  /** Calls back once: as soon as more of the request is welcome, or when the stream is closed. */
  whenDrained(callback: () => void): void {
    this.#onDrain = callback;
    if (this.#waiting.length === 0 || this.isClosed) this.#drained();
  }

  /** Resets the stream. The listener is not called any more. */
  cancel(errorCode: number): void {
    if (!this.isClosed) this.#host.reset(this, errorCode);
  }

  /** Lets the server send `sizeBytes` more, since as many of the bytes that it sent are consumed. */
  consume(sizeBytes: number): void {
    this.#consumedBytes += sizeBytes;
    if (this.isClosed || this.#consumedBytes < this.#receiveWindowBytes * REPLENISH_SHARE) return;
    const consumedBytes = this.#consumedBytes;
    this.#consumedBytes = 0;
    this.unconsumedBytes -= consumedBytes;
    this.#host.replenish(this, consumedBytes);
  }

  /** Consumes all bytes that have come, and returns their number. */
  consumeAll(): number {
    const sizeBytes = this.unconsumedBytes - this.#consumedBytes;
    this.consume(sizeBytes);
    return sizeBytes;
  }

  /** Sends as much as the windows let through. */
  flush(): void {
    const host = this.#host;
    while (this.#waiting.length > 0) {
      const data = this.#waiting[0]!;
      const connectionBytes = host.allowedBytes;
      const allowedBytes = Math.min(this.sendWindowBytes, connectionBytes, FRAME_PAYLOAD_SIZE_BYTES_MAX);
      if (allowedBytes <= 0 && data.length > 0) {
        // A stream that only its own window holds up is flushed when that window grows.
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

  /** Ends the stream, whatever the reason. */
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
