import { oldGenerationGrowth } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { StreamTable } from '../src/stream-table.js';

describe('a table of streams', () => {
  test('gives what was added and not deleted, and all of it in the order of numbers', () => {
    // Some streams stay while thousands come and go, so that numbers far apart want the same slot.
    const step = fc.record({
      opens: fc.nat(40),
      stays: fc.boolean(),
      deletes: fc.array(fc.nat(), { maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new StreamTable<{ readonly id: number }>();
        const model = new Map<number, { readonly id: number }>();
        let id = 1;
        for (const { opens, stays, deletes } of steps) {
          for (let i = 0; i < opens; i++, id += 2) {
            const stream = { id };
            table.add(stream);
            model.set(id, stream);
          }
          if (!stays) id += 2 * 1024;
          for (const place of deletes) {
            const chosen = [...model.keys()][place % Math.max(1, model.size)] ?? id + 2;
            table.delete(chosen);
            model.delete(chosen);
            expect(table.get(chosen)).toBeUndefined();
          }
          expect(table.size).toBe(model.size);
          expect(table.values()).toEqual([...model.values()]);
          for (const [key, stream] of model) expect(table.get(key)).toBe(stream);
          expect(table.get(id)).toBeUndefined();
        }
      }),
      { numRuns: 40 },
    );
  });

  test('keeps nothing of streams that come and go', () => {
    const table = new StreamTable<{ readonly id: number; readonly fields: readonly number[] }>();
    const growth = oldGenerationGrowth(300_000, (step) => {
      table.add({ id: 2 * step + 1, fields: [1, 2, 3, 4, 5, 6, 7, step] });
      table.delete(2 * (step - 32) + 1);
    });
    expect(growth).toBeLessThan(10e6);
  });
});
