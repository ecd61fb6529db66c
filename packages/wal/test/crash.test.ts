import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { diskError, FaultyDisk } from './faulty-disk.js';
import { type Intention, Model, stateOf } from './model.js';
import { openWal } from './support.js';

const intention: fc.Arbitrary<Intention> = fc.record({
  group: fc.integer({ min: 1, max: 3 }),
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant('append' as const) },
    { weight: 4, arbitrary: fc.constant('overwrite' as const) },
    { weight: 4, arbitrary: fc.constant('compact' as const) },
    { weight: 2, arbitrary: fc.constant('vote' as const) },
    { weight: 1, arbitrary: fc.constant('reset' as const) },
    { weight: 1, arbitrary: fc.constant('remove' as const) },
  ),
  where: fc.double({ min: 0, max: 0.999, noNaN: true }),
  count: fc.integer({ min: 1, max: 6 }),
  dataBytes: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 500, max: 2000 })),
});

/** An append, then a pause in steps of the event loop's smallest turn. */
const step = fc.record({
  writes: fc.array(intention, { minLength: 1, maxLength: 3 }),
  pause: fc.integer({ min: 0, max: 30 }),
});

const life = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 12 }),
  /** How the life ends, and which unsynced sectors survive a crash. */
  end: fc.constantFrom('crash', 'kill', 'close'),
  keeps: fc.infiniteStream(fc.boolean()),
  /** Operations of the disk, from this one on, that find no space; none when it is past the end. */
  fullFrom: fc.integer({ min: 1, max: 60 }),
  fullFor: fc.constantFrom(0, 0, 1, 3),
});

describe('after a crash (D1, D5, D6)', () => {
  test('there is what was acknowledged, nothing invented, and all of it in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 6 }), async (lives) => {
        let disk = new FaultyDisk();
        const model = new Model();
        for (const { steps, end, keeps, fullFrom, fullFor } of lives) {
          let operations = 0;
          disk.fault = (operation) => {
            if (operation !== 'create' && operation !== 'write') return undefined;
            operations++;
            return operations >= fullFrom && operations < fullFrom + fullFor
              ? diskError('ENOSPC')
              : undefined;
          };
          const wal = await openWal(disk, { entryCacheBytesMax: 2000 });
          let acknowledged = 0;
          const found = stateOf(wal);
          expect(model.states).toContain(found);
          model.rewind(found);
          for (const { writes, pause } of steps) {
            if (wal.isFull) await wal.reopen().catch(() => undefined);
            if (wal.isFull) continue;
            const append = wal.append(writes.map((each) => model.write(each)));
            const state = model.states.length - 1;
            append.then(
              () => {
                acknowledged = state;
              },
              () => undefined,
            );
            for (let i = 0; i < pause; i++) await Promise.resolve();
          }
          expect(stateOf(wal)).toBe(model.states.at(-1));
          disk.fault = () => undefined;
          if (end === 'close') {
            await wal.reopen();
            await wal.close();
            expect(acknowledged).toBe(model.states.length - 1);
          }
          // What was acknowledged is the oldest state that may come back.
          model.states.splice(0, acknowledged);
          disk = end === 'kill' ? disk.kill() : disk.crash(() => keeps.next().value);
        }
        const wal = await openWal(disk);
        expect(model.states).toContain(stateOf(wal));
      }),
      { numRuns: 150 },
    );
  });
});
