import { parseArgs } from 'node:util';
import type { FaultKind } from './faults.js';
import { faultKinds } from './swarm.js';

/** The events of a run by default: 100 seeds of this length fit into a CI run on one core. */
const STEPS_DEFAULT = 60_000;

/** The parsed arguments of the command. */
export interface Options {
  readonly seed: number;
  readonly steps: number;
  readonly seeds: number;
  /** The fault that strikes as often as all others together, on single clusters. */
  readonly fault: FaultKind | undefined;
  readonly log: boolean;
}

/**
 * Parses the arguments of the command.
 *
 * @throws Error that says which argument is wrong
 */
export function readArguments(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string', default: '1' },
      steps: { type: 'string', default: String(STEPS_DEFAULT) },
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
