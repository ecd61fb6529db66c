import type { RangeDeletion } from './range-deletion.js';

/** Where a table is after some batch. Immutable; everything stored here is in the same store batch as the data (D3). */
export interface TableState {
  /** The last entry that is applied in whole. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** What reads report: `leaderIndex` where there is one, else `appliedIndex`. */
  readonly revision: number;
  /** The leader cluster's index of the last replicated command (R1), 0 before the first; undefined on a leader cluster. */
  readonly leaderIndex: number | undefined;
  /** The largest time stamp of an entry (A7), milliseconds since 1970. */
  readonly lastTimeMs: number;
  /** Reads below it are refused (A5). */
  readonly historyFloor: number;
  /** Live keys, and those that `deletions` have not removed yet. */
  readonly keyCount: number;
  /** 16 bytes (A6), of the keys that `keyCount` counts. */
  readonly contentHash: Buffer;
  /** The shard that took over, 0 when the table is deleted, undefined while it serves (T2). */
  readonly sealedBy: number | undefined;
  /** Changes of keys since the table was made: between two states of which it differs there is history. */
  readonly changeCount: number;
  /** Range deletions whose keys are being removed (A4), oldest first. */
  readonly deletions: readonly RangeDeletion[];
  /**
   * Not stored. Range deletions whose keys are removed, oldest first, of which it is known what was written since. The
   * store may take long to forget such keys, and readers need not wait for that.
   */
  readonly swept: readonly RangeDeletion[];
}

/** Live keys; undefined while a range deletion goes on, and nobody has counted what it deleted. */
export function liveKeyCountOf({ deletions, keyCount }: TableState): number | undefined {
  return deletions.length === 0 ? keyCount : undefined;
}

/** How far an entry with a large effect has come (A4). */
export interface Progress {
  readonly index: number;
  /** The place of the command in a SEQUENCE; 0 for any other. */
  readonly command: number;
  /**
   * Which branch of a Txn runs: its compares must not be made again, on half of its effects. Undefined: they
   * have not been made yet.
   */
  readonly succeeded: boolean | undefined;
  /** The place of the operation in the branch of a Txn, or of the pair in a batch; 0 for any other command. */
  readonly operation: number;
  /** Where a range deletion goes on; undefined: the operation has not begun. */
  readonly nextKey: Buffer | undefined;
  /** Keys that this range deletion has deleted. */
  readonly deletedCount: number;
}
