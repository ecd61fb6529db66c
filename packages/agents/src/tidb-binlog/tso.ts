/**
 * A point of a table's log: an entry's index, and the time at which the leader of the leader cluster appended the
 * entry.
 */
export interface Position {
  readonly index: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
}

/** The low bits of a TSO, which are not part of its time. */
const LOGICAL_BITS = 18n;
const LOGICAL_MASK = (1n << LOGICAL_BITS) - 1n;
const INT64_MAX = (1n << 63n) - 1n;

/**
 * Writes a position as a TSO, the form in which clients of TiDB-Binlog write times: milliseconds since 1970, shifted
 * left by 18 bits, with the low bits of the index in those. Two positions of the same millisecond whose indices differ
 * by a multiple of 2^18 have the same TSO. A position without a time becomes 0.
 */
export function tsoOf({ index, timeMs }: Position): bigint {
  if (timeMs === 0) return 0n;
  return (BigInt(timeMs) << LOGICAL_BITS) | (BigInt(index) & LOGICAL_MASK);
}

/** Returns the time of a TSO, in milliseconds since 1970. */
export function timeMsOf(ts: bigint): number {
  return Number(ts >> LOGICAL_BITS);
}

/** Whether the low bits of a TSO equal those of the index. */
export function isOfIndex(ts: bigint, index: number): boolean {
  return (ts & LOGICAL_MASK) === (BigInt(index) & LOGICAL_MASK);
}

/** Yields the indices from `first` to `last` that a TSO may stand for, the newest first. */
export function* indicesOf(ts: bigint, first: number, last: number): Generator<number> {
  const step = Number(LOGICAL_MASK) + 1;
  const low = Number(ts & LOGICAL_MASK);
  const newest = last - ((((last - low) % step) + step) % step);
  for (let index = newest; index >= first; index -= step) yield index;
}

/** Parses a number as the real server does, with Go's `ParseInt(text, 10, 64)`; undefined when the text is not one. */
export function parseTs(text: string): bigint | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const ts = BigInt(text.replace(/^\+/, ''));
  return ts <= INT64_MAX && ts >= -INT64_MAX - 1n ? ts : undefined;
}
