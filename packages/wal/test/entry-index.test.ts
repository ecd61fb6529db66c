// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { EntryIndex } from '../src/entry-index.js';
import { entrySizeBytes } from '../src/record.js';
import { Segment, type SegmentTable } from '../src/segment.js';
import type { WalFile } from '../src/types.js';

function segments(count: number): SegmentTable {
  const table: SegmentTable = new Map();
  for (let number = 1; number <= count; number++) table.set(number, new Segment(number, {} as WalFile));
  return table;
}

describe('the index of a group', () => {
  test('agrees with a list of objects, and keeps the accounts of the segments', () => {
    const change = fc.record({
      kind: fc.constantFrom('push', 'push', 'push', 'prefix', 'suffix', 'reset', 'place'),
      where: fc.double({ min: 0, max: 0.999, noNaN: true }),
      count: fc.integer({ min: 1, max: 700 }),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const table = segments(5);
        const index = new EntryIndex(table, 1);
        let first = 1;
        let entries: { term: number; bytes: number; segment: number; offset: number }[] = [];
        for (const [i, { kind, where, count }] of changes.entries()) {
          const at = Math.floor(where * (entries.length + 1));
          if (kind === 'push') {
            for (let n = 0; n < count; n++) {
              index.push(i, n);
              entries.push({ term: i, bytes: n, segment: 0, offset: 0 });
            }
          } else if (kind === 'prefix') {
            index.dropPrefix(first + at - 1);
            entries.splice(0, at);
            first += at;
          } else if (kind === 'suffix') {
            index.dropSuffix(first + at);
            entries.length = at;
          } else if (kind === 'reset') {
            first += count;
            index.reset(first);
            entries = [];
          } else if (at < entries.length) {
            const entry = { term: i + 1, bytes: count, segment: 1 + (count % 5), offset: 8 * count };
            index.place(first + at, entry.term, entry.bytes, entry.segment, entry.offset);
            entries[at] = entry;
          }
        }
        expect([index.firstIndex, index.lastIndex]).toEqual([first, first + entries.length - 1]);
        const found = entries.map((_, i) => ({
          term: index.termAt(first + i),
          bytes: index.dataBytesAt(first + i),
          segment: index.segmentAt(first + i),
          offset: index.offsetAt(first + i),
        }));
        deepEqual(found, entries);
        const sum = (of: typeof entries): number =>
          of.reduce((bytes, each) => bytes + entrySizeBytes(each.bytes), 0);
        expect(index.sizeBytes).toBe(sum(entries));
        for (const part of [0, 0.3, 0.7, 1]) {
          const at = Math.floor(part * entries.length);
          const bytes = sum(entries.slice(at));
          expect(index.sizeBytesFrom(first + at)).toBe(bytes);
          expect(index.firstIndexWithin(bytes)).toBe(first + at);
          if (at > 0) expect(index.firstIndexWithin(bytes + 1)).toBe(first + at);
          if (at < entries.length) expect(index.firstIndexWithin(bytes - 1)).toBe(first + at + 1);
        }
        for (const segment of table.values()) {
          expect(segment.liveBytes).toBe(sum(entries.filter((each) => each.segment === segment.number)));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('takes no more than 21 MB for a million entries, and little for a few', () => {
    const before = process.memoryUsage().arrayBuffers;
    const large = new EntryIndex(segments(1), 1);
    for (let i = 0; i < 1_000_000; i++) large.push(1, 100);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(21_000_000);
    const withLarge = process.memoryUsage().arrayBuffers;
    const small = Array.from({ length: 1000 }, () => new EntryIndex(segments(1), 1));
    for (const index of small) index.push(1, 100);
    expect(process.memoryUsage().arrayBuffers - withLarge).toBeLessThan(1_000_000);
    expect(large.lastIndex).toBe(1_000_000);
  });
});
