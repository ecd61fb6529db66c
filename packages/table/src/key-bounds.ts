/** Keys in byte order from `first` on; undefined `end`: no upper bound. */
export interface KeyBounds {
  readonly first: Buffer;
  readonly end: Buffer | undefined;
}

/** As a range's end: it has none. */
const NO_UPPER_BOUND = Buffer.from([0]);

/** What `range_end` means (docs/protocol.md §2); undefined: it is absent, and one key is meant. */
export function boundsOf(key: Buffer, rangeEnd: Buffer | undefined): KeyBounds | undefined {
  if (rangeEnd === undefined || rangeEnd.length === 0) return undefined;
  return { first: key, end: rangeEnd.equals(NO_UPPER_BOUND) ? undefined : rangeEnd };
}

/** The whole table. */
export const ALL_KEYS: KeyBounds = { first: Buffer.alloc(0), end: undefined };

/** True when the range holds every key but, maybe, the empty one, which no request can write. */
export function isWholeTable({ first, end }: KeyBounds): boolean {
  return end === undefined && (first.length === 0 || first.equals(NO_UPPER_BOUND));
}

/** True when the range holds no key whatever the table holds. LevelDB takes no inverted bounds. */
export function isEmptyRange(bounds: KeyBounds): boolean {
  return bounds.end !== undefined && Buffer.compare(bounds.end, bounds.first) <= 0;
}

/** True when some key could be in both. */
export function overlap(left: KeyBounds, right: KeyBounds): boolean {
  return (
    (right.end === undefined || Buffer.compare(left.first, right.end) < 0) &&
    (left.end === undefined || Buffer.compare(right.first, left.end) < 0)
  );
}

/** True when the key is in the range. */
export function isWithinBounds({ first, end }: KeyBounds, key: Buffer): boolean {
  return Buffer.compare(first, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0);
}
