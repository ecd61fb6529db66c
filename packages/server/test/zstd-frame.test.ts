import * as zlib from 'node:zlib';
import { expect, test } from '@jest/globals';
import { zstdFrameBytes } from '../src/grpc/zstd-frame.js';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
/** RFC 8878, 3.1.1 and 3.1.2: each form that a header and a block may have. */
const frames: [string, Buffer][] = [
  ['a size of 1 byte, a raw block', hex('28b52ffd 20 03 190000 616263')],
  ['a window, no size', hex('28b52ffd 00 68 190000 616263')],
  ['a size of 2 bytes, and a checksum', hex('28b52ffd 64 0000 190000 616263 00000000')],
  ['a size of 4 bytes, an id of 1 byte', hex('28b52ffd a1 05 03000000 190000 616263')],
  [
    'a size of 8 bytes, a window, an id of 4 bytes',
    hex('28b52ffd c3 68 00000005 0300000000000000 190000 616263'),
  ],
  ['two blocks, one of a repeated byte', hex('28b52ffd 00 68 180000 616263 23 00 00 61')],
  ['skipped', hex('5f2a4d18 03000000 616263')],
];

test.each(frames)('the length of a frame: %s', (_, frame) => {
  expect(zstdFrameBytes(frame)).toBe(frame.length);
  expect(zstdFrameBytes(Buffer.concat([frame, hex('00ff')]))).toBe(frame.length);
  for (let end = 0; end < frame.length; end++) expect(zstdFrameBytes(frame.subarray(0, end))).toBeUndefined();
});

test('what is no frame has none', () => {
  expect(zstdFrameBytes(Buffer.from('nonsense, and more of it'))).toBeUndefined();
  expect(zstdFrameBytes(hex('1f8b0800000000000003'))).toBeUndefined();
});

const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Buffer, options?: object) => Buffer };

if (zstdCompressSync !== undefined) {
  test('of what Node makes, at every size and level', () => {
    for (const bytes of [0, 1, 255, 256, 70_000, 300_000]) {
      const content = Buffer.from(Array.from({ length: bytes }, (_, index) => (index * index) % 251));
      for (const level of [1, 3, 19]) {
        const params = { [(zlib.constants as Record<string, number>).ZSTD_c_compressionLevel!]: level };
        const frame = zstdCompressSync(content, { params });
        expect(zstdFrameBytes(Buffer.concat([frame, frame]))).toBe(frame.length);
        expect(zstdFrameBytes(frame.subarray(0, -1))).toBeUndefined();
      }
    }
  });
}
