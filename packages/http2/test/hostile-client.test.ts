// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { equal, match, ok, throws } from 'node:assert/strict';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CLIENT_PREFACE,
  ConnectionError,
  encodeFrame,
  encodeHeaders,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameReader,
  FrameType,
  HeldMemory,
  HpackDecoder,
  ServerConnection,
} from '../src/index.js';

const answerBlock = encodeHeaders([[':status', '200']]);
const endBlock = encodeHeaders([['grpc-status', '0']]);
const requestBlock = encodeHeaders([
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a/b'],
]);

let server: Server;
let port: number;
/** Requests that were neither answered nor cancelled. */
let underWay = 0;

beforeAll(async () => {
  server = createServer((socket) => {
    new ServerConnection(socket, {
      streamsMax: 20,
      streamWindowBytes: 100_000,
      memory: new HeldMemory({ heldBytesMax: 1_000_000, answerBytesMax: 500_000 }),
      onRequest: (stream) => {
        underWay++;
        const parts: Buffer[] = [];
        return {
          onData: (bytes, start, end) => parts.push(Buffer.from(bytes.subarray(start, end))),
          onEnd: () => {
            underWay--;
            stream.sendHeaders(answerBlock);
            for (const part of parts) stream.sendData(part);
            stream.sendTrailers(endBlock);
          },
          onCancel: () => {
            if (!stream.isEndReceived) underWay--;
          },
        };
      },
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

/** Sends the bytes in pieces and leaves. Resolves when the server has closed its side too. */
function converse(bytes: Buffer, pieceBytes: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.resume();
    for (let at = 0; at < bytes.length; at += pieceBytes) socket.write(bytes.subarray(at, at + pieceBytes));
    socket.end();
  });
}

/** Another client's request is answered. */
function probe(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const reader = new FrameReader((type, flags, streamId) => {
      if (type !== FrameType.headers || streamId !== 1 || (flags & FrameFlag.endStream) === 0) return;
      socket.destroy();
      resolve(true);
    });
    socket.on('data', (chunk) => reader.push(chunk));
    socket.on('close', () => resolve(false));
    const flags = FrameFlag.endHeaders | FrameFlag.endStream;
    socket.write(CLIENT_PREFACE);
    socket.write(encodeSettings([]));
    socket.write(encodeFrame(FrameType.headers, flags, 1, requestBlock));
  });
}

const randomFrame = fc
  .tuple(
    fc.oneof(fc.integer({ min: 0, max: 10 }), fc.nat(255)),
    fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 0x2d), fc.nat(255)),
    fc.oneof(fc.nat(12), fc.nat(2 ** 31 - 1)),
    fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.constant(requestBlock)),
  )
  .map(([type, flags, streamId, payload]) => encodeFrame(type, flags, streamId, payload));

/** What a client that means well might send. */
const validFrame = (streamId: number) =>
  fc.oneof(
    fc.constantFrom(0, FrameFlag.endHeaders).map(() => encodeWindowUpdate(0, 1000)),
    fc.nat(200).map((size) => encodeSettings([[4, size * 1000]])),
    fc.uint8Array({ maxLength: 3000 }).map((payload) => encodeFrame(FrameType.data, 0, streamId, payload)),
    fc.constant(encodeFrame(FrameType.resetStream, 0, streamId, Buffer.alloc(4))),
    fc.constant(encodeFrame(FrameType.ping, 0, 0, Buffer.alloc(8))),
    fc.nat(3000).map((size) => encodeWindowUpdate(streamId, size + 1)),
    fc.constant(encodeFrame(FrameType.data, FrameFlag.endStream, streamId, Buffer.alloc(0))),
  );

const conversation = fc
  .array(
    fc
      .nat(10)
      .chain((n) =>
        fc.array(validFrame(2 * n + 1), { maxLength: 6 }).map((frames) => ({ streamId: 2 * n + 1, frames })),
      ),
    { maxLength: 10 },
  )
  .map((requests) => {
    const byId = new Map(requests.map(({ streamId, frames }) => [streamId, frames]));
    return Buffer.concat(
      [...byId]
        .sort(([a], [b]) => a - b)
        .flatMap(([streamId, frames]) => [
          encodeFrame(FrameType.headers, FrameFlag.endHeaders, streamId, requestBlock),
          ...frames,
        ]),
    );
  });

const opening = Buffer.concat([CLIENT_PREFACE, encodeSettings([])]);

describe('whatever a client sends, it ends, others are served, and no request is forgotten', () => {
  const check = async (bytes: Buffer, pieceBytes: number): Promise<void> => {
    await converse(bytes, pieceBytes);
    expect(await probe()).toBe(true);
    await until('no request is under way', () => underWay === 0);
  };

  test('any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.boolean(), async (bytes, hasOpening) => {
        await check(Buffer.concat([hasOpening ? opening : Buffer.alloc(0), bytes]), 1000);
      }),
      { numRuns: 100 },
    );
  });

  test('any frames', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(randomFrame, { maxLength: 30 }), async (frames) => {
        await check(Buffer.concat([opening, ...frames]), 10_000);
      }),
      { numRuns: 200 },
    );
  });

  test('valid conversations, cut into any pieces, of which some bytes were changed', async () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        conversation,
        changes,
        fc.integer({ min: 1, max: 2000 }),
        async (valid, changed, piece) => {
          const bytes = Buffer.concat([opening, valid]);
          for (const [at, value] of changed) bytes[at % bytes.length] = value;
          await check(bytes, Math.max(piece, bytes.length / 100));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('the readers refuse, and nothing else', () => {
  test('frames: any bytes in any pieces give frames or a ConnectionError', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 }), (chunks) => {
        let sizeBytes = 0;
        const reader = new FrameReader((_type, _flags, _streamId, bytes, start, end) => {
          ok(start <= end && end <= bytes.length);
          sizeBytes += end - start;
        });
        try {
          for (const chunk of chunks) reader.push(Buffer.from(chunk));
        } catch (error) {
          ok(error instanceof ConnectionError);
        }
        ok(sizeBytes <= chunks.reduce((sum, { length }) => sum + length, 0));
      }),
      { numRuns: 1000 },
    );
  });

  test('HPACK: any blocks give fields or an error of HPACK, and the table stays within its size', () => {
    const byte = fc.oneof(
      fc.nat(255),
      fc.constantFrom(0x40, 0xbe, 0xbf, 0x82, 0x20, 0x3f, 0x00, 0x7f, 0x81, 0xff),
    );
    fc.assert(
      fc.property(fc.array(fc.array(byte, { maxLength: 60 }), { maxLength: 10 }), (blocks) => {
        const decoder = new HpackDecoder(256);
        try {
          for (const block of blocks) {
            decoder.decode(Buffer.from(block), 0, block.length, (name, value) => {
              equal(typeof name + typeof value, 'stringstring');
            });
          }
        } catch (error) {
          match((error as Error).message, /^HPACK: /);
          return;
        }
        // An entry counts 32 bytes at least, so that of 256 bytes the ninth is never there.
        const ninth = Buffer.from([0x80 | (62 + 8)]);
        throws(() => decoder.decode(ninth, 0, 1, () => undefined), /no table entry 70/);
      }),
      { numRuns: 3000 },
    );
  });
});
