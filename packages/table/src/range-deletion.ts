import { isEmptyRange, isWithinBounds, type KeyBounds, overlap } from './key-bounds.js';
import { modRevisionOf } from './layout.js';
import type { KeyTree, WrittenKeys } from './written-keys.js';

/**
 * A deletion of a range that has happened, while the store still holds latest records that it deleted: those of the
 * range that are older than its revision. Readers pass over them, and the sweep removes them (A4). Immutable, but for what
 * `written` comes to know.
 */
export interface RangeDeletion extends KeyBounds {
  /** The revision that deleted. */
  readonly revision: number;
  /** Where its versions go in the history; see `historyBlockKey`. Even: the lane after it is its own as well. */
  readonly lane: number;
  /** Not stored. Undefined: nobody knows, and readers look at every record. */
  readonly written?: WrittenKeys | undefined;
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
  /** All that can be live in the part; undefined: anything. */
  readonly keys: KeyTree | undefined;
}

/** The range in parts, in key order, none where it is empty. Where several deletions say what can be live, the latest does. */
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
