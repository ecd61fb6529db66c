import type { LoadHook } from 'node:module';
import type { Mutant } from './mutants.js';

let mutant: Pick<Mutant, 'module' | 'from' | 'to'>;

export function initialize(given: typeof mutant): void {
  mutant = given;
}

/** Puts the bug into the module as it is loaded. Throws where the text that it replaces is not there just once. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (!url.endsWith(`/${mutant.module}`)) return loaded;
  const source = String(loaded.source);
  const parts = source.split(mutant.from);
  if (parts.length !== 2) {
    throw new Error(`${mutant.module} holds what the bug replaces ${parts.length - 1} times, not once`);
  }
  return { ...loaded, source: parts.join(mutant.to) };
};
