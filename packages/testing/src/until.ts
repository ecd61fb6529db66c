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

/** The value of a condition that holds: anything but false, null and undefined. */
type Found<T> = Exclude<T, false | null | undefined>;

/** The condition of `eventually` will never hold, so there is nothing to wait for. */
export class Hopeless extends Error {}

/**
 * Waits until `condition` gives something else than false, null or undefined, and resolves with that. Looks again after a
 * turn of the event loop at first, then after pauses that grow with the wait, up to 200 ms. The number of looks bounds the
 * wait, and no clock does: after `looksMax` of them it rejects with the description. Rejects at once with an error of the
 * condition.
 */
export function until<T>(
  description: string,
  condition: () => Promise<T> | T,
  looksMax = LOOKS_MAX,
): Promise<Found<T>> {
  return look(description, condition, () => false, looksMax);
}

/**
 * Waits as `until` does, for something that may fail at first, such as the answer of a node that starts. An error of the
 * condition only means that it does not hold yet, unless it is `Hopeless`. The last one is the cause of the final error.
 */
export function eventually<T>(
  description: string,
  condition: () => Promise<T> | T,
  looksMax = LOOKS_MAX,
): Promise<Found<T>> {
  return look(description, condition, (error) => !(error instanceof Hopeless), looksMax);
}

async function look<T>(
  description: string,
  condition: () => Promise<T> | T,
  isTolerated: (error: unknown) => boolean,
  looksMax: number,
): Promise<Found<T>> {
  let cause: unknown;
  for (let looks = 0; looks < looksMax; looks++) {
    try {
      const found = await condition();
      if (found !== false && found !== null && found !== undefined) return found as Found<T>;
      cause = undefined;
    } catch (error) {
      if (!isTolerated(error)) throw error;
      cause = error;
    }
    if (looks < TURNS) await turns(1);
    else await pause(Math.min(PAUSE_GROWTH ** (looks - TURNS), PAUSE_MS_MAX));
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
