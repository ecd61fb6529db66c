import { mvcc } from '@coxswain/protocol';
import { createRevisionOf, modRevisionOf, valueIn, versionOf } from './layout.js';
import { boundsOf, type RecordSource } from './record-source.js';

const CHUNK_ENTRIES_MAX = 500;

/** Why a Txn cannot be run by this version (A8), or undefined. */
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

/** Every compare must hold; none: true (regatta-protocol.md section 2). */
export async function comparesHold(
  source: RecordSource,
  compares: readonly mvcc.Compare[],
): Promise<boolean> {
  for (const compare of compares) {
    if (!(await compareHolds(source, compare))) return false;
  }
  return true;
}

/** True when a stock follower would understand a compare otherwise (R3). */
export function hasRevisionCompares(compares: readonly mvcc.Compare[]): boolean {
  return compares.some(({ target }) => target !== mvcc.Compare_CompareTarget.VALUE);
}

async function compareHolds(source: RecordSource, compare: mvcc.Compare): Promise<boolean> {
  const bounds = boundsOf(compare.key, compare.rangeEnd);
  if (bounds === undefined) {
    const found = source.get(compare.key);
    return recordHolds(compare, found instanceof Promise ? await found : found);
  }
  const scan = source.scan(bounds, {});
  try {
    let isEmpty = true;
    for (;;) {
      const pairs = await scan.next(CHUNK_ENTRIES_MAX);
      // An empty range compares as a missing key, as in etcd.
      if (pairs.length === 0) return isEmpty ? recordHolds(compare, undefined) : true;
      isEmpty = false;
      for (const [, record] of pairs) if (!recordHolds(compare, record)) return false;
    }
  } finally {
    await scan.close();
  }
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
      // Without a value it asks only whether the key exists.
      if (right?.$case !== 'value') return true;
      return orderHolds(compare.result, Buffer.compare(valueIn(record), right.value));
  }
}

/** Numbers past 2^53-1 match nothing: no revision or version is as large. */
function integerHolds(result: mvcc.Compare_CompareResult, left: number, right: bigint): boolean {
  if (right > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  return orderHolds(result, left - Number(right));
}

/** `order` is negative, zero or positive, as the stored side is less, equal or greater. */
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
