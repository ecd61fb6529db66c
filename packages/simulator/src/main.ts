import { type Options, readArguments } from './options.js';
import { simulatePair } from './pair-simulation.js';
import { simulate } from './simulation.js';
import { type Scenario, withFault } from './swarm.js';

/** One of this many seeds has a follower cluster beside its cluster. */
const PAIR_EVERY = 5;

const USAGE = 'usage: npm run simulate -- [--seed N] [--steps N] [--seeds N] [--fault KIND] [--log]';

/** Runs seeds one after the other. The exit code is 1 as soon as one shows a violation, and 2 for wrong usage. */
async function main(): Promise<number> {
  let options: Options;
  try {
    options = readArguments(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
    return 2;
  }
  const { seed: first, steps, seeds, fault, log } = options;
  for (let seed = first; seed < first + seeds; seed++) {
    const run = seed % PAIR_EVERY === 0 && fault === undefined ? simulatePair : simulate;
    const adjust = fault && ((scenario: Scenario) => withFault(scenario, fault));
    const result = await run({
      seed,
      steps,
      ...(adjust && { adjust }),
      ...(log && { onLine: (line) => console.error(line) }),
    });
    if (result.violation !== undefined) {
      if (!log) for (const line of result.lines) console.error(line);
      console.error(
        `\nseed ${seed}, step ${result.steps}: ${result.violation.stack ?? result.violation.message}`,
      );
      console.error(
        `npm run simulate -- --seed ${seed} --steps ${steps}${fault === undefined ? '' : ` --fault ${fault}`}`,
      );
      return 1;
    }
    console.log(
      `seed=${seed} steps=${result.steps} faults=${result.faults} ops=${result.operations} restores=${result.restored} rollbacks=${result.refusedRollbacks} sweeps=${result.deletions.swept} ` +
        `trace=${result.traceHash} ok`,
    );
  }
  return 0;
}

process.exitCode = await main();
