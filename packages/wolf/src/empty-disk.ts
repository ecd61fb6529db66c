import type { MemberMetrics } from './metrics.js';

/** What a member whose disk holds nothing goes on from. */
export type Standing =
  | {
      readonly kind: 'known';
      /** No vote or acknowledgement of an earlier disk was for a later term. */
      readonly term: number;
      /** Nobody has an entry, so that no entry was ever committed. */
      readonly isGroupEmpty: boolean;
    }
  /** As many members as make a quorum have lost their disks, or have not caught up: `nonVoters`, and this one. */
  | { readonly kind: 'lost'; readonly nonVoters: readonly number[] };

/**
 * T4: a member that begins with an empty disk may have had another one, with a vote and with acknowledgements that it has
 * forgotten. Each of these was asked for by another member in a term that this one kept durably before it asked (D1). So
 * the highest term of all the others is at least as high as any in which this member promised something: where it takes
 * nothing from earlier terms, and votes in none up to that one, it breaks no promise about terms.
 *
 * `others` are the metrics of every other member, asked after this member's start: one that is missing may be the one that
 * was voted for. A member that does not vote has lost its own memory, and counts like this one; an entry or an election
 * that only such members know of needs a quorum of them.
 */
export function standingOf(others: readonly MemberMetrics[]): Standing {
  const term = Math.max(0, ...others.map(({ currentTerm }) => currentTerm));
  const isGroupEmpty = others.every(({ lastLogIndex }) => lastLogIndex === 0);
  const nonVoters = others.filter(({ state }) => state === 'NonVoter').map(({ id }) => id);
  const quorum = Math.floor((others.length + 1) / 2) + 1;
  if (!isGroupEmpty && nonVoters.length + 1 >= quorum) return { kind: 'lost', nonVoters };
  return { kind: 'known', term, isGroupEmpty };
}
