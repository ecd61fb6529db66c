import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { gunzip, gzip } from 'node:zlib';
import type { WolfLink } from '../api/environment.js';

/** The length of the prefix of a gRPC message: whether it is compressed, and its length. */
const PREFIX_BYTES = 5;
/** The limit of an answer, in bytes: members' answers are small. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

/** A connection to one address, and the socket below it. */
interface Connection {
  readonly session: ClientHttp2Session;
  readonly socket: Socket;
}

/**
 * Makes unary gRPC calls over node:http2, with gzip both ways, as the members of a wolf.raft group do (trap 5). The
 * first call to an address makes a connection, which is kept for the next. When a call gets no answer in time its
 * connection is given up too, since nothing shows that it still works.
 */
export class GrpcWolfLink implements WolfLink {
  readonly #connections = new Map<string, Connection>();
  #isClosed = false;

  async call(address: string, path: string, request: Buffer, timeoutMs: number): Promise<Buffer> {
    const body = compressedMessage(await gzipped(request));
    if (this.#isClosed) throw new Error('the node is stopping');
    const connection = this.#connections.get(address) ?? this.#connect(address);
    const answer = await this.#exchange(connection, address, path, body, timeoutMs);
    return await plainMessage(answer);
  }

  close(): void {
    this.#isClosed = true;
    for (const address of [...this.#connections.keys()]) this.#hangUp(address);
  }

  #connect(address: string): Connection {
    const url = new URL(`http://${address}`);
    // Brackets around an IPv6 address belong to the URL alone.
    const socket = connectTcp({
      host: url.hostname.replace(/^\[|\]$/gu, ''),
      port: Number(url.port || 80),
      noDelay: true,
    });
    const session = connectHttp2(`http://${address}`, { createConnection: () => socket });
    const connection = { session, socket };
    this.#connections.set(address, connection);
    const forget = (): void => {
      if (this.#connections.get(address) === connection) this.#connections.delete(address);
    };
    session.on('error', forget);
    session.on('goaway', forget);
    session.once('close', forget);
    return connection;
  }

  #hangUp(address: string): void {
    const connection = this.#connections.get(address);
    this.#connections.delete(address);
    connection?.session.destroy();
    // At once: the session would wait for packets that do not come.
    connection?.socket.destroy();
  }

  #exchange(
    connection: Connection,
    address: string,
    path: string,
    body: Buffer,
    timeoutMs: number,
  ): Promise<Buffer> {
    const stream = connection.session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-encoding': 'gzip',
      'grpc-accept-encoding': 'gzip,identity',
      'grpc-timeout': `${Math.max(1, Math.floor(timeoutMs))}m`,
    });
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      let status: string | undefined;
      let cause: Error | undefined;
      const timer = setTimeout(() => {
        cause = new Error(`no answer in ${timeoutMs} ms`);
        if (this.#connections.get(address) === connection) this.#hangUp(address);
        stream.destroy();
      }, timeoutMs);
      const read = (headers: Record<string, unknown>): void => {
        const { 'grpc-status': code, 'grpc-message': text } = headers;
        if (code === undefined) return;
        status = String(code);
        if (status !== '0') cause ??= new Error(`gRPC status ${status}: ${String(text ?? '')}`);
      };
      stream.on('response', read);
      stream.on('trailers', read);
      stream.on('data', (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes <= ANSWER_BYTES_MAX) chunks.push(chunk);
        else stream.destroy(new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`));
      });
      stream.on('error', (error: Error) => {
        cause ??= error;
      });
      stream.once('close', () => {
        clearTimeout(timer);
        if (status === '0' && cause === undefined) resolve(Buffer.concat(chunks));
        else reject(cause ?? new Error('the connection was lost'));
      });
      stream.end(body);
    });
  }
}

function gzipped(plain: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The fastest level, since entries are many and the network is near.
    gzip(plain, { level: 1 }, (error, bytes) => (error === null ? resolve(bytes) : reject(error)));
  });
}

function compressedMessage(content: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix[0] = 1;
  prefix.writeUInt32BE(content.length, 1);
  return Buffer.concat([prefix, content]);
}

/** Gives the one message of an answer. Rejects when the answer holds none, or anything else. */
async function plainMessage(answer: Buffer): Promise<Buffer> {
  if (
    answer.length < PREFIX_BYTES ||
    answer.readUInt32BE(1) !== answer.length - PREFIX_BYTES ||
    answer[0]! > 1
  )
    throw new Error('the answer is no gRPC message');
  const content = answer.subarray(PREFIX_BYTES);
  if (answer[0] === 0) return content;
  return await new Promise((resolve, reject) => {
    gunzip(content, { maxOutputLength: ANSWER_BYTES_MAX }, (error, plain) =>
      error === null ? resolve(plain) : reject(error),
    );
  });
}
