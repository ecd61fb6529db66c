import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { simulate } from '../src/index.js';
import { type Scenario, withFault } from '../src/swarm.js';
import { knownBugs } from './known-bugs.js';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../src/main.js', import.meta.url));

/** Clients restore often. */
const restoring = (scenario: Scenario): Scenario => {
  const { workload } = scenario;
  return { ...scenario, workload: { ...workload, operations: { ...workload.operations, restore: 1 } } };
};

describe('a run', () => {
  test('is the same for the same seed, byte for byte, whatever ran before it', async () => {
    const lines: string[] = [];
    const first = await simulate({ seed: 4, steps: 8_000, onLine: (line) => lines.push(line) });
    await simulate({ seed: 5, steps: 2_000 });
    const again: string[] = [];
    const second = await simulate({ seed: 4, steps: 8_000, onLine: (line) => again.push(line) });
    expect(first.violation).toBeUndefined();
    expect(second).toEqual(first);
    expect(again).toEqual(lines);
  });

  test('differs for another seed', async () => {
    const first = await simulate({ seed: 7, steps: 2_000 });
    const second = await simulate({ seed: 8, steps: 2_000 });
    expect(second.traceHash).not.toBe(first.traceHash);
  });
});

describe('a run with restores', () => {
  test('shows each of them whole, or not at all', async () => {
    let restored = 0;
    for (const seed of [9, 10, 72]) {
      const result = await simulate({ seed, steps: 12_000, adjust: restoring });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      restored += result.restored;
    }
    expect(restored).toBeGreaterThan(5);
  });
});

describe('a run in which disks are rolled back (T4)', () => {
  test('refuses each such node before it votes, acknowledges or serves', async () => {
    let refused = 0;
    for (let seed = 1; seed <= 3; seed++) {
      const adjust = (scenario: Scenario) => withFault(scenario, 'rollBack');
      const result = await simulate({ seed, steps: 10_000, adjust });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      refused += result.refusedRollbacks;
    }
    expect(refused).toBeGreaterThan(2);
  });
});

describe('a run in which connections freeze, one way or both, while new ones work', () => {
  test('goes on', async () => {
    for (let seed = 1; seed <= 2; seed++) {
      const adjust = (scenario: Scenario) => withFault(scenario, 'freeze');
      const result = await simulate({ seed, steps: 6_000, adjust });
      expect([seed, result.violation]).toEqual([seed, undefined]);
    }
  });
});

describe('the command', () => {
  test('ends with one line per seed, the same in another process', async () => {
    const { stdout } = await run(process.execPath, [
      program,
      '--seed',
      '11',
      '--seeds',
      '2',
      '--steps',
      '2000',
    ]);
    expect(stdout).toMatch(
      /^seed=11 steps=\d+ faults=\d+ ops=\d+ restores=\d+ rollbacks=\d+ sweeps=\d+ trace=[0-9a-f]{16} ok\nseed=12 steps=\d+ .* ok\n$/,
    );
    const { traceHash } = await simulate({ seed: 12, steps: 2_000 });
    expect(stdout).toContain(`trace=${traceHash} ok`);
  });

  test.each(['--seed x', '--seed', '--unknown'])('exits 2 and says how it is used: %s', async (line) => {
    await expect(run(process.execPath, [program, ...line.split(' ')])).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('usage: npm run simulate'),
    });
  });
});

describe('a bug that is put back is found', () => {
  test.each(knownBugs.map((bug) => [bug.name, bug] as const))('%s', async (_name, bug) => {
    const { steps, adjust, plant, properties, firstSeed = 1, seedsMax } = bug;
    for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
      const planted = plant();
      const { violation } = await simulate({ seed, steps, adjust }).finally(() => planted.remove());
      if (violation === undefined) continue;
      if (!properties.some((property) => violation.message.startsWith(property))) continue;
      // Without the bug the same seed shows nothing.
      const clean = await simulate({ seed, steps, adjust });
      expect(clean.violation).toBeUndefined();
      return;
    }
    throw new Error(`none of ${seedsMax} seeds found it`);
  });
});
