import { FRAME_PAYLOAD_SIZE_BYTES_MAX, FrameFlag, FrameType } from './frame.js';

/** Takes what a client sends on one stream. */
export interface StreamListener {
  /** A part of the body: `bytes[start, end)`, which are valid only during the call. */
  onData(bytes: Buffer, start: number, end: number): void;
  /** The body is complete. */
  onEnd(): void;
  /** The client, or the connection, is gone: nobody waits for an answer. Not called after the answer's end. */
  onCancel(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost {
  /** How much DATA may leave now: what the connection's window lets through, nothing while it is congested. */
  readonly allowedBytes: number;
  /** The peer takes the answer more slowly than it is written. */
  readonly isCongested: boolean;
  /** Sends a frame. The payload must stay as it is; that of DATA counts in flow control. */
  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void;
  /** The stream waits for the connection's window, or for the peer to read. */
  wait(stream: ServerStream): void;
  ended(stream: ServerStream): void;
  /** What the stream keeps in memory has grown by so much, or shrunk; where that is too much it is cancelled. */
  hold(stream: ServerStream, sizeBytes: number): void;
  /** As `hold`, for what of the answer is not sent yet. */
  holdAnswer(stream: ServerStream, sizeBytes: number): void;
  /** See `ServerStream.reserve`. */
  reserve(stream: ServerStream, sizeBytes: number): Promise<boolean> | undefined;
  /** What was received on the stream is consumed, and `sizeBytes` more may come. */
  replenish(stream: ServerStream, sizeBytes: number): void;
}

/** One request, and its answer (RFC 9113, 5). */
export class ServerStream {
  readonly id: number;
  /** Names and values in turn, as received; names are in lower case. */
  readonly headers: readonly string[];
  listener: StreamListener | undefined;
  /** The client has sent everything. */
  isEndReceived = false;
  /** The answer is complete, or nobody waits for it any more: the rest of the request is dropped. */
  isClosed = false;
  sendWindowBytes: number;
  /** Received, and not given back to the client's window. */
  unconsumedBytes = 0;
  /** What its request and its answer take in memory. */
  heldBytes = 0;
  /** Of `heldBytes`, what of its answer is not sent, or has room reserved. */
  answerBytes = 0;
  /** Room for an answer that is being made, see `reserve`. */
  reservedBytes = 0;
  /** DATA that has left the stream. */
  sentBytes = 0;
  /** `sentBytes` when slow readers were looked for, and how often in a row it was one. */
  sentBytesAtLook = 0;
  slowLooks = 0;
  /** How long the client waits for the answer, in milliseconds, where the listener knows that. */
  timeoutMs: number | undefined;
  /** Bytes of the body that have come. */
  receivedBytes = 0;
  /** See `whenDrained`. */
  onDrain: (() => void) | undefined;

  readonly #host: StreamHost;
  /** DATA that waits for a window, and what follows it. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #trailers: Buffer | undefined;

  constructor(
    host: StreamHost,
    id: number,
    headers: readonly string[],
    sendWindowBytes: number,
    /** When its request came, on the clock of `performance.now()`. */
    readonly openedAtMs: number,
    /** What its headers say of the length of its body; -1 where they say nothing. */
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

  /** The first value of a header, or undefined. */
  header(name: string): string | undefined {
    const { headers } = this;
    for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return headers[at + 1];
    return undefined;
  }

  /** More would only pile up. */
  get isCongested(): boolean {
    return this.#waiting.length > 0 || this.#host.isCongested;
  }

  /** Begins the answer. @param block see `encodeHeaders`. */
  sendHeaders(block: Buffer): void {
    if (!this.isClosed) this.#host.writeFrame(FrameType.headers, FrameFlag.endHeaders, this.id, block);
  }

  /**
   * Asks for room for a part of the answer before it is made: so many bytes at most, or 0 where it is small. The room is
   * the stream's until `sendData`. Gives undefined where there is room; otherwise resolves with true as soon as there is,
   * and with false where none will come, since the stream has ended or the node stops.
   */
  reserve(sizeBytes: number): Promise<boolean> | undefined {
    return this.isClosed ? Promise.resolve(false) : this.#host.reserve(this, sizeBytes);
  }

  /** Sends as much as flow control allows, and keeps the rest. The bytes must stay as they are. */
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

  /** Ends the answer with a header block, after all data. */
  sendTrailers(block: Buffer): void {
    if (this.isClosed) return;
    this.#trailers = block;
    this.flush();
    // Whoever waits to send more need not: that was the end.
    this.drained();
  }

  /** Lets the client send `sizeBytes` more: so much of what it has sent is done with. */
  consume(sizeBytes: number): void {
    if (sizeBytes > 0 && !this.isEndReceived && !this.isClosed) this.#host.replenish(this, sizeBytes);
  }

  /**
   * Counts what the request takes in memory beside its own bytes, until the stream ends. Where the connection
   * holds too much the stream is cancelled at once.
   */
  hold(sizeBytes: number): void {
    if (!this.isClosed) this.#host.hold(this, sizeBytes);
  }

  /** Nobody waits for the answer any more. */
  abandon(): void {
    this.isClosed = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.drained();
  }

  /** The stream's own window has grown. */
  resume(): void {
    if (this.#waiting.length > 0) this.flush();
  }

  /** Sends what the windows let through. */
  flush(): void {
    const host = this.#host;
    while (this.#waiting.length > 0) {
      const data = this.#waiting[0]!;
      const connectionBytes = host.allowedBytes;
      const allowedBytes = Math.min(this.sendWindowBytes, connectionBytes, FRAME_PAYLOAD_SIZE_BYTES_MAX);
      if (allowedBytes <= 0 && data.length > 0) {
        // For its own window a stream does not stand in line: what opens that comes to itself, see `resume`.
        if (connectionBytes <= 0) host.wait(this);
        this.#tellHeld();
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
    this.#tellHeld();
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

  /** Calls back as soon as more is welcome, at once when it is, and when nobody waits for more. */
  whenDrained(callback: () => void): void {
    this.onDrain = callback;
    if (this.isClosed) this.drained();
    else this.flush();
  }

  #tellHeld(): void {
    const grownBytes = this.#waitingBytes + this.reservedBytes - this.answerBytes;
    if (grownBytes !== 0) this.#host.holdAnswer(this, grownBytes);
  }

  drained(): void {
    const callback = this.onDrain;
    this.onDrain = undefined;
    callback?.();
  }
}
