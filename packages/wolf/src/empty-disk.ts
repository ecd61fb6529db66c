import type { MemberMetrics } from './metrics.js';

/** The knowledge from which a member with an empty disk may continue. */
export type Standing =
  | {
      readonly kind: 'known';
      /** A term that no vote or acknowledgement from an earlier disk exceeds. */
      readonly term: number;
      /** True when no member has an entry, so that no entry was ever committed. */
      readonly isGroupEmpty: boolean;
    }
  /**
   * The members in `nonVoters` and this one have lost their disks or have not caught up, and together form a quorum.
   */
  | { readonly kind: 'lost'; readonly nonVoters: readonly number[] };

/**
 * Determines what a member with an empty disk may promise (T4). It may have had another disk, with a vote and
 * acknowledgements that it has forgotten. Another member asked for each of these in a term that it had stored durably
 * before it asked (D1). So the highest term of all other members is at least as high as any in which this member
 * promised something. When it accepts nothing from earlier terms, and votes in no term up to that one, it breaks no
 * promise about terms.
 *
 * `others` are the metrics of every other member, asked for after this member's start: a missing one might be the
 * member that it voted for. A member that does not vote has lost its own memory, and counts like this one; an entry or
 * an election that only such members remember needs a quorum of them.
 */
export function standingOf(others: readonly MemberMetrics[]): Standing {
  const term = Math.max(0, ...others.map(({ currentTerm }) => currentTerm));
  const isGroupEmpty = others.every(({ lastLogIndex }) => lastLogIndex === 0);
  const nonVoters = others.filter(({ state }) => state === 'NonVoter').map(({ id }) => id);
  const quorum = Math.floor((others.length + 1) / 2) + 1;
  if (!isGroupEmpty && nonVoters.length + 1 >= quorum) return { kind: 'lost', nonVoters };
  return { kind: 'known', term, isGroupEmpty };
}
