import type { NodeId, Role } from '@coxswain/raft';
import type { Histogram } from '@coxswain/runtime';
import type { DiskShortage } from '../disk/disk-room.js';
import type { WriteStages } from '../group/write-stages.js';
import type { ClusterRole } from './cluster-api.js';

/** The state of this node's replica of a table, as reports show it. */
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
  /**
   * The last index of the leader cluster that the replica has applied; undefined when the table does not follow a
   * leader cluster's.
   */
  readonly leaderIndex: number | undefined;
  /**
   * The hash of the table's content, in hex (A6): equal on replicas with equal `appliedIndex`; empty while it is not
   * known for a moment.
   */
  readonly contentHash: string;
  /** Why this replica does not serve; undefined while it does. */
  readonly error: string | undefined;
  /** Why this node knows no leader of the group, or undefined while it knows one. */
  readonly leaderless: Leaderless | undefined;
}

/** A member of the cluster, and how to reach it. */
/** Why a group has no leader. */
export interface Leaderless {
  /** The code of the error that requests which need a leader get. */
  readonly code: 'noLeader' | 'leaderless';
  /** The cause in words; with noLeader, how many voters answer. */
  readonly reason: string;
}

export interface MemberInfo {
  readonly id: NodeId;
  readonly name: string;
  readonly raftAddress: string;
  readonly clientUrls: readonly string[];
  /**
   * The `host:port` of the member's REST listener. Absent or empty when the member has none, has not written it, or
   * runs an earlier release.
   */
  readonly restAddress?: string;
  /** The member's limit of descriptors, while too few are left for another table; absent otherwise. */
  readonly descriptorsShortOf?: number;
}

/** A table that was taken out of service because the leader cluster no longer has it (R4). */
export interface QuarantinedTable {
  /**
   * The name of the table while it was in service. Until `untilMs`, in milliseconds since 1970, it can be read as
   * `readableAs`.
   */
  readonly name: string;
  readonly shardId: number;
  readonly readableAs: string;
  readonly untilMs: number;
}

/** The state of a node, its cluster and its replicas, as reports show it. */
export interface NodeStatus {
  readonly nodeId: NodeId;
  /** The role of the node's cluster; undefined until the node knows its cluster's first entry. */
  readonly role: ClusterRole | undefined;
  /** The id of the node's cluster, in hex; undefined until the cluster has formed (T4). */
  readonly clusterId: string | undefined;
  /** The incarnation id of the node's data directory, 16 hex digits (T4). */
  readonly incarnation: string;
  readonly members: readonly MemberInfo[];
  readonly tables: readonly TableStatus[];
  /** The tables in quarantine, sorted by shard. */
  readonly quarantined: readonly QuarantinedTable[];
  /** The node's replica of the meta group, described like a table; undefined until the cluster has formed. */
  readonly meta: TableStatus | undefined;
  /** Whether writes are refused because a disk is full, or nearly (D6). */
  readonly isDiskFull: boolean;
  /** The disk that lacks room; undefined when none does, or when it is not known yet. */
  readonly diskShortage: DiskShortage | undefined;
  /**
   * The other members. `silentMs` is the time since the last message from the member, in milliseconds; `isHeard` says
   * whether it is connected and that time is shorter than an election timeout.
   */
  readonly peers: readonly { id: NodeId; isConnected: boolean; isHeard: boolean; silentMs: number }[];
}

/** Whether a node is ready to serve, and the conditions that decide it. */
export interface Readiness {
  readonly isReady: boolean;
  /** The conditions by name, such as hasNoLeader or isDiskFull. The node is ready when all of them are false. */
  readonly conditions: Readonly<Record<string, boolean>>;
}

/** The counters and gauges for /metrics, read at each scrape. */
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
  /** This node's wall clock compared with the clocks of the members (A7). */
  readonly clock: {
    /**
     * How far this node's clock is ahead now, in seconds; negative when it lags, 0 when there is nothing to compare
     * it with.
     */
    readonly aheadSeconds: number;
    /** How often this node's clock was so far ahead that it was not believed. */
    readonly jumps: number;
    /** How far this node's clock was ahead at most in the last such jump, in seconds; 0 when there was none. */
    readonly lastJumpSeconds: number;
  };
}

/** Reports the state of a node. */
export interface ReportsApi {
  status(): NodeStatus;
  readiness(): Readiness;
  metrics(): NodeMetrics;
}
