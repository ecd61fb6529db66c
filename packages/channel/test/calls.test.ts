import { once } from 'node:events';
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { firstCertificate, secondCertificate, turns, until } from '@coxswain/testing';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type CallError, Channel, type ChannelOptions, metadataOf, Status } from '../src/index.js';

const asItIs = (bytes: Buffer): Buffer => bytes;
const method = { path: '/test.Test/Do', requestSerialize: asItIs, responseDeserialize: asItIs };
const request = Buffer.from('request');
const grpc = { ':status': 200, 'content-type': 'application/grpc' };

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0).reverse()) close();
});

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** A server of HTTP/2 that speaks no gRPC by itself: Node's own, so that this side is judged by another implementation. */
async function serve(handle: Handler, server: Http2Server = createServer()) {
  const sessions = new Set<ServerHttp2Session>();
  const counts = { sessions: 0, streams: 0 };
  server.on('session', (session) => {
    counts.sessions++;
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers) => {
    counts.streams++;
    stream.on('error', () => undefined);
    handle(stream, headers);
  });
  server.on('sessionError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { counts, sessions, port: (server.address() as { port: number }).port };
}

function channelTo(port: number, options: Partial<ChannelOptions> = {}, host = '127.0.0.1'): Channel {
  const channel = new Channel(`${host}:${port}`, {
    tls: undefined,
    silenceMs: 0,
    trialMs: 0,
    windowBytes: 65_535,
    backoffMsMin: 10,
    backoffMsMax: 10,
    ...options,
  });
  open.push(() => channel.close());
  return channel;
}

function framed(message: Buffer | string, flag = 0): Buffer {
  const bytes = Buffer.from(message);
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Answers with a body and trailers. */
function answer(
  stream: ServerHttp2Stream,
  body: Buffer,
  trailers: OutgoingHttpHeaders = { 'grpc-status': 0 },
  headers: OutgoingHttpHeaders = {},
): void {
  stream.respond({ ...grpc, ...headers }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(body);
}

const failureOf = (call: Promise<unknown>): Promise<CallError> =>
  call.then(
    () => {
      throw new Error('no failure');
    },
    (error: CallError) => error,
  );

async function readAll(stream: AsyncIterable<Buffer>): Promise<string[]> {
  const found: string[] = [];
  for await (const message of stream) found.push(String(message));
  return found;
}

describe('a call', () => {
  test('sends its path, its metadata and its message, and takes the trailers', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const bodies: Buffer[] = [];
    const { port } = await serve((stream, headers) => {
      seen.push(headers);
      stream.on('data', (bytes: Buffer) => bodies.push(bytes));
      stream.on('end', () =>
        answer(stream, framed('answer'), { 'grpc-status': 0, 'health-reason': 'ok=true' }),
      );
    });
    const channel = channelTo(port);
    const options = { metadata: metadataOf({ authorization: 'Bearer secret' }) };
    let reason: string | undefined;
    for (const varying of ['1', '2']) {
      const response = await channel.unary(method, request, {
        ...options,
        varying: [['x-varying', varying]],
        onTrailers: (trailers) => {
          reason = trailers.get('health-reason');
        },
      });
      expect(String(response)).toBe('answer');
    }
    expect(reason).toBe('ok=true');
    expect(Buffer.concat(bodies)).toEqual(Buffer.concat([framed(request), framed(request)]));
    for (const [at, headers] of seen.entries()) {
      expect(headers).toMatchObject({
        ':method': 'POST',
        ':path': method.path,
        ':authority': `127.0.0.1:${port}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization: 'Bearer secret',
        'x-varying': String(at + 1),
      });
      expect(headers).not.toHaveProperty('grpc-timeout');
    }
  });

  test('is given up at its deadline, of which the server is told', async () => {
    let timeout: unknown;
    let isReset = false;
    const { port, counts } = await serve((stream, headers) => {
      timeout = headers['grpc-timeout'];
      stream.on('close', () => {
        isReset = stream.rstCode === constants.NGHTTP2_CANCEL;
      });
    });
    const channel = channelTo(port);
    await channel.ready(60_000);
    const failure = await failureOf(channel.unary(method, request, { deadline: Date.now() + 300 }));
    expect(failure).toMatchObject({ code: Status.DEADLINE_EXCEEDED, origin: 'lost' });
    expect(counts.streams).toBe(1);
    expect(timeout).toMatch(/^[1-9]\d{0,2}m$/);
    await until('the stream is reset', () => isReset);
  });

  test('that had no connection by its deadline was never sent (P1)', async () => {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const channel = channelTo((server.address() as { port: number }).port);
    for (const deadline of [Date.now() + 50, Date.now() - 1]) {
      const failure = await failureOf(channel.unary(method, request, { deadline }));
      expect(failure).toMatchObject({ code: Status.DEADLINE_EXCEEDED, origin: 'neverSent' });
    }
  });

  test('is cancelled by its signal, and says whether it had been sent (P1)', async () => {
    const streams: ServerHttp2Stream[] = [];
    const { port } = await serve((stream) => streams.push(stream));
    const channel = channelTo(port);
    const aborter = new AbortController();
    const early = failureOf(channel.unary(method, request, { signal: aborter.signal }));
    aborter.abort();
    expect(await early).toMatchObject({ code: Status.CANCELLED, origin: 'neverSent' });
    expect(await failureOf(channel.unary(method, request, { signal: aborter.signal }))).toMatchObject({
      code: Status.CANCELLED,
      origin: 'neverSent',
    });
    const second = new AbortController();
    const late = failureOf(channel.unary(method, request, { signal: second.signal }));
    await until('the call has arrived', () => streams.length === 1);
    second.abort();
    expect(await late).toMatchObject({ code: Status.CANCELLED, origin: 'lost' });
    await until('the call is cancelled', () => streams[0]!.rstCode === constants.NGHTTP2_CANCEL);
  });

  test('takes messages however frames cut them', async () => {
    const body = Buffer.concat([framed('first'), framed(''), framed('x'.repeat(50_000)), framed('last')]);
    const { port } = await serve((stream) => {
      stream.respond(grpc, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }));
      const write = (at: number): void => {
        if (at >= body.length) stream.end();
        else
          stream.write(body.subarray(at, at + (at < 30 ? 1 : 7_001)), () =>
            write(at + (at < 30 ? 1 : 7_001)),
          );
      };
      write(0);
    });
    expect(await readAll(channelTo(port).serverStream(method, request))).toEqual([
      'first',
      '',
      'x'.repeat(50_000),
      'last',
    ]);
  });

  test('takes and sends messages that are larger than every window', async () => {
    const { port } = await serve((stream) => {
      const parts: Buffer[] = [];
      stream.on('data', (bytes: Buffer) => parts.push(bytes));
      stream.on('end', () => answer(stream, Buffer.concat(parts)));
    });
    const large = Buffer.alloc(20 * 1024 * 1024, 'abcdefg');
    const channel = channelTo(port);
    expect((await channel.unary(method, large)).equals(large)).toBe(true);
    for await (const message of channel.serverStream(method, large)) expect(message.equals(large)).toBe(true);
  });

  test('refuses a message that is too large as soon as it is announced, and what it did is unknown (P1)', async () => {
    const streams: ServerHttp2Stream[] = [];
    const { port } = await serve((stream) => {
      streams.push(stream);
      stream.respond(grpc);
      stream.write(Buffer.from([0, 0, 0, 4, 1]));
    });
    const channel = channelTo(port, { messageBytesMax: 1024 });
    const tooLarge = {
      code: Status.RESOURCE_EXHAUSTED,
      origin: 'unusable',
      details: 'Received message larger than max (1025 vs 1024)',
    };
    expect(await failureOf(channel.unary(method, request))).toMatchObject(tooLarge);
    expect(await failureOf(readAll(channel.serverStream(method, request)))).toMatchObject(tooLarge);
    await until('every call is cancelled', () =>
      streams.every(({ rstCode }) => rstCode === constants.NGHTTP2_CANCEL),
    );
  });

  test('fails with the status, the text and the metadata of an answer that has nothing else', async () => {
    const { port } = await serve((stream) => {
      const trailers = {
        ...grpc,
        'grpc-status': 5,
        'grpc-message': 'table %22%C3%A4%22 not found: 100%',
        'coxswain-error': 'tableNotFound',
      };
      stream.respond(trailers, { endStream: true });
    });
    const failure = await failureOf(channelTo(port).unary(method, request));
    expect(failure).toMatchObject({ code: Status.NOT_FOUND, origin: 'answered' });
    // That is no percent-encoding as a whole.
    expect(failure.details).toBe('table %22%C3%A4%22 not found: 100%');
    expect(failure.metadata.get('coxswain-error')).toBe('tableNotFound');
  });

  test('decodes the text of a status, in trailers too, after what came before them', async () => {
    const { port } = await serve((stream) =>
      answer(stream, framed('one'), { 'grpc-status': 14, 'grpc-message': 'later %C3%A4%0A' }),
    );
    const call = channelTo(port).serverStream(method, request);
    expect(await call.next()).toEqual({ done: false, value: Buffer.from('one') });
    expect(await failureOf(call.next())).toMatchObject({
      code: Status.UNAVAILABLE,
      origin: 'answered',
      details: 'later ä\n',
    });
    expect(await call.next()).toEqual({ done: true, value: undefined });
  });

  test.each<[OutgoingHttpHeaders, Partial<CallError>]>([
    [{ ':status': 404 }, { code: Status.UNIMPLEMENTED, origin: 'answered' }],
    [{ ':status': 503 }, { code: Status.UNAVAILABLE, origin: 'answered' }],
    [{ ':status': 401 }, { code: Status.UNAUTHENTICATED, origin: 'answered' }],
    [{ ':status': 500 }, { code: Status.UNKNOWN, origin: 'answered' }],
    [
      { ':status': 200, 'content-type': 'text/html' },
      { code: Status.UNKNOWN, origin: 'unusable' },
    ],
  ])('fails after an answer that is not of gRPC: %j', async (headers, expected) => {
    const { port } = await serve((stream) => {
      stream.respond({ 'content-type': 'text/plain', ...headers });
      stream.end('<html>');
    });
    expect(await failureOf(channelTo(port).unary(method, request))).toMatchObject(expected);
  });

  test.each<[string, Handler, Partial<CallError>]>([
    ['no message', (stream) => answer(stream, Buffer.alloc(0)), { details: 'Not enough responses received' }],
    [
      'two messages',
      (stream) => answer(stream, Buffer.concat([framed('1'), framed('2')])),
      { details: 'Too many responses received' },
    ],
    ['a part of one', (stream) => answer(stream, framed('cut off').subarray(0, 8)), {}],
    ['a flag that is none', (stream) => answer(stream, framed('x', 2)), {}],
  ])('fails after %s, and what it did is unknown (P1)', async (_, handle, expected) => {
    const { port } = await serve(handle);
    const failure = await failureOf(channelTo(port).unary(method, request));
    expect(failure).toMatchObject({ code: Status.INTERNAL, origin: 'unusable', ...expected });
  });

  test('takes no stream for whole that ends in the middle of a message, or without a status', async () => {
    const cut = await serve((stream) =>
      answer(stream, Buffer.concat([framed('1'), framed('2').subarray(0, 5)])),
    );
    const call = channelTo(cut.port).serverStream(method, request);
    expect(String((await call.next()).value)).toBe('1');
    expect(await failureOf(call.next())).toMatchObject({ code: Status.INTERNAL, origin: 'unusable' });
    const quiet = await serve((stream) => {
      stream.respond(grpc);
      stream.end(framed('1'));
    });
    const failure = await failureOf(readAll(channelTo(quiet.port).serverStream(method, request)));
    expect(failure).toMatchObject({ code: Status.UNKNOWN, origin: 'lost' });
  });

  test('fails where its message cannot be decoded', async () => {
    const { port } = await serve((stream) => answer(stream, framed('x')));
    const broken = {
      ...method,
      responseDeserialize: () => {
        throw new Error('truncated');
      },
    };
    const expected = { code: Status.INTERNAL, origin: 'unusable' };
    const channel = channelTo(port);
    expect(await failureOf(channel.unary(broken, request))).toMatchObject(expected);
    expect(await failureOf(channel.serverStream(broken, request).next())).toMatchObject(expected);
  });

  describe('whose answer is compressed', () => {
    const text = 'compressible '.repeat(1_000);

    test.each([
      ['gzip', gzipSync],
      ['deflate', deflateSync],
    ] as const)('takes %s, and plain messages among it', async (encoding, compress) => {
      const body = Buffer.concat([framed(compress(text), 1), framed('plain')]);
      const { port } = await serve((stream, headers) => {
        expect(String(headers['grpc-accept-encoding']).split(',')).toContain(encoding);
        answer(stream, body, undefined, { 'grpc-encoding': encoding });
      });
      expect(await readAll(channelTo(port).serverStream(method, request))).toEqual([text, 'plain']);
    });

    test('takes it as its only answer', async () => {
      const { port } = await serve((stream) =>
        answer(stream, framed(gzipSync(text), 1), undefined, { 'grpc-encoding': 'gzip' }),
      );
      expect(String(await channelTo(port).unary(method, request))).toBe(text);
    });

    test.each<[string, Buffer, string | undefined, Partial<CallError>]>([
      ['by nobody knows what', Buffer.from('x'), 'snappy', { code: Status.UNIMPLEMENTED }],
      ['without saying how', Buffer.from('x'), undefined, { code: Status.UNIMPLEMENTED }],
      ['wrongly', Buffer.from('x'), 'gzip', { code: Status.INTERNAL }],
      ['and too large', gzipSync(Buffer.alloc(1_000_000)), 'gzip', { code: Status.RESOURCE_EXHAUSTED }],
    ])('fails where it is %s', async (_, bytes, encoding, expected) => {
      const { port } = await serve((stream) =>
        answer(
          stream,
          framed(bytes, 1),
          undefined,
          encoding === undefined ? {} : { 'grpc-encoding': encoding },
        ),
      );
      const channel = channelTo(port, { messageBytesMax: 100_000 });
      const whole = { origin: 'unusable', ...expected };
      expect(await failureOf(channel.unary(method, request))).toMatchObject(whole);
      expect(await failureOf(readAll(channel.serverStream(method, request)))).toMatchObject(whole);
    });
  });
});

describe('a stream of answers', () => {
  test('holds the server up while nobody reads, and is cancelled when the reader leaves', async () => {
    const ping = { ...method, path: '/test.Test/Ping' };
    const message = framed(Buffer.alloc(16 * 1024));
    let written = 0;
    let isCancelled = false;
    const { port } = await serve((stream, headers) => {
      if (headers[':path'] === ping.path) {
        answer(stream, framed('pong'));
        return;
      }
      stream.respond(grpc);
      stream.on('close', () => {
        isCancelled = stream.rstCode === constants.NGHTTP2_CANCEL;
      });
      // Each is written when the one before has left.
      const push = (error?: Error | null): void => {
        if (error || stream.closed) return;
        written++;
        stream.write(message, push);
      };
      push();
    });
    const channel = channelTo(port);
    const call = channel.serverStream(method, request);
    await call.next();
    // Whatever the windows let through has come when so many later calls were answered on the same connection.
    for (let each = 0; each < 100; each++) await channel.unary(ping, request);
    expect(written).toBeLessThan(20);
    for (let each = 0; each < 100; each++) expect((await call.next()).done).toBe(false);
    expect(written).toBeGreaterThanOrEqual(101);
    await call.return();
    await until('the call is cancelled', () => isCancelled);
    expect(await call.next()).toEqual({ done: true, value: undefined });
  });
});

test('a message that is longer than the window does not come before somebody reads', async () => {
  const ping = { ...method, path: '/test.Test/Ping' };
  let writtenBytes = 0;
  const { port } = await serve((stream, headers) => {
    if (headers[':path'] === ping.path) {
      answer(stream, framed('pong'));
      return;
    }
    stream.respond(grpc, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }));
    const body = framed(Buffer.alloc(1024 * 1024));
    const push = (error?: Error | null): void => {
      if (error) return;
      const part = body.subarray(writtenBytes, writtenBytes + 8_192);
      writtenBytes += part.length;
      if (part.length > 0) stream.write(part, push);
      else stream.end();
    };
    push();
  });
  const channel = channelTo(port);
  const call = channel.serverStream(method, request);
  for (let each = 0; each < 100; each++) await channel.unary(ping, request);
  expect(writtenBytes).toBeLessThan(100_000);
  for await (const message of call) expect(message).toHaveLength(1024 * 1024);
  expect(writtenBytes).toBeGreaterThan(1024 * 1024);
});

describe('a stream of requests', () => {
  test('waits for a server that does not read, and ends when it has answered', async () => {
    let held: ServerHttp2Stream | undefined;
    let receivedBytes = 0;
    const { port } = await serve((stream) => {
      held = stream;
    });
    const call = channelTo(port).clientStream(method);
    const message = Buffer.alloc(16 * 1024);
    let sentBytes = 0;
    const send = async (bytes: number): Promise<void> => {
      for (; sentBytes < bytes; sentBytes += message.length + 5)
        if (!call.write(message)) await call.drained();
    };
    let isDone = false;
    const sending = send(1024 * 1024).then(() => {
      isDone = true;
    });
    await until('the call has arrived', () => held !== undefined);
    // What the server's window of 64 KiB lets through: three messages, and a part of the fourth.
    await until('most of the request is sent', () => sentBytes > 45_000);
    await turns(100);
    expect(isDone).toBe(false);
    expect(sentBytes).toBeLessThan(100_000);
    held!.on('data', (bytes: Buffer) => {
      receivedBytes += bytes.length;
    });
    await sending;
    call.endRequest();
    await once(held!, 'end');
    expect(receivedBytes).toBe(sentBytes);
    answer(held!, framed('thanks'));
    expect(String(await call.answer)).toBe('thanks');
  });

  test('of no message is one as well', async () => {
    const { port } = await serve((stream) => {
      stream.resume();
      stream.on('end', () => answer(stream, framed('none')));
    });
    const call = channelTo(port).clientStream(method);
    call.endRequest();
    expect(String(await call.answer)).toBe('none');
  });
});

describe('a server that takes no call, or loses one', () => {
  test('is asked again over a new connection where GOAWAY says that it did not begin (P1)', async () => {
    const { port, counts } = await serve((stream) => {
      // It processes the first stream, and none after it.
      if (stream.id! > 1) stream.session!.goaway(constants.NGHTTP2_NO_ERROR, 1);
      else answer(stream, framed(`on ${counts.sessions}`));
    });
    const channel = channelTo(port);
    expect(String(await channel.unary(method, request))).toBe('on 1');
    expect(String(await channel.unary(method, request))).toBe('on 2');
    expect(counts).toEqual({ sessions: 2, streams: 3 });
  });

  test('answers what it had begun with after GOAWAY, while later calls go elsewhere', async () => {
    let first: ServerHttp2Stream | undefined;
    const { port, counts } = await serve((stream) => {
      if (first === undefined) first = stream;
      else answer(stream, framed('new'));
    });
    const channel = channelTo(port);
    const slow = channel.unary(method, request);
    await until('the first call has arrived', () => first !== undefined);
    first!.session!.goaway(constants.NGHTTP2_NO_ERROR, first!.id!);
    while (counts.sessions === 1)
      expect(String(await channel.unary(method, request).catch(() => 'new'))).toBe('new');
    answer(first!, framed('old'));
    expect(String(await slow)).toBe('old');
  });

  test('is asked once more after REFUSED_STREAM, and not a third time (P1)', async () => {
    let refusals = 1;
    const { port, counts } = await serve((stream) => {
      if (refusals-- > 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else answer(stream, framed('taken'));
    });
    const channel = channelTo(port);
    expect(String(await channel.unary(method, request))).toBe('taken');
    expect(counts.streams).toBe(2);
    refusals = 2;
    const failure = await failureOf(channel.unary(method, request));
    expect(failure).toMatchObject({ code: Status.UNAVAILABLE, origin: 'refused', wasNeverProcessed: true });
    expect(counts).toEqual({ sessions: 1, streams: 4 });
  });

  test.each<[number, Status]>([
    [constants.NGHTTP2_CANCEL, Status.CANCELLED],
    [constants.NGHTTP2_ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED],
    [constants.NGHTTP2_INTERNAL_ERROR, Status.INTERNAL],
    [constants.NGHTTP2_PROTOCOL_ERROR, Status.INTERNAL],
  ])(
    'leaves what became of a call unknown that it resets with %i, and is not asked again (P1)',
    async (code, expected) => {
      const { port, counts } = await serve((stream) => stream.close(code));
      const failure = await failureOf(channelTo(port).unary(method, request));
      expect(failure).toMatchObject({ code: expected, origin: 'lost', wasNeverProcessed: false });
      expect(counts.streams).toBe(1);
    },
  );

  test('leaves what became of a call unknown whose connection ends, and the next has a new one (P1)', async () => {
    const { port, counts } = await serve((stream) => {
      if (counts.streams === 1) stream.session!.destroy();
      else answer(stream, framed('next'));
    });
    const channel = channelTo(port);
    const failure = await failureOf(channel.unary(method, request));
    expect(failure).toMatchObject({
      code: Status.UNAVAILABLE,
      origin: 'lost',
      details: 'Connection dropped',
    });
    expect(String(await channel.unary(method, request))).toBe('next');
    expect(counts).toEqual({ sessions: 2, streams: 2 });
  });

  test('takes a call as soon as another one has ended, where it allows no more', async () => {
    const streams: ServerHttp2Stream[] = [];
    const server = createServer({ settings: { maxConcurrentStreams: 1 } });
    const { port, counts } = await serve((stream) => streams.push(stream), server);
    const channel = channelTo(port);
    const calls = [1, 2, 3].map(() => channel.unary(method, request));
    for (let at = 0; at < 3; at++) {
      await until('the next call has arrived', () => streams.length === at + 1);
      answer(streams[at]!, framed(`${at}`));
      expect(String(await calls[at])).toBe(`${at}`);
    }
    expect(counts.sessions).toBe(1);
  });

  test('is not dialled again before the pause after a dial that failed is over', async () => {
    let accepted = 0;
    const server = createTcpServer((socket) => {
      accepted++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(() => server.close());
    const { port } = server.address() as { port: number };
    const channel = channelTo(port, { backoffMsMin: 600_000, backoffMsMax: 600_000 });
    const refused = { code: Status.UNAVAILABLE, origin: 'neverSent' };
    for (let each = 0; each < 3; each++) {
      expect(await failureOf(channel.unary(method, request))).toMatchObject(refused);
    }
    await expect(channel.ready(600_000)).rejects.toMatchObject(refused);
    expect(accepted).toBe(1);
  });

  test('takes no call of a channel that is closed, and ends those that it has', async () => {
    let held: ServerHttp2Stream | undefined;
    const { port, sessions } = await serve((stream) => {
      held = stream;
    });
    const channel = channelTo(port);
    const underWay = channel.unary(method, request);
    await until('the call has arrived', () => held !== undefined);
    const unreached = channelTo(port);
    const waiting = failureOf(unreached.unary(method, request));
    unreached.close();
    expect(await waiting).toMatchObject({ code: Status.UNAVAILABLE, origin: 'neverSent' });
    channel.close();
    expect(await failureOf(channel.unary(method, request))).toMatchObject({ origin: 'neverSent' });
    answer(held!, framed('still'));
    expect(String(await underWay)).toBe('still');
    await until('the connection is closed', () => sessions.size === 0);
  });
});

describe('a connection with TLS', () => {
  test('takes the certificates of the moment for each handshake', async () => {
    let current = firstCertificate;
    let trusted = firstCertificate.cert;
    const reasons: string[] = [];
    const server = createSecureServer({ ...current });
    const { port, sessions, counts } = await serve((stream) => answer(stream, framed('secret')), server);
    const channel = channelTo(
      port,
      { tls: () => ({ ca: trusted }), onHandshakeFailed: (reason) => reasons.push(reason) },
      'localhost',
    );
    const ask = async () => String(await channel.unary(method, request));
    expect(await ask()).toBe('secret');
    current = secondCertificate;
    (server as unknown as { setSecureContext(options: object): void }).setSecureContext({ ...current });
    // The old connection goes on.
    expect(await ask()).toBe('secret');
    expect(counts.sessions).toBe(1);
    for (const session of [...sessions]) session.destroy();
    let failure: CallError;
    do failure = await failureOf(channel.unary(method, request));
    while (failure.origin !== 'neverSent');
    expect(failure.details).toMatch(/self-signed certificate/);
    expect(reasons).toEqual([expect.stringMatching(/self-signed certificate/)]);
    trusted = secondCertificate.cert;
    for (;;) {
      const text = await ask().catch((error: CallError) => expect(error.origin).toBe('neverSent'));
      if (text !== undefined) break;
    }
  });

  test('checks the name of the server that it was given', async () => {
    const server = createSecureServer({ ...firstCertificate });
    const { port } = await serve((stream) => answer(stream, framed('secret')), server);
    const tls = (serverName?: string) => () => ({ ca: firstCertificate.cert, serverName });
    const right = channelTo(port, { tls: tls('node.example') });
    expect(String(await right.unary(method, request))).toBe('secret');
    for (const serverName of ['other.example', undefined]) {
      const failure = await failureOf(channelTo(port, { tls: tls(serverName) }).unary(method, request));
      expect(failure).toMatchObject({ origin: 'neverSent' });
      expect(failure.details).toMatch(/altnames/);
    }
    const trial = channelTo(port, { tls: () => ({ isVerificationSkipped: true }) });
    expect(String(await trial.unary(method, request))).toBe('secret');
  });
});
