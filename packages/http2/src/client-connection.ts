import type { Socket } from 'node:net';
import { ClientStream, type ClientStreamHost, type ClientStreamListener } from './client-stream.js';
import {
  badHeaderBlock,
  ConnectionError,
  ErrorCode,
  expectSize,
  protocolError,
  windowOverflow,
} from './errors.js';
import {
  CLIENT_PREFACE,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FRAME_HEADER_SIZE_BYTES,
  FRAME_PAYLOAD_SIZE_BYTES_MAX,
  FrameFlag,
  FrameType,
  INITIAL_WINDOW_SIZE_BYTES,
  Setting,
  WINDOW_SIZE_BYTES_MAX,
} from './frame.js';
import { FrameReader } from './frame-reader.js';
import { HEADER_LIST_BYTES_MAX, type HeaderList, HeaderListReader } from './header-list.js';
import { type Field, HpackEncoder } from './hpack-encoder.js';
import { OutgoingFrames } from './outgoing-frames.js';
import { StreamTable } from './stream-table.js';

/**
 * Bytes that all streams together may receive before the next WINDOW_UPDATE, which follows at once; the window of each
 * stream does not.
 */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** The most bytes of an answer's encoded headers, with their frames; beyond that the connection is closed. */
const HEADER_BLOCK_BYTES_MAX = 64 * 1024;
/** Frames of up to this many bytes together leave in one buffer, and with this many they leave at once. */
const COALESCED_BYTES_MAX = 256 * 1024;
/**
 * The bytes waiting in the socket at which the connection is closed: the server keeps asking for acknowledgements and
 * reads none.
 */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
const STREAM_ID_MAX = 2 ** 31 - 1;
const EMPTY = Buffer.alloc(0);

export interface ClientConnectionOptions {
  /** Bytes that one stream may receive before they are consumed, see `ClientStream.consume`. */
  readonly streamWindowBytes: number;
  /** Called when the server's SETTINGS have come, so that streams can be opened. */
  readonly onReady: () => void;
  /** Called when a stream can be opened again, see `hasRoom`, or never more, see `isLeaving`. */
  readonly onChange: () => void;
  /**
   * Called when the connection is gone, after the listeners of all streams. `cause` is undefined when the other side
   * just closed it.
   */
  readonly onClose: (cause: Error | undefined) => void;
}

/**
 * The client side of one HTTP/2 connection (RFC 9113), without the parts that gRPC does not use: pushing, priorities,
 * frames larger than the default. It reads frames in place, and sends everything of one turn of the event loop in one
 * write.
 */
export class ClientConnection implements ClientStreamHost {
  readonly #socket: Socket;
  readonly #options: ClientConnectionOptions;
  readonly #reader: FrameReader;
  readonly #headers = new HeaderListReader();
  readonly #encoder = new HpackEncoder();
  readonly #streams = new StreamTable<ClientStream>();
  /** Streams that wait for the connection's window or for the socket. */
  readonly #waiting = new Set<ClientStream>();
  #nextId = 1;
  #isReady = false;
  #isLeaving = false;
  #isClosed = false;
  #streamsMax = Number.POSITIVE_INFINITY;
  /** The header block that CONTINUATION frames must complete before any other frame may come. */
  #openBlock:
    | { readonly streamId: number; readonly isLast: boolean; readonly parts: Buffer[]; costBytes: number }
    | undefined;
  #sendWindowBytes = INITIAL_WINDOW_SIZE_BYTES;
  #streamSendWindowBytes = INITIAL_WINDOW_SIZE_BYTES;
  #receiveWindowBytes = CONNECTION_WINDOW_BYTES;
  readonly #outgoing = new OutgoingFrames();
  /** True when a flush is scheduled before the event loop goes on. */
  #isFlushing = false;
  #cause: Error | undefined;

  /** `socket` must be connected and, with TLS, secured. */
  constructor(socket: Socket, options: ClientConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#reader = new FrameReader((type, flags, streamId, bytes, start, end) =>
      this.#onFrame(type, flags, streamId, bytes, start, end),
    );
    socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    socket.on('drain', () => this.#serveWaiting());
    socket.on('error', (error) => {
      this.#cause ??= error;
      socket.destroy();
    });
    socket.on('close', () => this.#onClose());
    this.#write(CLIENT_PREFACE);
    this.#write(
      encodeSettings([
        [Setting.enablePush, 0],
        [Setting.initialWindowSize, options.streamWindowBytes],
        [Setting.maxHeaderListSize, HEADER_LIST_BYTES_MAX],
      ]),
    );
    this.#write(encodeWindowUpdate(0, CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_SIZE_BYTES));
  }

  /** True when no stream can be opened any more: one side has said so, or the connection is gone. */
  get isLeaving(): boolean {
    return this.#isLeaving || this.#isClosed;
  }

  /** True when a stream can be opened now. */
  get hasRoom(): boolean {
    return this.#isReady && !this.isLeaving && this.#streams.size < this.#streamsMax;
  }

  /** The number of streams that have not ended. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /**
   * Begins a request. Throws an Error when there is no room, see `hasRoom`. Open streams keep the process alive; the
   * connection alone does not. For `constant` and `varying` see `HpackEncoder.encode`.
   */
  open(constant: readonly Field[], varying: readonly Field[], listener: ClientStreamListener): ClientStream {
    if (!this.hasRoom) throw new Error('HTTP/2: a stream is opened where there is no room for it');
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new ClientStream(
      this,
      id,
      listener,
      this.#streamSendWindowBytes,
      this.#options.streamWindowBytes,
    );
    if (this.#streams.size === 0) this.#socket.ref();
    this.#streams.add(stream);
    this.#writeHeaders(id, this.#encoder.encode(constant, varying));
    if (this.#nextId > STREAM_ID_MAX) this.leave();
    return stream;
  }

  /** Sends a PING, so that the other side gives a sign of life. */
  ping(): void {
    this.#write(encodeFrame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  }

  /** Opens no more streams, and ends the connection when the open ones have ended. */
  leave(): void {
    if (this.isLeaving) return;
    this.#isLeaving = true;
    this.#options.onChange();
    this.#endWhenIdle();
  }

  /** Ends the connection at once; its streams are lost. */
  destroy(): void {
    this.#socket.destroy();
  }

  // ---- incoming frames

  #onChunk(chunk: Buffer): void {
    if (this.#isClosed) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      // Any other error is a broken invariant of ours.
      if (!(error instanceof ConnectionError)) throw error;
      this.#cause = error;
      const payload = Buffer.alloc(8);
      payload.writeUInt32BE(error.code, 4);
      this.#write(encodeFrame(FrameType.goAway, 0, 0, payload));
      this.#flush();
      this.#socket.destroySoon();
      this.#onClose();
    }
  }

  #onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Buffer,
    frameStart: number,
    frameEnd: number,
  ): void {
    if (this.#isClosed) return;
    if (this.#openBlock !== undefined && type !== FrameType.continuation) {
      throw protocolError('a header block is not complete');
    }
    if (!this.#isReady && (type !== FrameType.settings || (flags & FrameFlag.acknowledge) !== 0)) {
      throw protocolError('the first frame is not SETTINGS');
    }
    let start = frameStart;
    let end = frameEnd;
    if ((flags & FrameFlag.padded) !== 0 && (type === FrameType.data || type === FrameType.headers)) {
      if (start === end || bytes[start]! >= end - start) throw protocolError('more padding than payload');
      end -= bytes[start]!;
      start += 1;
    }
    const isLast = (flags & FrameFlag.endStream) !== 0;
    switch (type) {
      case FrameType.data:
        this.#onData(streamId, isLast, bytes, start, end, frameEnd - frameStart);
        return;
      case FrameType.headers:
        if ((flags & FrameFlag.priority) !== 0) start += 5;
        if (start > end) throw new ConnectionError(ErrorCode.frameSizeError, 'HEADERS is too short');
        this.#expectOpened(streamId);
        if ((flags & FrameFlag.endHeaders) !== 0) {
          this.#onHeaders(streamId, isLast, bytes, start, end);
        } else {
          const parts = [Buffer.from(bytes.subarray(start, end))];
          this.#openBlock = { streamId, isLast, parts, costBytes: end - start };
        }
        return;
      case FrameType.continuation:
        this.#onContinuation(flags, streamId, bytes.subarray(start, end));
        return;
      case FrameType.resetStream:
        expectSize(end - start, 4);
        this.#expectOpened(streamId);
        this.#onReset(streamId, bytes.readUInt32BE(start));
        return;
      case FrameType.settings:
        if (streamId !== 0) throw protocolError('SETTINGS of a stream');
        if ((flags & FrameFlag.acknowledge) === 0) this.#onSettings(bytes, start, end);
        return;
      case FrameType.ping:
        expectSize(end - start, 8);
        if ((flags & FrameFlag.acknowledge) === 0) {
          this.#acknowledge(
            encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, bytes.subarray(start, end)),
          );
        }
        return;
      case FrameType.windowUpdate:
        expectSize(end - start, 4);
        this.#onWindowUpdate(streamId, bytes.readUInt32BE(start) & 0x7fffffff);
        return;
      case FrameType.goAway:
        if (end - start < 8) throw new ConnectionError(ErrorCode.frameSizeError, 'GOAWAY is too short');
        this.#onGoAway(bytes.readUInt32BE(start) & 0x7fffffff);
        return;
      case FrameType.pushPromise:
        throw protocolError('a push that was not allowed');
      // PRIORITY has no meaning here, and unknown frames are ignored (RFC 9113, 5.5).
      default:
        return;
    }
  }

  #onContinuation(flags: number, streamId: number, part: Buffer): void {
    const block = this.#openBlock;
    if (block === undefined || block.streamId !== streamId) throw protocolError('CONTINUATION of nothing');
    block.parts.push(Buffer.from(part));
    block.costBytes += FRAME_HEADER_SIZE_BYTES + part.length;
    if (block.costBytes > HEADER_BLOCK_BYTES_MAX) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'a header block without end');
    }
    if ((flags & FrameFlag.endHeaders) === 0) return;
    this.#openBlock = undefined;
    const whole = Buffer.concat(block.parts);
    this.#onHeaders(streamId, block.isLast, whole, 0, whole.length);
  }

  #onHeaders(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
    // Every block must be decoded, even of a stream that is gone: it may change the table.
    const { headers, sizeBytes } = this.#readHeaders(bytes, start, end);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const isInformational = headers[0] === ':status' && headers[1]!.startsWith('1');
    if (sizeBytes > HEADER_LIST_BYTES_MAX || (isInformational && isLast)) {
      this.#breakOff(stream, ErrorCode.protocolError);
      return;
    }
    if (isInformational) return;
    // A second block comes after the body and ends the answer (RFC 9113, 8.1).
    if (stream.isAnswered && !isLast) {
      this.#breakOff(stream, ErrorCode.protocolError);
      return;
    }
    stream.isAnswered = true;
    stream.listener.onHeaders(headers, isLast);
    if (isLast) this.#answered(stream);
  }

  #readHeaders(bytes: Buffer, start: number, end: number): HeaderList {
    try {
      return this.#headers.read(bytes, start, end);
    } catch (error) {
      throw badHeaderBlock(error as Error);
    }
  }

  #onData(
    streamId: number,
    isLast: boolean,
    bytes: Buffer,
    start: number,
    end: number,
    frameBytes: number,
  ): void {
    this.#expectOpened(streamId);
    this.#receiveWindowBytes -= frameBytes;
    if (this.#receiveWindowBytes < 0) {
      throw new ConnectionError(ErrorCode.flowControlError, 'DATA beyond the window');
    }
    if (this.#receiveWindowBytes < CONNECTION_WINDOW_BYTES / 2) {
      this.#write(encodeWindowUpdate(0, CONNECTION_WINDOW_BYTES - this.#receiveWindowBytes));
      this.#receiveWindowBytes = CONNECTION_WINDOW_BYTES;
    }
    const stream = this.#streams.get(streamId);
    // The stream was given up while this frame was on its way.
    if (stream === undefined) return;
    if (!stream.isAnswered) {
      this.#breakOff(stream, ErrorCode.protocolError);
      return;
    }
    stream.unconsumedBytes += frameBytes;
    if (stream.unconsumedBytes > this.#options.streamWindowBytes) {
      this.#breakOff(stream, ErrorCode.flowControlError);
      return;
    }
    if (frameBytes > end - start) stream.consume(frameBytes - (end - start));
    if (end > start) stream.listener.onData(bytes, start, end);
    if (isLast && !stream.isClosed) this.#answered(stream);
  }

  /** Ends a stream whose answer is complete, and resets it when the request was not sent completely. */
  #answered(stream: ClientStream): void {
    if (stream.isClosed) return;
    if (!stream.isSent) this.#writeReset(stream.id, ErrorCode.cancel);
    this.#forget(stream);
    stream.listener.onEnd();
    this.#afterForgotten();
  }

  #onReset(streamId: number, errorCode: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#forget(stream);
    stream.listener.onReset(errorCode, errorCode === ErrorCode.refusedStream && !stream.isAnswered);
    this.#afterForgotten();
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    if ((end - start) % 6 !== 0) throw new ConnectionError(ErrorCode.frameSizeError, 'SETTINGS is cut off');
    const hadRoom = this.hasRoom;
    let initialWindowBytes = this.#streamSendWindowBytes;
    for (let at = start; at < end; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      switch (bytes.readUInt16BE(at)) {
        case Setting.headerTableSize:
          this.#encoder.limitTable(value);
          break;
        case Setting.maxConcurrentStreams:
          this.#streamsMax = value;
          break;
        case Setting.initialWindowSize:
          if (value > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
          initialWindowBytes = value;
          break;
        default:
          break;
      }
    }
    this.#acknowledge(encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, EMPTY));
    this.#changeWindows(initialWindowBytes - this.#streamSendWindowBytes);
    if (!this.#isReady) {
      this.#isReady = true;
      this.#socket.unref();
      this.#options.onReady();
    } else if (!hadRoom && this.hasRoom) this.#options.onChange();
  }

  /** Applies a new initial window size, to open streams, too; their windows may become negative (RFC 9113, 6.9.2). */
  #changeWindows(difference: number): void {
    if (difference === 0) return;
    this.#streamSendWindowBytes += difference;
    for (const stream of this.#streams.values()) {
      stream.sendWindowBytes += difference;
      if (stream.sendWindowBytes > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
      if (difference > 0) stream.flush();
    }
  }

  #onWindowUpdate(streamId: number, incrementBytes: number): void {
    if (streamId === 0) {
      if (incrementBytes === 0) throw protocolError('a window update of nothing');
      this.#sendWindowBytes += incrementBytes;
      if (this.#sendWindowBytes > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
      this.#serveWaiting();
      return;
    }
    this.#expectOpened(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    stream.sendWindowBytes += incrementBytes;
    if (incrementBytes === 0) this.#breakOff(stream, ErrorCode.protocolError);
    else if (stream.sendWindowBytes > WINDOW_SIZE_BYTES_MAX)
      this.#breakOff(stream, ErrorCode.flowControlError);
    else stream.flush();
  }

  /**
   * Handles GOAWAY: the server has not processed and will not process streams above the last that it names (RFC 9113,
   * 6.8).
   */
  #onGoAway(lastStreamId: number): void {
    const wasLeaving = this.isLeaving;
    this.#isLeaving = true;
    if (!wasLeaving) this.#options.onChange();
    for (const stream of this.#streams.values()) {
      if (stream.id <= lastStreamId || stream.isClosed) continue;
      this.#forget(stream);
      stream.listener.onReset(ErrorCode.refusedStream, !stream.isAnswered);
    }
    this.#endWhenIdle();
  }

  /** Resets a stream after the server broke the rules of that stream (RFC 9113, 5.4.2). */
  #breakOff(stream: ClientStream, errorCode: number): void {
    this.#writeReset(stream.id, errorCode);
    this.#forget(stream);
    stream.listener.onReset(errorCode, false);
    this.#afterForgotten();
  }

  #expectOpened(streamId: number): void {
    if (streamId % 2 === 0 || streamId >= this.#nextId) throw protocolError('a frame of an idle stream');
  }

  // ---- outgoing frames: ClientStreamHost

  get allowedBytes(): number {
    return this.#socket.writableNeedDrain ? 0 : this.#sendWindowBytes;
  }

  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (type === FrameType.data) this.#sendWindowBytes -= payload.length;
    this.#outgoing.push(type, flags, streamId, payload);
    this.#flushSoon();
  }

  wait(stream: ClientStream): void {
    this.#waiting.add(stream);
  }

  sent(stream: ClientStream): void {
    this.#waiting.delete(stream);
  }

  replenish(stream: ClientStream, sizeBytes: number): void {
    this.#write(encodeWindowUpdate(stream.id, sizeBytes));
  }

  reset(stream: ClientStream, errorCode: number): void {
    this.#writeReset(stream.id, errorCode);
    this.#forget(stream);
    this.#afterForgotten();
  }

  /**
   * Lets each waiting stream send in turn, as far as the window reaches; a stream that is not done goes to the end of
   * the line.
   */
  #serveWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.allowedBytes <= 0) return;
      this.#waiting.delete(stream);
      stream.flush();
    }
  }

  #forget(stream: ClientStream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    stream.abandon();
    if (this.#streams.size === 0) this.#socket.unref();
  }

  #afterForgotten(): void {
    if (this.#streams.size === this.#streamsMax - 1 && this.hasRoom) this.#options.onChange();
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (!this.#isLeaving || this.#streams.size > 0) return;
    this.#flush();
    // Whatever the other side still sends concerns no stream.
    this.#socket.destroySoon();
  }

  /** Writes a header block. A block longer than a frame continues in CONTINUATION frames (RFC 9113, 6.10). */
  #writeHeaders(streamId: number, block: Buffer): void {
    let type: number = FrameType.headers;
    for (let at = 0; at === 0 || at < block.length; at += FRAME_PAYLOAD_SIZE_BYTES_MAX) {
      const part = block.subarray(at, at + FRAME_PAYLOAD_SIZE_BYTES_MAX);
      const isLast = at + FRAME_PAYLOAD_SIZE_BYTES_MAX >= block.length;
      this.#write(encodeFrame(type, isLast ? FrameFlag.endHeaders : 0, streamId, part));
      type = FrameType.continuation;
    }
  }

  #writeReset(streamId: number, errorCode: number): void {
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(errorCode, 0);
    this.#write(encodeFrame(FrameType.resetStream, 0, streamId, payload));
  }

  /**
   * Writes an acknowledgement. Throws ConnectionError when too many of them wait unread: the server decides how many
   * there are.
   */
  #acknowledge(frame: Buffer): void {
    if (this.#socket.writableLength > BACKLOG_BYTES_MAX) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'answers are asked for and not read');
    }
    this.#write(frame);
  }

  #write(frames: Uint8Array): void {
    this.#outgoing.pushEncoded(frames);
    this.#flushSoon();
  }

  #flushSoon(): void {
    // All frames until the event loop goes on leave in one write.
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      process.nextTick(this.#flush);
    }
    // A caller that produces without pause must see soon that the peer is slower, even when it never lets the loop go
    // on.
    if (this.#outgoing.sizeBytes >= COALESCED_BYTES_MAX) this.#flush();
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    if (this.#outgoing.sizeBytes === 0) return;
    const pieces = this.#outgoing.take();
    // After the end of the connection the frames are dropped.
    if (!this.#socket.writable) return;
    if (pieces.length > 1) this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    if (pieces.length > 1) this.#socket.uncork();
  };

  #onClose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of this.#streams.values()) {
      this.#forget(stream);
      stream.listener.onLost(this.#cause);
    }
    this.#options.onClose(this.#cause);
  }
}
