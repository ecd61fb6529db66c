import type { RevisionSpan } from './revision-bounds.js';

/** Says how many latest keys a store has from `first` up to, but not with, `end`, and between which revisions. Immutable. */
export class KeyBlock {
  constructor(
    /** A store key as a Latin-1 string; see `keyId`. */
    readonly first: string,
    readonly end: string,
    /** How many keys it has; undefined: nobody has counted them. */
    readonly count: number | undefined,
    /** None of its records has a revision outside. */
    readonly revisions: RevisionSpan,
  ) {}

  /** Both, which are neighbours, as one. */
  join(next: KeyBlock): KeyBlock {
    const count = this.count === undefined || next.count === undefined ? undefined : this.count + next.count;
    return new KeyBlock(this.first, next.end, count, this.revisions.join(next.revisions));
  }
}
