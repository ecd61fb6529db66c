/** A range of keys in byte order from `first` on, and before `end`. Undefined `end` means no upper bound. */
export interface KeyBounds {
  readonly first: Buffer;
  readonly end: Buffer | undefined;
}

/** As a range's end, this key means that there is no upper bound. */
const NO_UPPER_BOUND = Buffer.from([0]);

/**
 * Returns the range that `range_end` means (docs/protocol.md §2); undefined when `range_end` is absent or empty, so
 * that one key is meant.
 */
export function boundsOf(key: Buffer, rangeEnd: Buffer | undefined): KeyBounds | undefined {
  if (rangeEnd === undefined || rangeEnd.length === 0) return undefined;
  return { first: key, end: rangeEnd.equals(NO_UPPER_BOUND) ? undefined : rangeEnd };
}

/** The bounds of the whole table. */
export const ALL_KEYS: KeyBounds = { first: Buffer.alloc(0), end: undefined };

/** Returns true when the range holds every key but, maybe, the empty one, which no request can write. */
export function isWholeTable({ first, end }: KeyBounds): boolean {
  return end === undefined && (first.length === 0 || first.equals(NO_UPPER_BOUND));
}

/** Returns true when the range can hold no key. It must be checked since LevelDB does not take inverted bounds. */
export function isEmptyRange(bounds: KeyBounds): boolean {
  return bounds.end !== undefined && Buffer.compare(bounds.end, bounds.first) <= 0;
}

/** Returns true when some key could be in both ranges. */
export function overlap(left: KeyBounds, right: KeyBounds): boolean {
  return (
    (right.end === undefined || Buffer.compare(left.first, right.end) < 0) &&
    (left.end === undefined || Buffer.compare(right.first, left.end) < 0)
  );
}

/** Returns true when the key is in the range. */
export function isWithinBounds({ first, end }: KeyBounds, key: Buffer): boolean {
  return Buffer.compare(first, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0);
}
