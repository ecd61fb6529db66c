import { createServer, type Server, type Socket } from 'node:net';
import {
  CLIENT_PREFACE,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameReader,
  FrameType,
  type FrameVisitor,
  INITIAL_WINDOW_SIZE_BYTES,
} from '@coxswain/http2';
import { until } from '@coxswain/testing';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GrpcConnection } from '../src/http2/grpc-connection.js';
import { GrpcRequest } from '../src/http2/grpc-request.js';
import { portOf } from '../src/system/port-of.js';

const request = new GrpcRequest({ path: '/a/b', authority: 'localhost', message: Buffer.alloc(1000) });
/** `:status` 200, an entry of the static table. */
const headersBlock = Buffer.from([0x88]);
const trailersBlock = Buffer.concat([
  Buffer.from([0, 11]),
  Buffer.from('grpc-status'),
  Buffer.from([1]),
  Buffer.from('0'),
]);
const emptyMessage = Buffer.alloc(5);

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** Connects to a server of which every frame is written by the test. */
async function connectTo(
  visit: (socket: Socket, ...frame: Parameters<FrameVisitor>) => void,
  onClosed?: (reason: string) => void,
): Promise<GrpcConnection> {
  const server: Server = createServer((socket) => {
    let prefaceSizeBytesLeft = CLIENT_PREFACE.length;
    const reader = new FrameReader((...frame) => visit(socket, ...frame));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      const skippedSizeBytes = Math.min(prefaceSizeBytesLeft, chunk.length);
      prefaceSizeBytesLeft -= skippedSizeBytes;
      reader.push(chunk.subarray(skippedSizeBytes));
    });
    socket.write(encodeSettings([]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const connection = await GrpcConnection.connect(`127.0.0.1:${portOf(server)}`, onClosed);
  open.push(server, connection);
  return connection;
}

function call(connection: GrpcConnection): Promise<string | undefined> {
  return new Promise((resolve) => connection.start(request, { onCallEnd: resolve }));
}

function answer(streamId: number): Buffer {
  return Buffer.concat([
    encodeFrame(FrameType.headers, FrameFlag.endHeaders, streamId, headersBlock),
    encodeFrame(FrameType.data, 0, streamId, emptyMessage),
    encodeFrame(FrameType.headers, FrameFlag.endHeaders | FrameFlag.endStream, streamId, trailersBlock),
  ]);
}

describe('the gRPC connection', () => {
  test('never sends more than the peer has made room for', async () => {
    let windowSizeBytes = INITIAL_WINDOW_SIZE_BYTES;
    let windowSizeBytesMin = windowSizeBytes;
    const unanswered: number[] = [];
    let socketOfClient: Socket | undefined;
    const connection = await connectTo((socket, type, _flags, streamId, _bytes, start, end) => {
      if (type !== FrameType.data) return;
      socketOfClient = socket;
      windowSizeBytes -= end - start;
      windowSizeBytesMin = Math.min(windowSizeBytesMin, windowSizeBytes);
      unanswered.push(streamId);
    });
    const calls = Promise.all(Array.from({ length: 300 }, () => call(connection)));
    for (let answered = 0; answered < 300; ) {
      // As long as anything comes, nothing is granted: all that the client dares to send is in the window.
      const before = answered;
      await until(
        'the window is used up, or every call has come',
        () => windowSizeBytes <= request.dataSizeBytes || before + unanswered.length === 300,
      );
      const streamIds = unanswered.splice(0);
      const grantSizeBytes = streamIds.length * request.dataSizeBytes;
      answered += streamIds.length;
      windowSizeBytes += grantSizeBytes;
      socketOfClient!.write(Buffer.concat([...streamIds.map(answer), encodeWindowUpdate(0, grantSizeBytes)]));
    }
    expect(await calls).toEqual(Array.from({ length: 300 }, () => undefined));
    expect(windowSizeBytesMin).toBeGreaterThanOrEqual(0);
  });

  test('understands padding, priority and header blocks in several frames', async () => {
    const padded = (bytes: Buffer) => Buffer.concat([Buffer.from([3]), bytes, Buffer.alloc(3)]);
    const prioritized = Buffer.concat([Buffer.alloc(5), headersBlock]);
    const connection = await connectTo((socket, type, _flags, streamId) => {
      if (type !== FrameType.data) return;
      socket.write(
        Buffer.concat([
          encodeFrame(
            FrameType.headers,
            FrameFlag.endHeaders | FrameFlag.padded | FrameFlag.priority,
            streamId,
            padded(prioritized),
          ),
          encodeFrame(FrameType.data, FrameFlag.padded, streamId, padded(emptyMessage)),
          encodeFrame(FrameType.headers, FrameFlag.endStream, streamId, trailersBlock.subarray(0, 4)),
          encodeFrame(FrameType.continuation, 0, streamId, trailersBlock.subarray(4, 6)),
          encodeFrame(FrameType.continuation, FrameFlag.endHeaders, streamId, trailersBlock.subarray(6)),
        ]),
      );
    });
    const pieces: string[] = [];
    const failure = await new Promise((resolve) => {
      connection.start(request, {
        onCallEnd: resolve,
        onData: (piece) => pieces.push(piece.toString('hex')),
      });
    });
    expect(failure).toBeUndefined();
    expect(pieces).toEqual([emptyMessage.toString('hex')]);
  });

  test('answers pings with what they hold', async () => {
    const answered = new Promise<string>((resolve) => {
      void connectTo((socket, type, flags, _streamId, bytes, start, end) => {
        if (type === FrameType.settings && (flags & FrameFlag.acknowledge) === 0) {
          socket.write(encodeFrame(FrameType.ping, 0, 0, Buffer.from('whatever')));
        }
        if (type === FrameType.ping && (flags & FrameFlag.acknowledge) !== 0) {
          resolve(bytes.toString('latin1', start, end));
        }
      });
    });
    expect(await answered).toBe('whatever');
  });

  test.each([
    [
      'a stream that is reset',
      (id: number) => encodeFrame(FrameType.resetStream, 0, id, Buffer.from([0, 0, 0, 7])),
      'RST_STREAM 7',
    ],
    [
      'an answer that ends without trailers',
      (id: number) =>
        Buffer.concat([
          encodeFrame(FrameType.headers, FrameFlag.endHeaders, id, headersBlock),
          encodeFrame(FrameType.data, FrameFlag.endStream, id, emptyMessage),
        ]),
      'no grpc-status',
    ],
    [
      'an answer that is not of a gRPC server',
      (id: number) =>
        encodeFrame(FrameType.headers, FrameFlag.endHeaders | FrameFlag.endStream, id, Buffer.from([0x8d])),
      'HTTP status 404',
    ],
    [
      'a peer that goes away',
      () => encodeFrame(FrameType.goAway, 0, 0, Buffer.from('0000000000000002', 'hex')),
      'GOAWAY 2',
    ],
    [
      'a header block that is broken',
      (id: number) => encodeFrame(FrameType.headers, 4, id, Buffer.from([0x80])),
      'HPACK',
    ],
  ])('fails the call by name at %s', async (_case, frames, failure) => {
    const connection = await connectTo((socket, type, _flags, streamId) => {
      if (type === FrameType.data) socket.write(frames(streamId));
    });
    expect(await call(connection)).toContain(failure);
  });

  test('fails all its calls when it is lost, says so once, and takes no more', async () => {
    const reasons: string[] = [];
    const connection = await connectTo(
      (socket, type) => {
        if (type === FrameType.data) socket.destroy();
      },
      (reason) => reasons.push(reason),
    );
    const failures = await Promise.all([call(connection), call(connection)]);
    for (const failure of failures) expect(failure).toContain('connection lost');
    expect(connection.isOpen).toBe(false);
    expect(reasons).toHaveLength(1);
    expect(() => connection.start(request, { onCallEnd: () => undefined })).toThrow('closed connection');
  });
});
