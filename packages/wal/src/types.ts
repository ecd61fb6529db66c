import type { Entry, HardState, LogReader, Membership, SnapshotMetadata } from '@coxswain/raft';

/** The id of a Raft group; on the wire it is `shard_id`. */
export type GroupId = number;

/** One group's part of a write. It is applied in this order: reset, hard state, entries, compaction. */
export interface GroupWrite {
  readonly group: GroupId;
  readonly hardState?: HardState;
  /** Contiguous entries, which replace the group's suffix from `entries[0].index`. */
  readonly entries?: readonly Entry[];
  /** The point after which the log restarts: for a new group, or an installed snapshot (D7). */
  readonly reset?: SnapshotMetadata;
  /** Entries up to and including `index` are no longer needed; term and membership are those at `index`. */
  readonly compact?: SnapshotMetadata;
  /** The group is removed for good; nothing else may be set. */
  readonly remove?: true;
}

/**
 * A group as found on disk at start, and its log from then on. Reads are synchronous and see everything that was
 * submitted, durable or not; the entries that they return stay valid whatever happens to the log. `entries` throws
 * `WalCorruptError` when a segment does not hold the bytes that were written there.
 */
export interface GroupLog extends LogReader {
  readonly group: GroupId;
  readonly hardState: HardState;
  /** The truncation point, with the membership as of that point. */
  readonly truncated: SnapshotMetadata;
  readonly membership: Membership;
  /** The bytes that the group's entries take on disk. */
  readonly sizeBytes: number;
  /**
   * Returns the bytes that the entries from `index` on take. The cost grows with their number: half a microsecond for
   * 100,000.
   */
  sizeBytesFrom(index: number): number;
  /**
   * Returns the first index such that the entries from it on take at most `sizeBytesMax`; past the last when even that
   * one takes more.
   */
  firstIndexWithin(sizeBytesMax: number): number;
  /** Answers `snapshot()`. The host, which owns the state machine, sets it; until then there is no snapshot. */
  snapshotSource: () => SnapshotMetadata | undefined;
}

/**
 * The directory of files that holds the segments. Production uses node:fs; tests and the simulator use one that loses,
 * tears and refuses writes. Offsets and sizes are bytes. A rejected promise is an error of the disk; one whose `code`
 * is ENOSPC or EDQUOT means that there is no room (D6).
 */
export interface WalDisk {
  /**
   * Lists the files. The names are durable when it resolves, including those that an earlier process left before it had
   * made them so.
   */
  list(): Promise<string[]>;
  /**
   * Makes a file of `sizeBytes` zeros whose space is allocated, durable together with its name before it resolves. A
   * file of that name must not exist. ENOSPC rejects, and leaves no file.
   */
  create(name: string, sizeBytes: number): Promise<WalFile>;
  open(name: string): Promise<WalFile>;
  /** Renames a file, and replaces one that is already named `to`. Durable when it resolves. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. Durable when it resolves. */
  remove(name: string): Promise<void>;
}

export interface WalFile {
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Writes to the operating system, not yet to the disk, and never past the end. The buffers may be used again once it
   * settles.
   */
  write(buffers: readonly Buffer[], offset: number): Promise<void>;
  /** Calls fdatasync: everything written before is durable when it resolves. Never retried after an error (D6). */
  sync(): Promise<void>;
  /**
   * Returns a copy of the content; fewer bytes at the end of the file. The copy may be put into `memory` when it fits.
   */
  readSync(offset: number, lengthBytes: number, memory?: Buffer): Buffer;
  close(): Promise<void>;
}
