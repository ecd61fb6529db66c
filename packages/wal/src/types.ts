import type { Entry, HardState, LogReader, Membership, SnapshotMetadata } from '@coxswain/raft';

/** A Raft group's id; on the wire `shard_id`. */
export type GroupId = number;

/** One group's share of a write. Order within: reset, then hard state, entries, compaction. */
export interface GroupWrite {
  readonly group: GroupId;
  readonly hardState?: HardState;
  /** Contiguous. Replaces the group's suffix from `entries[0].index`. */
  readonly entries?: readonly Entry[];
  /** The log restarts after this point: a new group, or an installed snapshot (D7). */
  readonly reset?: SnapshotMetadata;
  /** Entries up to and including `index` are no longer needed; term and membership are those at `index`. */
  readonly compact?: SnapshotMetadata;
  /** The group is gone for good; nothing else may be set. */
  readonly remove?: true;
}

/**
 * A group as found on disk at start, and its log from then on. Reads are synchronous and answer with all that was
 * submitted, durable or not; what they give stays valid whatever happens to the log. `entries` throws
 * `WalCorruptError` when the bytes that it reads from a segment are not those that were written there.
 */
export interface GroupLog extends LogReader {
  readonly group: GroupId;
  readonly hardState: HardState;
  /** The truncation point; membership as of that point. */
  readonly truncated: SnapshotMetadata;
  readonly membership: Membership;
  /** What the group's entries take on disk. */
  readonly sizeBytes: number;
  /** What those from `index` on take. It costs more the more there are: half a microsecond for 100,000. */
  sizeBytesFrom(index: number): number;
  /** The first entry such that those from it on take no more than this; past the last where even that one takes more. */
  firstIndexWithin(sizeBytesMax: number): number;
  /** Answers `snapshot()`. Set by the host, which owns the state machine; until then there is no snapshot. */
  snapshotSource: () => SnapshotMetadata | undefined;
}

/**
 * Where segments live: a directory of files. Production uses node:fs; tests and the simulator one that loses,
 * tears and refuses writes. Offsets and sizes are bytes. A rejected promise is an error of the disk; one whose
 * `code` is ENOSPC or EDQUOT means that there is no room (D6).
 */
export interface WalDisk {
  /** The names are durable when it resolves, also those that a process left which died before it had made them so. */
  list(): Promise<string[]>;
  /**
   * Makes a file of `sizeBytes` whose space is allocated, durable together with its name before it resolves.
   * Its content is zeros. ENOSPC rejects, and leaves no file. A file of that name must not exist.
   */
  create(name: string, sizeBytes: number): Promise<WalFile>;
  open(name: string): Promise<WalFile>;
  /** Durable when it resolves. A file that is already named `to` is replaced. */
  rename(from: string, to: string): Promise<void>;
  /** Durable when it resolves. */
  remove(name: string): Promise<void>;
}

export interface WalFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Reaches the operating system, not yet the disk. The buffers are used again once it settles. Never past the end. */
  write(buffers: readonly Buffer[], offset: number): Promise<void>;
  /** fdatasync: everything written before is durable when it resolves. Never retried after an error (D6). */
  sync(): Promise<void>;
  /** A copy of the content; fewer bytes at the end of the file. It may be put into `memory` when it fits. */
  readSync(offset: number, lengthBytes: number, memory?: Buffer): Buffer;
  close(): Promise<void>;
}
