import * as zlib from 'node:zlib';
import { MessageTooLargeError } from '@coxswain/http2';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { describe, expect, test } from '@jest/globals';
import { MessageDecompressor } from '../src/grpc/message-decompressor.js';

const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer };
const hello = Buffer.from('hello hello hello hello hello');

const compressions: [string, (bytes: Buffer) => Buffer][] = [
  ['gzip', zlib.gzipSync],
  ['deflate', zlib.deflateSync],
  ['snappy', (bytes) => Buffer.concat([STREAM_IDENTIFIER, compressToFrames(bytes)])],
  ...(zstdCompressSync === undefined
    ? []
    : [['zstd', zstdCompressSync] as [string, (bytes: Buffer) => Buffer]]),
];
const SIZE_BYTES_MAX = 1024 * 1024;

const decompressor = new MessageDecompressor(SIZE_BYTES_MAX);
const decompress = async (encoding: string, bytes: Buffer) => decompressor.of(encoding)!(bytes);

test('zstd is accepted where Node has it', () => {
  const others = 'identity,deflate,gzip,snappy';
  expect(decompressor.acceptedEncodings).toBe(zstdCompressSync === undefined ? others : `${others},zstd`);
  expect(decompressor.of('zstd') === undefined).toBe(zstdCompressSync === undefined);
});

describe.each(compressions)('%s', (encoding, compress) => {
  test('up to the limit', async () => {
    expect(await decompress(encoding, compress(hello))).toEqual(hello);
    expect(await decompress(encoding, compress(Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
    expect(await decompress(encoding, compress(Buffer.alloc(SIZE_BYTES_MAX)))).toHaveLength(SIZE_BYTES_MAX);
    await expect(decompress(encoding, compress(Buffer.alloc(SIZE_BYTES_MAX + 1)))).rejects.toThrow(
      MessageTooLargeError,
    );
  });

  test('cut off anywhere, or damaged, it is an error and not a part of the message', async () => {
    const whole = compress(hello);
    for (let end = 1; end < whole.length; end++) {
      // What Snappy's framing begins with is a stream of its own, of nothing.
      if (encoding === 'snappy' && end === STREAM_IDENTIFIER.length) continue;
      await expect(decompress(encoding, whole.subarray(0, end))).rejects.toMatchObject({
        code: 'decompressionFailed',
      });
    }
    await expect(decompress(encoding, Buffer.from('nonsense'))).rejects.toMatchObject({
      code: 'decompressionFailed',
    });
  });

  test('many at a time, and errors among them, each get their own', async () => {
    const messages = Array.from({ length: 100 }, (_, index) => Buffer.from(`message ${index}`));
    const outcomes = await Promise.allSettled(
      messages.map((message, index) => decompress(encoding, index % 3 === 0 ? message : compress(message))),
    );
    outcomes.forEach((outcome, index) => {
      if (index % 3 === 0) expect(outcome.status).toBe('rejected');
      else expect(outcome).toEqual({ status: 'fulfilled', value: messages[index] });
    });
    expect(await decompress(encoding, compress(hello))).toEqual(hello);
  });
});

test('two parts, one after the other, are one message', async () => {
  for (const [encoding, compress] of compressions) {
    if (encoding === 'deflate') continue;
    const parts = Buffer.concat([compress(hello), compress(hello)]);
    expect(await decompress(encoding, parts)).toEqual(Buffer.concat([hello, hello]));
    const halves = Array.from({ length: 2 }, () => compress(Buffer.alloc(SIZE_BYTES_MAX / 2 + 1)));
    await expect(decompress(encoding, Buffer.concat(halves))).rejects.toThrow(MessageTooLargeError);
  }
});

/** As Go's encoders make it: a frame that declares a window of 8 MiB, and no size of its content. */
const zstdFrameOf = (windowDescriptor: number): Buffer =>
  Buffer.from(`28b52ffd00${windowDescriptor.toString(16)}190000616263`, 'hex');

if (zstdCompressSync !== undefined) {
  describe('zstd', () => {
    test('takes a window of 8 MiB, and none above', async () => {
      expect(await decompress('zstd', zstdFrameOf(0x68))).toEqual(Buffer.from('abc'));
      await expect(decompress('zstd', zstdFrameOf(0x70))).rejects.toThrow(
        'takes a window of more than 8388608 bytes',
      );
    });

    test('what follows the last frame is an error, and so are frames without end', async () => {
      const frame = zstdFrameOf(0x68);
      await expect(decompress('zstd', Buffer.concat([frame, Buffer.from('more')]))).rejects.toMatchObject({
        code: 'decompressionFailed',
      });
      const skippable = Buffer.from('502a4d1800000000', 'hex');
      expect(await decompress('zstd', Buffer.concat([skippable, frame]))).toEqual(Buffer.from('abc'));
      const many = Buffer.concat(Array.from({ length: 10_000 }, () => skippable));
      await expect(decompress('zstd', many)).rejects.toMatchObject({ code: 'decompressionFailed' });
    });
  });
}
