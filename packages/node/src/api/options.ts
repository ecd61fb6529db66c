import type { NodeId } from '@coxswain/raft';

export interface NodeOptions {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Raft addresses, `host:port`, of every member including this one. */
  readonly initialMembers: ReadonlyMap<NodeId, string>;
  /** The other members learn it, for Cluster.MemberList. */
  readonly clientUrls: readonly string[];
  /** host:port of the REST listener, which the other members learn; empty: there is none. */
  readonly restAddress: string;
  readonly version: string;
  /** Raft's unit of time. Default 50. */
  readonly tickMs: number;
  /** Default 1 tick. */
  readonly heartbeatTicks: number;
  /** Default 20 ticks. */
  readonly electionTicks: number;
  /** Applied entries between log compactions. Default 10000. */
  readonly snapshotEntries: number;
  /** Entries that stay in the log below the applied one when it is compacted, for followers that lag. Default 5000. */
  readonly compactionOverheadEntries: number;
  /** How long superseded versions stay readable, by entry time. Default 300000. */
  readonly historyRetentionMs: number;
  readonly walSegmentSizeBytes: number;
  readonly walEntryCacheBytesMax: number;
  /** What a table may keep in memory of what was written: half of it is flushed while the other half is filled. */
  readonly storeWriteBufferBytes: number;
  /** What all tables may keep in memory of what was written: past it the table that keeps most is flushed. */
  readonly writeMemoryBytes: number;
  /** Effects of one entry in one store batch, at most (A4). The simulator brings small ones. Default: the table's. */
  readonly entryEffects?: { readonly sizeBytesMax: number; readonly operationsMax: number } | undefined;
  /** Keys of which a table knows the number without a look at each. The simulator brings few. Default: the table's. */
  readonly keyBlockKeys?: number | undefined;
  /** Block caches: the first table gets all of it, and each later one a smaller part. Default 16 MiB. */
  readonly storeCacheBytes: number;
  /** What the pages of all tables may take in memory, from which ranges are answered; 0: there are none. */
  readonly pageCacheBytes: number;
  /** Proposals of this node that are not answered yet. Above: UNAVAILABLE, not a queue without end. */
  readonly proposalsPendingMax: number;
  readonly proposalsPendingBytesMax: number;
  /** Linearizable reads that wait. */
  readonly readsPendingMax: number;
  readonly tablesMax: number;
  /** Tables that exist from the start; made by the first leader of the meta group. */
  readonly initialTables: readonly string[];
  /** What the process was started as. A follower cluster that was promoted stays a leader cluster (R5). */
  readonly role: 'leader' | 'follower';
  /** How long a follower cluster keeps the data of a table that its leader cluster has no more (R4). */
  readonly quarantineMs: number;
  /** A group's log is compacted when it takes more than this, whatever its entries. */
  readonly logBytesMax: number;
  /** Undefined: the node is no member of a wolf.raft group. */
  readonly wolf?: WolfOptions | undefined;
  /** Undefined: logs are kept for nobody. The same on every member. */
  readonly archive?: ArchiveOptions | undefined;
}

/** A table whose Raft group speaks wolf.raft instead of frames (docs/operations-protocols.md §1). Ids are wolf.raft's, from 0. */
export interface WolfOptions {
  readonly table: string;
  /** The member that this node is. */
  readonly id: number;
  /** `host:port` of every member, this one included. */
  readonly members: ReadonlyMap<number, string>;
}

/** How long logs are kept for the archive. */
export interface ArchiveOptions {
  /**
   * What may wait in the logs of all tables together to be archived. The log takes up to twice as much on disk, and 20
   * bytes of memory for each entry.
   */
  readonly backlogBytesMax: number;
  /**
   * When more waits: `gap`, the oldest entries go, of the tables of which most waits, but for what logs keep anyway;
   * `stop-writes`, writes are refused until less does. It is looked at twice a second, so that a little more may wait.
   */
  readonly onLimit: 'gap' | 'stop-writes';
}

/** The defaults of everything that is not identity or address. */
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
