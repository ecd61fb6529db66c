import type { mvcc } from '@coxswain/protocol';
import type { NodeId, Role } from '@coxswain/raft';
import type { Histogram } from '@coxswain/runtime';
import type { ApplyResult, Table } from '@coxswain/table';
import type { DiskShortage } from '../disk/disk-room.js';
import type { WriteStages } from '../group/write-stages.js';

/**
 * What a cluster is to others (R5). `promoting`: it was a follower cluster, takes no writes for the moment, and
 * becomes a leader cluster for good.
 */
export type ClusterRole = 'leader' | 'follower' | 'promoting';

/** The limits of one request. */
export interface Call {
  /** On `Clock.monotonicMs`. When it passes, the request ends with `timeout`, or `outcomeUnknown` for a write that may have happened (P1). */
  readonly deadlineMs: number;
  /** Is told when a write that it asked for was applied, on `Clock.monotonicMs`, and where to count what its answer takes. */
  applied?(atMs: number, stages: WriteStages): void;
}

/** What a response's header says (regatta.v1.ResponseHeader). */
export interface Header {
  readonly shardId: number;
  readonly replicaId: number;
  readonly revision: number;
  readonly raftTerm: number;
  readonly raftLeaderId: number;
}

export interface Proposed {
  readonly result: ApplyResult;
  readonly header: Header;
}

/** A table that may be read now: what was asked for (linearizable or not) holds. Use it at once, without waiting. */
export interface ReadableTable {
  readonly table: Table;
  header(revision: number): Header;
}

export interface TableInfo {
  readonly name: string;
  readonly shardId: number;
  /** As given to Tables.Create; JSON. */
  readonly config: Record<string, unknown> | undefined;
}

export interface TableStatus {
  readonly name: string;
  readonly shardId: number;
  readonly logSizeBytes: number;
  readonly dbSizeBytes: number;
  readonly leader: NodeId;
  readonly role: Role;
  readonly lastIndex: number;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  /** Of a replica of a leader cluster's table: the leader cluster's last index that it has applied; else undefined. */
  readonly leaderIndex: number | undefined;
  /** Hex. Equal on replicas with equal `appliedIndex` (A6); empty where it is not known for a moment. */
  readonly contentHash: string;
  /** Why this replica does not serve, or undefined. */
  readonly error: string | undefined;
  /** Why this node knows no leader of the group, or undefined while it knows one. */
  readonly leaderless: string | undefined;
}

export interface MemberInfo {
  readonly id: NodeId;
  readonly name: string;
  readonly raftAddress: string;
  readonly clientUrls: readonly string[];
  /** host:port of its REST listener. Absent: it has not said, or it is of an earlier release. */
  readonly restAddress?: string;
  /** Its limit of descriptors, while it has too few left for another table. */
  readonly descriptorsShortOf?: number;
}

/** A table that was taken out of service because the leader cluster had it no more (R4). */
export interface QuarantinedTable {
  /** What it was called. It is read as `readableAs` until `untilMs`, milliseconds since 1970. */
  readonly name: string;
  readonly shardId: number;
  readonly readableAs: string;
  readonly untilMs: number;
}

export interface NodeStatus {
  readonly nodeId: NodeId;
  /** Undefined until the node knows its cluster's first entry. */
  readonly role: ClusterRole | undefined;
  /** Hex; undefined until the cluster has formed (T4). */
  readonly clusterId: string | undefined;
  readonly incarnation: string;
  readonly members: readonly MemberInfo[];
  readonly tables: readonly TableStatus[];
  /** Sorted by shard. */
  readonly quarantined: readonly QuarantinedTable[];
  /** The meta group, in the form of a table. */
  readonly meta: TableStatus | undefined;
  readonly isDiskFull: boolean;
  /** The disk that lacks room, when one does. */
  readonly diskShortage: DiskShortage | undefined;
  /** `silentMs`: since when nothing came from it. */
  readonly peers: readonly { id: NodeId; isConnected: boolean; silentMs: number }[];
}

export interface Readiness {
  readonly isReady: boolean;
  /** In the form `name=bool`, true is bad: hasNoLeader, isDiskFull, … */
  readonly conditions: Readonly<Record<string, boolean>>;
}

/** Counters and gauges for /metrics, read when scraped. */
export interface NodeMetrics {
  readonly proposals: {
    appended: number;
    applied: number;
    refused: number;
    outcomeUnknown: number;
    pending: number;
  };
  readonly reads: { linearizable: number; serializable: number; readIndexRounds: number };
  readonly leaderChanges: number;
  readonly walSyncs: number;
  readonly walSyncSeconds: Histogram;
  readonly walBytes: number;
  readonly writeStages: WriteStages;
  readonly snapshotsSent: number;
  readonly snapshotsReceived: number;
  readonly peerBytesSent: number;
  readonly peerBytesReceived: number;
  /** This node's wall clock beside those of the members (A7). */
  readonly clock: {
    /** How far it is ahead now; negative: behind. 0 where it is compared with nothing. */
    readonly aheadSeconds: number;
    /** How often it was so far ahead that it was not believed. */
    readonly jumps: number;
    /** The furthest that it was ahead in the last of those; 0: there was none. */
    readonly lastJumpSeconds: number;
  };
}

/** The replica host, as the API services use it. `Node` implements it. */
export interface NodeApi {
  /**
   * Proposes a command for a table (its bytes are marshalled once, here) and resolves when it is applied on
   * this node. Any node takes it. Errors: tableNotFound, notReady, tooBusy, diskFull, timeout, outcomeUnknown, shuttingDown.
   */
  propose(table: string, command: mvcc.Command, call: Call): Promise<Proposed>;
  /**
   * Gives the table when it may be read as asked. Errors: tableNotFound, notReady, timeout, shuttingDown.
   * A read that is not linearizable, of a table that this node knows and serves, is answered at once and
   * without a promise, since a point read costs no more than a promise does; errors may then be thrown.
   */
  read(table: string, options: { linearizable: boolean }, call: Call): ReadableTable | Promise<ReadableTable>;
  /** Resolves when a quorum hosts the table's group and it has a leader. Errors: nameInvalid, tableExists, tooManyTables, and those of propose. */
  createTable(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo>;
  deleteTable(name: string, call: Call): Promise<void>;
  /** Linearizable, sorted by name. */
  listTables(call: Call): Promise<TableInfo[]>;
  status(): NodeStatus;
  readiness(): Readiness;
  metrics(): NodeMetrics;
}
