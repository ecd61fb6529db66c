import { connect } from 'node:net';
import { until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { HpackDecoder } from '../src/hpack-decoder.js';
import {
  ClientConnection,
  type ClientStream,
  ErrorCode,
  type Field,
  FrameFlag,
  FrameType,
  Setting,
} from '../src/index.js';
import { listen, type ScriptedServer } from './support/scripted-server.js';

const WINDOW_BYTES = 1_000;
const request: readonly Field[] = [
  [':method', 'POST'],
  [':path', '/'],
  ['x-name', 'value'],
];
const ok = [[':status', '200']] as const;

/** Takes an answer, and notes what comes. */
class Answer {
  readonly events: string[] = [];
  readonly fields: string[][] = [];
  body = '';
  onHeaders(fields: readonly string[], isLast: boolean): void {
    this.fields.push([...fields]);
    this.events.push(isLast ? 'last headers' : 'headers');
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.body += bytes.toString('latin1', start, end);
  }
  onEnd(): void {
    this.events.push('end');
  }
  onReset(errorCode: number, isUnprocessed: boolean): void {
    this.events.push(`${isUnprocessed ? 'refused' : 'reset'} ${errorCode}`);
  }
  onLost(cause: Error | undefined): void {
    this.events.push(`lost${cause === undefined ? '' : `: ${cause.message}`}`);
  }
}

function afterSettings(server: ScriptedServer): ScriptedServer {
  server.settings();
  return server;
}

describe('the client side of a connection', () => {
  let listener: Awaited<ReturnType<typeof listen>>;
  let server: ScriptedServer;
  let client: ClientConnection;
  let isReady: boolean;
  let closedBy: Error | undefined | 'open';

  beforeEach(async () => {
    listener = await listen();
    isReady = false;
    closedBy = 'open';
    const socket = connect(listener.port, '127.0.0.1');
    client = new ClientConnection(socket, {
      streamWindowBytes: WINDOW_BYTES,
      onReady: () => {
        isReady = true;
      },
      onChange: () => undefined,
      onClose: (cause) => {
        closedBy = cause;
      },
    });
    server = await listener.next();
  });

  afterEach(async () => {
    client.destroy();
    await until('the connection is closed', () => closedBy !== 'open');
    server.socket.destroy();
    listener.close();
  });

  async function open(settings: (readonly [number, number])[] = []) {
    server.settings(...settings);
    await until('the connection is ready', () => isReady);
    return ask();
  }

  function ask(): { answer: Answer; stream: ClientStream } {
    const answer = new Answer();
    return { answer, stream: client.open(request, [], answer) };
  }

  test('opens no stream before the server has spoken, and acknowledges its settings', async () => {
    expect(client.hasRoom).toBe(false);
    await open();
    await server.framesOf(FrameType.settings, 1, ({ flags }) => flags === FrameFlag.acknowledge);
  });

  test('closes the connection after a header block that is cut off: the table of later ones is unknown', async () => {
    const { answer } = await open();
    server.send(FrameType.headers, FrameFlag.endHeaders, 1, Buffer.from([0x88, 0, 1]));
    await until('the connection is closed', () => closedBy !== 'open');
    expect(answer.events).toEqual(['lost: HTTP/2: HPACK: truncated string']);
  });

  test('takes a whole answer in frames of any size', async () => {
    const { answer, stream } = await open();
    stream.endRequest();
    server.headers(1, [[':status', '103']]);
    server.send(FrameType.headers, 0, 1, Buffer.from([0x88]));
    server.send(FrameType.continuation, FrameFlag.endHeaders, 1, Buffer.from([0, 1, 0x61, 1, 0x62]));
    server.send(FrameType.data, FrameFlag.padded, 1, Buffer.from([2, 0x68, 0x69, 0, 0]));
    server.send(FrameType.data, 0, 1);
    server.headers(1, [['grpc-status', '0']], true);
    await until('the answer has ended', () => answer.events.includes('end'));
    expect(answer.fields).toEqual([
      [':status', '200', 'a', 'b'],
      ['grpc-status', '0'],
    ]);
    expect(answer.body).toBe('hi');
    expect(client.streamCount).toBe(0);
  });

  test('sends no more than the windows of stream and connection let through', async () => {
    const { stream } = await open([[Setting.initialWindowSize, 10]]);
    stream.send(Buffer.alloc(25, 'x'), true);
    expect(stream.isCongested).toBe(true);
    let isDrained = false;
    stream.whenDrained(() => {
      isDrained = true;
    });
    const sizes = async (count: number) =>
      (await server.framesOf(FrameType.data, count)).map(({ payload }) => payload.length);
    expect(await sizes(1)).toEqual([10]);
    server.words(FrameType.windowUpdate, 1, 5);
    expect(await sizes(2)).toEqual([10, 5]);
    // A smaller window for all makes that of an open stream negative (RFC 9113, 6.9.2).
    server.settings([Setting.initialWindowSize, 0]);
    server.words(FrameType.windowUpdate, 1, 10);
    server.words(FrameType.ping, 0, 1, 2);
    await server.framesOf(FrameType.ping);
    expect(await sizes(2)).toEqual([10, 5]);
    expect(isDrained).toBe(false);
    server.words(FrameType.windowUpdate, 1, 15);
    const [, , last] = await server.framesOf(FrameType.data, 3);
    expect([last!.payload.length, last!.flags]).toEqual([10, FrameFlag.endStream]);
    expect(isDrained).toBe(true);
  });

  test('gives a window back only for what is consumed, and ends a stream whose server sends beyond it', async () => {
    const { answer, stream } = await open();
    server.headers(1, ok);
    server.send(FrameType.data, 0, 1, Buffer.alloc(WINDOW_BYTES));
    await until('a window full has come', () => answer.body.length === WINDOW_BYTES);
    stream.consume(WINDOW_BYTES / 2);
    const updates = await server.framesOf(FrameType.windowUpdate, 1, ({ streamId }) => streamId === 1);
    expect(updates.map(({ payload }) => payload.readUInt32BE(0))).toEqual([WINDOW_BYTES / 2]);
    server.send(FrameType.data, 0, 1, Buffer.alloc(WINDOW_BYTES / 2 + 1));
    await until('the answer goes on', () => answer.events.length > 1);
    expect(answer.events).toEqual(['headers', `reset ${ErrorCode.flowControlError}`]);
    const [reset] = await server.framesOf(FrameType.resetStream);
    expect(reset!.payload.readUInt32BE(0)).toBe(ErrorCode.flowControlError);
  });

  test('says of streams above the last that GOAWAY names that they were not processed, and lets the others end', async () => {
    const first = await open();
    const second = ask();
    server.words(FrameType.goAway, 0, 1, ErrorCode.noError);
    await until('the second answer begins', () => second.answer.events.length > 0);
    expect(second.answer.events).toEqual([`refused ${ErrorCode.refusedStream}`]);
    expect([client.isLeaving, client.hasRoom]).toEqual([true, false]);
    server.headers(1, [...ok, ['grpc-status', '0']], true);
    await until('the server sees the end', () => server.isClosed);
    expect(first.answer.events).toEqual(['last headers', 'end']);
  });

  test('takes REFUSED_STREAM for a refusal only in place of an answer (P1)', async () => {
    const first = await open();
    const second = ask();
    server.words(FrameType.resetStream, 1, ErrorCode.refusedStream);
    server.headers(3, ok);
    server.words(FrameType.resetStream, 3, ErrorCode.refusedStream);
    await until('the second answer goes on', () => second.answer.events.length === 2);
    expect(first.answer.events).toEqual([`refused ${ErrorCode.refusedStream}`]);
    expect(second.answer.events).toEqual(['headers', `reset ${ErrorCode.refusedStream}`]);
  });

  test('keeps the limit of streams, and opens another one when one has ended', async () => {
    await open([[Setting.maxConcurrentStreams, 1]]);
    expect(client.hasRoom).toBe(false);
    server.headers(1, ok, true);
    await until('there is room for a call', () => client.hasRoom);
  });

  test('cancels what is left of a request that was answered', async () => {
    const { answer, stream } = await open();
    stream.send(Buffer.from('part'), false);
    server.headers(1, ok, true);
    await until('the answer has ended', () => answer.events.includes('end'));
    const [reset] = await server.framesOf(FrameType.resetStream);
    expect(reset!.payload.readUInt32BE(0)).toBe(ErrorCode.cancel);
  });

  test('goes on with what comes of streams that it has given up', async () => {
    const { answer, stream } = await open();
    stream.cancel(ErrorCode.cancel);
    server.headers(1, ok);
    server.send(FrameType.data, 0, 1, Buffer.from('late'));
    server.words(FrameType.resetStream, 1, ErrorCode.cancel);
    const second = ask();
    server.headers(3, ok, true);
    await until('the second answer has ended', () => second.answer.events.includes('end'));
    expect(answer.events).toEqual([]);
  });

  test('uses no table when the server wants none', async () => {
    await open([[Setting.headerTableSize, 0]]);
    ask();
    const blocks = await server.framesOf(FrameType.headers, 2);
    const decoder = new HpackDecoder(0);
    for (const { payload } of blocks) {
      const fields: Field[] = [];
      decoder.decode(payload, 0, payload.length, (name, value) => fields.push([name, value]));
      expect(fields).toEqual(request);
    }
  });

  test('loses its streams with the connection', async () => {
    const { answer } = await open();
    server.socket.destroy();
    await until('the connection is closed', () => closedBy !== 'open');
    expect(answer.events).toEqual(['lost']);
  });

  test.each<[string, (server: ScriptedServer) => void]>([
    ['another protocol', ({ socket }) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['a frame before SETTINGS', (each) => each.words(FrameType.ping, 0, 0, 0)],
    ['a stream that was never opened', (each) => afterSettings(each).headers(1, ok)],
    ['a push', (each) => afterSettings(each).words(FrameType.pushPromise, 1, 2)],
    [
      'a window of the connection that grows too large',
      (each) => afterSettings(each).words(FrameType.windowUpdate, 0, 2 ** 31 - 1),
    ],
    ['SETTINGS that are cut off', (each) => each.send(FrameType.settings, 0, 0, Buffer.alloc(5))],
  ])('closes the connection after %s', async (_, speak) => {
    speak(server);
    await until('the connection is closed', () => closedBy !== 'open');
    expect(closedBy).toMatchObject({ name: 'ConnectionError' });
    await until('the server sees the end', () => server.isClosed);
  });

  test('closes the connection after a header block without end', async () => {
    await open();
    server.send(FrameType.headers, 0, 1, Buffer.alloc(10));
    for (let each = 0; each < 5; each++) server.send(FrameType.continuation, 0, 1, Buffer.alloc(16_000));
    await until('the connection is closed', () => closedBy !== 'open');
    expect(closedBy).toMatchObject({ code: ErrorCode.enhanceYourCalm });
  });
});
