import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeFrame, FrameType } from '../src/frame.js';
import { OutgoingFrames } from '../src/outgoing-frames.js';

describe('outgoing frames', () => {
  test('are handed out in the order and with the bytes in which they came, whatever their sizes', () => {
    const size = fc.oneof(
      fc.nat(40),
      fc.integer({ min: 4_000, max: 4_200 }),
      fc.integer({ min: 0, max: 16_384 }),
    );
    fc.assert(
      fc.property(fc.array(fc.array(size, { maxLength: 30 }), { maxLength: 8 }), (flushes) => {
        const outgoing = new OutgoingFrames();
        const taken: { pieces: readonly Uint8Array[]; expected: Buffer }[] = [];
        let id = 0;
        for (const sizes of flushes) {
          const frames: Buffer[] = [];
          for (const length of sizes) {
            id += 1;
            const payload = Buffer.alloc(length, id);
            const frame = encodeFrame(FrameType.data, id & 1, id * 0x10001, payload);
            frames.push(frame);
            if (length % 3 === 0) outgoing.pushEncoded(frame);
            else outgoing.push(FrameType.data, id & 1, id * 0x10001, payload);
          }
          const expected = Buffer.concat(frames);
          expect(outgoing.sizeBytes).toBe(expected.length);
          taken.push({ pieces: outgoing.take(), expected });
          expect(outgoing.sizeBytes).toBe(0);
        }
        // What was handed out stays as it was, whatever came later.
        for (const { pieces, expected } of taken) expect(Buffer.concat(pieces).equals(expected)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('leave in few pieces, and a large payload is not copied', () => {
    const outgoing = new OutgoingFrames();
    const small = Buffer.alloc(100);
    for (let flush = 0; flush < 3; flush++) {
      for (let frame = 0; frame < 200; frame++) outgoing.push(FrameType.data, 0, 1, small);
      // At first the memory grows; then two chunks at most hold what one flush has.
      expect(outgoing.take().length).toBeLessThanOrEqual(flush === 0 ? 6 : 2);
    }
    const large = Buffer.alloc(16_384);
    outgoing.push(FrameType.data, 0, 1, large);
    const [, payload] = outgoing.take();
    expect(payload).toBe(large);
  });

  test('of a connection that says little take little memory, also after it said much', () => {
    const outgoing = new OutgoingFrames();
    outgoing.push(FrameType.data, 0, 1, Buffer.alloc(60));
    for (let frame = 0; frame < 500; frame++) outgoing.push(FrameType.data, 0, 1, Buffer.alloc(1_000));
    outgoing.take();
    let memory = 0;
    for (let flush = 0; flush < 2_000; flush++) {
      outgoing.push(FrameType.data, 0, 1, Buffer.alloc(60));
      memory = outgoing.take()[0]!.buffer.byteLength;
    }
    expect(memory).toBe(1024);
  });
});
