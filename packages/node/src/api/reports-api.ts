import type { NodeId, Role } from '@coxswain/raft';
import type { Histogram } from '@coxswain/runtime';
import type { DiskShortage } from '../disk/disk-room.js';
import type { WriteStages } from '../group/write-stages.js';
import type { ClusterRole } from './cluster-api.js';

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
    /** How far it is ahead now; negative: it lags. 0 where it is compared with nothing. */
    readonly aheadSeconds: number;
    /** How often it was so far ahead that it was not believed. */
    readonly jumps: number;
    /** The furthest that it was ahead in the last of those; 0: there was none. */
    readonly lastJumpSeconds: number;
  };
}

/** How a node is. */
export interface ReportsApi {
  status(): NodeStatus;
  readiness(): Readiness;
  metrics(): NodeMetrics;
}
