import { createHash, randomBytes } from 'node:crypto';
import { uudecode } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  BLOCK_BYTES_DEFAULT,
  blockBytesMin,
  makeEncoder,
  type StreamEncoding,
} from '../../src/xtrabackup/stream-encoding.js';

const RUNS = 100;

/** Encodes a stream in pieces that end at these places. */
function encode(encoding: StreamEncoding, stream: Buffer, ends: readonly number[] = []): Buffer {
  const encoder = makeEncoder(encoding);
  const encoded: Buffer[] = [];
  let at = 0;
  for (const end of [...ends].sort((a, b) => a - b)) {
    encoded.push(encoder.push(stream.subarray(at, Math.max(at, end))));
    at = Math.max(at, Math.min(end, stream.length));
  }
  encoded.push(encoder.push(stream.subarray(at)), encoder.end());
  return Buffer.concat(encoded);
}

/** Returns the text and the content of each block of uuencode. */
function blocksOf(encoded: Buffer): { text: Buffer; content: Buffer }[] {
  const blocks: { text: Buffer; content: Buffer }[] = [];
  for (let at = 0; at < encoded.length; ) {
    const end = at + 4 + encoded.readUInt32BE(at);
    if (end > encoded.length) throw new Error('the last block is not whole');
    const text = encoded.subarray(at + 4, end);
    blocks.push({ text, content: uudecode(text) });
    at = end;
  }
  return blocks;
}

/** So long, of any bytes: to choose each of them would take most of the time. */
const streams = fc
  .tuple(fc.nat(2_000), fc.nat())
  .map(([length, seed]) => createHash('shake256', { outputLength: length }).update(`${seed}`).digest());
const ends = fc.array(fc.nat(2_000), { maxLength: 8 });

describe('uuencode', () => {
  const encoding = (blockBytes: number): StreamEncoding => ({ name: 'uuencode', blockBytes });

  test('is what Perl 5.36 packs, each block after its length', () => {
    const lines = (text: string): string =>
      encode(encoding(BLOCK_BYTES_DEFAULT), Buffer.from(text, 'latin1')).toString('latin1', 4);
    expect(lines('a')).toBe('!80``\n');
    expect(lines('ab')).toBe('"86(`\n');
    expect(lines('abc')).toBe('#86)C\n');
    expect(lines('\0\0\0\u00ff')).toBe('$````_P``\n');
    expect(lines('x'.repeat(46))).toBe(`M${">'AX".repeat(15)}\n!>\`\`\`\n`);
    expect(encode(encoding(BLOCK_BYTES_DEFAULT), Buffer.from('a')).subarray(0, 4)).toEqual(
      Buffer.from([0, 0, 0, 6]),
    );
    expect(encode(encoding(BLOCK_BYTES_DEFAULT), Buffer.alloc(0))).toHaveLength(0);
  });

  test('is the stream again, however it came, in blocks that the client takes', () => {
    fc.assert(
      fc.property(
        streams,
        ends,
        fc.integer({ min: blockBytesMin.uuencode, max: 2_100 }),
        (stream, cuts, blockBytes) => {
          const encoded = encode(encoding(blockBytes), stream, cuts);
          const blocks = blocksOf(encoded);
          expect(Buffer.concat(blocks.map(({ content }) => content)).equals(stream)).toBe(true);
          expect(blocks.filter(({ text }) => text.length > 1.38 * blockBytes)).toEqual([]);
          expect(blocks.filter(({ content }) => content.length === 0)).toEqual([]);
          // All but the last are alike, and none longer than was asked for.
          const lengths = new Set(blocks.slice(0, -1).map(({ content }) => content.length));
          expect(lengths.size).toBeLessThanOrEqual(1);
          for (const length of lengths) expect(length).toBeLessThanOrEqual(blockBytes);
          expect(encode(encoding(blockBytes), stream).equals(encoded)).toBe(true);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test.each([10_240, 45, 4_500, 65_536])('has blocks of just %i bytes', (blockBytes) => {
    const stream = randomBytes(2 * blockBytes + 1);
    const lengths = blocksOf(encode(encoding(blockBytes), stream)).map(({ content }) => content.length);
    expect(lengths).toEqual([blockBytes, blockBytes, 1]);
  });

  test('has shorter blocks where the client would refuse those, and where they would be held for long', () => {
    const firstBlock = (blockBytes: number): number => {
      const encoded = encode(encoding(blockBytes), Buffer.alloc(1024 * 1024));
      return uudecode(encoded.subarray(4, 4 + encoded.readUInt32BE())).length;
    };
    expect(firstBlock(1_000)).toBe(999);
    expect(firstBlock(5)).toBe(3);
    expect(firstBlock(16 * 1024 * 1024)).toBe(256 * 1024);
    expect(firstBlock(999_999_999_999)).toBe(256 * 1024);
  });

  test('gives each block as soon as it is whole', () => {
    const encoder = makeEncoder(encoding(90));
    expect(encoder.push(Buffer.alloc(89))).toHaveLength(0);
    expect(encoder.push(Buffer.alloc(1))).toHaveLength(4 + 2 * 62);
    expect(encoder.push(Buffer.alloc(181))).toHaveLength(2 * (4 + 2 * 62));
    expect(encoder.end()).toHaveLength(4 + 6);
    expect(encoder.end()).toHaveLength(0);
  });
});

describe('base64', () => {
  test('is the stream again, however it came, in lines of 76 of which only the last is shorter', () => {
    fc.assert(
      fc.property(
        streams,
        ends,
        fc.integer({ min: blockBytesMin.base64, max: 2_100 }),
        (stream, cuts, blockBytes) => {
          const text = encode({ name: 'base64', blockBytes }, stream, cuts).toString('latin1');
          expect(text).toMatch(/^(?:[A-Za-z0-9+/]{76}\n)*(?:[A-Za-z0-9+/]{0,75}={0,2}\n)?$/);
          // The client reads this many lines at a time, and decodes each piece by itself.
          const pieceLength = Math.floor(blockBytes / 57) * 77;
          const pieces: Buffer[] = [];
          for (let at = 0; at < text.length; at += pieceLength) {
            pieces.push(Buffer.from(text.slice(at, at + pieceLength), 'base64'));
          }
          expect(Buffer.concat(pieces).equals(stream)).toBe(true);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

test('octets are the stream', () => {
  fc.assert(
    fc.property(streams, ends, (stream, cuts) => {
      expect(encode({ name: 'octets', blockBytes: 2 }, stream, cuts).equals(stream)).toBe(true);
    }),
    { numRuns: Math.ceil(RUNS / 10) },
  );
});
