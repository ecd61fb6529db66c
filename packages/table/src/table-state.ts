import type { RangeDeletion } from './range-deletion.js';

/**
 * The state of a table after some batch. Immutable. All stored parts of it are in the same store batch as the data
 * (D3).
 */
export interface TableState {
  /** The last entry that has been applied completely. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** The revision that reads report: `leaderIndex` when there is one, else `appliedIndex`. */
  readonly revision: number;
  /**
   * The leader cluster's index of the last replicated command (R1), 0 before the first; undefined on a leader cluster.
   */
  readonly leaderIndex: number | undefined;
  /** The largest time stamp of an entry (A7), in milliseconds since 1970. */
  readonly lastTimeMs: number;
  /** The oldest revision that can be read; earlier ones are refused (A5). */
  readonly historyFloor: number;
  /** The number of live keys, and of keys that `deletions` have yet to remove. */
  readonly keyCount: number;
  /** The content hash of the keys that `keyCount` counts (A6), 16 bytes. */
  readonly contentHash: Buffer;
  /** The shard that took over, 0 when the table is deleted, undefined while it serves (T2). */
  readonly sealedBy: number | undefined;
  /**
   * The number of changes of keys since the table was made. When it differs between two states, there is history
   * between them.
   */
  readonly changeCount: number;
  /** The range deletions whose keys are being removed (A4), oldest first. */
  readonly deletions: readonly RangeDeletion[];
  /**
   * The range deletions whose keys have been removed, oldest first, of which the keys written since are known. The
   * store may take long to forget removed keys, and readers need not wait for that. Not stored.
   */
  readonly swept: readonly RangeDeletion[];
}

/** Returns the number of live keys; undefined while a range deletion is under way, whose keys have not been counted. */
export function liveKeyCountOf({ deletions, keyCount }: TableState): number | undefined {
  return deletions.length === 0 ? keyCount : undefined;
}

/** How far an entry with a large effect has come (A4). */
export interface Progress {
  readonly index: number;
  /** The place of the command in a SEQUENCE; 0 for any other command. */
  readonly command: number;
  /**
   * The branch of a Txn that runs. Its compares must not be made again, on half of its effects. Undefined when they
   * have not been made yet.
   */
  readonly succeeded: boolean | undefined;
  /** The place of the operation in the branch of a Txn, or of the pair in a batch; 0 for any other command. */
  readonly operation: number;
  /** The key at which a range deletion continues; undefined when the operation has not begun. */
  readonly nextKey: Buffer | undefined;
  /** The number of keys that the range deletion has deleted so far. */
  readonly deletedCount: number;
}
