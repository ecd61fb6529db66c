import type { Socket } from 'node:net';
import { ClientPatience } from './client-patience.js';
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
import { encodeHeaders } from './header-block.js';
import { HeaderKind } from './header-kind.js';
import { HEADER_LIST_BYTES_MAX, type HeaderList, HeaderListReader } from './header-list.js';
import type { HeldMemory, MemoryAccount, MemoryHolder } from './held-memory.js';
import { OutgoingFrames } from './outgoing-frames.js';
import { ReadProof } from './read-proof.js';
import type { ServerConnectionOptions } from './server-connection-options.js';
import { ServerStream, type StreamHost } from './server-stream.js';
import { watchStandstill } from './standstill.js';
import { StreamNumbers } from './stream-numbers.js';
import { StreamTable } from './stream-table.js';

/** What all streams together may send before the next WINDOW_UPDATE. It is given back at once: see `HeldMemory`. */
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/** What it may take encoded, in HEADERS and CONTINUATION frames: past that nobody means well (CVE-2024-27316). */
const HEADER_BLOCK_BYTES_MAX = 64 * 1024;
/** No more is read while so much waits to be sent: a client that does not read gets no more answers. */
const BACKLOG_BYTES_MAX = 1024 * 1024;
/** A backlog from here on counts as memory that the connection holds. */
const BACKLOG_BYTES_MIN = 64 * 1024;
/** Frames up to this together leave in one buffer, and when there are as many they leave. */
const COALESCED_BYTES_MAX = 256 * 1024;
/** What an open stream takes in memory beside its headers and its body: its objects here and in the listener. */
const STREAM_BYTES = 2 * 1024;
const TICK_MS = 20_000;
/** A silent client is pinged after so many ticks, and given up after so many. */
const PING_TICKS = 3;
const SILENCE_TICKS = 5;

/** A request has these, each once (RFC 9113, 8.3.1). CONNECT, which has fewer, is not served. */
const REQUEST_FIELDS = HeaderKind.method | HeaderKind.scheme | HeaderKind.path;

const EMPTY = Buffer.alloc(0);
/** HPACK's table is as large as this until a peer says otherwise. */
const HPACK_TABLE_BYTES = 4096;
/** A header block that begins with this empties the table, and leaves it so (RFC 7541, 6.3). */
const NO_TABLE = Buffer.from([0x20]);
const HEADERS_TOO_LARGE = encodeHeaders([[':status', '431']]);

/**
 * The server side of one HTTP/2 connection (RFC 9113), without what gRPC has no use for: pushing, priorities,
 * compression of response headers. Frames are read in place, and all that one turn of the event loop answers
 * leaves in one write: a small exchange costs a few microseconds, where Node's own stream-based module takes
 * twenty.
 */
export class ServerConnection implements StreamHost, MemoryHolder {
  readonly #socket: Socket;
  readonly #options: ServerConnectionOptions;
  readonly #reader: FrameReader;
  readonly #headers = new HeaderListReader();
  readonly #memory: HeldMemory;
  readonly #account: MemoryAccount;
  readonly #streams = new StreamTable<ServerStream>();
  /** Those that have something to send, or want to. */
  #waiting = new Set<ServerStream>();
  #prefaceBytes = 0;
  #hasSettings = false;
  readonly #numbers = new StreamNumbers();
  /** The last stream that was not refused: GOAWAY names it, so that clients try the later ones elsewhere. */
  #lastTakenId = 0;
  /** The header block that CONTINUATION frames must complete before anything else may come. */
  #openBlock:
    | { readonly streamId: number; readonly isLast: boolean; readonly parts: Buffer[]; costBytes: number }
    | undefined;
  #sendWindowBytes = INITIAL_WINDOW_SIZE_BYTES;
  #streamSendWindowBytes = INITIAL_WINDOW_SIZE_BYTES;
  #receiveWindowBytes = CONNECTION_WINDOW_BYTES;
  readonly #patience = new ClientPatience();
  /** When the bytes came that are being read, on the clock of `performance.now()`. */
  #chunkAtMs = 0;
  #sentBytes = 0;
  readonly #readProof: ReadProof;
  /** The client has read what a connection begins with. */
  #areSettingsRead = false;
  #silentTicks = 0;
  readonly #outgoing = new OutgoingFrames();
  /** The frames that wait will be sent before the event loop goes on. */
  #isFlushing = false;
  /** The client's decoder has shrunk its table: the next header block must say so (RFC 9113, 4.3.1). */
  #isTableShrunk = false;
  #isLeaving = false;
  /** The client broke the protocol; what it still sends is not looked at. */
  #isFailed = false;
  readonly #timer: NodeJS.Timeout;

  constructor(socket: Socket, options: ServerConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#memory = options.memory;
    this.#account = options.memory.open(this);
    this.#readProof = new ReadProof((payload) => this.#write(encodeFrame(FrameType.ping, 0, 0, payload)));
    watchStandstill();
    this.#reader = new FrameReader((type, flags, streamId, bytes, start, end) =>
      this.#onFrame(type, flags, streamId, bytes, start, end),
    );
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    socket.on('drain', () => this.#onDrain());
    // A client that goes away ends its own connection and nothing else.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#onClose());
    this.#write(
      encodeSettings([
        [Setting.initialWindowSize, options.streamWindowBytes],
        [Setting.maxHeaderListSize, HEADER_LIST_BYTES_MAX],
        ...(options.streamsMax > 0 ? ([[Setting.maxConcurrentStreams, options.streamsMax]] as const) : []),
      ]),
    );
    this.#write(encodeWindowUpdate(0, CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_SIZE_BYTES));
  }

  /** Takes no new request, and ends the connection when those under way are answered. */
  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#goAway(ErrorCode.noError);
    this.#endWhenIdle();
  }

  // ---- what comes

  #onChunk(chunk: Buffer): void {
    if (this.#isFailed) return;
    this.#silentTicks = 0;
    this.#chunkAtMs = performance.now();
    try {
      let start = 0;
      if (this.#prefaceBytes < CLIENT_PREFACE.length) {
        start = Math.min(CLIENT_PREFACE.length - this.#prefaceBytes, chunk.length);
        const expected = CLIENT_PREFACE.subarray(this.#prefaceBytes, this.#prefaceBytes + start);
        if (!expected.equals(chunk.subarray(0, start))) {
          throw new ConnectionError(ErrorCode.protocolError, 'the client does not speak HTTP/2');
        }
        this.#prefaceBytes += start;
      }
      this.#reader.push(start === 0 ? chunk : chunk.subarray(start));
    } catch (error) {
      // Anything else is a broken invariant of ours.
      if (!(error instanceof ConnectionError)) throw error;
      this.#isFailed = true;
      this.#goAway(error.code);
      this.#flush();
      this.#socket.destroySoon();
      this.#cancelAll();
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
    if (this.#openBlock !== undefined && type !== FrameType.continuation) {
      throw protocolError('a header block is not complete');
    }
    if (!this.#hasSettings) {
      if (type !== FrameType.settings || (flags & FrameFlag.acknowledge) !== 0) {
        throw protocolError('the first frame is not SETTINGS');
      }
      this.#hasSettings = true;
    }
    let start = frameStart;
    let end = frameEnd;
    if ((flags & FrameFlag.padded) !== 0 && (type === FrameType.data || type === FrameType.headers)) {
      if (start === end || bytes[start]! >= end - start) throw protocolError('more padding than payload');
      end -= bytes[start]!;
      start += 1;
    }
    switch (type) {
      case FrameType.data:
        this.#onData(flags, streamId, bytes, start, end, frameEnd - frameStart);
        return;
      case FrameType.headers: {
        if ((flags & FrameFlag.priority) !== 0) start += 5;
        if (start > end) throw new ConnectionError(ErrorCode.frameSizeError, 'HEADERS is too short');
        if (streamId % 2 === 0) throw protocolError('a client opened a stream of the server');
        const isLast = (flags & FrameFlag.endStream) !== 0;
        if ((flags & FrameFlag.endHeaders) !== 0) {
          this.#onHeaders(streamId, isLast, bytes, start, end);
        } else {
          const parts = [Buffer.from(bytes.subarray(start, end))];
          this.#openBlock = { streamId, isLast, parts, costBytes: end - start };
        }
        return;
      }
      case FrameType.continuation:
        this.#onContinuation(flags, streamId, bytes.subarray(start, end));
        return;
      case FrameType.resetStream: {
        expectSize(end - start, 4);
        this.#onReset(streamId);
        return;
      }
      case FrameType.settings:
        if (streamId !== 0) throw protocolError('SETTINGS of a stream');
        if ((flags & FrameFlag.acknowledge) === 0) {
          this.#onSettings(bytes, start, end);
        } else {
          expectSize(end - start, 0);
          this.#patience.countIdleFrame();
          this.#areSettingsRead = true;
          this.#memory.resume();
        }
        return;
      case FrameType.ping:
        expectSize(end - start, 8);
        if (streamId !== 0) throw protocolError('PING of a stream');
        if ((flags & FrameFlag.acknowledge) === 0) {
          this.#write(encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, bytes.subarray(start, end)));
        } else {
          this.#onPong(bytes.subarray(start, end));
        }
        return;
      case FrameType.windowUpdate:
        expectSize(end - start, 4);
        this.#onWindowUpdate(streamId, bytes.readUInt32BE(start) & 0x7fffffff);
        return;
      case FrameType.pushPromise:
        throw protocolError('a client does not push');
      case FrameType.goAway:
        if (streamId !== 0) throw protocolError('GOAWAY of a stream');
        this.#patience.countIdleFrame();
        return;
      case FrameType.priority:
        expectSize(end - start, 5);
        if (streamId === 0) throw protocolError('PRIORITY of no stream');
        this.#patience.countIdleFrame();
        return;
      // Unknown frames are ignored (RFC 9113, 5.5).
      default:
        this.#patience.countIdleFrame();
        return;
    }
  }

  #onContinuation(flags: number, streamId: number, part: Buffer): void {
    const block = this.#openBlock;
    if (block === undefined || block.streamId !== streamId) throw protocolError('CONTINUATION of nothing');
    block.parts.push(Buffer.from(part));
    // The frames count too, so that a block of many small ones, or empty ones, ends as well.
    block.costBytes += FRAME_HEADER_SIZE_BYTES + part.length;
    if (block.costBytes > HEADER_BLOCK_BYTES_MAX) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'a header block without end');
    }
    if ((flags & FrameFlag.endHeaders) === 0) return;
    this.#openBlock = undefined;
    const whole = Buffer.concat(block.parts);
    this.#onHeaders(streamId, block.isLast, whole, 0, whole.length);
  }

  #onPong(payload: Buffer): void {
    if (!this.#readProof.acknowledged(payload)) return;
    this.#readProof.probeWhenDue(this.#sentBytes);
    this.#memory.resume();
  }

  #onReset(streamId: number): void {
    this.#numbers.expectOpened(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      this.#numbers.clientEnded(streamId);
      // A client may reset a stream that was answered meanwhile, once.
      this.#patience.countLateReset();
      return;
    }
    this.#patience.countReset(stream, this.#chunkAtMs);
    this.#cancel(stream);
  }

  #onHeaders(streamId: number, isLast: boolean, bytes: Buffer, start: number, end: number): void {
    // Every block must be read, wanted or not: it may change the table for those after it.
    const list = this.#readHeaders(bytes, start, end);
    const { isMalformed, sizeBytes, pseudoFields, contentLengthBytes } = list;
    if (!this.#numbers.isNew(streamId)) {
      this.#onTrailers(streamId, isLast, isMalformed || pseudoFields !== 0);
      return;
    }
    this.#numbers.opened(streamId);
    // RFC 9113, 8.1.1: nor is a request whole that ends here and promised a body.
    const lacksBody = isLast && contentLengthBytes > 0;
    if (isMalformed || lacksBody || (pseudoFields & REQUEST_FIELDS) !== REQUEST_FIELDS) {
      this.#refuse(streamId, isLast, ErrorCode.protocolError);
      return;
    }
    const { streamsMax, onRequest } = this.#options;
    const costBytes = STREAM_BYTES + Math.min(sizeBytes, HEADER_LIST_BYTES_MAX);
    const isFull =
      (streamsMax > 0 && this.#streams.size >= streamsMax) ||
      this.#memory.isFullFor(this.#account, costBytes);
    if (this.#isLeaving || isFull) {
      this.#writeReset(streamId, ErrorCode.refusedStream);
      if (!isLast) this.#numbers.endedEarly(streamId);
      return;
    }
    this.#lastTakenId = streamId;
    const stream = new ServerStream(
      this,
      streamId,
      list.headers,
      this.#streamSendWindowBytes,
      this.#chunkAtMs,
      contentLengthBytes,
    );
    this.#streams.add(stream);
    this.hold(stream, costBytes);
    if (stream.isClosed) return;
    if (sizeBytes > HEADER_LIST_BYTES_MAX) {
      stream.isEndReceived = isLast;
      stream.sendTrailers(HEADERS_TOO_LARGE);
      return;
    }
    // Known before the request is answered: the answer of one that has ended closes its stream on both sides (5.1).
    stream.isEndReceived = isLast;
    stream.listener = onRequest(stream);
    if (isLast) stream.listener?.onEnd();
  }

  #readHeaders(bytes: Buffer, start: number, end: number): HeaderList {
    try {
      return this.#headers.read(bytes, start, end);
    } catch (cause) {
      throw badHeaderBlock(cause as Error);
    }
  }

  /** Trailers of a request mean nothing to gRPC, but that it is complete. */
  #onTrailers(streamId: number, isLast: boolean, isMalformed: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (!this.#numbers.isOpenForClient(streamId)) {
        throw this.#numbers.isSkipped(streamId)
          ? protocolError('a stream whose number is below that of an earlier one')
          : new ConnectionError(ErrorCode.streamClosed, 'HEADERS of a stream that was ended');
      }
      // It was answered or reset before it was complete.
      if (!isLast || isMalformed) this.#refuse(streamId, true, ErrorCode.protocolError);
      else this.#numbers.clientEnded(streamId);
      return;
    }
    if (stream.isEndReceived) throw new ConnectionError(ErrorCode.streamClosed, 'HEADERS after the end');
    if (!isLast || isMalformed) this.#fail(stream, ErrorCode.protocolError);
    else this.#endReceived(stream);
  }

  #onData(flags: number, streamId: number, bytes: Buffer, start: number, end: number, frameBytes: number) {
    this.#numbers.expectOpened(streamId);
    this.#receiveWindowBytes -= frameBytes;
    if (this.#receiveWindowBytes < 0) {
      throw new ConnectionError(ErrorCode.flowControlError, 'DATA beyond the window');
    }
    if (this.#receiveWindowBytes < CONNECTION_WINDOW_BYTES / 2) {
      this.#write(encodeWindowUpdate(0, CONNECTION_WINDOW_BYTES - this.#receiveWindowBytes));
      this.#receiveWindowBytes = CONNECTION_WINDOW_BYTES;
    }
    const isLast = (flags & FrameFlag.endStream) !== 0;
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // It was answered or reset while this was on its way, or the client had ended it itself (RFC 9113, 5.1).
      if (!this.#numbers.isOpenForClient(streamId)) this.#refuse(streamId, true, ErrorCode.streamClosed);
      else if (isLast) this.#numbers.clientEnded(streamId);
      return;
    }
    if (stream.isEndReceived) throw new ConnectionError(ErrorCode.streamClosed, 'DATA after the end');
    if (start === end && !isLast) this.#patience.countIdleFrame();
    else this.#patience.endIdleFrames();
    const sizeBytes = end - start;
    if (stream.unconsumedBytes + frameBytes > this.#options.streamWindowBytes) {
      this.#fail(stream, ErrorCode.flowControlError);
      return;
    }
    stream.unconsumedBytes += sizeBytes;
    stream.receivedBytes += sizeBytes;
    // Padding is consumed as it comes.
    if (frameBytes > sizeBytes) this.#write(encodeWindowUpdate(streamId, frameBytes - sizeBytes));
    this.hold(stream, sizeBytes);
    if (!stream.isClosed) stream.listener?.onData(bytes, start, end);
    if (isLast && !stream.isClosed) this.#endReceived(stream);
    else if (isLast) this.#numbers.clientEnded(streamId);
  }

  #onSettings(bytes: Buffer, start: number, end: number): void {
    if ((end - start) % 6 !== 0) throw new ConnectionError(ErrorCode.frameSizeError, 'SETTINGS is cut off');
    let initialWindowBytes = this.#streamSendWindowBytes;
    for (let at = start; at < end; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      switch (bytes.readUInt16BE(at)) {
        case Setting.headerTableSize:
          if (value < HPACK_TABLE_BYTES) this.#isTableShrunk = true;
          break;
        case Setting.enablePush:
          if (value > 1) throw protocolError('ENABLE_PUSH is neither 0 nor 1');
          break;
        case Setting.initialWindowSize:
          if (value > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
          initialWindowBytes = value;
          break;
        case Setting.maxFrameSize:
          if (value < FRAME_PAYLOAD_SIZE_BYTES_MAX || value > 0xffffff)
            throw protocolError('MAX_FRAME_SIZE is out of range');
          break;
        default:
          break;
      }
    }
    this.#write(encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, EMPTY));
    if (initialWindowBytes === this.#streamSendWindowBytes) this.#patience.countIdleFrame();
    else this.#changeWindows(initialWindowBytes);
  }

  /** The new size counts for streams that are open too, whose windows may become negative (RFC 9113, 6.9.2). */
  #changeWindows(initialWindowBytes: number): void {
    // It takes a step for each open stream, so a client must not ask for it too often.
    this.#patience.spend();
    const difference = initialWindowBytes - this.#streamSendWindowBytes;
    this.#streamSendWindowBytes = initialWindowBytes;
    const streams = this.#streams.values();
    for (const stream of streams) {
      stream.sendWindowBytes += difference;
      if (stream.sendWindowBytes > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
    }
    if (difference > 0) for (const stream of streams) stream.resume();
  }

  #onWindowUpdate(streamId: number, incrementBytes: number): void {
    if (streamId === 0) {
      if (incrementBytes === 0) throw protocolError('a window update of nothing');
      this.#sendWindowBytes += incrementBytes;
      if (this.#sendWindowBytes > WINDOW_SIZE_BYTES_MAX) throw windowOverflow();
      this.#serveWaiting();
      return;
    }
    this.#numbers.expectOpened(streamId);
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      if (incrementBytes === 0) this.#refuse(streamId, false, ErrorCode.protocolError);
      return;
    }
    stream.sendWindowBytes += incrementBytes;
    if (incrementBytes === 0) this.#fail(stream, ErrorCode.protocolError);
    else if (stream.sendWindowBytes > WINDOW_SIZE_BYTES_MAX) this.#fail(stream, ErrorCode.flowControlError);
    else stream.resume();
  }

  #endReceived(stream: ServerStream): void {
    const { contentLengthBytes } = stream;
    if (contentLengthBytes >= 0 && contentLengthBytes !== stream.receivedBytes) {
      // RFC 9113, 8.1.1: a part of a request must not be taken for all of it.
      stream.isEndReceived = true;
      this.#fail(stream, ErrorCode.protocolError);
      return;
    }
    stream.isEndReceived = true;
    stream.listener?.onEnd();
  }

  /** The client broke the rules of one stream (RFC 9113, 5.4.2). */
  #fail(stream: ServerStream, errorCode: number): void {
    this.#patience.spend();
    this.#writeReset(stream.id, errorCode);
    if (!stream.isEndReceived) this.#numbers.endedEarly(stream.id);
    this.#cancel(stream);
  }

  /** As `#fail`, for a stream that is not open here. */
  #refuse(streamId: number, hasClientEnded: boolean, errorCode: number): void {
    this.#patience.spend();
    this.#writeReset(streamId, errorCode);
    if (hasClientEnded) this.#numbers.clientEnded(streamId);
    else this.#numbers.endedEarly(streamId);
  }

  #cancel(stream: ServerStream): void {
    this.#forget(stream);
    stream.abandon();
    stream.listener?.onCancel();
    this.#endWhenIdle();
  }

  #cancelAll(): void {
    this.#memory.withdraw(this.#account);
    for (const stream of this.#streams.values()) this.#cancel(stream);
  }

  // ---- what goes: StreamHost

  get isCongested(): boolean {
    return this.#socket.writableNeedDrain;
  }

  get allowedBytes(): number {
    return this.#socket.writableNeedDrain ? 0 : this.#sendWindowBytes;
  }

  writeFrame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    if (type === FrameType.data) this.#sendWindowBytes -= payload.length;
    let shown = payload;
    if (type === FrameType.headers && this.#isTableShrunk) {
      this.#isTableShrunk = false;
      shown = Buffer.concat([NO_TABLE, payload]);
    }
    this.#outgoing.push(type, flags, streamId, shown);
    this.#flushSoon();
  }

  wait(stream: ServerStream): void {
    // See `StreamTable`: what lives on keeps what it has forgotten.
    if (this.#waiting.size === 0) this.#waiting = new Set();
    this.#waiting.add(stream);
  }

  ended(stream: ServerStream): void {
    // An answer that does not wait for the whole request: the client need not send the rest.
    if (!stream.isEndReceived) {
      this.#writeReset(stream.id, ErrorCode.noError);
      this.#numbers.endedEarly(stream.id);
    }
    this.#patience.answered();
    this.#forget(stream);
    this.#endWhenIdle();
  }

  replenish(stream: ServerStream, sizeBytes: number): void {
    stream.unconsumedBytes -= sizeBytes;
    this.hold(stream, -sizeBytes);
    this.#write(encodeWindowUpdate(stream.id, sizeBytes));
  }

  hold(stream: ServerStream, sizeBytes: number): void {
    this.#memory.hold(this.#account, stream, sizeBytes);
  }

  holdAnswer(stream: ServerStream, sizeBytes: number): void {
    this.#memory.holdAnswer(this.#account, stream, sizeBytes);
  }

  reserve(stream: ServerStream, sizeBytes: number): Promise<boolean> | undefined {
    return this.#memory.reserve(this.#account, stream, sizeBytes);
  }

  #forget(stream: ServerStream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.#memory.forget(this.#account, stream);
  }

  // ---- too much memory: MemoryHolder

  get sentBytes(): number {
    return this.#sentBytes;
  }

  get untakenBytes(): number {
    return this.#socket.writableLength;
  }

  get isReading(): boolean {
    return this.#areSettingsRead && this.#readProof.isReading(this.#sentBytes + this.#outgoing.sizeBytes);
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get streams(): Iterable<ServerStream> {
    return this.#streams.values();
  }

  giveUp(stream: ServerStream): void {
    this.#writeReset(stream.id, ErrorCode.enhanceYourCalm);
    if (!stream.isEndReceived) this.#numbers.endedEarly(stream.id);
    this.#cancel(stream);
  }

  breakOff(): void {
    this.#cancelAll();
    this.#memory.close(this.#account);
    this.#socket.destroy();
  }

  /** Each in its turn, as far as the window reaches; who is not done is the last again. */
  #serveWaiting(): void {
    for (const stream of this.#waiting) {
      if (this.allowedBytes <= 0) return;
      this.#waiting.delete(stream);
      stream.flush();
    }
  }

  #writeReset(streamId: number, errorCode: number): void {
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(errorCode, 0);
    this.#write(encodeFrame(FrameType.resetStream, 0, streamId, payload));
  }

  #goAway(errorCode: number): void {
    const payload = Buffer.allocUnsafe(8);
    payload.writeUInt32BE(this.#lastTakenId, 0);
    payload.writeUInt32BE(errorCode, 4);
    this.#write(encodeFrame(FrameType.goAway, 0, 0, payload));
  }

  #write(frame: Uint8Array): void {
    this.#outgoing.pushEncoded(frame);
    this.#flushSoon();
  }

  #flushSoon(): void {
    // All that is answered before the event loop goes on shares one write.
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      process.nextTick(this.#flush);
    }
    // Whoever produces without end must see soon that the peer is slower, even if it never lets the loop go on.
    if (this.#outgoing.sizeBytes >= COALESCED_BYTES_MAX) this.#flush();
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    const { sizeBytes } = this.#outgoing;
    if (sizeBytes === 0) return;
    const pieces = this.#outgoing.take();
    // After the end nobody hears it.
    if (!this.#socket.writable) return;
    this.#sentBytes += sizeBytes;
    if (pieces.length > 1) this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    if (pieces.length > 1) this.#socket.uncork();
    this.#readProof.probeWhenDue(this.#sentBytes);
    const backlogBytes = this.#socket.writableLength;
    if (backlogBytes < BACKLOG_BYTES_MIN) return;
    if (backlogBytes > BACKLOG_BYTES_MAX) this.#socket.pause();
    this.#memory.holdBacklog(this.#account, backlogBytes);
  };

  #onDrain(): void {
    // A slow client is not a silent one, though nothing of it was read meanwhile.
    this.#silentTicks = 0;
    this.#memory.holdBacklog(this.#account, 0);
    this.#socket.resume();
    this.#serveWaiting();
  }

  #endWhenIdle(): void {
    if (!this.#isLeaving || this.#streams.size > 0) return;
    this.#flush();
    this.#socket.end();
  }

  #onClose(): void {
    clearInterval(this.#timer);
    this.#cancelAll();
    this.#memory.close(this.#account);
  }

  /** A client that vanished must not keep its streams, and what they hold. */
  #tick(): void {
    this.#patience.passed(TICK_MS);
    this.#silentTicks++;
    if (this.#silentTicks === PING_TICKS) this.#write(encodeFrame(FrameType.ping, 0, 0, Buffer.alloc(8)));
    else if (this.#silentTicks >= SILENCE_TICKS) this.#socket.destroy();
  }
}
