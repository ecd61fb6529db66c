import { register } from 'node:module';
import { mutants } from './mutants.js';

const [, , name, seeds = '1', steps = '1'] = process.argv;
const mutant = mutants.find((each) => each.name === name);
if (mutant === undefined) throw new Error(`there is no bug "${name}"`);
const { module, from, to, properties, firstSeed } = mutant;
register('./mutant-hooks.js', import.meta.url, { data: { module, from, to } });
// Only what is loaded from here on has the bug.
const { simulate } = await import('../src/index.js');
const { deleting } = await import('./deleting.js');

/** Prints the first seed that shows the bug, and what it shows. */
for (let seed = firstSeed; seed < firstSeed + Number(seeds); seed++) {
  const { violation } = await simulate({ seed, steps: Number(steps), adjust: deleting });
  if (violation === undefined) continue;
  if (!properties.some((property) => violation.message.startsWith(property))) {
    console.error(`seed ${seed}: ${violation.stack ?? violation.message}`);
    continue;
  }
  console.log(JSON.stringify({ seed, message: violation.message.slice(0, 1000) }));
  break;
}
