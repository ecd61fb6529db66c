import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
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
  type HeldMemoryOptions,
  ServerConnection,
  type ServerStream,
} from '../src/index.js';
import { RawClient, resetFrame, wholeRequest } from './support/raw-client.js';

const endBlock = encodeHeaders([['grpc-status', '0']]);
const PAGE_BYTES = 100_000;
const LARGEST_WINDOW_BYTES = 2 ** 31 - 1;
/** So small that a page that is not read is held whole, but for this. */
const WINDOW_BYTES = 1;

let server: Server;
let port: number;
let memory: HeldMemory | undefined;
let options: HeldMemoryOptions;
/** Pages that a stream is answered with. */
let pageCount: number;
let pageBytes: number;
/** No page is made before. */
let ready: Promise<void>;
let madeCount: number;
let cancelled: ServerStream[];
/** In the order in which they came. */
let streams: ServerStream[];
const clients: RawClient[] = [];
/** The server's side of each client's connection, in the order in which they came. */
let accepted: { readonly socket: Socket; readonly connection: ServerConnection }[];

/** Answers with pages, each made when there is room for it, as the handler of a large range does. */
async function answerWithPages(stream: ServerStream): Promise<void> {
  const count = pageCount;
  // It may outlive its test.
  const mine = server;
  await ready;
  for (let page = 0; page < count; page++) {
    const room = stream.reserve(pageBytes);
    if (room !== undefined && !(await room)) return;
    if (server === mine) madeCount++;
    stream.sendData(Buffer.alloc(pageBytes));
    await new Promise<void>((resolve) => stream.whenDrained(resolve));
  }
  stream.sendTrailers(endBlock);
}

beforeEach(async () => {
  memory = undefined;
  options = { heldBytesMax: 100_000_000, answerBytesMax: 32 * PAGE_BYTES, lookMs: 100 };
  pageCount = 1;
  pageBytes = PAGE_BYTES;
  ready = Promise.resolve();
  madeCount = 0;
  cancelled = [];
  streams = [];
  accepted = [];
  server = createServer((socket) => {
    memory ??= new HeldMemory(options);
    const onRequest = (stream: ServerStream) => {
      // A connection of an earlier test may end only now.
      const mine = cancelled;
      streams.push(stream);
      return {
        onData: () => undefined,
        onEnd: () => void answerWithPages(stream),
        onCancel: () => {
          mine.push(stream);
        },
      };
    };
    const connection = new ServerConnection(socket, {
      streamsMax: 0,
      streamWindowBytes: 100_000,
      memory,
      onRequest,
    });
    accepted.push({ socket, connection });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await new Promise((resolve) => server.close(resolve));
});

function connectRaw(streamWindowBytes = WINDOW_BYTES): RawClient {
  const client = new RawClient(port);
  clients.push(client);
  client.acknowledges = true;
  client.send(CLIENT_PREFACE, encodeSettings([[4, streamWindowBytes]]));
  return client.send(encodeWindowUpdate(0, LARGEST_WINDOW_BYTES - 65_535));
}

const requests = (count: number, firstId = 1): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => wholeRequest(firstId + 2 * index)));

function waitingCount(): number {
  return memory?.waitingCount ?? 0;
}

/** Reads whatever comes on a stream, until its end. */
async function readToEnd(client: RawClient, streamId: number): Promise<void> {
  let readBytes = 0;
  client.send(encodeWindowUpdate(streamId, 65_535));
  while (!client.ended(streamId)) {
    await client.until(() => client.ended(streamId) || client.dataBytes(streamId) > readBytes);
    const grownBytes = client.dataBytes(streamId) - readBytes;
    readBytes += grownBytes;
    if (grownBytes > 0) client.send(encodeWindowUpdate(streamId, grownBytes));
  }
}

describe('answers that nobody reads', () => {
  test('take no more than the node has room for, however many connections ask', async () => {
    options = { ...options, lookMs: 1_000_000 };
    for (let index = 0; index < 10; index++) connectRaw().send(requests(20));
    await until(
      'every call is made or waits',
      () => waitingCount() > 0 && waitingCount() + madeCount === 200,
    );
    expect(madeCount).toBe(4);
    expect(memory!.answerBytes).toBeLessThanOrEqual(4 * PAGE_BYTES);
  });

  test('leave room to connections that read, which need not wait for those of which nothing is known', async () => {
    options = { ...options, lookMs: 1_000_000 };
    const other = connectRaw(LARGEST_WINDOW_BYTES).send(wholeRequest(1));
    await other.until(() => other.ended(1));
    connectRaw().send(requests(20));
    await until('16 calls wait', () => waitingCount() === 16);
    other.send(wholeRequest(3));
    await other.until(() => other.ended(3));
    expect(other.dataBytes(3)).toBe(PAGE_BYTES);
    expect(waitingCount()).toBe(16);
  });

  test('are not made for a client that has acknowledged nothing, whatever its windows let through', async () => {
    options = { ...options, lookMs: 1_000_000 };
    const client = connectRaw(LARGEST_WINDOW_BYTES);
    client.acknowledges = false;
    client.send(requests(3));
    await until('3 calls wait', () => waitingCount() === 3);
    expect(madeCount).toBe(0);
    client.send(encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, Buffer.alloc(0)));
    await client.until(() => [1, 3, 5].every((streamId) => client.ended(streamId)));
  });

  test('are made no further than the system takes them where the client does not show that it reads', async () => {
    options = { ...options, lookMs: 1_000_000 };
    pageCount = 100;
    const client = connectRaw(LARGEST_WINDOW_BYTES);
    await client.until(() => client.frames.some(({ type }) => type === FrameType.settings));
    client.acknowledges = false;
    client.send(wholeRequest(1));
    await until('one call waits', () => waitingCount() === 1);
    // All that was made has left, and the client has it; that it was read only its acknowledgement says.
    expect([madeCount, memory!.answerBytes]).toEqual([1, 0]);
    await client.until(() => client.frames.some(({ type }) => type === FrameType.ping));
    client.acknowledges = true;
    const ping = client.frames.find(({ type }) => type === FrameType.ping)!;
    client.send(encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, Buffer.alloc(8)));
    client.send(encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, ping.payload));
    await client.until(() => client.ended(1));
    expect(client.dataBytes(1)).toBe(pageCount * PAGE_BYTES);
  });

  test('make a debtor of their connection, for which no more is made at a time than for all debtors', async () => {
    const clients = [connectRaw().send(requests(20)), connectRaw().send(requests(20))];
    await until('6 calls are given up', () => (memory?.givenUpCount ?? 0) >= 6);
    const heldBytes = memory!.answerBytes;
    expect(heldBytes).toBeLessThanOrEqual(2 * PAGE_BYTES);
    expect(clients.every(({ isClosed }) => !isClosed)).toBe(true);
  });

  test('cost nothing once the client has gone, which leaves the queue at once', async () => {
    options = { ...options, lookMs: 1_000_000 };
    const client = connectRaw().send(requests(50));
    await until('46 calls wait', () => waitingCount() === 46);
    client.close();
    await until('all calls are cancelled', () => cancelled.length === 50);
    expect([waitingCount(), memory!.answerBytes, memory!.heldBytes, madeCount]).toEqual([0, 0, 0, 4]);
  });

  test('a call that is cancelled while it waits is never answered', async () => {
    options = { ...options, lookMs: 1_000_000 };
    const client = connectRaw().send(requests(5));
    await until('one call waits', () => waitingCount() === 1);
    client.send(resetFrame(9));
    await until('no call waits', () => waitingCount() === 0);
    client.send(resetFrame(1));
    await until('both calls are cancelled', () => cancelled.length === 2);
    expect([madeCount, memory!.answerBytes]).toEqual([4, 3 * (PAGE_BYTES - WINDOW_BYTES)]);
  });

  test('are given up when others wait for what they hold; streams that are read are not', async () => {
    pageCount = 20;
    const client = connectRaw().send(requests(6));
    const read = [13, 15, 17].map((index) => 2 * index + 1);
    for (const streamId of read) client.send(wholeRequest(streamId));
    await Promise.all(read.map((streamId) => readToEnd(client, streamId)));
    for (const streamId of read) expect(client.dataBytes(streamId)).toBe(pageCount * PAGE_BYTES);
    // Those that were given up know it.
    expect(memory!.givenUpCount).toBeGreaterThan(0);
    expect(memory!.givenUpCount).toBeLessThanOrEqual(6);
    expect(await client.resetOf(1)).toBe(ErrorCode.enhanceYourCalm);
  });

  test('may wait for their reader as long as they like where nobody else waits', async () => {
    options = { ...options, lookMs: 5 };
    const client = connectRaw().send(requests(3));
    await until('3 answers are made', () => madeCount === 3);
    const other = connectRaw(LARGEST_WINDOW_BYTES);
    for (let index = 0; index < 50; index++) {
      other.send(wholeRequest(2 * index + 1));
      await other.until(() => other.ended(2 * index + 1));
    }
    expect(memory!.givenUpCount).toBe(0);
    client.send(...[1, 3, 5].map((streamId) => encodeWindowUpdate(streamId, PAGE_BYTES)));
    await client.until(() => [1, 3, 5].every((streamId) => client.ended(streamId)));
  });

  test('do not hold up a node that stops: who waits is sent away, who does not read is given up', async () => {
    const client = connectRaw().send(requests(5));
    await until('one call waits', () => waitingCount() === 1);
    memory!.leave();
    expect(waitingCount()).toBe(0);
    for (const streamId of [1, 3, 5, 7]) {
      expect(await client.resetOf(streamId)).toBe(ErrorCode.enhanceYourCalm);
    }
  });

  test('nor do they where the socket is what does not let through, or where only its end is left', async () => {
    const stopped = async (): Promise<RawClient> => {
      const client = connectRaw(LARGEST_WINDOW_BYTES);
      await client.until(() => client.frames.some(({ type }) => type === FrameType.settings));
      return client.stopReading();
    };
    (await stopped()).send(wholeRequest(1));
    await until('the call is given up', () => streams[0]?.isClosed === true);
    // More than the system takes.
    pageBytes = 20_000_000;
    (await stopped()).send(wholeRequest(1));
    await until('the second connection is full', () => accepted[1]?.socket.writableNeedDrain === true);
    const left = [...accepted];
    memory!.leave();
    for (const { connection } of left) connection.leave();
    await until('the connections that were left are closed', () =>
      left.every(({ socket }) => socket.destroyed),
    );
    expect(left.map(({ socket }) => socket.destroyed)).toEqual([true, true]);
  });

  test('on a node that stops, what is read goes on to its end', async () => {
    options = { ...options, lookMs: 1_000 };
    pageCount = 20;
    const client = connectRaw().send(wholeRequest(1));
    await until('one answer is made', () => madeCount === 1);
    memory!.leave();
    accepted[0]!.connection.leave();
    await readToEnd(client, 1);
    expect(client.dataBytes(1)).toBe(20 * PAGE_BYTES);
    await until('the first connection is closed', () => accepted[0]!.socket.destroyed);
  });

  test('on a node that stops, so does what waits for an acknowledgement of a client that has read before', async () => {
    options = { ...options, lookMs: 1_000_000 };
    const client = connectRaw(LARGEST_WINDOW_BYTES).send(wholeRequest(1));
    await client.until(() => client.ended(1));
    client.acknowledges = false;
    pageCount = 20;
    client.send(wholeRequest(3));
    await until('one call waits', () => waitingCount() === 1);
    memory!.leave();
    accepted[0]!.connection.leave();
    expect(waitingCount()).toBe(1);
    const isPing = ({ type, flags }: { type: number; flags: number }): boolean =>
      type === FrameType.ping && (flags & FrameFlag.acknowledge) === 0;
    await client.until(() => client.frames.findLast(isPing) !== undefined);
    client.acknowledges = true;
    const { payload } = client.frames.findLast(isPing)!;
    client.send(encodeFrame(FrameType.ping, FrameFlag.acknowledge, 0, payload));
    await client.until(() => client.ended(3));
    expect(client.dataBytes(3)).toBe(20 * PAGE_BYTES);
  });

  test('on a node that stops, what is not answered yet is awaited', async () => {
    let answer: (() => void) | undefined;
    ready = new Promise((resolve) => {
      answer = resolve;
    });
    const waiting = connectRaw().send(wholeRequest(1));
    await until('the call has arrived', () => streams.length === 1);
    connectRaw().stopReading();
    await until('both connections are accepted', () => accepted.length === 2);
    memory!.leave();
    for (const { connection } of accepted) connection.leave();
    // Longer than a connection lives that waits for nothing.
    await until('the second connection is closed', () => accepted[1]!.socket.destroyed);
    answer!();
    waiting.send(encodeWindowUpdate(1, PAGE_BYTES));
    await waiting.until(() => waiting.ended(1));
    expect(waiting.dataBytes(1)).toBe(PAGE_BYTES);
  });
});

describe('when memory is full', () => {
  test('the connection that holds most pays, also when another one passes the limit', async () => {
    options = { heldBytesMax: 500_000, answerBytesMax: 800 * PAGE_BYTES, lookMs: 1_000_000 };
    pageCount = 1;
    const greedy = connectRaw().send(requests(4));
    await until('4 answers are made', () => madeCount === 4);
    const modest = connectRaw().send(wholeRequest(1));
    await until('one call is given up', () => memory?.givenUpCount === 1);
    expect(await greedy.resetOf(7)).toBe(ErrorCode.enhanceYourCalm);
    modest.send(encodeWindowUpdate(1, PAGE_BYTES));
    await modest.until(() => modest.ended(1));
  });

  test('streams that are not read go before those that are', async () => {
    options = { heldBytesMax: 1_000_000, answerBytesMax: 800 * PAGE_BYTES, lookMs: 100 };
    pageCount = 30;
    const client = connectRaw().send(requests(8));
    await until(
      'every stream is found slow',
      () => streams.length === 8 && streams.every(({ slowLooks }) => slowLooks > 0),
    );
    client.send(wholeRequest(101), requests(20, 103));
    await readToEnd(client, 101);
    expect(client.dataBytes(101)).toBe(pageCount * PAGE_BYTES);
    expect(memory!.givenUpCount).toBeGreaterThan(0);
    expect(memory!.heldBytes).toBeLessThanOrEqual(1_000_000);
  });
});
