import { randomBytes } from 'node:crypto';
import type { ArchivedEntry, ArchivedShard } from '../../src/log-object.js';

export const SHARD: ArchivedShard = { clusterId: 'c0ffee', shardId: 17, table: 'orders', firstIndex: 1 };

/** The time at which entry 0 would have been stamped, in milliseconds since 1970. */
export const EPOCH_MS = 1_700_000_000_000;

/**
 * Returns the entries `first` to `last`, one a second; every seventh is internal. Every call returns the same ones,
 * unless `commandOf` differs.
 */
export function entries(
  first: number,
  last: number,
  commandOf: (index: number) => Buffer = (index) => Buffer.from(`command ${index}`),
): ArchivedEntry[] {
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const index = first + i;
    const isInternal = index % 7 === 0;
    return {
      index,
      term: 1 + Math.floor(index / 100),
      timeMs: isInternal ? 0 : EPOCH_MS + index * 1000,
      command: isInternal ? Buffer.alloc(0) : commandOf(index),
    };
  });
}

/** Makes commands that do not shrink when they are compressed. */
export function largeCommand(sizeBytes: number): () => Buffer {
  return () => randomBytes(sizeBytes);
}
