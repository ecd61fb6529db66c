import type { NodeId } from '@coxswain/raft';

/** The settings of a node. `defaultNodeOptions` has the defaults of all that are neither identity nor address. */
export interface NodeOptions {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** The Raft address, `host:port`, of every member by node id, this node included. */
  readonly initialMembers: ReadonlyMap<NodeId, string>;
  /** The URLs at which clients reach this node. The other members learn them, for Cluster.MemberList. */
  readonly clientUrls: readonly string[];
  /** The `host:port` of this node's REST listener, which the other members learn; empty when there is none. */
  readonly restAddress: string;
  readonly version: string;
  /** The length of a tick, Raft's unit of time, in milliseconds. Default 50. */
  readonly tickMs: number;
  /** The interval between a leader's heartbeats, in ticks. Default 1. */
  readonly heartbeatTicks: number;
  /** The election timeout, in ticks. Default 20. */
  readonly electionTicks: number;
  /** The number of entries applied between two compactions of a log. Default 10,000. */
  readonly snapshotEntries: number;
  /** The number of applied entries that a compaction leaves in the log, for followers that lag. Default 5,000. */
  readonly compactionOverheadEntries: number;
  /** How long superseded versions stay readable, in milliseconds of entry time. Default 300,000. */
  readonly historyRetentionMs: number;
  /** The size of a segment of the write-ahead log, in bytes. Default 16 MiB. */
  readonly walSegmentSizeBytes: number;
  /** The limit of the memory, in bytes, for recent entries of the write-ahead log. Default 32 MiB. */
  readonly walEntryCacheBytesMax: number;
  /**
   * The limit of a table's writes that are in memory alone, in bytes: one half is flushed while the other is filled.
   * Default 16 MiB.
   */
  readonly storeWriteBufferBytes: number;
  /**
   * The limit of such writes of all tables together, in bytes: beyond it the table that holds most is flushed.
   * Default 128 MiB.
   */
  readonly writeMemoryBytes: number;
  /**
   * The limit of one entry's effects in one store batch, in bytes and in operations (A4). The simulator sets small
   * limits. Default: the table's own.
   */
  readonly entryEffects?: { readonly sizeBytesMax: number; readonly operationsMax: number } | undefined;
  /**
   * The number of keys in a block whose keys a table counts without looking at each. The simulator sets a small
   * number. Default: the table's own.
   */
  readonly keyBlockKeys?: number | undefined;
  /**
   * The memory for blocks that a store has read, in bytes: all of it for the first table that is opened, and in
   * addition a smaller part for each later one. Default 16 MiB.
   */
  readonly storeCacheBytes: number;
  /**
   * The limit of the memory, in bytes, for pages of all tables, from which ranges are answered; 0 for no pages.
   * Default 32 MiB.
   */
  readonly pageCacheBytes: number;
  /**
   * The limit of this node's proposals that are not answered yet. Beyond it a proposal gets UNAVAILABLE (`tooBusy`)
   * instead of a place in an endless queue. Default 16,384.
   */
  readonly proposalsPendingMax: number;
  /** The limit of the bytes of such proposals. One proposal is always taken, however large. Default 64 MiB. */
  readonly proposalsPendingBytesMax: number;
  /**
   * The limit of the linearizable reads of one group that wait on this node. Beyond it a read gets `tooBusy`. Default
   * 65,536.
   */
  readonly readsPendingMax: number;
  /** The limit of the cluster's tables. Beyond it a creation gets `tooManyTables`. Default 10,000. */
  readonly tablesMax: number;
  /** The tables that exist from the start. The first leader of the meta group makes them. */
  readonly initialTables: readonly string[];
  /** The role that the process was started in. A follower cluster that was promoted stays a leader cluster (R5). */
  readonly role: 'leader' | 'follower';
  /**
   * How long a follower cluster keeps the data of a table that its leader cluster no longer has, in milliseconds
   * (R4). Default 24 h.
   */
  readonly quarantineMs: number;
  /**
   * The size of a group's log, in bytes, beyond which it is compacted however few entries it has. Default 256 MiB.
   */
  readonly logBytesMax: number;
  /** This node's membership in a wolf.raft group; undefined when it is in none. */
  readonly wolf?: WolfOptions | undefined;
  /** How long logs are kept for the archive, the same on every member; undefined when there is no archive. */
  readonly archive?: ArchiveOptions | undefined;
}

/**
 * The table whose Raft group speaks wolf.raft instead of frames (docs/operations-protocols.md §1), and the members of
 * that group. Ids are those of wolf.raft, which begin at 0.
 */
export interface WolfOptions {
  /** The name of the table. */
  readonly table: string;
  /** The wolf.raft id of this node. */
  readonly id: number;
  /** The `host:port` of every member by wolf.raft id, this node included. */
  readonly members: ReadonlyMap<number, string>;
}

/** How long logs are kept for the archive. */
export interface ArchiveOptions {
  /**
   * Configured limit (archive.max-backlog), in bytes, of the entries in all logs of this node that wait to be
   * archived. The log takes up to twice as much on disk, and 20 bytes of memory for each entry.
   */
  readonly backlogBytesMax: number;
  /**
   * The response to a backlog beyond the limit. `gap` removes the oldest entries of the tables with the largest
   * backlogs, except for entries that logs keep anyway; `stop-writes` refuses writes until the backlog is smaller.
   * The backlog is measured twice a second, so it may exceed the limit a little.
   */
  readonly onLimit: 'gap' | 'stop-writes';
}

/** The defaults of all options that are neither identity nor address. */
export const defaultNodeOptions = {
  restAddress: '',
  tickMs: 50,
  heartbeatTicks: 1,
  electionTicks: 20,
  snapshotEntries: 10_000,
  compactionOverheadEntries: 5_000,
  historyRetentionMs: 300_000,
  walSegmentSizeBytes: 16 * 1024 * 1024,
  walEntryCacheBytesMax: 32 * 1024 * 1024,
  storeWriteBufferBytes: 16 * 1024 * 1024,
  writeMemoryBytes: 128 * 1024 * 1024,
  storeCacheBytes: 16 * 1024 * 1024,
  pageCacheBytes: 32 * 1024 * 1024,
  proposalsPendingMax: 16_384,
  proposalsPendingBytesMax: 64 * 1024 * 1024,
  readsPendingMax: 65_536,
  tablesMax: 10_000,
  role: 'leader',
  quarantineMs: 24 * 3600 * 1000,
  logBytesMax: 256 * 1024 * 1024,
} as const;
