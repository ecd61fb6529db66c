import { parseArgs } from 'node:util';
import { simulatePair } from './pair-simulation.js';
import { simulate } from './simulation.js';

/** 100 seeds of this length fit into a CI run on one core. */
const stepsDefault = 60_000;

/** Of so many seeds one has a follower cluster beside its cluster. */
const pairEvery = 5;

const usage = 'usage: npm run simulate -- [--seed N] [--steps N] [--seeds N] [--log]';

/** Runs seeds one after the other; the exit code is 1 as soon as one shows a violation. */
async function main(): Promise<number> {
  let options: { seed: number; steps: number; seeds: number; log: boolean };
  try {
    options = readArguments();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
    return 2;
  }
  const { seed: first, steps, seeds, log } = options;
  for (let seed = first; seed < first + seeds; seed++) {
    const run = seed % pairEvery === 0 ? simulatePair : simulate;
    const result = await run({ seed, steps, ...(log && { onLine: (line) => console.error(line) }) });
    if (result.violation !== undefined) {
      if (!log) for (const line of result.lines) console.error(line);
      console.error(
        `\nseed ${seed}, step ${result.steps}: ${result.violation.stack ?? result.violation.message}`,
      );
      console.error(`npm run simulate -- --seed ${seed} --steps ${steps}`);
      return 1;
    }
    console.log(
      `seed=${seed} steps=${result.steps} faults=${result.faults} ops=${result.operations} restores=${result.restored} ` +
        `trace=${result.traceHash} ok`,
    );
  }
  return 0;
}

function readArguments(): { seed: number; steps: number; seeds: number; log: boolean } {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      steps: { type: 'string', default: String(stepsDefault) },
      seeds: { type: 'string', default: '1' },
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
  return {
    seed: number('seed', values.seed),
    steps: number('steps', values.steps),
    seeds: number('seeds', values.seeds),
    log: values.log,
  };
}

process.exitCode = await main();
