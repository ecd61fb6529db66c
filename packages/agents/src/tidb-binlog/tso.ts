/** A point of a table's log: an entry's index, and when the leader cluster's leader appended it. */
export interface Position {
  readonly index: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
}

/** The low bits of a TSO, which are no part of its time. */
const LOGICAL_BITS = 18n;
const LOGICAL_MASK = (1n << LOGICAL_BITS) - 1n;
const INT64_MAX = (1n << 63n) - 1n;

/**
 * A position as a TSO, the way in which clients of TiDB-Binlog write times: milliseconds since 1970 in all but the low 18
 * bits, and in those the low bits of the index. They shift it to get a time. Two positions of one millisecond that are
 * 2^18 entries apart have the same one. It is 0 where the time is: nothing that has one was written by then.
 */
export function tsoOf({ index, timeMs }: Position): bigint {
  if (timeMs === 0) return 0n;
  return (BigInt(timeMs) << LOGICAL_BITS) | (BigInt(index) & LOGICAL_MASK);
}

/** The time of a TSO, in milliseconds since 1970. */
export function timeMsOf(ts: bigint): number {
  return Number(ts >> LOGICAL_BITS);
}

/** Whether the low bits of a TSO are those of the index. */
export function isOfIndex(ts: bigint, index: number): boolean {
  return (ts & LOGICAL_MASK) === (BigInt(index) & LOGICAL_MASK);
}

/** The indices from `first` to `last` that a TSO may stand for, the newest first. */
export function* indicesOf(ts: bigint, first: number, last: number): Generator<number> {
  const step = Number(LOGICAL_MASK) + 1;
  const low = Number(ts & LOGICAL_MASK);
  const newest = last - ((((last - low) % step) + step) % step);
  for (let index = newest; index >= first; index -= step) yield index;
}

/** Reads a number as the real server does, Go's `ParseInt(text, 10, 64)`; undefined: it is none. */
export function parseTs(text: string): bigint | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const ts = BigInt(text.replace(/^\+/, ''));
  return ts <= INT64_MAX && ts >= -INT64_MAX - 1n ? ts : undefined;
}
