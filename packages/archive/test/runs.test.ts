import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Runs } from '../src/runs.js';

const run = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 8 }))
  .map(([first, more]) => ({ first, last: first + more }));

describe('runs', () => {
  test('are a set of indices, in whatever order they come', () => {
    fc.assert(
      fc.property(fc.array(run, { maxLength: 12 }), run, (added, asked) => {
        const runs = new Runs();
        const model = new Set<number>();
        for (const { first, last } of added) {
          runs.add({ first, last });
          for (let index = first; index <= last; index++) model.add(index);
        }
        const all = [...runs];
        const indices = all.flatMap(({ first, last }) => indicesOf(first, last));
        expect(indices).toEqual([...model].sort((a, b) => a - b));
        for (const [i, { first }] of all.entries())
          expect(first).toBeGreaterThan((all[i - 1]?.last ?? -1) + 1);
        const missing = runs.missing(asked).flatMap(({ first, last }) => indicesOf(first, last));
        expect(missing).toEqual(indicesOf(asked.first, asked.last).filter((index) => !model.has(index)));
        expect(runs.find(asked.first) !== undefined).toBe(model.has(asked.first));
        expect(runs.last).toBe(Math.max(0, ...model));
      }),
    );
  });
});

function indicesOf(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
