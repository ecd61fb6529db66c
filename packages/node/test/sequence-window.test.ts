import { oldGenerationGrowth } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SequenceWindow } from '../src/group/sequence-window.js';

describe('a window of sequences', () => {
  test('gives what was added and not deleted, in order, and which is the first', () => {
    const step = fc.record({ adds: fc.nat(60), deletes: fc.array(fc.nat(), { maxLength: 60 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const window = new SequenceWindow<{ readonly sequence: number }>();
        const model = new Map<number, { readonly sequence: number }>();
        for (const { adds, deletes } of steps) {
          for (let i = 0; i < adds; i++) {
            const item = { sequence: window.next };
            window.add(item);
            model.set(item.sequence, item);
          }
          for (const place of deletes) {
            // Now and then one that is gone, or was never there.
            const chosen = place % (window.next + 2);
            window.delete(chosen);
            model.delete(chosen);
            expect(window.get(chosen)).toBeUndefined();
          }
          expect(window.size).toBe(model.size);
          expect(window.values()).toEqual([...model.values()]);
          expect(window.first).toBe([...model.keys()][0] ?? window.next);
          for (const [sequence, item] of model) expect(window.get(sequence)).toBe(item);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('keeps nothing of items that come and go', () => {
    const window = new SequenceWindow<{ readonly sequence: number; readonly list: readonly number[] }>();
    const growth = oldGenerationGrowth(300_000, (step) => {
      window.add({ sequence: window.next, list: [1, 2, 3, 4, 5, 6, 7, step] });
      window.delete(window.next - 32);
    });
    expect(growth).toBeLessThan(10e6);
  });
});
