import { isEmptyRange, isWithinBounds, type KeyBounds, overlap } from './key-bounds.js';
import { modRevisionOf } from './layout.js';
import type { KeyTree, WrittenKeys } from './written-keys.js';

/**
 * A deletion of a range that has happened, while the store still holds latest records that it deleted: the records of
 * the range that are older than its revision. Readers pass over them, and the sweep removes them (A4). Immutable,
 * except that `written` grows.
 */
export interface RangeDeletion extends KeyBounds {
  /** The revision at which the range was deleted. */
  readonly revision: number;
  /**
   * The lane of the history for its versions; see `historyBlockKey`. The number is even, and the lane after it belongs
   * to the deletion as well.
   */
  readonly lane: number;
  /**
   * The keys that were written since, which are not stored. Undefined means that they are not known, and readers read
   * every record.
   */
  readonly written?: WrittenKeys | undefined;
}

/** The most range deletions that may be under way in a table, since a record may have to be compared with each. */
export const RANGE_DELETIONS_MAX = 16;

/**
 * Returns the deletion that deleted a key's latest record; undefined when the key is live. `deletions` are oldest
 * first.
 */
export function deletionOf(
  deletions: readonly RangeDeletion[],
  key: Buffer,
  record: Buffer,
): RangeDeletion | undefined {
  if (deletions.length === 0) return undefined;
  const modRevision = modRevisionOf(record);
  return deletions.find((deletion) => modRevision < deletion.revision && isWithinBounds(deletion, key));
}

/** Returns the deletions that may have deleted keys of a range. */
export function deletionsWithin(
  deletions: readonly RangeDeletion[],
  bounds: KeyBounds,
): readonly RangeDeletion[] {
  return deletions.length === 0 ? deletions : deletions.filter((deletion) => overlap(deletion, bounds));
}

/** Returns the deletions that had happened at a revision. */
export function deletionsUpTo(
  deletions: readonly RangeDeletion[],
  revision: number,
): readonly RangeDeletion[] {
  return deletions.length === 0 ? deletions : deletions.filter((deletion) => deletion.revision <= revision);
}

/** A part of a range. */
export interface RangePart extends KeyBounds {
  /** The only keys of the part that can be live; undefined when every key can. */
  readonly keys: KeyTree | undefined;
}

/**
 * Divides a range into parts, in key order; an empty range has none. When several deletions know the keys that can be
 * live, the latest one is used.
 */
export function partsOf(bounds: KeyBounds, deletions: readonly RangeDeletion[]): RangePart[] {
  if (isEmptyRange(bounds)) return [];
  const known = deletions.flatMap(({ written }) => {
    const keys = written?.tree;
    return keys !== undefined && overlap(written!.bounds, bounds) ? [{ ...written!.bounds, keys }] : [];
  });
  const starts = known
    .flatMap(({ first, end }) => (end === undefined ? [first] : [first, end]))
    .filter((at) => isWithinBounds(bounds, at))
    .sort(Buffer.compare);
  const parts: RangePart[] = [];
  for (const first of [bounds.first, ...starts]) {
    const keys = known.findLast((part) => isWithinBounds(part, first))?.keys;
    const last = parts.at(-1);
    if (last !== undefined && last.keys === keys) continue;
    if (last !== undefined) parts[parts.length - 1] = { ...last, end: first };
    parts.push({ first, end: bounds.end, keys });
  }
  return parts;
}
