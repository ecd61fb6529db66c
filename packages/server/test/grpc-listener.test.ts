import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import {
  CLIENT_PREFACE,
  ErrorCode,
  encodeFrame,
  encodeHeaders,
  encodeSettings,
  FrameFlag,
  FrameReader,
  FrameType,
} from '@coxswain/http2';
import { ApiError, errors, Status } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { TemporaryDirectory, turns, until } from '@coxswain/testing';
import { type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { transportErrors } from '../src/grpc/errors.js';
import { MessageDecompressor } from '../src/grpc/message-decompressor.js';
import { describeHeldMemory } from '../src/metrics/held-memory-metrics.js';
import { Rpc } from './support/rpc.js';
import { ScriptedListener } from './support/scripted-listener.js';

const { range, put } = regatta.KVService;
const table = Buffer.from('t');
const key = Buffer.from('k');

let scripted: ScriptedListener;
let rpc: Rpc;
let logged: string[];

beforeEach(async () => {
  logged = [];
  scripted = await ScriptedListener.start({
    log: ({ severity, code }, fields) => {
      logged.push(`${severity} ${code} ${JSON.stringify(fields)}`);
    },
  });
  rpc = new Rpc(scripted.target);
});

afterEach(async () => {
  rpc.close();
  await scripted.close();
});

describe('errors of the node reach the caller with their code and text (docs/protocol.md §2)', () => {
  test.each([
    ['notReady', status.UNAVAILABLE, 'request dropped as the shard is not ready'],
    ['tooBusy', status.UNAVAILABLE, 'system is too busy try again later'],
    ['timeout', status.UNAVAILABLE, 'timeout'],
    [
      'outcomeUnknown',
      status.UNKNOWN,
      'outcome unknown: the write may have been applied; read before retrying',
    ],
    ['shuttingDown', status.UNAVAILABLE, 'request aborted'],
    ['tableNotFound', status.NOT_FOUND, 'table not found'],
    [
      'diskFull',
      status.UNAVAILABLE,
      'the disk of the node is full, or nearly: writes are refused until there is room',
    ],
  ] as const)('%s', async (name, code, details) => {
    scripted.node.act = () => Promise.reject(errors[name]());
    const options = { timeoutMs: Number.POSITIVE_INFINITY };
    expect(await rpc.failure(put, { table, key }, options)).toEqual({ code, details });
    expect(await rpc.failure(range, { table, key, linearizable: true }, options)).toEqual({ code, details });
    // Clients judge by the code: P1 must not hang on a sentence.
    const error: unknown = await rpc.call(put, { table, key }, options).catch((cause: unknown) => cause);
    expect((error as ServiceError).metadata.get('coxswain-error')).toEqual([name]);
  });

  test('UNKNOWN is declared for an unknown outcome, and for nothing else (P1)', () => {
    const declared = Object.entries({ ...errors, ...transportErrors }).map(([code, make]) => {
      const error = (make as (...args: unknown[]) => ApiError)(1, 2, 3);
      expect(error.code).toBe(code);
      return error;
    });
    const unknown = declared.filter(({ status: one }) => one === Status.Unknown);
    expect(unknown.map(({ code }) => code)).toEqual(['outcomeUnknown']);
  });

  test('an error that is thrown instead of given is the same to the caller', async () => {
    scripted.node.act = () => {
      throw errors.notReady();
    };
    expect((await rpc.failure(range, { table, key })).code).toBe(status.UNAVAILABLE);
  });

  test('any other error is INTERNAL, says nothing of its cause, and is logged', async () => {
    scripted.node.act = () => Promise.reject(new Error('secret detail'));
    const failure = await rpc.failure(put, { table, key });
    expect(failure).toEqual({
      code: status.INTERNAL,
      details: 'internal error: the log of the node says more',
    });
    expect(logged.some((line) => line.includes('secret detail') && line.startsWith('error'))).toBe(true);
  });
});

describe('deadlines', () => {
  test('a call without one has 5 s', async () => {
    const given = new GivenTime(errors.timeout());
    const options = { timeoutMs: Number.POSITIVE_INFINITY };
    expect(await rpc.failure(range, { table, key }, options)).toEqual({
      code: status.UNAVAILABLE,
      details: 'timeout',
    });
    given.expectToBe(5_000);
  });

  test('the caller’s own ends the call, also when the handler does not (the client is told by the server)', async () => {
    scripted.node.act = () => new Promise(() => undefined);
    const failure = await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest)], { 'grpc-timeout': '20m' });
    expect(failure).toMatchObject({ status: '4', message: 'deadline exceeded' });
  });

  test('what a handler says a little after the deadline that it was given still comes in time', async () => {
    scripted.node.act = ({ deadlineMs }) =>
      new Promise((_, reject) => {
        // The node looks at its deadlines once a tick.
        setTimeout(
          () => reject(errors.noLeader('t', '1 of 3 members answer')),
          deadlineMs - performance.now() + 10,
        );
      });
    const failure = await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest)], { 'grpc-timeout': '1S' });
    expect(failure).toMatchObject({
      status: '14',
      message: 'table t has no leader: 1 of 3 members answer',
      errorCode: 'noLeader',
    });
  });

  test('the caller’s own is kept, and passing it is DEADLINE_EXCEEDED', async () => {
    const given = new GivenTime(errors.timeout());
    const failure = await rpc.failure(range, { table, key }, { timeoutMs: 60_000 });
    expect(failure.code).toBe(status.DEADLINE_EXCEEDED);
    // The caller sends how much of it is left, and asks grpc-js for it by the wall clock, which counts whole milliseconds.
    expect(given.mostMs).toBeGreaterThan(0);
    expect(given.leastMs).toBeLessThanOrEqual(60_001);
  });
});

describe('a client whose deadlines pass while the process stands still', () => {
  test('keeps its connection: cancelled calls are charged to it only where they were cancelled early', async () => {
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'answered'));
    const { port } = scripted.listener.address;
    const socket = connect(port!, '127.0.0.1');
    const frames: { type: number; streamId: number }[] = [];
    const reader = new FrameReader((type, _flags, streamId) => frames.push({ type, streamId }));
    socket.on('data', (chunk) => reader.push(chunk));
    let isClosed = false;
    socket.on('close', () => {
      isClosed = true;
    });
    const whileOpen = (isDone: boolean): boolean => {
      if (!isDone && isClosed) throw new Error('the connection was closed');
      return isDone;
    };
    const headersOf = (streamId: number): Buffer =>
      encodeFrame(
        FrameType.headers,
        FrameFlag.endHeaders,
        streamId,
        encodeHeaders([
          [':method', 'POST'],
          [':scheme', 'http'],
          [':path', '/regatta.v1.KV/Put'],
          ['content-type', 'application/grpc'],
          ['grpc-timeout', '250m'],
        ]),
      );
    socket.write(Buffer.concat([CLIENT_PREFACE, encodeSettings([])]));
    await until('the server speaks', () => whileOpen(frames.length > 0));
    // More than a client may cancel at once, each with its cancellation: all of it waits in the system's buffers.
    const ids = Array.from({ length: 1_500 }, (_, index) => 2 * index + 1);
    const cancel = Buffer.from([0, 0, 0, ErrorCode.cancel]);
    socket.write(
      Buffer.concat(ids.flatMap((id) => [headersOf(id), encodeFrame(FrameType.resetStream, 0, id, cancel)])),
    );
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    const last = 2 * ids.length + 1;
    socket.write(
      Buffer.concat([
        headersOf(last),
        encodeFrame(FrameType.data, FrameFlag.endStream, last, frameOf(putRequest)),
      ]),
    );
    await until('the last call is answered', () =>
      whileOpen(frames.some(({ type, streamId }) => type === FrameType.headers && streamId === last)),
    );
    socket.destroy();
  });
});

describe('bad input leaves the connection alive', () => {
  const answered = new ApiError(Status.NotFound, 'answered');

  beforeEach(() => {
    scripted.node.act = () => Promise.reject(answered);
  });

  test.each([
    ['a length past the end', Buffer.from([0x0a, 0x7f])],
    ['a field of the wrong wire type', Buffer.from([0x08, 0x01])],
    ['an unfinished varint', Buffer.from([0x20, 0xff])],
    ['field number 0', Buffer.from([0x02, 0x00])],
  ])(
    '%s is INTERNAL or INVALID_ARGUMENT, and the next call on the connection is served',
    async (_name, bytes) => {
      const outcome = await rpc.send(range, bytes).then(
        () => 0,
        (error: { code: number }) => error.code,
      );
      expect([status.INTERNAL, status.INVALID_ARGUMENT]).toContain(outcome);
      expect(await rpc.failure(range, { table, key })).toEqual({
        code: status.NOT_FOUND,
        details: 'answered',
      });
    },
  );

  test('a message over 4 MiB is RESOURCE_EXHAUSTED, one just below is taken', async () => {
    const failure = await rpc.failure(put, { table, key, value: Buffer.alloc(4 * 1024 * 1024) });
    expect(failure.code).toBe(status.RESOURCE_EXHAUSTED);
    const taken = await rpc.failure(put, { table, key, value: Buffer.alloc(4 * 1024 * 1024 - 1024) });
    expect(taken).toEqual({ code: status.NOT_FOUND, details: 'answered' });
  });

  test('an unknown method is UNIMPLEMENTED', async () => {
    const unknown = { ...range, path: '/regatta.v1.KV/Watch' };
    expect((await rpc.failure(unknown, { table, key })).code).toBe(status.UNIMPLEMENTED);
  });

  test('bytes that are no HTTP/2 do not disturb others', async () => {
    const { port } = scripted.listener.address;
    await new Promise<void>((resolve) => {
      const socket = connect(port!, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.on('data', () => socket.destroy());
    });
    expect((await rpc.failure(range, { table, key })).details).toBe('answered');
  });
});

describe('the gRPC protocol over HTTP/2', () => {
  beforeEach(() => {
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'answered: 100 % “so”'));
  });

  test('the text of an error may be any', async () => {
    expect((await rpc.failure(put, { table, key })).details).toBe('answered: 100 % “so”');
  });

  test.each([
    ['gzip', zlib.gzipSync],
    ['deflate', zlib.deflateSync],
    ['snappy', (bytes: Buffer) => Buffer.concat([STREAM_IDENTIFIER, compressToFrames(bytes)])],
  ])('requests may be compressed with %s, up to the same size', async (encoding, compress) => {
    const headers = { 'grpc-encoding': encoding };
    const small = frameOf(compress(putRequest), 1);
    expect(await rawCall('/regatta.v1.KV/Put', [small], headers)).toMatchObject({ status: '5' });
    const bomb = frameOf(compress(Buffer.alloc(5 * 1024 * 1024)), 1);
    expect(await rawCall('/regatta.v1.KV/Put', [bomb], headers)).toMatchObject({ status: '8' });
    const garbage = frameOf(Buffer.from('nonsense'), 1);
    expect(await rawCall('/regatta.v1.KV/Put', [garbage], headers)).toMatchObject({ status: '13' });
  });

  test('another compression is UNIMPLEMENTED, and the answer says what is known', async () => {
    const answer = await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest, 1)], { 'grpc-encoding': 'br' });
    const { acceptedEncodings } = new MessageDecompressor(0);
    expect(answer).toMatchObject({ status: '12', acceptEncoding: acceptedEncodings });
  });

  test('a request in zstd, as Armada’s clients send it, is taken where Node has zstd', async () => {
    // A frame of one raw block, with a window of 8 MiB: no compressor is needed to make it.
    const block = Buffer.alloc(3);
    block.writeUIntLE((putRequest.length << 3) | 1, 0, 3);
    const frame = Buffer.concat([Buffer.from('28b52ffd0068', 'hex'), block, putRequest]);
    const answer = await rawCall('/regatta.v1.KV/Put', [frameOf(frame, 1)], { 'grpc-encoding': 'zstd' });
    const isKnown = 'zstdDecompress' in zlib;
    expect(answer.status).toBe(isKnown ? '5' : '12');
    if (!isKnown) expect(answer.acceptEncoding).toBe('identity,deflate,gzip,snappy');
  });

  test.each<[string, Buffer[], string]>([
    ['no message', [], '12'],
    ['two messages', [frameOf(putRequestOf()), frameOf(putRequestOf())], '12'],
    ['half a message', [frameOf(putRequestOf()).subarray(0, 8)], '13'],
  ])('a unary request with %s is refused', async (_name, frames, code) => {
    expect(await rawCall('/regatta.v1.KV/Put', frames)).toMatchObject({ status: code });
  });

  test('a message may come in any pieces', async () => {
    const pieces = [...frameOf(putRequest)].map((byte) => Buffer.from([byte]));
    expect(await rawCall('/regatta.v1.KV/Put', pieces)).toMatchObject({ status: '5' });
  });

  test.each([
    ['another type', { 'content-type': 'text/plain' }, 415],
    ['grpc-web', { 'content-type': 'application/grpc-web' }, 415],
    ['another method', { ':method': 'GET' }, 405],
  ])('what is no gRPC is told so in HTTP: %s', async (_name, headers, httpStatus) => {
    expect((await rawCall('/regatta.v1.KV/Put', [], headers)).httpStatus).toBe(httpStatus);
  });

  test.each(['application/grpc+proto', 'application/grpc;charset=utf-8'])(
    '%s is gRPC',
    async (contentType) => {
      const answer = await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest)], {
        'content-type': contentType,
      });
      expect(answer.status).toBe('5');
    },
  );

  test.each<[string, number, Record<string, string>]>([
    ['compressed, but nothing says how', 1, {}],
    ['compressed with nothing', 1, { 'grpc-encoding': 'identity' }],
    ['marked with a flag that there is not', 2, { 'grpc-encoding': 'gzip' }],
  ])('a message that is %s is INTERNAL', async (_name, flag, headers) => {
    expect(await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest, flag)], headers)).toMatchObject({
      status: '13',
    });
  });

  test('the text of an error stays short, whatever the client sent', async () => {
    const answer = await rawCall(`/${'é'.repeat(20_000)}`, []);
    expect(answer.status).toBe('12');
    expect(answer.message!.length).toBeLessThan(10_000);
  });

  test('an error whose text is no Unicode reaches the caller too', async () => {
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'half \ud83d of one'));
    expect((await rpc.failure(put, { table, key })).details).toBe('half \ufffd of one');
  });

  test.each<[string, number]>([
    // Handlers give up a tenth before the caller does, and at most 250 ms.
    ['99999999H', 99_999_999 * 3_600_000 - 250],
    ['1M', 59_750],
    ['5000000u', 4_750],
    ['99999999n', 89.9999991],
  ])('grpc-timeout %s', async (timeout, expectedMs) => {
    const given = new GivenTime(new ApiError(Status.NotFound, 'answered'));
    await rawCall('/regatta.v1.KV/Put', [frameOf(putRequest)], { 'grpc-timeout': timeout });
    given.expectToBe(expectedMs);
  });

  test.each(['-1S', '1e3S', 'InfinityS', '100000000S', 'S', '1x', '', '1 S', '1S, 2S', '0x1S'])(
    'grpc-timeout %p is INVALID_ARGUMENT, for every kind of call, and nothing is done',
    async (timeout) => {
      let calls = 0;
      scripted.node.act = () => {
        calls++;
        return Promise.reject(new ApiError(Status.NotFound, 'answered'));
      };
      const headers = { 'grpc-timeout': timeout };
      for (const path of ['/regatta.v1.KV/Put', '/regatta.v1.KV/IterateRange']) {
        expect(await rawCall(path, [frameOf(putRequest)], headers)).toMatchObject({
          httpStatus: 200,
          status: '3',
          errorCode: 'timeoutMalformed',
        });
      }
      expect(calls).toBe(0);
    },
  );
});

/** How long the listener lets a call take, judged by what lies between making the call and its handler: on any machine. */
class GivenTime {
  readonly #madeMs = performance.now();
  /** At least and at most so much was given. */
  leastMs = Number.NaN;
  mostMs = Number.NaN;

  constructor(answer: Error) {
    scripted.node.act = ({ deadlineMs }) => {
      this.leastMs = deadlineMs - performance.now();
      this.mostMs = deadlineMs - this.#madeMs;
      return Promise.reject(answer);
    };
  }

  expectToBe(expectedMs: number): void {
    expect(this.leastMs).toBeLessThanOrEqual(expectedMs);
    expect(this.mostMs).toBeGreaterThanOrEqual(expectedMs);
  }
}

const putRequest = putRequestOf();

function putRequestOf(): Buffer {
  return put.requestSerialize(regatta.PutRequest.fromPartial({ table, key }));
}

function frameOf(message: Buffer, compressedFlag = 0): Buffer {
  const prefix = Buffer.from([compressedFlag, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A call as bytes, over Node's own HTTP/2. */
async function rawCall(path: string, frames: readonly Buffer[], headers: Record<string, string> = {}) {
  const session = connectHttp2(`http://${scripted.target}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    ...headers,
  });
  const fields: IncomingHttpHeaders = {};
  stream.on('response', (received) => Object.assign(fields, received));
  stream.on('trailers', (received) => Object.assign(fields, received));
  stream.on('error', () => undefined);
  stream.resume();
  for (const frame of frames) stream.write(frame);
  stream.end();
  await new Promise((resolve) => stream.once('close', resolve));
  session.close();
  return {
    httpStatus: fields[':status'],
    status: fields['grpc-status'],
    message: fields['grpc-message'],
    acceptEncoding: fields['grpc-accept-encoding'],
    errorCode: fields['coxswain-error'],
  };
}

describe('metrics that dashboards of Regatta read (docs/protocol.md §5)', () => {
  const path = '/regatta.v1.KV/Put';
  const metrics = () => scripted.metrics.method(path, 'unary');
  const handled = () =>
    Object.fromEntries([...metrics().handled].map((count, code) => [code, count]).filter(([, n]) => n));

  test('each call is counted once as begun and once as ended, however it ends', async () => {
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'answered'));
    await rawCall(path, [frameOf(putRequest)]);
    await rawCall(path, []);
    await rawCall(path, [frameOf(putRequest, 1)]);
    await rawCall(path, [frameOf(Buffer.alloc(4 * 1024 * 1024 + 1))]);
    scripted.node.act = () => new Promise(() => undefined);
    await rawCall(path, [frameOf(putRequest)], { 'grpc-timeout': '1m' });
    expect(handled()).toEqual({ 4: 1, 5: 1, 8: 1, 12: 1, 13: 1 });
    const cancelled = rpc.failure(put, { table, key });
    await until('four messages have come', () => metrics().messagesReceived >= 4);
    rpc.close();
    const stranger = connectHttp2(`http://${scripted.target}`);
    stranger
      .request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' })
      .on('error', () => undefined);
    await until('seven calls have begun', () => metrics().started >= 7);
    stranger.destroy();
    await scripted.close();
    await cancelled;
    expect(handled()).toEqual({ 1: 2, 4: 1, 5: 1, 8: 1, 12: 1, 13: 1 });
    expect(metrics().messagesReceived).toBe(4);
  });
});

describe('metrics of what calls hold', () => {
  const metricOf = (name: string): number =>
    [...describeHeldMemory(scripted.memory).find((metric) => metric.name === name)!.values][0]!.value;

  test('a call counts until it is answered', async () => {
    let answer: (() => void) | undefined;
    scripted.node.act = () =>
      new Promise((_resolve, reject) => {
        answer = () => reject(new ApiError(Status.NotFound, 'answered'));
      });
    const call = rpc.failure(put, { table, key, value: Buffer.alloc(100_000) });
    const answerNow = await until('the call has reached the node', () => answer);
    expect(metricOf('coxswain_calls_held_bytes')).toBeGreaterThan(100_000);
    answerNow();
    expect((await call).code).toBe(status.NOT_FOUND);
    expect(metricOf('coxswain_calls_held_bytes')).toBe(0);
    for (const name of ['unsent_bytes', 'waiting', 'given_up_total']) {
      expect(metricOf(`coxswain_calls_${name}`)).toBe(0);
    }
  });
});

describe('listening', () => {
  test('on a Unix socket, also where a process that is gone left its file', async () => {
    const directory = new TemporaryDirectory();
    const path = join(directory.path, 'api.sock');
    for (let i = 0; i < 2; i++) {
      const onSocket = await ScriptedListener.start({ address: { isTls: false, path } });
      onSocket.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'over a socket'));
      const client = new Rpc(onSocket.target);
      expect((await client.failure(range, { table, key })).details).toBe('over a socket');
      client.close();
      await onSocket.close();
    }
    directory.remove();
  });

  test('no more connections than allowed are let in', async () => {
    const limited = await ScriptedListener.start({ connectionsMax: 1 });
    limited.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'answered'));
    const first = new Rpc(limited.target);
    expect((await first.failure(range, { table, key })).details).toBe('answered');
    const second = new Rpc(limited.target);
    const refused = await second.failure(range, { table, key }, { timeoutMs: 500 });
    expect([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]).toContain(refused.code);
    first.close();
    second.close();
    await limited.close();
  });

  test('closing lets calls under way end, and takes no new ones', async () => {
    let finish: (() => void) | undefined;
    const begun = new Promise<void>((resolveBegun) => {
      scripted.node.act = () => {
        resolveBegun();
        return new Promise((_resolve, reject) => {
          finish = () => reject(new ApiError(Status.NotFound, 'finished'));
        });
      };
    });
    const underWay = rpc.failure(put, { table, key });
    await begun;
    const closed = scripted.listener.close(10_000);
    const late = new Rpc(scripted.target);
    expect((await late.failure(put, { table, key })).code).toBe(status.UNAVAILABLE);
    late.close();
    finish!();
    expect((await underWay).details).toBe('finished');
    await closed;
  });
});

describe('health (docs/operations-protocols.md §2)', () => {
  const check = {
    path: '/grpc.health.v1.Health/Check',
    responseDeserialize: (bytes: Buffer) => [...bytes],
  };
  const serviceNamed = (name: string): Buffer =>
    Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);
  const serving = [0x08, 1];
  const notServing = [0x08, 2];

  test('SERVING when ready; else NOT_SERVING with the reason in the trailing metadata', async () => {
    expect(await rpc.send(check, Buffer.alloc(0))).toEqual(serving);
    expect(await rpc.send(check, serviceNamed('regatta.v1.KV'))).toEqual(serving);
    scripted.node.isReady = false;
    let trailer: StatusObject | undefined;
    const answer = await rpc.send(check, Buffer.alloc(0), {}, (received) => {
      trailer = received;
    });
    expect(answer).toEqual(notServing);
    await turns(1);
    expect(trailer?.metadata.get('health-reason')).toEqual(['hasNoLeader=true, isDiskFull=false']);
  });

  test('UNKNOWN as long as the node has no cluster, of what needs one', async () => {
    scripted.node.isReady = false;
    scripted.node.conditions = { hasNoCluster: true };
    const unknown: number[] = [];
    expect(await rpc.send(check, Buffer.alloc(0))).toEqual(unknown);
    expect(await rpc.send(check, serviceNamed('regatta.v1.KV'))).toEqual(unknown);
    await expect(rpc.send(check, serviceNamed('moco'))).rejects.toMatchObject({ code: status.INTERNAL });
  });

  test('SERVING while the leader cluster is away, since local reads go on, but for the name moco', async () => {
    scripted.node.conditions = { hasIOThreadError: true, hasSQLThreadError: false, isUnderCloning: false };
    let trailer: StatusObject | undefined;
    const answer = await rpc.send(check, Buffer.alloc(0), {}, (received) => {
      trailer = received;
    });
    expect(answer).toEqual(serving);
    await turns(1);
    expect(trailer?.metadata.get('health-reason')).toEqual([
      'hasNoLeader=false, isDiskFull=false, hasIOThreadError=true, hasSQLThreadError=false, isUnderCloning=false',
    ]);
    await expect(rpc.send(check, serviceNamed('moco'))).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: 'hasIOThreadError=true, hasSQLThreadError=false, isUnderCloning=false',
    });
  });

  test("moco-agent's form: an error says why, INTERNAL where none of its reasons is the reason", async () => {
    expect(await rpc.send(check, serviceNamed('moco'))).toEqual(serving);
    scripted.node.isReady = false;
    await expect(rpc.send(check, serviceNamed('moco'))).rejects.toMatchObject({
      code: status.INTERNAL,
      details: 'hasNoLeader=true, isDiskFull=false',
    });
  });

  test('an unknown service is NOT_FOUND, and a draining node serves nothing', async () => {
    await expect(rpc.send(check, serviceNamed('nobody'))).rejects.toMatchObject({ code: status.NOT_FOUND });
    scripted.health.drain();
    expect(await rpc.send(check, serviceNamed('regatta.v1.KV'))).toEqual(notServing);
  });

  test('Watch tells the state now and every change', async () => {
    const watch = {
      ...check,
      path: '/grpc.health.v1.Health/Watch',
      requestStream: false,
      responseStream: true,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: () => ({}),
      responseSerialize: () => Buffer.alloc(0),
    };
    const stream = rpc.stream(watch, {});
    stream.on('error', () => undefined);
    const iterator = stream[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toEqual(serving);
    scripted.node.isReady = false;
    expect((await iterator.next()).value).toEqual(notServing);
    stream.cancel();
  });
});
