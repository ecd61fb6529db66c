import { randomBytes } from 'node:crypto';
import type { ArchivedEntry, ArchivedShard } from '../../src/log-object.js';

export const SHARD: ArchivedShard = { clusterId: 'c0ffee', shardId: 17, table: 'orders', firstIndex: 1 };

/** When entry 0 would have been stamped. */
export const EPOCH_MS = 1_700_000_000_000;

/** Entries `first` to `last`, one a second; every seventh is internal. The same ones at each call, unless `commandOf` differs. */
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

/** Commands that do not shrink. */
export function largeCommand(sizeBytes: number): () => Buffer {
  return () => randomBytes(sizeBytes);
}
