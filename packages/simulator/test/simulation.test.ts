import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { simulate } from '../src/index.js';
import { readArguments } from '../src/options.js';
import { type Scenario, withFault } from '../src/swarm.js';
import { knownBugs } from './known-bugs.js';
import { apartOverWolf, overWolf, restlessApartOverWolf, restlessOverWolf } from './over-wolf.js';
import { restoring } from './restoring.js';

const run = promisify(execFile);
const program = fileURLToPath(new URL('../src/main.js', import.meta.url));

describe('a run', () => {
  test('is the same for the same seed, byte for byte, whatever ran before it, and differs for another seed', async () => {
    const steps = sized(2_000, 8_000);
    const lines: string[] = [];
    const first = await simulate({ seed: 4, steps, onLine: (line) => lines.push(line) });
    const other = await simulate({ seed: 5, steps });
    const again: string[] = [];
    const second = await simulate({ seed: 4, steps, onLine: (line) => again.push(line) });
    expect(first.violation).toBeUndefined();
    expect(second).toEqual(first);
    expect(again).toEqual(lines);
    expect(other.traceHash).not.toBe(first.traceHash);
  });
});

describe('a run with restores', () => {
  test('shows each of them whole, or not at all', async () => {
    let restored = 0;
    for (const seed of sized([33], [23, 33, 41])) {
      const result = await simulate({ seed, steps: sized(5_000, 12_000), adjust: restoring });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      restored += result.restored;
    }
    expect(restored).toBeGreaterThan(5);
  });
});

describe('a run in which disks are rolled back (T4)', () => {
  test('refuses each such node before it votes, acknowledges or serves', async () => {
    let refused = 0;
    for (const seed of sized([4], [1, 2, 3, 4])) {
      const adjust = (scenario: Scenario) => withFault(scenario, 'rollBack');
      const result = await simulate({ seed, steps: sized(3_000, 10_000), adjust });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      refused += result.refusedRollbacks;
    }
    expect(refused).toBeGreaterThan(2);
  });
});

describe('a run in which connections freeze, one way or both, while new ones work', () => {
  test('goes on', async () => {
    for (const seed of sized([2], [1, 2])) {
      const adjust = (scenario: Scenario) => withFault(scenario, 'freeze');
      const result = await simulate({ seed, steps: sized(3_000, 6_000), adjust });
      expect([seed, result.violation]).toEqual([seed, undefined]);
    }
  });
});

describe('a run in which a table is replicated over wolf.raft', () => {
  test('keeps every promise, with all faults, and goes on when they end', async () => {
    let operations = 0;
    let damaged = 0;
    for (const seed of sized([1], [1, 2, 3, 4, 5, 6, 7, 8])) {
      const result = await simulate({ seed, steps: sized(3_000, 20_000), adjust: overWolf });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      operations += result.operations;
      damaged += result.damagedDisks;
    }
    expect(damaged).toBeGreaterThan(1);
    for (const seed of sized([3], [1, 2, 3, 4, 5])) {
      const result = await simulate({ seed, steps: sized(4_000, 20_000), adjust: restlessOverWolf });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      operations += result.operations;
    }
    expect(operations).toBeGreaterThan(100);
  });

  test('takes back members whose disks were wiped or damaged, and loses nothing (T4, D4)', async () => {
    let [wiped, damaged] = [0, 0];
    for (const seed of sized([4], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])) {
      const result = await simulate({ seed, steps: sized(4_000, 20_000), adjust: apartOverWolf });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      wiped += result.wipedDisks;
      damaged += result.damagedDisks;
    }
    for (const seed of sized([2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])) {
      const result = await simulate({ seed, steps: sized(3_000, 20_000), adjust: restlessApartOverWolf });
      expect([seed, result.violation]).toEqual([seed, undefined]);
      wiped += result.wipedDisks;
    }
    expect(wiped).toBeGreaterThan(3);
    expect(damaged).toBeGreaterThan(0);
  });
});

describe('the command', () => {
  test('ends with one line per seed, the same in another process', async () => {
    const seeds = ['--seed', '11', '--seeds', '2', '--steps', '1000'];
    const { stdout } = await run(process.execPath, [program, ...seeds]);
    expect(stdout).toMatch(
      /^seed=11 steps=\d+ faults=\d+ ops=\d+ restores=\d+ rollbacks=\d+ sweeps=\d+ trace=[0-9a-f]{16} ok\nseed=12 steps=\d+ .* ok\n$/,
    );
    const { traceHash } = await simulate({ seed: 12, steps: 1_000 });
    expect(stdout).toContain(`trace=${traceHash} ok`);
  });

  test('exits 2 and says how it is used', async () => {
    await expect(run(process.execPath, [program, '--seed', 'x'])).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('usage: npm run simulate'),
    });
  });

  test.each(['--seed x', '--seed', '--unknown', '--fault unknown'])('refuses %s', (line) => {
    expect(() => readArguments(line.split(' '))).toThrow(/--(seed|unknown|fault)/);
  });
});

describe('a bug that is put back is found', () => {
  test.each(knownBugs.map((bug) => [bug.name, bug] as const))('%s', async (_name, bug) => {
    const { steps, adjust, plant, properties, firstSeed = 1, seedsMax } = bug;
    for (let seed = firstSeed; seed < firstSeed + seedsMax; seed++) {
      const planted = plant();
      const found = await simulate({ seed, steps, adjust }).finally(() => planted.remove());
      const { violation } = found;
      if (violation === undefined) continue;
      if (!properties.some((property) => violation.message.startsWith(property))) continue;
      // Without the bug the same seed shows nothing.
      const clean = await simulate({ seed, steps: Math.min(steps, found.steps), adjust });
      expect(clean.violation).toBeUndefined();
      return;
    }
    throw new Error(`none of ${seedsMax} seeds found it`);
  });
});
