import { connect, type Socket } from 'node:net';
import {
  CLIENT_PREFACE,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameReader,
  FrameType,
  HeaderListReader,
  INITIAL_WINDOW_SIZE_BYTES,
  Setting,
  WINDOW_SIZE_BYTES_MAX,
} from '@coxswain/http2';
import type { GrpcRequest } from './grpc-request.js';

/** Receives the answer and the end of one call. */
export interface CallListener {
  /** Receives a piece of the answer, which is valid only during the call: the prefix of 5 bytes, then the message. */
  onData?(piece: Buffer): void;
  /**
   * The call has ended.
   *
   * @param failure undefined for an answer with grpc-status 0 that is long enough, else a description of the failure.
   * @param atMs when the bytes that ended the call were read, on the clock of `performance.now()`.
   */
  onCallEnd(failure: string | undefined, atMs: number): void;
}

interface Call {
  readonly request: GrpcRequest;
  readonly listener: CallListener;
  responseSizeBytes: number;
  httpStatus: string;
  grpcStatus: string | undefined;
}

const EMPTY = Buffer.alloc(0);
const OUTGOING_SIZE_BYTES = 64 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * The client's side of one HTTP/2 connection without TLS, made for unary gRPC calls and little else. Each call costs a
 * few microseconds: requests are copied from a prepared image, everything that one turn of the event loop sends leaves
 * in one write, and receive windows are as large as they can be.
 *
 * It checks responses fully: `:status`, `grpc-status`, and the length of the message.
 */
export class GrpcConnection {
  readonly #socket: Socket;
  readonly #calls = new Map<number, Call>();
  /** Calls that the peer's flow control or stream limit holds back, oldest first. */
  readonly #waiting: Call[] = [];
  readonly #headers = new HeaderListReader();
  readonly #reader = new FrameReader((...frame) => this.#onFrame(...frame));
  readonly #onClosed: (reason: string) => void;
  #nextStreamId = 1;
  #sendWindowSizeBytes = INITIAL_WINDOW_SIZE_BYTES;
  #streamWindowSizeBytes = INITIAL_WINDOW_SIZE_BYTES;
  #streamCountMax = Number.POSITIVE_INFINITY;
  #receivedSizeBytes = 0;
  #outgoing = Buffer.allocUnsafeSlow(OUTGOING_SIZE_BYTES);
  #outgoingStart = 0;
  #outgoingEnd = 0;
  #isFlushScheduled = false;
  #onSettings: (() => void) | undefined;
  #closedReason: string | undefined;
  /** A header block whose CONTINUATION frames are still to come. */
  #unfinishedBlock: { readonly streamId: number; readonly endsStream: boolean; bytes: Buffer } | undefined;
  #readAtMs = 0;

  private constructor(socket: Socket, onClosed: (reason: string) => void) {
    this.#socket = socket;
    this.#onClosed = onClosed;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (error) => this.#close(`connection lost: ${error.message}`));
    socket.on('close', () => this.#close('connection lost'));
    socket.write(
      Buffer.concat([
        CLIENT_PREFACE,
        encodeSettings([
          [Setting.enablePush, 0],
          [Setting.initialWindowSize, WINDOW_SIZE_BYTES_MAX],
        ]),
        encodeWindowUpdate(0, WINDOW_SIZE_BYTES_MAX - INITIAL_WINDOW_SIZE_BYTES),
      ]),
    );
  }

  /**
   * Connects to `host:port` and waits until the peer's SETTINGS have arrived.
   *
   * @param onClosed called once, after the connection has ended for whatever reason and all its calls with it.
   * @throws Error when there is no such connection within 5 s.
   */
  static connect(endpoint: string, onClosed?: (reason: string) => void): Promise<GrpcConnection> {
    const separator = endpoint.lastIndexOf(':');
    const host = endpoint.slice(0, separator);
    const port = Number(endpoint.slice(separator + 1));
    return new Promise((resolve, reject) => {
      let isReady = false;
      const socket = connect({ host, port, noDelay: true });
      const connection = new GrpcConnection(socket, (reason) => {
        clearTimeout(timeout);
        if (isReady) onClosed?.(reason);
        else reject(new Error(`cannot connect to ${endpoint}: ${reason}`));
      });
      const timeout = setTimeout(
        () => connection.#close('no HTTP/2 settings within 5 s'),
        CONNECT_TIMEOUT_MS,
      );
      connection.#onSettings = () => {
        clearTimeout(timeout);
        isReady = true;
        resolve(connection);
      };
    });
  }

  get isOpen(): boolean {
    return this.#closedReason === undefined;
  }

  /** Starts a call. The listener hears of its end exactly once, never before this method has returned. */
  start(request: GrpcRequest, listener: CallListener): void {
    if (!this.isOpen) throw new Error('a call on a closed connection');
    const call: Call = { request, listener, responseSizeBytes: 0, httpStatus: '', grpcStatus: undefined };
    if (this.#waiting.length === 0 && this.#maySend(request)) this.#send(call);
    else this.#waiting.push(call);
  }

  /** Ends the connection; calls that are under way fail. */
  close(): void {
    this.#close('closed');
  }

  #maySend(request: GrpcRequest): boolean {
    return this.#sendWindowSizeBytes >= request.dataSizeBytes && this.#calls.size < this.#streamCountMax;
  }

  #send(call: Call): void {
    const { request } = call;
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    if (streamId > WINDOW_SIZE_BYTES_MAX) throw new Error('out of stream ids: use more connections');
    if (request.dataSizeBytes > this.#streamWindowSizeBytes) {
      throw new Error('the peer allows less per stream than one request');
    }
    this.#calls.set(streamId, call);
    this.#sendWindowSizeBytes -= request.dataSizeBytes;
    const offset = this.#reserve(request.sizeBytes);
    request.writeTo(this.#outgoing, offset, streamId);
  }

  #sendWaiting(): void {
    while (this.#waiting.length > 0 && this.#maySend(this.#waiting[0]!.request)) {
      this.#send(this.#waiting.shift()!);
    }
  }

  /**
   * Makes room for `sizeBytes` in the bytes of the next flush, in a new buffer if necessary, and returns their offset.
   */
  #reserve(sizeBytes: number): number {
    if (this.#outgoingEnd + sizeBytes > this.#outgoing.length) {
      this.#flush();
      this.#outgoing = Buffer.allocUnsafeSlow(OUTGOING_SIZE_BYTES);
      this.#outgoingStart = 0;
      this.#outgoingEnd = 0;
    }
    if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true;
      queueMicrotask(() => {
        this.#isFlushScheduled = false;
        this.#flush();
      });
    }
    const offset = this.#outgoingEnd;
    this.#outgoingEnd += sizeBytes;
    return offset;
  }

  #flush(): void {
    if (this.#outgoingStart === this.#outgoingEnd || !this.isOpen) return;
    this.#socket.write(this.#outgoing.subarray(this.#outgoingStart, this.#outgoingEnd));
    this.#outgoingStart = this.#outgoingEnd;
  }

  #sendFrame(frame: Buffer): void {
    const offset = this.#reserve(frame.length);
    frame.copy(this.#outgoing, offset);
  }

  #onData(chunk: Buffer): void {
    this.#readAtMs = performance.now();
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.#close(error instanceof Error ? error.message : String(error));
    }
  }

  #onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.data:
        this.#onDataFrame(flags, streamId, bytes, start, end);
        break;
      case FrameType.headers:
        this.#onHeadersFrame(flags, streamId, bytes, start, end);
        break;
      case FrameType.continuation:
        this.#onContinuationFrame(flags, bytes.subarray(start, end));
        break;
      case FrameType.resetStream:
        this.#endCall(streamId, `RST_STREAM ${bytes.readUInt32BE(start)}`);
        break;
      case FrameType.settings:
        if ((flags & FrameFlag.acknowledge) === 0) this.#onSettingsFrame(bytes, start, end);
        break;
      case FrameType.ping:
        if ((flags & FrameFlag.acknowledge) === 0) {
          this.#sendFrame(encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, bytes.subarray(start, end)));
        }
        break;
      case FrameType.goAway:
        throw new Error(`GOAWAY ${bytes.readUInt32BE(start + 4)}`);
      case FrameType.windowUpdate:
        if (streamId === 0) {
          this.#sendWindowSizeBytes += bytes.readUInt32BE(start) & 0x7fffffff;
          this.#sendWaiting();
        }
        break;
      case FrameType.pushPromise:
        throw new Error('HTTP/2: a push, which was switched off');
      default:
        // Unknown frame types are ignored (RFC 9113, 5.5), as is PRIORITY.
        break;
    }
  }

  #onDataFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    // A stream's own window is never refilled: it is larger than any answer.
    this.#receivedSizeBytes += end - start;
    if (this.#receivedSizeBytes > WINDOW_SIZE_BYTES_MAX / 2) {
      this.#sendFrame(encodeWindowUpdate(0, this.#receivedSizeBytes));
      this.#receivedSizeBytes = 0;
    }
    const call = this.#calls.get(streamId);
    if (call === undefined) return;
    const isPadded = (flags & FrameFlag.padded) !== 0;
    const dataStart = isPadded ? start + 1 : start;
    const dataEnd = isPadded ? end - bytes[start]! : end;
    call.responseSizeBytes += dataEnd - dataStart;
    call.listener.onData?.(bytes.subarray(dataStart, dataEnd));
    if ((flags & FrameFlag.endStream) !== 0) this.#endCall(streamId, undefined);
  }

  #onHeadersFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let blockStart = start;
    let blockEnd = end;
    if ((flags & FrameFlag.padded) !== 0) {
      blockEnd -= bytes[blockStart]!;
      blockStart += 1;
    }
    if ((flags & FrameFlag.priority) !== 0) blockStart += 5;
    const endsStream = (flags & FrameFlag.endStream) !== 0;
    if ((flags & FrameFlag.endHeaders) !== 0) {
      this.#onHeaderBlock(streamId, endsStream, bytes, blockStart, blockEnd);
    } else {
      this.#unfinishedBlock = {
        streamId,
        endsStream,
        bytes: Buffer.from(bytes.subarray(blockStart, blockEnd)),
      };
    }
  }

  #onContinuationFrame(flags: number, fragment: Buffer): void {
    const block = this.#unfinishedBlock;
    if (block === undefined) throw new Error('HTTP/2: a CONTINUATION of nothing');
    block.bytes = Buffer.concat([block.bytes, fragment]);
    if ((flags & FrameFlag.endHeaders) === 0) return;
    this.#unfinishedBlock = undefined;
    this.#onHeaderBlock(block.streamId, block.endsStream, block.bytes, 0, block.bytes.length);
  }

  #onHeaderBlock(streamId: number, endsStream: boolean, bytes: Buffer, start: number, end: number): void {
    // Blocks of streams that are no longer known are read, too, since each may change the dynamic table.
    const { headers } = this.#headers.read(bytes, start, end);
    const call = this.#calls.get(streamId);
    if (call !== undefined) {
      for (let at = 0; at < headers.length; at += 2) {
        if (headers[at] === ':status') call.httpStatus = headers[at + 1]!;
        else if (headers[at] === 'grpc-status') call.grpcStatus = headers[at + 1]!;
      }
    }
    if (endsStream) this.#endCall(streamId, undefined);
  }

  #onSettingsFrame(bytes: Buffer, start: number, end: number): void {
    for (let position = start; position + 6 <= end; position += 6) {
      const value = bytes.readUInt32BE(position + 2);
      switch (bytes.readUInt16BE(position)) {
        case Setting.maxConcurrentStreams:
          this.#streamCountMax = value;
          break;
        case Setting.initialWindowSize:
          this.#streamWindowSizeBytes = value;
          break;
        default:
          break;
      }
    }
    this.#sendFrame(encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, EMPTY));
    this.#sendWaiting();
    this.#onSettings?.();
  }

  #endCall(streamId: number, streamFailure: string | undefined): void {
    const call = this.#calls.get(streamId);
    // After an answer that came before the request's end, a peer may also reset the stream.
    if (call === undefined) return;
    this.#calls.delete(streamId);
    call.listener.onCallEnd(streamFailure ?? failureOf(call), this.#readAtMs);
    if (this.#waiting.length > 0) this.#sendWaiting();
  }

  #close(reason: string): void {
    if (!this.isOpen) return;
    this.#closedReason = reason;
    this.#socket.destroy();
    const failed = [...this.#calls.values(), ...this.#waiting.splice(0)];
    this.#calls.clear();
    const nowMs = performance.now();
    for (const call of failed) call.listener.onCallEnd(reason, nowMs);
    this.#onClosed(reason);
  }
}

function failureOf(call: Call): string | undefined {
  if (call.httpStatus !== '200') return `HTTP status ${call.httpStatus}`;
  if (call.grpcStatus === undefined) return 'no grpc-status';
  if (call.grpcStatus !== '0') return `grpc-status ${call.grpcStatus}`;
  if (call.responseSizeBytes < call.request.responseSizeBytesMin) return 'short answer';
  return undefined;
}
