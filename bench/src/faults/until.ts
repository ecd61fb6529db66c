import { setTimeout as sleep } from 'node:timers/promises';

const POLL_INTERVAL_MS = 50;

/**
 * Waits for the condition to hold and gives what it returned, which must be something else than false or
 * undefined. Throws after `timeoutMs`, naming what was waited for and the last error.
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  condition: () => Promise<T | false | undefined> | T | false | undefined,
): Promise<T> {
  const startedMs = performance.now();
  let cause: unknown;
  while (performance.now() - startedMs < timeoutMs) {
    try {
      const result = await condition();
      if (result !== false && result !== undefined) return result;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await sleep(POLL_INTERVAL_MS);
  }
  throw new Error(`still waiting after ${timeoutMs} ms: ${what}`, { cause });
}
