import type { LoadHook, ResolveHook } from 'node:module';
import type { Edit } from './mutants.js';

const packages = new URL('../../../', import.meta.url).href;
let mutants: readonly (readonly Edit[])[];

export function initialize(given: typeof mutants): void {
  mutants = given;
}

/** A module of the repository has the bug of the module that imports it, as `?mutant=` and the bug's number in its address. */
export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(specifier, context);
  const { parentURL } = context;
  if (parentURL === undefined || !resolved.url.startsWith(packages)) return resolved;
  const url = new URL(resolved.url);
  if (url.search === '') url.search = new URL(parentURL).search;
  return { ...resolved, url: url.href };
};

/** Puts the bug into the module as it is loaded. Throws where the text that it replaces is not there just once. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  const number = /[?]mutant=(\d+)$/.exec(url)?.[1];
  const edits = number === undefined ? [] : mutants[Number(number)]!;
  const { pathname } = new URL(url);
  let { source } = loaded;
  for (const { module, from, to } of edits.filter((edit) => pathname.endsWith(`/${edit.module}`))) {
    const parts = String(source).split(from);
    if (parts.length !== 2) {
      throw new Error(`${module} holds what the bug replaces ${parts.length - 1} times, not once`);
    }
    source = parts.join(to);
  }
  return { ...loaded, source };
};
