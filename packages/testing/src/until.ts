import { setTimeout as pause } from 'node:timers/promises';

/** The first looks follow each other after a turn of the event loop: most of what a test waits for is that near. */
const TURNS = 50;
const PAUSE_GROWTH = 1.05;
const PAUSE_MS_MAX = 200;
/**
 * With the pauses between them this many looks take ten minutes on an idle machine. A busy machine takes longer for each,
 * so that being busy alone makes no test fail.
 */
const LOOKS_MAX = 3_000;

export interface UntilOptions {
  /** Whether an error of the condition only means that it does not hold yet. By default every error ends the wait. */
  readonly tolerates?: (error: unknown) => boolean;
  /** How often the condition is looked at before the wait fails. The default takes ten minutes and more. */
  readonly looksMax?: number;
}

/**
 * Waits until `condition` gives something else than false, null or undefined, and resolves with that. Looks again after a
 * turn of the event loop at first, then after pauses that grow with the wait, up to 200 ms. The wait is bounded by the
 * number of looks, not by a clock: it then rejects with the description, and the last tolerated error as its cause.
 */
export async function until<T>(
  description: string,
  condition: () => Promise<T> | T,
  { tolerates = () => false, looksMax = LOOKS_MAX }: UntilOptions = {},
): Promise<Exclude<T, false | null | undefined | void>> {
  let cause: unknown;
  for (let look = 0; look < looksMax; look++) {
    try {
      const found = await condition();
      if (found !== false && found !== null && found !== undefined)
        return found as Exclude<T, false | null | undefined | void>;
      cause = undefined;
    } catch (error) {
      if (!tolerates(error)) throw error;
      cause = error;
    }
    if (look < TURNS) await turns(1);
    else await pause(Math.min(PAUSE_GROWTH ** (look - TURNS), PAUSE_MS_MAX));
  }
  throw new Error(`still waiting until ${description}`, { cause });
}

/**
 * Lets the event loop turn `count` times: callbacks of I/O that has happened run, with all that they set off. A test that
 * asserts that nothing happens gives the code under test this much of a chance, however busy the machine is.
 */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets promises that wait only for each other settle, `count` steps far, without a turn of the event loop. */
export async function microtasks(count: number): Promise<void> {
  for (let step = 0; step < count; step++) await Promise.resolve();
}
