import type { mvcc } from '@coxswain/protocol';
import type { NodeClient } from '../faults/node-client.js';
import type { Violations } from './violations.js';

const SCAN_TIMEOUT_MS = 600_000;

/**
 * Compares a table of two clusters key by key: value, version, create and mod revision. Resolves with the number of
 * keys.
 *
 * @param onPair is called with every pair of the first cluster.
 */
export async function compareContent(
  first: NodeClient,
  second: NodeClient,
  violations: Violations,
  onPair: (pair: mvcc.KeyValue) => void,
): Promise<number> {
  const others = second.pairs(SCAN_TIMEOUT_MS);
  let other = await others.next();
  let keyCount = 0;
  const skipUntil = async (key: Buffer | undefined): Promise<void> => {
    while (!other.done && (key === undefined || other.value.key.compare(key) < 0)) {
      violations.add(`${other.value.key} is only on the second cluster`);
      other = await others.next();
    }
  };
  for await (const pair of first.pairs(SCAN_TIMEOUT_MS)) {
    keyCount++;
    onPair(pair);
    await skipUntil(pair.key);
    if (other.done || !other.value.key.equals(pair.key)) {
      violations.add(`${pair.key} is only on the first cluster`);
      continue;
    }
    if (!isSame(pair, other.value)) violations.add(`${pair.key} differs between the clusters`);
    other = await others.next();
  }
  await skipUntil(undefined);
  return keyCount;
}

function isSame(left: mvcc.KeyValue, right: mvcc.KeyValue): boolean {
  return (
    left.value.equals(right.value) &&
    left.version === right.version &&
    left.createRevision === right.createRevision &&
    left.modRevision === right.modRevision
  );
}
