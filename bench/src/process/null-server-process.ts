import { createServer, type Socket } from 'node:net';
import {
  CLIENT_PREFACE,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameReader,
  FrameType,
  INITIAL_WINDOW_SIZE_BYTES,
  WINDOW_SIZE_BYTES_MAX,
} from '@coxswain/http2';
import { portOf } from '../system/port-of.js';
import type { Listening } from './listening.js';
import { serveRequests } from './worker-process.js';

const STATUS_200 = 0x80 | 8;
const literal = (name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);

const answer = [
  encodeFrame(
    FrameType.headers,
    FrameFlag.endHeaders,
    0,
    Buffer.concat([Buffer.from([STATUS_200]), literal('content-type', 'application/grpc')]),
  ),
  encodeFrame(FrameType.data, 0, 0, Buffer.alloc(5)),
  encodeFrame(FrameType.headers, FrameFlag.endHeaders | FrameFlag.endStream, 0, literal('grpc-status', '0')),
];
const answerImage = Buffer.concat(answer);
const streamIdOffsets = [5, answer[0]!.length + 5, answer[0]!.length + answer[1]!.length + 5];

/**
 * Answers every request with an empty message as soon as its stream ends, without looking into it. The rate that the
 * generator reaches against this server is its own ceiling.
 */
function serve(socket: Socket): void {
  let outgoing: Buffer[] = [];
  let prefaceSizeBytesLeft = CLIENT_PREFACE.length;
  let receivedSizeBytes = 0;
  const reader = new FrameReader((type, flags, streamId, _bytes, start, end) => {
    if (type === FrameType.data) receivedSizeBytes += end - start;
    if (type === FrameType.settings && (flags & FrameFlag.acknowledge) === 0) {
      outgoing.push(encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, Buffer.alloc(0)));
    } else if (type === FrameType.data && (flags & FrameFlag.endStream) !== 0) {
      const frames = Buffer.from(answerImage);
      for (const offset of streamIdOffsets) frames.writeUInt32BE(streamId, offset);
      outgoing.push(frames);
    }
  });
  socket.setNoDelay();
  socket.write(encodeSettings([]));
  socket.write(encodeWindowUpdate(0, WINDOW_SIZE_BYTES_MAX - INITIAL_WINDOW_SIZE_BYTES));
  socket.on('data', (chunk) => {
    const skippedSizeBytes = Math.min(prefaceSizeBytesLeft, chunk.length);
    prefaceSizeBytesLeft -= skippedSizeBytes;
    reader.push(chunk.subarray(skippedSizeBytes));
    if (receivedSizeBytes > WINDOW_SIZE_BYTES_MAX / 2) {
      outgoing.push(encodeWindowUpdate(0, receivedSizeBytes));
      receivedSizeBytes = 0;
    }
    if (outgoing.length === 0) return;
    socket.write(Buffer.concat(outgoing));
    outgoing = [];
  });
  // An error of the socket ends this connection and nothing else.
  socket.on('error', () => socket.destroy());
}

serveRequests<object, Listening>(
  () =>
    new Promise((resolve, reject) => {
      const server = createServer(serve);
      server.on('error', reject);
      server.listen(0, '127.0.0.1', () => resolve({ endpoint: `127.0.0.1:${portOf(server)}` }));
    }),
);
