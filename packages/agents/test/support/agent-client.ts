import { createConnection, type Socket } from 'node:net';
import { finished } from 'node:stream/promises';
import { uudecode } from '@coxswain/testing';
import { extract, type Header } from 'tar-stream';
import type { StreamEncodingName } from '../../src/xtrabackup/stream-encoding.js';

/** Encodes a request, byte by byte as the protocol has it. */
export function requestOf(pairs: Readonly<Record<string, string>>, version = '0.76.1'): string {
  const lines = Object.entries(pairs).map(([key, value]) => `${key}=${value}\n`);
  return `${version}\n${lines.length}\n${lines.join('')}\n`;
}

/** The bytes that came back on a connection, and how it ended. */
export interface Answer {
  readonly bytes: Buffer;
  /** False when the connection broke instead of ending. */
  readonly isEnded: boolean;
}

/** Sends bytes, and resolves with everything that comes back. */
export async function ask(port: number, bytes: string | Buffer): Promise<Answer> {
  const socket = await connect(port);
  socket.write(bytes);
  return answerOf(socket);
}

export async function connect(port: number): Promise<Socket> {
  const socket = createConnection({ port, host: '127.0.0.1', allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve();
    });
    socket.once('error', reject);
  });
  return socket;
}

/** Resolves with everything that comes on a connection until it ends. */
export async function answerOf(socket: Socket): Promise<Answer> {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  const isEnded = await new Promise<boolean>((resolve) => {
    socket.once('end', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
  socket.destroy();
  return { bytes: Buffer.concat(pieces), isEnded };
}

/** An answer that begins as one should: READY, a block, and after it the tar. */
export interface Parsed {
  readonly block: Readonly<Record<string, string>>;
  readonly tar: Buffer;
}

export function parseAnswer(bytes: Buffer): Parsed {
  const end = bytes.indexOf('\n\n') + 2;
  const [ready, count, ...lines] = bytes.toString('utf8', 0, end).split('\n').slice(0, -2);
  if (ready !== 'READY' || Number(count) !== lines.length)
    throw new Error(`no answer: ${bytes.subarray(0, 200)}`);
  const block = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  return { block, tar: bytes.subarray(end) };
}

/** Reads the files of a tar, by name. */
export async function readTar(tar: Buffer): Promise<Map<string, { header: Header; content: Buffer }>> {
  const files = new Map<string, { header: Header; content: Buffer }>();
  const reader = extract();
  reader.on('entry', (header, stream, next) => {
    const pieces: Buffer[] = [];
    // The reader reports the error as well.
    stream.on('error', () => undefined);
    stream.on('data', (piece) => pieces.push(piece as Buffer));
    stream.on('end', () => {
      files.set(header.name, { header, content: Buffer.concat(pieces) });
      next();
    });
  });
  reader.end(tar);
  await finished(reader);
  return files;
}

/** Returns the whole answer to a request that is refused. */
export function refusalOf(msg: string): string {
  return `2\nstatus=FAILED\nmsg=${msg.replaceAll(/\p{Cc}+/gu, ' ')}\n\n`;
}

/** Decodes a whole stream. Throws when it is not encoded in this way. */
export function decodeStream(stream: Buffer, encoding: StreamEncodingName): Buffer {
  if (encoding === 'octets') return stream;
  if (encoding === 'base64') return Buffer.from(stream.toString('latin1'), 'base64');
  const pieces: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 4 + stream.readUInt32BE(at);
    if (end > stream.length) throw new Error('the last block is not whole');
    pieces.push(uudecode(stream.subarray(at + 4, end)));
    at = end;
  }
  return Buffer.concat(pieces);
}
