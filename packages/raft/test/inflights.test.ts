import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Inflights } from '../src/inflights.js';

const operations = fc.array(
  fc.oneof(
    fc.record({ add: fc.nat(30) }),
    fc.record({ freeTo: fc.nat(40) }),
    fc.record({ clear: fc.constant(true) }),
  ),
  { maxLength: 200 },
);

describe('the window of appends in flight', () => {
  test('counts like a plain list, whatever is added, freed and cleared', () => {
    fc.assert(
      fc.property(
        operations,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 100 }),
        (steps, maxCount, maxBytes) => {
          const window = new Inflights(maxCount, maxBytes);
          let model: { index: number; bytes: number }[] = [];
          let index = 0;
          for (const step of steps) {
            if ('add' in step) {
              if (window.isFull) continue;
              index += 1;
              window.add(index, step.add);
              model.push({ index, bytes: step.add });
            } else if ('freeTo' in step) {
              // Acknowledgements come for what was sent, around the newest.
              const to = index - step.freeTo;
              window.freeTo(to);
              model = model.filter((message) => message.index > to);
            } else {
              window.clear();
              model = [];
            }
            const bytes = model.reduce((sum, message) => sum + message.bytes, 0);
            expect(window.count).toBe(model.length);
            expect(window.isFull).toBe(model.length >= maxCount || bytes >= maxBytes);
          }
        },
      ),
    );
  });

  test('a message of any size is let into an empty window, and closes it', () => {
    const window = new Inflights(100, 10);
    window.add(1, 1_000_000);
    expect(window.isFull).toBe(true);
    window.freeTo(1);
    expect(window.isFull).toBe(false);
  });
});
