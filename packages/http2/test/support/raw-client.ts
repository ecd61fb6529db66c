import { connect, type Socket } from 'node:net';
import { until } from '@coxswain/testing';
import {
  CLIENT_PREFACE,
  ErrorCode,
  encodeFrame,
  encodeHeaders,
  encodeSettings,
  FrameFlag,
  FrameReader,
  FrameType,
} from '../../src/index.js';

/** What every request has. */
export const requestFields = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a/b'],
] as const;
const requestBlock = encodeHeaders(requestFields);

/** A client of which every frame is written by the test. */
export class RawClient {
  readonly frames: { type: number; flags: number; streamId: number; payload: Buffer }[] = [];
  readonly #socket: Socket;
  isClosed = false;
  /** It acknowledges SETTINGS and PINGs as they come, as every real client does. */
  acknowledges = false;

  constructor(port: number) {
    const reader = new FrameReader((type, flags, streamId, bytes, start, end) => {
      const payload = Buffer.from(bytes.subarray(start, end));
      this.frames.push({ type, flags, streamId, payload });
      const isAsked = type === FrameType.settings || type === FrameType.ping;
      if (this.acknowledges && isAsked && (flags & FrameFlag.acknowledge) === 0) {
        const answer = type === FrameType.ping ? payload : Buffer.alloc(0);
        this.send(encodeFrame(type, FrameFlag.acknowledge, 0, answer));
      }
    });
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', (chunk) => reader.push(chunk));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.isClosed = true;
    });
  }

  greet(): this {
    return this.send(CLIENT_PREFACE, encodeSettings([]));
  }

  send(...parts: Buffer[]): this {
    this.#socket.write(Buffer.concat(parts));
    return this;
  }

  close(): void {
    this.#socket.destroy();
  }

  stopReading(): this {
    this.#socket.pause();
    return this;
  }

  /** Waits for what the server sends. Rejects when the connection is closed before, and names the condition. */
  async until(isDone: () => boolean): Promise<void> {
    await until(String(isDone), () => {
      if (isDone()) return true;
      if (this.isClosed) throw new Error(`the connection was closed before ${isDone}`);
      return false;
    });
  }

  /** The error code of the GOAWAY with which the server ends the connection. */
  async goAway(): Promise<number> {
    await until('the server closes the connection', () => this.isClosed);
    return this.frames.find(({ type }) => type === FrameType.goAway)?.payload.readUInt32BE(4) ?? -1;
  }

  /** The error code of the reset of a stream. */
  async resetOf(streamId: number): Promise<number> {
    const find = () =>
      this.frames.find((frame) => frame.type === FrameType.resetStream && frame.streamId === streamId);
    await this.until(() => find() !== undefined);
    return find()!.payload.readUInt32BE(0);
  }

  dataBytes(streamId: number): number {
    return this.frames
      .filter((frame) => frame.type === FrameType.data && frame.streamId === streamId)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  }

  ended(streamId: number): boolean {
    return this.frames.some(
      (frame) => frame.streamId === streamId && frame.type === FrameType.headers && (frame.flags & 1) === 1,
    );
  }
}

export const headersFrame = (streamId: number, flags: number = FrameFlag.endHeaders): Buffer =>
  encodeFrame(FrameType.headers, flags, streamId, requestBlock);
export const wholeRequest = (streamId: number): Buffer =>
  headersFrame(streamId, FrameFlag.endHeaders | FrameFlag.endStream);
export const dataFrame = (streamId: number, sizeBytes: number, flags = 0): Buffer =>
  encodeFrame(FrameType.data, flags, streamId, Buffer.alloc(sizeBytes));
export const resetFrame = (streamId: number): Buffer =>
  encodeFrame(FrameType.resetStream, 0, streamId, Buffer.from([0, 0, 0, ErrorCode.cancel]));
