import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Compressor, Decompressor } from 'snappy';
import { compressToFrames, FrameDecompressor, STREAM_IDENTIFIER } from '../src/snappy-frames.js';

/** Text that compresses, noise that does not, and what lies between, around the size of a block. */
const content = fc
  .tuple(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 600 }))
  .map(([bytes, times]) => Buffer.concat(Array.from({ length: times }, () => Buffer.from(bytes))));

function decompress(stream: Buffer, pieceBytes: number): Buffer {
  const decompressor = new FrameDecompressor();
  const parts: Buffer[] = [];
  for (let at = 0; at < stream.length; at += pieceBytes) {
    parts.push(decompressor.update(stream.subarray(at, at + pieceBytes)));
  }
  decompressor.end();
  return Buffer.concat(parts);
}

const compress = (plain: Buffer) => Buffer.concat([STREAM_IDENTIFIER, compressToFrames(plain)]);

describe('framed snappy', () => {
  test('is read by the reference implementation', async () => {
    await fc.assert(
      fc.asyncProperty(content, async (plain) => {
        const reference = new Decompressor();
        const read = [reference.update(compress(plain)), await reference.finish()];
        expect(Buffer.concat(read).equals(plain)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('of the reference implementation is read, in pieces of any size', async () => {
    await fc.assert(
      fc.asyncProperty(content, fc.integer({ min: 1, max: 100_000 }), async (plain, pieceBytes) => {
        const reference = new Compressor();
        const stream = Buffer.concat([reference.update(plain), await reference.finish()]);
        expect(decompress(stream, pieceBytes).equals(plain)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('tries no further block of a piece whose first does not shrink', () => {
    const noise = randomBytes(65_536);
    const zeros = Buffer.alloc(65_536);
    expect(compressToFrames(Buffer.concat([noise, zeros]))).toHaveLength(2 * (65_536 + 8));
    expect(compressToFrames(Buffer.concat([zeros, noise])).length).toBeLessThan(65_536 + 8 + 4_000);
  });

  test('skips padding', () => {
    const padding = Buffer.from([0xfe, 3, 0, 0, 1, 2, 3]);
    const stream = Buffer.concat([STREAM_IDENTIFIER, padding, compressToFrames(Buffer.from('x'))]);
    expect(decompress(stream, 5).toString()).toBe('x');
  });

  test.each<[string, (stream: Buffer) => Buffer]>([
    ['a flipped bit', (stream) => Buffer.from(stream.map((byte, i) => (i === 20 ? byte ^ 1 : byte)))],
    ['a missing end', (stream) => stream.subarray(0, -1)],
    ['a missing beginning', (stream) => stream.subarray(STREAM_IDENTIFIER.length)],
    ['an unknown chunk', (stream) => Buffer.concat([stream, Buffer.from([0x02, 0, 0, 0])])],
    ['a chunk without a checksum', (stream) => Buffer.concat([stream, Buffer.from([0x01, 1, 0, 0, 9])])],
    // Five bytes that claim four gigabytes.
    [
      'a block that lies',
      (s) => Buffer.concat([s, Buffer.from([0, 9, 0, 0, 1, 2, 3, 4, 255, 255, 255, 255, 15])]),
    ],
  ])('with %s is refused', (_, damage) => {
    const stream = compress(Buffer.from('some text, some text, some text, some text'));
    expect(() => decompress(damage(stream), 1000)).toThrow();
  });
});
