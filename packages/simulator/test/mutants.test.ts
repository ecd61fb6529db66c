import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sized } from '@coxswain/testing';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type SimulationResult, simulate } from '../src/index.js';
import { counting, deleting } from './deleting.js';
import { mutants } from './mutants.js';
import { restlessApartOverWolf, restlessOverWolf } from './over-wolf.js';
import { handingOver, restlessApart, slowSyncs } from './restless.js';
import type { Search } from './run-mutants.js';

const run = promisify(execFile);
const program = fileURLToPath(new URL('./run-mutants.js', import.meta.url));

/** From a bug's first seed on. */
const SEEDS_MAX = 30;
const STEPS = 6_000;
/** Together they came across everything when this was written. */
const coveringSeeds = [8];

const scenarios = {
  counting,
  deleting,
  handingOver,
  restlessApart,
  restlessApartOverWolf,
  restlessOverWolf,
  slowSyncs,
};

const cleanRuns = new Map<string, Promise<SimulationResult>>();

/** The run of a seed without any bug. */
function cleanRun(seed: number, adjust = deleting, length = STEPS): Promise<SimulationResult> {
  const name = `${adjust.name} ${seed} ${length}`;
  const known = cleanRuns.get(name) ?? simulate({ seed, steps: length, adjust });
  cleanRuns.set(name, known);
  return known;
}

describe('runs whose entries are large ones (A4)', () => {
  test('come across range deletions under way, in every way that there is', async () => {
    const sum = { swept: 0, interrupted: 0, resumed: 0, installed: 0, halfApplied: 0 };
    const read = { latest: 0, past: 0, backup: 0 };
    const missing = () => Object.entries({ ...sum, ...read }).filter(([, count]) => count === 0);
    const all = Array.from({ length: SEEDS_MAX }, (_, at) => at + 1);
    const seeds = new Set([...coveringSeeds, ...all]);
    const runsMin = sized(1, SEEDS_MAX);
    let runs = 0;
    for (const seed of seeds) {
      if (runs >= runsMin && missing().length === 0) break;
      const { violation, deletions } = await cleanRun(seed);
      expect([seed, violation]).toEqual([seed, undefined]);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += deletions[key];
      for (const how of Object.keys(read) as (keyof typeof read)[]) read[how] += deletions.read[how];
      runs += 1;
    }
    expect(missing()).toEqual([]);
  });
});

describe('a bug that is put into the text of the code is found', () => {
  const searches = new Map<string, Search>();

  beforeAll(async () => {
    const { stdout } = await run(process.execPath, [program, String(SEEDS_MAX), String(STEPS)]);
    for (const line of stdout.trimEnd().split('\n')) {
      const search = JSON.parse(line) as Search;
      searches.set(search.name, search);
    }
  });

  test.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
    '%s',
    async (name, { adjust = 'deleting', steps: most = STEPS }) => {
      const { found, others } = searches.get(name)!;
      if (found === undefined) throw new Error(`none of ${SEEDS_MAX} seeds found it\n${others.join('\n')}`);
      // Without the bug the same seed shows nothing, for as long as the bug took at least.
      const length = sized(Math.min(found.steps, most), most);
      const clean = await cleanRun(found.seed, scenarios[adjust], length);
      expect(clean.violation).toBeUndefined();
    },
  );
});
