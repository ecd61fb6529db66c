import { describe, expect, test } from '@jest/globals';
import { encodeFrame, encodeSettings, FrameType, Setting } from '../src/frame.js';
import { FrameReader } from '../src/frame-reader.js';

describe('the frame reader', () => {
  test('gives the same frames wherever the stream is cut', () => {
    const stream = Buffer.concat([
      encodeSettings([[Setting.enablePush, 0]]),
      encodeFrame(FrameType.data, 1, 7, Buffer.from('some data')),
      encodeFrame(FrameType.data, 0, 9, Buffer.alloc(0)),
      encodeFrame(FrameType.ping, 0, 0, Buffer.from('12345678')),
    ]);
    const expected = ['4 0 0 000200000000', '0 1 7 736f6d652064617461', '0 0 9 ', '6 0 0 3132333435363738'];
    for (let pieceSizeBytes = 1; pieceSizeBytes <= stream.length; pieceSizeBytes++) {
      const frames: string[] = [];
      const reader = new FrameReader((type, flags, streamId, bytes, start, end) => {
        frames.push(`${type} ${flags} ${streamId} ${bytes.toString('hex', start, end)}`);
      });
      for (let position = 0; position < stream.length; position += pieceSizeBytes) {
        reader.push(stream.subarray(position, position + pieceSizeBytes));
      }
      expect(frames).toEqual(expected);
    }
  });

  test('refuses a frame that is longer than was agreed', () => {
    const reader = new FrameReader(() => undefined);
    expect(() => reader.push(Buffer.from('004001000000000001', 'hex'))).toThrow('a frame of 16385 bytes');
  });
});
