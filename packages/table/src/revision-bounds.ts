import { createRevisionOf, modRevisionOf } from './layout.js';

/** Which records a reader asks for, by their revisions: inclusive; 0: no bound. */
export interface RevisionBounds {
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

/** All records. */
export const ANY_REVISION: RevisionBounds = {
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

/** Some record may be left out. */
export function hasRevisionBounds(bounds: RevisionBounds): boolean {
  return (
    bounds.minModRevision !== 0 ||
    bounds.maxModRevision !== 0 ||
    bounds.minCreateRevision !== 0 ||
    bounds.maxCreateRevision !== 0
  );
}

/** The record is one of those that are asked for. */
export function isWithinRevisions(bounds: RevisionBounds, record: Buffer): boolean {
  return (
    isWithin(modRevisionOf(record), bounds.minModRevision, bounds.maxModRevision) &&
    isWithin(createRevisionOf(record), bounds.minCreateRevision, bounds.maxCreateRevision)
  );
}

function isWithin(revision: number, min: number, max: number): boolean {
  return revision >= min && (max === 0 || revision <= max);
}

/** Between which revisions some records lie. Immutable. */
export class RevisionSpan {
  /** Of no record at all. */
  static readonly none = new RevisionSpan(Number.POSITIVE_INFINITY, -1, Number.POSITIVE_INFINITY, -1);
  /** Of records that nobody has looked at. */
  static readonly unknown = new RevisionSpan(0, Number.MAX_SAFE_INTEGER, 0, Number.MAX_SAFE_INTEGER);

  private constructor(
    readonly minModRevision: number,
    readonly maxModRevision: number,
    readonly minCreateRevision: number,
    readonly maxCreateRevision: number,
  ) {}

  /** With one record more. */
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

  /** Of the records of both. */
  join(other: RevisionSpan): RevisionSpan {
    return new RevisionSpan(
      Math.min(this.minModRevision, other.minModRevision),
      Math.max(this.maxModRevision, other.maxModRevision),
      Math.min(this.minCreateRevision, other.minCreateRevision),
      Math.max(this.maxCreateRevision, other.maxCreateRevision),
    );
  }

  /** One of the records may be one of those that are asked for. */
  mayMeet(bounds: RevisionBounds): boolean {
    return (
      this.maxModRevision >= bounds.minModRevision &&
      this.maxCreateRevision >= bounds.minCreateRevision &&
      (bounds.maxModRevision === 0 || this.minModRevision <= bounds.maxModRevision) &&
      (bounds.maxCreateRevision === 0 || this.minCreateRevision <= bounds.maxCreateRevision)
    );
  }

  /** All of the records are of those that are asked for. */
  isWithin(bounds: RevisionBounds): boolean {
    return (
      this.minModRevision >= bounds.minModRevision &&
      this.minCreateRevision >= bounds.minCreateRevision &&
      (bounds.maxModRevision === 0 || this.maxModRevision <= bounds.maxModRevision) &&
      (bounds.maxCreateRevision === 0 || this.maxCreateRevision <= bounds.maxCreateRevision)
    );
  }
}
