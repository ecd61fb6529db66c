import { createRevisionOf, modRevisionOf } from './layout.js';

/** The revisions of the records that a reader asks for. The bounds are inclusive; 0 means no bound. */
export interface RevisionBounds {
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

/** The bounds that include all records. */
export const ANY_REVISION: RevisionBounds = {
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

/** Returns true when the bounds may exclude some record. */
export function hasRevisionBounds(bounds: RevisionBounds): boolean {
  return (
    bounds.minModRevision !== 0 ||
    bounds.maxModRevision !== 0 ||
    bounds.minCreateRevision !== 0 ||
    bounds.maxCreateRevision !== 0
  );
}

/** Returns true when a record lies within the bounds. */
export function isWithinRevisions(bounds: RevisionBounds, record: Buffer): boolean {
  return (
    isWithin(modRevisionOf(record), bounds.minModRevision, bounds.maxModRevision) &&
    isWithin(createRevisionOf(record), bounds.minCreateRevision, bounds.maxCreateRevision)
  );
}

function isWithin(revision: number, min: number, max: number): boolean {
  return revision >= min && (max === 0 || revision <= max);
}

/** The span of the revisions of some records. Immutable. */
export class RevisionSpan {
  /** The span of no record at all. */
  static readonly none = new RevisionSpan(Number.POSITIVE_INFINITY, -1, Number.POSITIVE_INFINITY, -1);
  /** The span of records that nobody has read. */
  static readonly unknown = new RevisionSpan(0, Number.MAX_SAFE_INTEGER, 0, Number.MAX_SAFE_INTEGER);

  private constructor(
    readonly minModRevision: number,
    readonly maxModRevision: number,
    readonly minCreateRevision: number,
    readonly maxCreateRevision: number,
  ) {}

  /** Returns the span with one more record. */
  and(record: Buffer): RevisionSpan {
    const mod = modRevisionOf(record);
    const create = createRevisionOf(record);
    const hasBoth =
      mod >= this.minModRevision &&
      mod <= this.maxModRevision &&
      create >= this.minCreateRevision &&
      create <= this.maxCreateRevision;
    return hasBoth ? this : this.join(new RevisionSpan(mod, mod, create, create));
  }

  /** Returns the span of the records of both. */
  join(other: RevisionSpan): RevisionSpan {
    return new RevisionSpan(
      Math.min(this.minModRevision, other.minModRevision),
      Math.max(this.maxModRevision, other.maxModRevision),
      Math.min(this.minCreateRevision, other.minCreateRevision),
      Math.max(this.maxCreateRevision, other.maxCreateRevision),
    );
  }

  /** Returns true when one of the records may lie within the bounds. */
  mayMeet(bounds: RevisionBounds): boolean {
    return (
      this.maxModRevision >= bounds.minModRevision &&
      this.maxCreateRevision >= bounds.minCreateRevision &&
      (bounds.maxModRevision === 0 || this.minModRevision <= bounds.maxModRevision) &&
      (bounds.maxCreateRevision === 0 || this.minCreateRevision <= bounds.maxCreateRevision)
    );
  }

  /** Returns true when all of the records lie within the bounds. */
  isWithin(bounds: RevisionBounds): boolean {
    return (
      this.minModRevision >= bounds.minModRevision &&
      this.minCreateRevision >= bounds.minCreateRevision &&
      (bounds.maxModRevision === 0 || this.maxModRevision <= bounds.maxModRevision) &&
      (bounds.maxCreateRevision === 0 || this.maxCreateRevision <= bounds.maxCreateRevision)
    );
  }
}
