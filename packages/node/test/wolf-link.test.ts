import { createServer, type Http2Server, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, expect, test } from '@jest/globals';
import { GrpcWolfLink } from '../src/index.js';

const PATH = '/wolf.raft.Raft/Vote';

let server: Http2Server;
let link: GrpcWolfLink;
let sockets: Set<Socket>;

afterEach(() => {
  link.close();
  for (const socket of sockets) socket.destroy();
  server.close();
});

/** A server that answers each call with what it is given; undefined: never. */
async function listen(
  answer: (headers: IncomingHttpHeaders, body: Buffer) => { bytes: Buffer; status?: string } | undefined,
): Promise<string> {
  server = createServer();
  sockets = new Set();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.on('session', (session) => session.on('error', () => undefined));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const given = answer(headers, Buffer.concat(chunks));
      if (given === undefined) return;
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' },
        { waitForTrailers: true },
      );
      stream.once('wantTrailers', () =>
        stream.sendTrailers({ 'grpc-status': given.status ?? '0', 'grpc-message': 'why' }),
      );
      stream.end(given.bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  link = new GrpcWolfLink();
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function message(flag: number, content: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(content.length, 1);
  return Buffer.concat([head, content]);
}

test('a call goes out in gzip, says that it takes gzip, and takes answers with and without it', async () => {
  const seen: { headers: IncomingHttpHeaders; body: Buffer }[] = [];
  const address = await listen((headers, body) => {
    seen.push({ headers, body });
    const text = Buffer.from('answer');
    return { bytes: seen.length === 1 ? message(1, gzipSync(text)) : message(0, text) };
  });
  const request = Buffer.from('request '.repeat(100));
  expect((await link.call(address, PATH, request, 60_000)).toString()).toBe('answer');
  expect((await link.call(address, PATH, request, 60_000)).toString()).toBe('answer');
  const { headers, body } = seen[0]!;
  expect(headers).toMatchObject({
    ':path': PATH,
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    'grpc-accept-encoding': 'gzip,identity',
  });
  expect(body[0]).toBe(1);
  expect(gunzipSync(body.subarray(5)).equals(request)).toBe(true);
  // The connection is kept for the next call.
  expect(sockets.size).toBe(1);
});

test('what is no answer is an error: a status, other bytes, too many of them', async () => {
  const answers = [
    { bytes: message(0, Buffer.from('x')), status: '14' },
    { bytes: Buffer.from('nonsense') },
    { bytes: message(1, Buffer.from('not gzip')) },
    { bytes: message(1, gzipSync(Buffer.alloc(5 * 1024 * 1024))) },
    { bytes: message(0, Buffer.alloc(5 * 1024 * 1024)) },
  ];
  const address = await listen(() => answers.shift());
  while (answers.length > 0) {
    await expect(link.call(address, PATH, Buffer.from('x'), 60_000)).rejects.toThrow();
  }
});

test('a call without an answer ends in its time, and its connection with it: the next one is made anew', async () => {
  let calls = 0;
  const address = await listen(() =>
    ++calls === 1 ? undefined : { bytes: message(0, Buffer.from('late')) },
  );
  await expect(link.call(address, PATH, Buffer.from('x'), 200)).rejects.toThrow('no answer in 200 ms');
  expect((await link.call(address, PATH, Buffer.from('x'), 60_000)).toString()).toBe('late');
  expect(sockets.size).toBe(2);
});

test('nobody listens: an error', async () => {
  const address = await listen(() => undefined);
  await new Promise((resolve) => server.close(resolve));
  await expect(link.call(address, PATH, Buffer.from('x'), 60_000)).rejects.toThrow();
});
