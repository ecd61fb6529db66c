import { parseArgs } from 'node:util';
import type { FaultKind } from './faults.js';
import { simulatePair } from './pair-simulation.js';
import { simulate } from './simulation.js';
import { faultKinds, type Scenario, withFault } from './swarm.js';

/** 100 seeds of this length fit into a CI run on one core. */
const stepsDefault = 60_000;

/** Of so many seeds one has a follower cluster beside its cluster. */
const pairEvery = 5;

const usage = 'usage: npm run simulate -- [--seed N] [--steps N] [--seeds N] [--fault KIND] [--log]';

interface Options {
  readonly seed: number;
  readonly steps: number;
  readonly seeds: number;
  /** Strikes as often as all others together, on single clusters. */
  readonly fault: FaultKind | undefined;
  readonly log: boolean;
}

/** Runs seeds one after the other; the exit code is 1 as soon as one shows a violation. */
async function main(): Promise<number> {
  let options: Options;
  try {
    options = readArguments();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
    return 2;
  }
  const { seed: first, steps, seeds, fault, log } = options;
  for (let seed = first; seed < first + seeds; seed++) {
    const run = seed % pairEvery === 0 && fault === undefined ? simulatePair : simulate;
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

function readArguments(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      steps: { type: 'string', default: String(stepsDefault) },
      seeds: { type: 'string', default: '1' },
      fault: { type: 'string' },
      log: { type: 'boolean', default: false },
    },
  });
  const number = (name: string, text: string | undefined): number => {
    const value = Number(text);
    if (text === undefined || !Number.isSafeInteger(value) || value < 0) {
      throw new Error(`--${name} takes a whole number`);
    }
    return value;
  };
  const fault = faultKinds.find((kind) => kind === values.fault);
  if (values.fault !== undefined && fault === undefined) {
    throw new Error(`--fault takes one of ${faultKinds.join(', ')}`);
  }
  return {
    seed: number('seed', values.seed),
    steps: number('steps', values.steps),
    seeds: number('seeds', values.seeds),
    fault,
    log: values.log,
  };
}

process.exitCode = await main();
