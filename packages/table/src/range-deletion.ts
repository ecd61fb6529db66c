import { isWithinBounds, type KeyBounds, overlap } from './key-bounds.js';
import { modRevisionOf } from './layout.js';

/**
 * A deletion of a range that has happened, while the store still holds latest records that it deleted: those of the
 * range that are older than its revision. Readers pass over them, and the sweep removes them (A4). Immutable.
 */
export interface RangeDeletion extends KeyBounds {
  /** The revision that deleted. */
  readonly revision: number;
  /** Where its versions go in the history; see `historyBlockKey`. Even: the lane after it is its own as well. */
  readonly lane: number;
}

/** The most that may be under way in a table: a record may have to be compared with each. */
export const RANGE_DELETIONS_MAX = 16;

/** The deletion that deleted a key's latest record; undefined: the key is live. `deletions` are oldest first. */
export function deletionOf(
  deletions: readonly RangeDeletion[],
  key: Buffer,
  record: Buffer,
): RangeDeletion | undefined {
  if (deletions.length === 0) return undefined;
  const modRevision = modRevisionOf(record);
  return deletions.find((deletion) => modRevision < deletion.revision && isWithinBounds(deletion, key));
}

/** Those that may have deleted keys of a range. */
export function deletionsWithin(
  deletions: readonly RangeDeletion[],
  bounds: KeyBounds,
): readonly RangeDeletion[] {
  return deletions.length === 0 ? deletions : deletions.filter((deletion) => overlap(deletion, bounds));
}

/** Those that had happened at a revision. */
export function deletionsUpTo(
  deletions: readonly RangeDeletion[],
  revision: number,
): readonly RangeDeletion[] {
  return deletions.length === 0 ? deletions : deletions.filter((deletion) => deletion.revision <= revision);
}

/** A part of a range. */
export interface RangePart extends KeyBounds {
  /** A deletion covers all of it; otherwise none covers any of it. */
  readonly isCovered: boolean;
}

/** The range in parts, in key order. */
export function partsOf({ first, end }: KeyBounds, deletions: readonly RangeDeletion[]): RangePart[] {
  const parts: RangePart[] = [];
  let at = first;
  for (const deletion of deletions.toSorted((left, right) => Buffer.compare(left.first, right.first))) {
    if (deletion.end !== undefined && Buffer.compare(deletion.end, at) <= 0) continue;
    if (end !== undefined && Buffer.compare(deletion.first, end) >= 0) break;
    if (Buffer.compare(at, deletion.first) < 0) {
      parts.push({ first: at, end: deletion.first, isCovered: false });
      at = deletion.first;
    }
    const isLast =
      deletion.end === undefined || (end !== undefined && Buffer.compare(end, deletion.end) <= 0);
    parts.push({ first: at, end: isLast ? end : deletion.end, isCovered: true });
    if (isLast) return parts;
    at = deletion.end!;
  }
  parts.push({ first: at, end, isCovered: false });
  return parts;
}
