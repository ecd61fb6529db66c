import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { type SimulationResult, simulate } from '../src/index.js';
import { deleting } from './deleting.js';
import { mutants } from './mutants.js';

const run = promisify(execFile);
const program = fileURLToPath(new URL('./run-mutant.js', import.meta.url));

/** From a bug's first seed on. */
const seedsMax = 30;
const steps = 6_000;

const cleanRuns = new Map<number, Promise<SimulationResult>>();

/** The run of a seed without any bug. */
function cleanRun(seed: number): Promise<SimulationResult> {
  const known = cleanRuns.get(seed) ?? simulate({ seed, steps, adjust: deleting });
  cleanRuns.set(seed, known);
  return known;
}

describe('runs whose entries are large ones (A4)', () => {
  test('come across range deletions under way, in every way that there is', async () => {
    const sum = { swept: 0, interrupted: 0, resumed: 0, installed: 0, halfApplied: 0 };
    const read = { latest: 0, past: 0, backup: 0 };
    const missing = () => Object.entries({ ...sum, ...read }).filter(([, count]) => count === 0);
    for (let seed = 1; seed <= 6 || (seed <= seedsMax && missing().length > 0); seed++) {
      const { violation, deletions } = await cleanRun(seed);
      expect([seed, violation]).toEqual([seed, undefined]);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += deletions[key];
      for (const how of Object.keys(read) as (keyof typeof read)[]) read[how] += deletions.read[how];
    }
    expect(missing()).toEqual([]);
  });
});

describe('a bug that is put into the text of the code is found', () => {
  test.each(mutants.map((mutant) => [mutant.name]))('%s', async (name) => {
    const { stdout, stderr } = await run(process.execPath, [program, name, String(seedsMax), String(steps)]);
    if (stdout === '') throw new Error(`none of ${seedsMax} seeds found it\n${stderr}`);
    const { seed } = JSON.parse(stdout) as { seed: number };
    // Without the bug the same seed shows nothing.
    expect((await cleanRun(seed)).violation).toBeUndefined();
  });
});
