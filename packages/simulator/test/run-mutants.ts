import { register } from 'node:module';
import { mutants } from './mutants.js';

/** What became of the search for one bug. */
export interface Search {
  readonly name: string;
  /** The first seed that shows the bug, after how many steps, and what it shows. Undefined: none of those that were tried. */
  readonly found: { readonly seed: number; readonly steps: number; readonly message: string } | undefined;
  /** Violations of properties that are not the bug's own. */
  readonly others: readonly string[];
}

const [, , seeds = '1', stepsDefault = '1', wanted = ''] = process.argv;
const data = mutants.map(({ module, from, to, more = [] }) => [{ module, from, to }, ...more]);
register('./mutant-hooks.js', import.meta.url, { data });

// Each bug has every module of the repository for itself; what those import from elsewhere is loaded once.
for (const [at, { name, properties, firstSeed, adjust: scenario = 'deleting', steps }] of mutants.entries()) {
  if (!name.includes(wanted)) continue;
  const { simulate } = (await import(`../src/index.js?mutant=${at}`)) as typeof import('../src/index.js');
  const { counting, deleting } = (await import(
    `./deleting.js?mutant=${at}`
  )) as typeof import('./deleting.js');
  const overWolf = (await import(`./over-wolf.js?mutant=${at}`)) as typeof import('./over-wolf.js');
  const restless = (await import(`./restless.js?mutant=${at}`)) as typeof import('./restless.js');
  const adjust = { counting, deleting, ...overWolf, ...restless }[scenario];
  const others: string[] = [];
  let found: Search['found'];
  for (let seed = firstSeed; seed < firstSeed + Number(seeds) && found === undefined; seed++) {
    const { violation, ...run } = await simulate({ seed, steps: steps ?? Number(stepsDefault), adjust });
    if (violation === undefined) continue;
    const message = violation.message.slice(0, 1000);
    if (properties.some((property) => message.startsWith(property)))
      found = { seed, steps: run.steps, message };
    else others.push(`seed ${seed}: ${message}`);
  }
  console.log(JSON.stringify({ name, found, others } satisfies Search));
}
