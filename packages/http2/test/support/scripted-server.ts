import { createServer, type Socket } from 'node:net';
import { until } from '@coxswain/testing';
import { encodeFrame, encodeHeaders, FrameFlag, FrameReader, FrameType } from '../../src/index.js';

/** A frame that a client sent. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const PREFACE_BYTES = 24;

/** The server's side of one connection, as a test writes it: it answers nothing by itself, not even SETTINGS. */
export class ScriptedServer {
  readonly frames: SentFrame[] = [];
  readonly socket: Socket;
  isClosed = false;
  #prefaceBytes = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader((type, flags, streamId, bytes, start, end) => {
      this.frames.push({ type, flags, streamId, payload: Buffer.from(bytes.subarray(start, end)) });
    });
    socket.on('data', (chunk: Buffer) => {
      const rest = chunk.subarray(Math.min(PREFACE_BYTES - this.#prefaceBytes, chunk.length));
      this.#prefaceBytes += chunk.length - rest.length;
      reader.push(rest);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  send(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): void {
    this.socket.write(encodeFrame(type, flags, streamId, payload));
  }

  settings(...pairs: (readonly [number, number])[]): void {
    const payload = Buffer.alloc(6 * pairs.length);
    pairs.forEach(([identifier, value], at) => {
      payload.writeUInt16BE(identifier, 6 * at);
      payload.writeUInt32BE(value, 6 * at + 2);
    });
    this.send(FrameType.settings, 0, 0, payload);
  }

  headers(streamId: number, fields: readonly (readonly [string, string])[], isLast = false): void {
    const flags = FrameFlag.endHeaders | (isLast ? FrameFlag.endStream : 0);
    this.send(FrameType.headers, flags, streamId, encodeHeaders(fields));
  }

  words(type: number, streamId: number, ...words: number[]): void {
    const payload = Buffer.alloc(4 * words.length);
    for (const [at, word] of words.entries()) payload.writeUInt32BE(word, 4 * at);
    this.send(type, 0, streamId, payload);
  }

  /** What of the frames fits, as soon as there is as much. */
  async framesOf(type: number, count = 1, isWanted: (frame: SentFrame) => boolean = () => true) {
    return until(`${count} frames of type ${type} have come`, () => {
      const found = this.frames.filter((frame) => frame.type === type && isWanted(frame));
      return found.length >= count && found;
    });
  }
}

/** Listens until it is closed; hands each connection out in turn. */
export async function listen() {
  const servers: ScriptedServer[] = [];
  const takers: ((server: ScriptedServer) => void)[] = [];
  const listener = createServer((socket) => {
    const server = new ScriptedServer(socket);
    const taker = takers.shift();
    if (taker === undefined) servers.push(server);
    else taker(server);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as { port: number }).port,
    next: (): Promise<ScriptedServer> =>
      new Promise((resolve) => {
        const server = servers.shift();
        if (server === undefined) takers.push(resolve);
        else resolve(server);
      }),
    close: () => listener.close(),
  };
}
