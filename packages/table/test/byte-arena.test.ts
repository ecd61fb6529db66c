import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ByteArena, NOWHERE } from '../src/byte-arena.js';

describe('an arena', () => {
  test('gives each piece back as it was, small, empty or large, whatever was added since', () => {
    const length = fc.oneof(
      { weight: 30, arbitrary: fc.integer({ min: 0, max: 700 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 100_000 }) },
    );
    fc.assert(
      fc.property(fc.array(length, { maxLength: 1000, size: 'max' }), (lengths) => {
        const arena = new ByteArena();
        const pieces = lengths.map((length, i) => {
          const bytes = Buffer.alloc(length, i);
          const place = arena.add(Buffer.from(bytes));
          return { place, bytes, seen: arena.at(place) };
        });
        for (const { place, bytes, seen } of pieces) {
          expect(place).not.toBe(NOWHERE);
          expect(seen.equals(bytes) && arena.at(place).equals(bytes)).toBe(true);
        }
        expect(arena.usedBytes).toBe(lengths.reduce((sum, length) => sum + length + 4, 0));
      }),
      { numRuns: 30 },
    );
  });

  test('keeps a small piece apart from the memory that it came in, which may be used again', () => {
    const arena = new ByteArena();
    const bytes = Buffer.from('as it was');
    const place = arena.add(bytes);
    bytes.fill(0);
    expect(arena.at(place).toString()).toBe('as it was');
  });

  test('of little takes little: a node has many tables', () => {
    const arena = new ByteArena();
    const place = arena.add(Buffer.from('little'));
    expect(arena.at(place).buffer.byteLength).toBeLessThanOrEqual(1024);
  });
});
