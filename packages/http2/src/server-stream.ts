import { FRAME_PAYLOAD_SIZE_BYTES_MAX, FrameFlag, FrameType } from './frame.js';

/** Receives what a client sends on one stream. */
export interface StreamListener {
  /** A part of the body has come: `bytes[start, end)`, which are valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The body is complete. */
  onEnd(): void;
  /** The client or the connection is gone, so nobody waits for an answer. Not called after the end of the answer. */
  onCancel(): void;
}

/** The parts of its connection that a stream uses. */
export interface StreamHost {
  /**
   * The bytes of DATA that may leave now: the rest of the connection's window, or 0 while the connection is congested.
   */
  readonly allowedBytes: number;
  /** True when the peer reads more slowly than this side writes. */
  readonly isCongested: boolean;
  /** Sends a frame. The payload must not change afterwards; that of DATA counts in flow control. */
  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void;
  /** Calls `flush` of the stream again when the connection's window opens, or the peer has read. */
  wait(stream: ServerStream): void;
  ended(stream: ServerStream): void;
  /**
   * Counts `sizeBytes` more of memory for the stream, or less when negative. Cancels streams when the total is too
   * much.
   */
  hold(stream: ServerStream, sizeBytes: number): void;
  /**
   * Counts `sizeBytes` more, or less, for the part of the stream's answer that is not sent yet. Cancels streams when
   * the total is too much.
   */
  holdAnswer(stream: ServerStream, sizeBytes: number): void;
  /** Reserves room for a part of the stream's answer, see `ServerStream.reserve`. */
  reserve(stream: ServerStream, sizeBytes: number): Promise<boolean> | undefined;
  /** Lets the client send `sizeBytes` more on the stream, since as many received bytes are consumed. */
  replenish(stream: ServerStream, sizeBytes: number): void;
}

/** One request and its answer (RFC 9113, 5). */
export class ServerStream {
  readonly id: number;
  /** Names and values in turn, as received; names are in lower case. */
  readonly headers: readonly string[];
  listener: StreamListener | undefined;
  /** True when the client has sent its whole request. */
  isEndReceived = false;
  /** True when the answer is complete or nobody waits for it any more; whatever is still sent is dropped. */
  isClosed = false;
  sendWindowBytes: number;
  /** Received bytes that were not given back to the client's window yet. */
  unconsumedBytes = 0;
  /** Bytes of memory that the request and the answer take. */
  heldBytes = 0;
  /** The part of `heldBytes` for the answer: bytes not sent yet, and room reserved. */
  answerBytes = 0;
  /** Bytes of room for an answer that is being made, see `reserve`. */
  reservedBytes = 0;
  /** Bytes of DATA that have left the stream. */
  sentBytes = 0;
  /**
   * The value of `sentBytes` at the last look for slow readers, and the number of looks in a row that found this stream
   * slow.
   */
  sentBytesAtLook = 0;
  slowLooks = 0;
  /** Milliseconds for which the client waits for the answer, if the listener knows that. */
  timeoutMs: number | undefined;
  /** Bytes of the body that have come. */
  receivedBytes = 0;
  /** The callback that waits for room for more data, see `whenDrained`. */
  onDrain: (() => void) | undefined;

  readonly #host: StreamHost;
  /** DATA that waits for a window; `#trailers` follow it. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #trailers: Buffer | undefined;

  constructor(
    host: StreamHost,
    id: number,
    headers: readonly string[],
    sendWindowBytes: number,
    /** The time at which the request came, in milliseconds on the clock of `performance.now()`. */
    readonly openedAtMs: number,
    /** The length of the body by its content-length header; -1 without one. */
    readonly contentLengthBytes: number,
  ) {
    this.#host = host;
    this.id = id;
    this.headers = headers;
    this.sendWindowBytes = sendWindowBytes;
  }

  /** Bytes of the answer that wait for a window. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Returns the first value of a header, or undefined. */
  header(name: string): string | undefined {
    const { headers } = this;
    for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
    return undefined;
  }

  /** True when further data would only pile up. */
  get isCongested(): boolean {
    return this.#waiting.length > 0 || this.#host.isCongested;
  }

  /** Begins the answer with a header block, see `encodeHeaders`. */
  sendHeaders(block: Buffer): void {
    if (!this.isClosed) this.#host.writeFrame(FrameType.headers, FrameFlag.endHeaders, this.id, block);
  }

  /**
   * Asks for room for a part of the answer before that is made: `sizeBytes` bytes at most, or 0 for a small answer. The
   * room belongs to the stream until `sendData`. Returns undefined when there is room. Otherwise the promise resolves
   * with true as soon as there is, or with false when there will be none, since the stream has ended or the node stops.
   */
  reserve(sizeBytes: number): Promise<boolean> | undefined {
    return this.isClosed ? Promise.resolve(false) : this.#host.reserve(this, sizeBytes);
  }

  /** Sends as much as flow control allows, and keeps the rest. The bytes must not change afterwards. */
  sendData(data: Buffer, more?: Buffer): void {
    if (this.isClosed) return;
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    if (more !== undefined) {
      this.#waiting.push(more);
      this.#waitingBytes += more.length;
    }
    this.reservedBytes = 0;
    this.flush();
  }

  /** Ends the answer with a header block, which follows all data. */
  sendTrailers(block: Buffer): void {
    if (this.isClosed) return;
    this.#trailers = block;
    this.flush();
    // After the end nothing more can be sent, so nobody has to wait for room.
    this.drained();
  }

  /** Lets the client send `sizeBytes` more, since as many of the bytes that it sent are consumed. */
  consume(sizeBytes: number): void {
    if (sizeBytes > 0 && !this.isEndReceived && !this.isClosed) this.#host.replenish(this, sizeBytes);
  }

  /**
   * Counts memory that the request takes beside its own bytes, until the stream ends. When the connection holds too
   * much, the stream is cancelled at once.
   */
  hold(sizeBytes: number): void {
    if (!this.isClosed) this.#host.hold(this, sizeBytes);
  }

  /** Ends the stream, since nobody waits for the answer any more. */
  abandon(): void {
    this.isClosed = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.drained();
  }

  /** Sends more after the stream's own window has grown. */
  resume(): void {
    if (this.#waiting.length > 0) this.flush();
  }

  /** Sends as much as the windows let through. */
  flush(): void {
    const host = this.#host;
    while (this.#waiting.length > 0) {
      const data = this.#waiting[0]!;
      const connectionBytes = host.allowedBytes;
      const allowedBytes = Math.min(this.sendWindowBytes, connectionBytes, FRAME_PAYLOAD_SIZE_BYTES_MAX);
      if (allowedBytes <= 0 && data.length > 0) {
        // A stream that only its own window holds up does not wait in line: `resume` is called when that window grows.
        if (connectionBytes <= 0) host.wait(this);
        this.#reportHeld();
        return;
      }
      const isWhole = data.length <= allowedBytes;
      const sentBytes = isWhole ? data.length : allowedBytes;
      this.sendWindowBytes -= sentBytes;
      this.sentBytes += sentBytes;
      this.#waitingBytes -= sentBytes;
      if (isWhole) this.#waiting.shift();
      else this.#waiting[0] = data.subarray(allowedBytes);
      host.writeFrame(FrameType.data, 0, this.id, isWhole ? data : data.subarray(0, allowedBytes));
    }
    this.#reportHeld();
    if (this.#trailers !== undefined) {
      const flags = FrameFlag.endHeaders | FrameFlag.endStream;
      host.writeFrame(FrameType.headers, flags, this.id, this.#trailers);
      this.isClosed = true;
      host.ended(this);
      this.drained();
    } else if (this.onDrain !== undefined) {
      if (host.isCongested) host.wait(this);
      else this.drained();
    }
  }

  /** Calls back once: as soon as more data is welcome, or when the stream is closed. */
  whenDrained(callback: () => void): void {
    this.onDrain = callback;
    if (this.isClosed) this.drained();
    else this.flush();
  }

  #reportHeld(): void {
    const grownBytes = this.#waitingBytes + this.reservedBytes - this.answerBytes;
    if (grownBytes !== 0) this.#host.holdAnswer(this, grownBytes);
  }

  drained(): void {
    const callback = this.onDrain;
    this.onDrain = undefined;
    callback?.();
  }
}
