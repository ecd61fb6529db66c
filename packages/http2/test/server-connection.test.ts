import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  CLIENT_PREFACE,
  ErrorCode,
  encodeFrame,
  encodeHeaders,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameType,
  HeldMemory,
  ServerConnection,
  type ServerStream,
  Setting,
} from '../src/index.js';
import {
  dataFrame,
  headersFrame,
  RawClient,
  requestFields,
  resetFrame,
  wholeRequest,
} from './support/raw-client.js';

const okBlock = encodeHeaders([[':status', '200']]);
const endBlock = encodeHeaders([['grpc-status', '0']]);
const STREAM_WINDOW_BYTES = 100_000;

/** One request as the server saw it. */
interface Seen {
  readonly stream: ServerStream;
  readonly body: Buffer[];
  isEnded: boolean;
  isCancelled: boolean;
}

let server: Server;
let port: number;
let connections: ServerConnection[];
let seen: Seen[];
/** What is done with a complete request. */
let answer: (request: Seen) => void;
/** Before the rest of the request is looked at. */
let answersAtOnce: boolean;
let streamsMax: number;
let heldBytesMax: number;
let answerBytesMax: number;
/** One for all connections of a test, made with the limits that it has set. */
let memory: HeldMemory | undefined;

beforeEach(async () => {
  connections = [];
  seen = [];
  answersAtOnce = false;
  streamsMax = 0;
  heldBytesMax = 100_000_000;
  answerBytesMax = 100_000_000;
  memory = undefined;
  answer = echo;
  server = createServer((socket) => {
    const onRequest = (stream: ServerStream) => {
      const request: Seen = { stream, body: [], isEnded: false, isCancelled: false };
      seen.push(request);
      if (answersAtOnce) answer(request);
      return {
        onData: (bytes: Buffer, start: number, end: number) => {
          request.body.push(Buffer.from(bytes.subarray(start, end)));
        },
        onEnd: () => {
          request.isEnded = true;
          if (!answersAtOnce) answer(request);
        },
        onCancel: () => {
          request.isCancelled = true;
        },
      };
    };
    connections.push(
      new ServerConnection(socket, {
        streamsMax,
        streamWindowBytes: STREAM_WINDOW_BYTES,
        memory: memoryOf(),
        onRequest,
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

const open: (() => void)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) close();
  await new Promise((resolve) => server.close(resolve));
});

function memoryOf(): HeldMemory {
  memory ??= new HeldMemory({ heldBytesMax, answerBytesMax, lookMs: 20 });
  return memory;
}

function echo({ stream, body }: Seen): void {
  stream.sendHeaders(okBlock);
  for (const part of body) stream.sendData(part);
  stream.sendTrailers(endBlock);
}

function connectRaw(): RawClient {
  const client = new RawClient(port);
  open.push(() => client.close());
  return client;
}

function openSession(): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  open.push(() => session.destroy());
  return session;
}

interface Answered {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly errorCode: number;
}

/** One request of Node's own client, which codes headers with tables and Huffman. */
function post(
  session: ClientHttp2Session,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const stream = session.request({ ':method': 'POST', ':path': '/a/b', ...headers });
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let received: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    stream.on('response', (fields) => {
      received = fields;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', () => undefined);
    stream.on('close', () => {
      resolve({ headers: received, trailers, body: Buffer.concat(parts), errorCode: stream.rstCode ?? 0 });
    });
    stream.end(body);
  });
}

describe('with Node’s own client', () => {
  test('a request is answered with headers, data and trailers', async () => {
    const session = openSession();
    const { headers, trailers, body } = await post(session, Buffer.from('hello'), { some: 'thing' });
    expect(headers[':status']).toBe(200);
    expect(trailers['grpc-status']).toBe('0');
    expect(body.toString()).toBe('hello');
    expect(seen[0]!.stream.header(':path')).toBe('/a/b');
    expect(seen[0]!.stream.header('some')).toBe('thing');
    expect(seen[0]!.stream.header('other')).toBeUndefined();
  });

  test('headers come whole however often they change, and in several frames (RFC 7541, RFC 9113 6.10)', async () => {
    const session = openSession();
    for (let i = 0; i < 300; i++) {
      const value = `${i} ${'x'.repeat((i * 197) % 30_000)}`;
      await post(session, Buffer.alloc(0), { [`name-${i % 7}`]: value });
      expect(seen[i]!.stream.header(`name-${i % 7}`)).toBe(value);
    }
  });

  test('many requests at a time on one connection, each with its own answer', async () => {
    const session = openSession();
    const bodies = Array.from({ length: 200 }, (_, i) => Buffer.alloc((i * 331) % 50_000, i));
    const answers = await Promise.all(bodies.map((body) => post(session, body)));
    answers.forEach(({ body, trailers }, i) => {
      expect(body.equals(bodies[i]!)).toBe(true);
      expect(trailers['grpc-status']).toBe('0');
    });
  });

  test('an answer larger than every window arrives whole', async () => {
    const session = openSession();
    const large = Buffer.alloc(5_000_000, 'abcdefg');
    answer = ({ stream }) => {
      stream.sendHeaders(okBlock);
      stream.sendData(large);
      stream.sendTrailers(endBlock);
    };
    const answers = await Promise.all([1, 2, 3].map(() => post(session, Buffer.alloc(0))));
    for (const { body } of answers) expect(body.equals(large)).toBe(true);
  });

  test('a client that cancels, or leaves, is told to the handler', async () => {
    const session = openSession();
    const begun = new Promise<void>((resolve) => {
      answer = () => seen.length === 2 && resolve();
    });
    const cancelled = session.request({ ':method': 'POST' }, { endStream: true });
    cancelled.on('error', () => undefined);
    void post(session, Buffer.alloc(0));
    await begun;
    cancelled.close(ErrorCode.cancel);
    await new Promise((resolve) => session.ping(resolve));
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([true, false]);
    session.destroy();
    await until('the call is cancelled', () => seen[1]!.isCancelled);
  });

  test('a client that keeps a smaller table, or none, understands the answers (RFC 9113, 4.3.1)', async () => {
    const session = connectHttp2(`http://127.0.0.1:${port}`, { settings: { headerTableSize: 0 } });
    session.on('error', () => undefined);
    open.push(() => session.destroy());
    for (const text of ['one', 'two']) {
      const { trailers, body } = await post(session, Buffer.from(text));
      expect([trailers['grpc-status'], body.toString()]).toEqual(['0', text]);
    }
  });

  test('leaving lets requests under way end and takes no more', async () => {
    const session = openSession();
    let finish: () => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      answer = (request) => {
        finish = () => echo(request);
        resolve();
      };
    });
    const underWay = post(session, Buffer.from('late'));
    await begun;
    const closed = new Promise((resolve) => session.on('close', resolve));
    connections[0]!.leave();
    finish();
    expect((await underWay).body.toString()).toBe('late');
    await closed;
  });
});

describe('flow control', () => {
  test('nothing is sent beyond the client’s windows, and streams share the connection’s', async () => {
    const client = connectRaw().greet();
    answer = ({ stream }) => {
      stream.sendHeaders(okBlock);
      stream.sendData(Buffer.alloc(60_000));
      stream.sendTrailers(endBlock);
    };
    client.send(wholeRequest(1), wholeRequest(3));
    await client.until(() => client.dataBytes(1) + client.dataBytes(3) === 65_535);
    expect([client.ended(1), client.ended(3)]).toEqual([true, false]);
    client.send(encodeWindowUpdate(0, 100_000));
    await client.until(() => client.ended(3));
    expect(client.dataBytes(3)).toBe(60_000);
  });

  test('a changed initial window counts for streams that are open (RFC 9113, 6.9.2)', async () => {
    const client = connectRaw().send(CLIENT_PREFACE, encodeSettings([[4, 10]]));
    answer = ({ stream }) => {
      stream.sendData(Buffer.alloc(25));
      stream.sendTrailers(endBlock);
    };
    client.send(wholeRequest(1));
    await client.until(() => client.dataBytes(1) === 10);
    client.send(encodeSettings([[4, 0]]), encodeSettings([[4, 25]]));
    await client.until(() => client.ended(1));
    expect(client.dataBytes(1)).toBe(25);
  });

  test('whoever sends is told when more is welcome', async () => {
    const client = connectRaw().greet();
    let drained = false;
    answer = ({ stream }) => {
      stream.sendData(Buffer.alloc(70_000));
      expect(stream.isCongested).toBe(true);
      stream.whenDrained(() => {
        drained = true;
        stream.sendTrailers(endBlock);
      });
    };
    client.send(wholeRequest(1));
    await client.until(() => client.dataBytes(1) === 65_535);
    expect(drained).toBe(false);
    client.send(encodeWindowUpdate(0, 70_000), encodeWindowUpdate(1, 70_000));
    await client.until(() => client.ended(1));
    expect(drained).toBe(true);
  });

  test('whoever waits to send is not left waiting when the stream ends meanwhile', async () => {
    const client = connectRaw().greet();
    const drained: string[] = [];
    answer = ({ stream }) => {
      stream.sendData(Buffer.alloc(70_000));
      stream.whenDrained(() => drained.push(`ended ${stream.id}`));
      if (stream.id === 1) stream.sendTrailers(endBlock);
    };
    client.send(wholeRequest(1), wholeRequest(3), resetFrame(3), wholeRequest(5));
    await client.until(() => client.dataBytes(1) === 65_535);
    expect(drained).toEqual(['ended 1', 'ended 3']);
    seen[1]!.stream.whenDrained(() => drained.push('at once'));
    expect(drained).toHaveLength(3);
  });

  test('a stream that sends more than its window is reset, and so is one for which there is no memory', async () => {
    heldBytesMax = 250_000;
    const client = connectRaw().greet();
    client.send(headersFrame(1), ...Array.from({ length: 7 }, () => dataFrame(1, 16_000)));
    expect(await client.resetOf(1)).toBe(ErrorCode.flowControlError);
    for (const streamId of [3, 5, 7]) {
      client.send(headersFrame(streamId), ...Array.from({ length: 6 }, () => dataFrame(streamId, 16_000)));
    }
    expect(await client.resetOf(7)).toBe(ErrorCode.enhanceYourCalm);
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([true, false, false, true]);
    client.send(dataFrame(3, 0, FrameFlag.endStream));
    await client.until(() => client.dataBytes(3) > 0);
  });

  test('a producer that never lets the event loop go on sees that nobody reads', async () => {
    const client = connectRaw().send(CLIENT_PREFACE, encodeSettings([[Setting.initialWindowSize, 2 ** 30]]));
    client.send(encodeWindowUpdate(0, 2 ** 30)).stopReading();
    let producedBytes = 0;
    answer = ({ stream }) => {
      const page = Buffer.alloc(100_000);
      while (!stream.isCongested && producedBytes < 100_000_000) {
        stream.sendData(page);
        producedBytes += page.length;
      }
    };
    client.send(wholeRequest(1));
    await until('the answer begins', () => producedBytes > 0);
    // The system's own buffers take some megabytes.
    expect(producedBytes).toBeLessThan(50_000_000);
  });

  test('answers that the client does not let through are held up to a limit, then given up', async () => {
    heldBytesMax = 1_000_000;
    const client = connectRaw().greet();
    answer = ({ stream }) => {
      stream.sendData(Buffer.alloc(400_000));
      stream.sendTrailers(endBlock);
    };
    client.send(wholeRequest(1), wholeRequest(3), wholeRequest(5));
    expect(await client.resetOf(5)).toBe(ErrorCode.enhanceYourCalm);
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([false, false, true]);
    client.send(
      encodeWindowUpdate(0, 2_000_000),
      encodeWindowUpdate(1, 400_000),
      encodeWindowUpdate(3, 400_000),
    );
    await client.until(() => client.ended(1) && client.ended(3));
    expect([client.dataBytes(1), client.dataBytes(3)]).toEqual([400_000, 400_000]);
  });

  test('requests that never end are refused when too many are open, headers and all', async () => {
    heldBytesMax = 100_000;
    const client = connectRaw().greet();
    const block = encodeHeaders([...requestFields, ['name', 'x'.repeat(10_000)]]);
    const large = (streamId: number) => encodeFrame(FrameType.headers, FrameFlag.endHeaders, streamId, block);
    for (let streamId = 1; streamId <= 19; streamId += 2) client.send(large(streamId));
    expect(await client.resetOf(17)).toBe(ErrorCode.refusedStream);
    expect(seen).toHaveLength(8);
    client.send(resetFrame(1), large(21), dataFrame(21, 0, FrameFlag.endStream));
    await client.until(() => client.ended(21));
  });

  test('what a request holds elsewhere counts until it is answered', async () => {
    heldBytesMax = 100_000;
    answer = ({ stream }) => {
      stream.hold(60_000);
      if (stream.id === 5) stream.sendTrailers(endBlock);
    };
    const client = connectRaw().greet().send(wholeRequest(1), wholeRequest(3));
    expect(await client.resetOf(3)).toBe(ErrorCode.enhanceYourCalm);
    seen[0]!.stream.sendTrailers(endBlock);
    client.send(wholeRequest(5));
    await client.until(() => client.ended(1) && client.ended(5));
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([false, true, false]);
  });

  test('padding is given back to the stream at once', async () => {
    const client = connectRaw().greet().send(headersFrame(1));
    // 255 bytes of padding and its length, for one byte of payload.
    const padded = encodeFrame(
      FrameType.data,
      FrameFlag.padded,
      1,
      Buffer.concat([Buffer.from([255]), Buffer.alloc(256)]),
    );
    for (let i = 0; i < 1_000; i++) client.send(padded);
    client.send(dataFrame(1, 0, FrameFlag.endStream));
    await client.until(() => client.ended(1));
    expect(client.dataBytes(1)).toBe(1_000);
    const givenBackBytes = client.frames
      .filter(({ type, streamId }) => type === FrameType.windowUpdate && streamId === 1)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    expect(givenBackBytes).toBe(256_000);
  });

  test('pings are answered as often as they come, with nothing else between them', async () => {
    const session = openSession();
    const answered = () =>
      new Promise<void>((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
    await post(session, Buffer.alloc(1));
    for (let i = 0; i < 2_000; i++) await answered();
    await post(session, Buffer.alloc(1));
    expect(seen).toHaveLength(2);
  });

  test('the connection’s window is given back while requests come', async () => {
    const session = openSession();
    // 18 MB, of which the window takes 16 MiB.
    for (let i = 0; i < 20; i++) {
      const bodies = Array.from({ length: 10 }, () => Buffer.alloc(90_000));
      await Promise.all(bodies.map((body) => post(session, body)));
    }
    expect(seen).toHaveLength(200);
  });
});

describe('a client that breaks the protocol loses its connection, and nobody else does', () => {
  const settings = encodeSettings([]);
  const ping = (sizeBytes: number) => encodeFrame(FrameType.ping, 0, 0, Buffer.alloc(sizeBytes));
  const many = (frame: Buffer, count: number) => Buffer.concat(Array.from({ length: count }, () => frame));
  const notLast = headersFrame(1, 0);

  test.each<[string, number, Buffer[]]>([
    ['another protocol', ErrorCode.protocolError, [Buffer.from('GET / HTTP/1.1\r\n\r\n')]],
    ['no SETTINGS first', ErrorCode.protocolError, [CLIENT_PREFACE, ping(8)]],
    ['a short PING', ErrorCode.frameSizeError, [CLIENT_PREFACE, settings, ping(7)]],
    ['a frame that is too long', ErrorCode.frameSizeError, [CLIENT_PREFACE, settings, dataFrame(1, 16_385)]],
    ['DATA of an idle stream', ErrorCode.protocolError, [CLIENT_PREFACE, settings, dataFrame(1, 1)]],
    ['an even stream', ErrorCode.protocolError, [CLIENT_PREFACE, settings, headersFrame(2)]],
    [
      'CONTINUATION of nothing',
      ErrorCode.protocolError,
      [CLIENT_PREFACE, settings, encodeFrame(9, 4, 1, Buffer.alloc(1))],
    ],
    ['a frame inside a header block', ErrorCode.protocolError, [CLIENT_PREFACE, settings, notLast, ping(8)]],
    [
      'headers that cannot be decoded',
      ErrorCode.compressionError,
      [CLIENT_PREFACE, settings, encodeFrame(1, 4, 1, Buffer.from([0xff]))],
    ],
    [
      'DATA after the end',
      ErrorCode.streamClosed,
      [CLIENT_PREFACE, settings, wholeRequest(1), dataFrame(1, 1)],
    ],
    [
      'padding without payload',
      ErrorCode.protocolError,
      [CLIENT_PREFACE, settings, headersFrame(1), encodeFrame(0, 8, 1, Buffer.from([9, 0]))],
    ],
    [
      'a window of 2^31',
      ErrorCode.flowControlError,
      [CLIENT_PREFACE, settings, encodeWindowUpdate(0, 2 ** 31 - 1)],
    ],
    [
      'a header block without end',
      ErrorCode.enhanceYourCalm,
      [CLIENT_PREFACE, settings, notLast, many(encodeFrame(9, 0, 1, Buffer.alloc(16_000)), 5)],
    ],
    [
      'a header block of very many frames',
      ErrorCode.enhanceYourCalm,
      [CLIENT_PREFACE, settings, notLast, many(encodeFrame(9, 0, 1, Buffer.alloc(1)), 10_000)],
    ],
    [
      'windows that change all the time',
      ErrorCode.enhanceYourCalm,
      [
        CLIENT_PREFACE,
        many(
          Buffer.concat([
            encodeSettings([[4, 1]]),
            encodeSettings([[4, 2]]),
            headersFrame(1),
            dataFrame(1, 1),
          ]),
          1,
        ),
        headersFrame(3),
        many(Buffer.concat([encodeSettings([[4, 1]]), encodeSettings([[4, 2]]), dataFrame(3, 1)]), 600),
      ],
    ],
    ['a MAX_FRAME_SIZE that is none', ErrorCode.protocolError, [CLIENT_PREFACE, encodeSettings([[5, 100]])]],
    ['an ENABLE_PUSH that is none', ErrorCode.protocolError, [CLIENT_PREFACE, encodeSettings([[2, 2]])]],
    [
      'SETTINGS that are cut off',
      ErrorCode.frameSizeError,
      [CLIENT_PREFACE, encodeFrame(4, 0, 0, Buffer.alloc(5))],
    ],
    [
      'an acknowledgement that says something',
      ErrorCode.frameSizeError,
      [CLIENT_PREFACE, settings, encodeFrame(4, 1, 0, Buffer.alloc(6))],
    ],
    [
      'an acknowledgement first',
      ErrorCode.protocolError,
      [CLIENT_PREFACE, encodeFrame(4, 1, 0, Buffer.alloc(0))],
    ],
    [
      'DATA of a stream that only a server may open',
      ErrorCode.protocolError,
      [CLIENT_PREFACE, settings, headersFrame(3), dataFrame(2, 1)],
    ],
    [
      'a window update of nothing',
      ErrorCode.protocolError,
      [CLIENT_PREFACE, settings, encodeWindowUpdate(0, 0)],
    ],
    [
      'a short PRIORITY',
      ErrorCode.frameSizeError,
      [CLIENT_PREFACE, settings, encodeFrame(2, 0, 1, Buffer.alloc(4))],
    ],
    ['a push', ErrorCode.protocolError, [CLIENT_PREFACE, settings, encodeFrame(5, 4, 1, Buffer.alloc(4))]],
    [
      'empty frames without end',
      ErrorCode.enhanceYourCalm,
      [CLIENT_PREFACE, settings, headersFrame(1), many(dataFrame(1, 0), 1100)],
    ],
    [
      'rapid resets',
      ErrorCode.enhanceYourCalm,
      [
        CLIENT_PREFACE,
        settings,
        ...Array.from({ length: 1100 }, (_, i) =>
          Buffer.concat([wholeRequest(2 * i + 1), resetFrame(2 * i + 1)]),
        ),
      ],
    ],
  ])('%s', async (_name, code, bytes) => {
    const session = openSession();
    expect((await post(session, Buffer.from('before'))).body.toString()).toBe('before');
    answer = () => undefined;
    expect(
      await connectRaw()
        .send(...bytes)
        .goAway(),
    ).toBe(code);
    answer = echo;
    expect((await post(session, Buffer.from('after'))).body.toString()).toBe('after');
  });

  test('streams whose windows are broken are reset one by one (RFC 9113, 6.9)', async () => {
    answer = () => undefined;
    const client = connectRaw().greet().send(wholeRequest(1), wholeRequest(3), wholeRequest(5));
    client.send(encodeWindowUpdate(1, 0), encodeWindowUpdate(3, 2 ** 31 - 1));
    expect(await client.resetOf(1)).toBe(ErrorCode.protocolError);
    expect(await client.resetOf(3)).toBe(ErrorCode.flowControlError);
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([true, true, false]);
  });

  const requestOf = (
    streamId: number,
    fields: readonly (readonly [string, string])[],
    flags: number = FrameFlag.endHeaders | FrameFlag.endStream,
  ): Buffer => encodeFrame(FrameType.headers, flags, streamId, encodeHeaders(fields));

  test.each<[string, readonly (readonly [string, string])[]]>([
    ['a name in upper case (8.2.1)', [...requestFields, ['X-Test', 'a']]],
    ['a name with a space', [...requestFields, ['x test', 'a']]],
    ['an empty name', [...requestFields, ['', 'a']]],
    ['an unknown pseudo-header field (8.3)', [...requestFields, [':test', 'a']]],
    ['one of an answer', [...requestFields, [':status', '200']]],
    ['one behind a regular field', [...requestFields.slice(0, 2), ['a', 'b'], ...requestFields.slice(2)]],
    ['connection (8.2.2)', [...requestFields, ['connection', 'keep-alive']]],
    ['transfer-encoding', [...requestFields, ['transfer-encoding', 'chunked']]],
    ['te but trailers', [...requestFields, ['te', 'trailers, deflate']]],
    ['no :method (8.3.1)', requestFields.slice(1)],
    ['no :scheme', [requestFields[0], requestFields[2]]],
    ['no :path', requestFields.slice(0, 2)],
    ['an empty :path', [...requestFields.slice(0, 2), [':path', '']]],
    ['two :method', [...requestFields, requestFields[0]]],
    ['two :scheme', [...requestFields, requestFields[1]]],
    ['two :path', [...requestFields, requestFields[2]]],
    ['a content-length that is none', [...requestFields, ['content-length', '-1']]],
    ['two different ones', [...requestFields, ['content-length', '0'], ['content-length', '1']]],
    ['a content-length beyond the body (8.1.1)', [...requestFields, ['content-length', '1']]],
  ])('a malformed request is reset, and the next one is served: %s', async (_name, fields) => {
    const client = connectRaw().greet().send(requestOf(1, fields));
    expect(await client.resetOf(1)).toBe(ErrorCode.protocolError);
    client.send(wholeRequest(3));
    await client.until(() => client.ended(3));
    expect(seen.filter(({ isEnded }) => isEnded).map(({ stream }) => stream.id)).toEqual([3]);
  });

  test('a request that ended is answered at once without a reset, and nothing may follow it (5.1)', async () => {
    answersAtOnce = true;
    const client = connectRaw().greet().send(wholeRequest(1));
    await client.until(() => client.ended(1));
    client.send(headersFrame(1));
    expect(await client.goAway()).toBe(ErrorCode.streamClosed);
    expect(client.frames.filter(({ type }) => type === FrameType.resetStream)).toEqual([]);
  });

  test('te: trailers, and a content-length that is right, are taken', async () => {
    const fields = [...requestFields, ['te', 'trailers'], ['content-length', '5']] as const;
    const client = connectRaw()
      .greet()
      .send(requestOf(1, fields, FrameFlag.endHeaders));
    client.send(dataFrame(1, 2), dataFrame(1, 3, FrameFlag.endStream));
    await client.until(() => client.ended(1));
    expect(client.dataBytes(1)).toBe(5);
  });

  test.each<[string, Buffer]>([
    [
      'without the end of the stream (8.1)',
      encodeFrame(FrameType.headers, FrameFlag.endHeaders, 1, endBlock),
    ],
    ['with a pseudo-header field (8.1)', requestOf(1, [[':path', '/']])],
  ])('trailers %s reset the stream', async (_name, trailers) => {
    const client = connectRaw().greet().send(headersFrame(1), dataFrame(1, 1), trailers);
    expect(await client.resetOf(1)).toBe(ErrorCode.protocolError);
    expect(seen[0]!.isCancelled).toBe(true);
  });

  test('what comes for a stream that the client has ended breaks the protocol (5.1)', async () => {
    const client = connectRaw().greet().send(wholeRequest(1));
    await client.until(() => client.ended(1));
    client.send(dataFrame(1, 1));
    expect(await client.resetOf(1)).toBe(ErrorCode.streamClosed);
    client.send(encodeWindowUpdate(3, 1));
    expect(await client.goAway()).toBe(ErrorCode.protocolError);
  });

  test('so does what comes for one that the client has reset, and a window update of nothing (5.1, 6.9)', async () => {
    answer = () => undefined;
    const client = connectRaw().greet().send(headersFrame(1), resetFrame(1), dataFrame(1, 1));
    expect(await client.resetOf(1)).toBe(ErrorCode.streamClosed);
    client.send(wholeRequest(3), resetFrame(3), encodeWindowUpdate(3, 0));
    expect(await client.resetOf(3)).toBe(ErrorCode.protocolError);
  });

  test.each([
    ['that was answered', ErrorCode.streamClosed, [wholeRequest(1), wholeRequest(1)]],
    ['that was reset', ErrorCode.streamClosed, [headersFrame(1), resetFrame(1), wholeRequest(1)]],
    ['that was skipped (5.1.1)', ErrorCode.protocolError, [wholeRequest(5), wholeRequest(3)]],
  ])('HEADERS of a stream %s end the connection', async (_name, code, frames) => {
    const client = connectRaw()
      .greet()
      .send(...frames);
    expect(await client.goAway()).toBe(code);
  });

  test('what was on its way when a stream was answered early is ignored, however many there are', async () => {
    answer = () => undefined;
    const client = connectRaw().greet();
    const count = 3_000;
    for (let index = 0; index < count; index++) client.send(headersFrame(2 * index + 1));
    await client.until(() => client.frames.some(({ type }) => type === FrameType.settings));
    await until('every call has arrived', () => seen.length >= count);
    for (const { stream } of seen) stream.sendTrailers(endBlock);
    await client.until(() => client.ended(2 * count - 1));
    for (let index = 0; index < count; index++) {
      client.send(dataFrame(2 * index + 1, 1), dataFrame(2 * index + 1, 1, FrameFlag.endStream));
    }
    answer = echo;
    client.send(wholeRequest(2 * count + 1));
    await client.until(() => client.ended(2 * count + 1));
  });

  test('making this side reset streams again and again ends the connection (MadeYouReset)', async () => {
    answer = () => undefined;
    const client = connectRaw().greet();
    for (let streamId = 1; streamId < 2_100; streamId += 2) {
      client.send(wholeRequest(streamId), encodeWindowUpdate(streamId, 0));
    }
    expect(await client.goAway()).toBe(ErrorCode.enhanceYourCalm);
    expect(seen.every(({ isCancelled }) => isCancelled)).toBe(true);
  });

  test('resets of requests that were answered are harmless, and answers make good for others', async () => {
    const client = connectRaw().greet();
    for (let streamId = 1; streamId < 6_000; streamId += 4) {
      client.send(headersFrame(streamId), resetFrame(streamId), headersFrame(streamId + 2));
      client.send(dataFrame(streamId + 2, 1, FrameFlag.endStream), resetFrame(streamId + 2));
    }
    client.send(wholeRequest(6_001));
    await client.until(() => client.ended(6_001));
  });

  test('deadlines that pass while the server is slow, or stands still, do not end the connection', async () => {
    answer = ({ stream }) => {
      stream.timeoutMs = 250;
    };
    const count = 1_500;
    const ids = Array.from({ length: count }, (_, index) => 2 * index + 1);
    const client = connectRaw()
      .greet()
      .send(...ids.map(wholeRequest));
    await client.until(() => client.frames.length > 0);
    await until('every call has arrived', () => seen.length >= count);
    const openedAtMs = Math.max(...seen.map(({ stream }) => stream.openedAtMs));
    // It is their age that makes resets cheap.
    while (performance.now() < openedAtMs + 250) await new Promise((resolve) => setImmediate(resolve));
    client.send(...ids.map(resetFrame));
    await until('every call is cancelled', () => seen.every(({ isCancelled }) => isCancelled));
    // Now both the requests and their resets lie in the system's buffers before anything of them is read.
    const later = ids.map((streamId) => streamId + 2 * count);
    client.send(...later.map(wholeRequest), ...later.map(resetFrame));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    const last = 4 * count + 1;
    client.send(wholeRequest(last));
    await until('one more call has arrived', () => seen.length > 2 * count);
    echo(seen.at(-1)!);
    await client.until(() => client.ended(last));
  });

  test('late resets of what was answered are harmless, however many come', async () => {
    const client = connectRaw().greet();
    const ids = Array.from({ length: 3_000 }, (_, index) => 2 * index + 1);
    client.send(...ids.map(wholeRequest));
    await client.until(() => client.ended(5_999));
    client.send(...ids.map(resetFrame), wholeRequest(6_001));
    await client.until(() => client.ended(6_001));
  });

  test('a connection that ends tells which requests were taken, and cancels them', async () => {
    answer = () => undefined;
    streamsMax = 1;
    const client = connectRaw().greet().send(wholeRequest(1), wholeRequest(3), dataFrame(99, 1));
    expect(await client.goAway()).toBe(ErrorCode.protocolError);
    expect(client.frames.find(({ type }) => type === FrameType.goAway)!.payload.readUInt32BE(0)).toBe(1);
    expect(seen.map(({ isCancelled }) => isCancelled)).toEqual([true]);
  });

  test('more streams than allowed are refused one by one', async () => {
    streamsMax = 2;
    answer = () => undefined;
    const client = connectRaw().greet().send(wholeRequest(1), wholeRequest(3), wholeRequest(5));
    expect(await client.resetOf(5)).toBe(ErrorCode.refusedStream);
    expect(seen).toHaveLength(2);
    expect(client.isClosed).toBe(false);
  });

  test('headers that are too large are refused with 431, and the next request is served', async () => {
    const block = encodeHeaders([
      ...requestFields,
      ...Array.from({ length: 2_500 }, () => ['a', 'b'] as const),
    ]);
    const flags = FrameFlag.endHeaders | FrameFlag.endStream;
    const client = connectRaw()
      .greet()
      .send(encodeFrame(FrameType.headers, flags, 1, block));
    await client.until(() => client.ended(1));
    expect(client.frames.find(({ streamId }) => streamId === 1)!.payload).toEqual(
      encodeHeaders([[':status', '431']]),
    );
    client.send(wholeRequest(3));
    await client.until(() => client.ended(3));
    expect(seen.map(({ stream }) => stream.id)).toEqual([3]);
  });

  test('frames that wanted a stream which is gone are ignored', async () => {
    const client = connectRaw().greet().send(wholeRequest(1));
    await client.until(() => client.ended(1));
    client.send(encodeWindowUpdate(1, 100), resetFrame(1), encodeFrame(0xfe, 0, 0, Buffer.alloc(3)));
    client.send(wholeRequest(3));
    await client.until(() => client.ended(3));
  });

  test('an answer before the end of the request ends the request too', async () => {
    const client = connectRaw().greet().send(headersFrame(1));
    await client.until(() => client.frames.some(({ type }) => type === FrameType.settings));
    await until('the call has arrived', () => seen.length > 0);
    seen[0]!.stream.sendTrailers(endBlock);
    expect(await client.resetOf(1)).toBe(ErrorCode.noError);
    client.send(dataFrame(1, 100, FrameFlag.endStream), wholeRequest(3));
    await client.until(() => client.ended(3));
  });
});
