import type { WolfError } from './errors.js';

/**
 * The greatest lead that another member's term may have over this node's. Nothing in a call proves who sent it, and one
 * with the greatest number would leave no later term for an election, for good. Members that elected ten times a
 * second, apart from each other, would not get so far apart in three thousand years.
 */
const TERM_LEAP_MAX = 2 ** 40;

/** Converts the term of an answer to a call of term `asked`; undefined when it is further ahead than members can be. */
export function believableTerm(term: bigint, asked: number): number | undefined {
  return term <= BigInt(asked + TERM_LEAP_MAX) ? Number(term) : undefined;
}

/** Throws the error that `fail` makes when `term` is further ahead of this node's than members can be. */
export function checkTermLeap(term: number, current: number, fail: (reason: string) => WolfError): void {
  if (term <= current + TERM_LEAP_MAX) return;
  throw fail(
    `term ${term} is more than 2^40 ahead of this node's, ${current}: no member gets there by elections, and it would soon leave none`,
  );
}
