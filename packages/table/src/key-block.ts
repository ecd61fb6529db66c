import type { RevisionSpan } from './revision-bounds.js';

/**
 * The number of latest keys that a store has from `first` up to, but not with, `end`, and the revisions between which
 * their records lie. Immutable.
 */
export class KeyBlock {
  constructor(
    /** The first bound, like `end` a store key as a Latin-1 string; see `keyId`. */
    readonly first: string,
    readonly end: string,
    /** The number of keys; undefined when they have not been counted. */
    readonly count: number | undefined,
    /** The span of revisions in which all of the block's records lie. */
    readonly revisions: RevisionSpan,
  ) {}

  /** Returns this block and its next neighbour as one. */
  join(next: KeyBlock): KeyBlock {
    const count = this.count === undefined || next.count === undefined ? undefined : this.count + next.count;
    return new KeyBlock(this.first, next.end, count, this.revisions.join(next.revisions));
  }
}
