import { mvcc } from '@coxswain/protocol';
import { boundsOf, type KeyBounds } from './key-bounds.js';
import { createRevisionOf, keyInLatestKey, modRevisionOf, valueIn, versionOf } from './layout.js';
import type { RecordReader } from './record-source.js';

const CHUNK_ENTRIES_MAX = 500;

/** Returns the part of a Txn's compares that this version does not know (A8), or undefined when it knows them all. */
export function unknownInCompares(compares: readonly mvcc.Compare[]): string | undefined {
  for (const { target, result } of compares) {
    if (!(target >= mvcc.Compare_CompareTarget.VALUE && target <= mvcc.Compare_CompareTarget.MOD)) {
      return `compare target ${target}`;
    }
    if (!(result >= mvcc.Compare_CompareResult.EQUAL && result <= mvcc.Compare_CompareResult.NOT_EQUAL)) {
      return `compare result ${result}`;
    }
  }
  return undefined;
}

/**
 * Returns true when every compare holds, also when there is none (docs/protocol.md §2). Each key is read once, however
 * many ranges it is in.
 */
export async function comparesHold(
  source: RecordReader,
  compares: readonly mvcc.Compare[],
): Promise<boolean> {
  const ranges: RangeCompare[] = [];
  for (const compare of compares) {
    const bounds = boundsOf(compare.key, compare.rangeEnd);
    if (bounds !== undefined) {
      ranges.push({ compare, ...bounds, isEmpty: true });
      continue;
    }
    const found = source.get(compare.key);
    if (!recordHolds(compare, found instanceof Promise ? await found : found)) return false;
  }
  ranges.sort((left, right) => Buffer.compare(left.first, right.first));
  for (let at = 0; at < ranges.length; ) {
    const overlapping = overlappingFrom(ranges, at);
    if (!(await overlappingHold(source, overlapping))) return false;
    at += overlapping.length;
  }
  // An empty range compares as a missing key, as in etcd.
  return ranges.every(({ compare, isEmpty }) => !isEmpty || recordHolds(compare, undefined));
}

/** A compare of each key of a range. */
interface RangeCompare extends KeyBounds {
  readonly compare: mvcc.Compare;
  isEmpty: boolean;
}

/**
 * Returns the ranges from a place on that one scan can read without a gap. They are in the order of their first keys.
 */
function overlappingFrom(ranges: readonly RangeCompare[], first: number): RangeCompare[] {
  const overlapping = [ranges[first]!];
  let { end } = ranges[first]!;
  for (let at = first + 1; at < ranges.length; at++) {
    const range = ranges[at]!;
    if (end !== undefined && Buffer.compare(range.first, end) >= 0) break;
    overlapping.push(range);
    end = laterEnd(end, range.end);
  }
  return overlapping;
}

function laterEnd(left: Buffer | undefined, right: Buffer | undefined): Buffer | undefined {
  if (left === undefined || right === undefined) return undefined;
  return Buffer.compare(left, right) < 0 ? right : left;
}

async function overlappingHold(source: RecordReader, ranges: readonly RangeCompare[]): Promise<boolean> {
  const end = ranges.map((range) => range.end).reduce(laterEnd);
  const scan = source.scan({ first: ranges[0]!.first, end }, {});
  let begun: RangeCompare[] = [];
  let begunCount = 0;
  try {
    for (;;) {
      const pairs = await scan.next(CHUNK_ENTRIES_MAX);
      if (pairs.length === 0) return true;
      for (const [storeKey, record] of pairs) {
        const key = keyInLatestKey(storeKey);
        for (; begunCount < ranges.length; begunCount++) {
          if (Buffer.compare(ranges[begunCount]!.first, key) > 0) break;
          begun.push(ranges[begunCount]!);
        }
        let hasEnded = false;
        for (const range of begun) {
          if (range.end !== undefined && Buffer.compare(key, range.end) >= 0) {
            hasEnded = true;
            continue;
          }
          range.isEmpty = false;
          if (!recordHolds(range.compare, record)) return false;
        }
        if (hasEnded)
          begun = begun.filter((range) => range.end === undefined || Buffer.compare(key, range.end) < 0);
      }
    }
  } finally {
    await scan.close();
  }
}

/** Returns true when a stock follower would understand one of the compares otherwise (R3). */
export function hasRevisionCompares(compares: readonly mvcc.Compare[]): boolean {
  return compares.some(({ target }) => target !== mvcc.Compare_CompareTarget.VALUE);
}

function recordHolds(compare: mvcc.Compare, record: Buffer | undefined): boolean {
  const right = compare.targetUnion;
  switch (compare.target) {
    case mvcc.Compare_CompareTarget.VERSION:
      return integerHolds(
        compare.result,
        record === undefined ? 0 : versionOf(record),
        right?.$case === 'version' ? right.value : 0n,
      );
    case mvcc.Compare_CompareTarget.CREATE:
      return integerHolds(
        compare.result,
        record === undefined ? 0 : createRevisionOf(record),
        right?.$case === 'createRevision' ? right.value : 0n,
      );
    case mvcc.Compare_CompareTarget.MOD:
      return integerHolds(
        compare.result,
        record === undefined ? 0 : modRevisionOf(record),
        right?.$case === 'modRevision' ? right.value : 0n,
      );
    default:
      if (record === undefined) return false;
      // A compare without a value asks only whether the key exists.
      if (right?.$case !== 'value') return true;
      return orderHolds(compare.result, Buffer.compare(valueIn(record), right.value));
  }
}

/** Compares two integers. No revision or version is larger than 2^53-1, so nothing matches a larger number. */
function integerHolds(result: mvcc.Compare_CompareResult, left: number, right: bigint): boolean {
  if (right > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  return orderHolds(result, left - Number(right));
}

/**
 * Returns whether an order matches. `order` is negative, zero or positive, as the stored side is less, equal or
 * greater.
 */
function orderHolds(result: mvcc.Compare_CompareResult, order: number): boolean {
  switch (result) {
    case mvcc.Compare_CompareResult.EQUAL:
      return order === 0;
    case mvcc.Compare_CompareResult.GREATER:
      return order > 0;
    case mvcc.Compare_CompareResult.LESS:
      return order < 0;
    default:
      return order !== 0;
  }
}
