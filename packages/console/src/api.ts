/**
 * The JSON that the console's page and the server exchange (DESIGN.md, "The API"). Keys and values are base64. Revisions
 * and versions are decimal texts where they come from a table, since JSON's numbers end at 2^53.
 */

/** Where everything below is found on the REST listener. */
export const API_PREFIX = '/api/v1';

/** The answer to a request that was refused or that failed, with the HTTP status that fits. */
export interface ApiFailure {
  readonly error: {
    /** What programs judge by; docs/errors.md lists the codes. */
    readonly code: string;
    /** What people read. */
    readonly message: string;
  };
}

// ---- the stream GET /api/v1/live

/**
 * A message `state`. The first one of a stream has every section that there is and `isFull`; each later one has the
 * sections that have changed since, whole but for the tables.
 */
export interface LiveState {
  /** True: whatever was known before is void. */
  readonly isFull: boolean;
  readonly node?: NodeSection;
  readonly members?: readonly MemberRow[];
  readonly cluster?: ClusterSection;
  readonly tables?: TableChanges;
  readonly followers?: FollowersSection;
  readonly archive?: ArchiveSection | null;
  readonly transfers?: TransfersSection;
  readonly disk?: DiskSection;
  readonly certificates?: readonly CertificateRow[];
}

/** The node that answers. */
export interface NodeSection {
  readonly id: number;
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly isReady: boolean;
  /** Names of the conditions that hold and that keep the node from being ready. */
  readonly conditions: readonly string[];
  /** What an operator should look at, in whole sentences; at most 50. */
  readonly problems: readonly string[];
  /** How many problems there are in all. */
  readonly problemCount: number;
  /** What may be changed through this API. */
  readonly allows: {
    /** A token guards the API: without one nothing can be changed. */
    readonly changes: boolean;
    readonly maintenance: boolean;
    readonly tables: boolean;
  };
}

export type MemberState = 'online' | 'pausing' | 'paused' | 'closing' | 'offline';

/** A member of the cluster, as the node that answers sees it. */
export interface MemberRow {
  readonly id: number;
  readonly name: string;
  readonly raftAddress: string;
  readonly clientUrls: readonly string[];
  /** host:port of its REST listener; empty where it is not known. */
  readonly restAddress: string;
  /** It is the node that answers. */
  readonly isSelf: boolean;
  readonly isConnected: boolean;
  /** Milliseconds since it was heard, in steps of a second; 0 for the node that answers. */
  readonly silentMs: number;
  /** What an operator has wanted of it (docs/operations-protocols.md §3). */
  readonly state: MemberState;
  /** It leads the meta group, which decides about tables and members. */
  readonly leadsMeta: boolean;
  /** Tables that it leads, as the node that answers knows. */
  readonly tablesLed: number;
  /** What it says of itself; absent where it has not answered. */
  readonly vitals?: MemberVitals;
}

/** What a member says of itself when it is asked. */
export interface MemberVitals {
  readonly version: string;
  readonly startedMs: number;
  readonly isReady: boolean;
  readonly problemCount: number;
  /** Share of one core that its process took in the last second. */
  readonly cpuShare: number;
  readonly residentBytes: number;
  /** Writes that it proposed and applied in the last second. */
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  /** Of the disk that has the least left; -1 where it is not known. */
  readonly diskFreeBytes: number;
}

/** The cluster, as the node that answers knows it. */
export interface ClusterSection {
  /** Empty until it has formed. */
  readonly id: string;
  readonly name: string;
  /** Empty until the node knows its cluster's first entry. */
  readonly role: 'leader' | 'follower' | 'promoting' | '';
  readonly tableCount: number;
  /** Tables of which this node knows no leader. */
  readonly leaderlessCount: number;
  /** Replicas on this node that do not serve because of an error. */
  readonly failedCount: number;
  /** Keyed by what they were called, tables that the leader cluster has no more. */
  readonly quarantined: readonly {
    readonly name: string;
    readonly readableAs: string;
    readonly untilMs: number;
  }[];
}

/** A table, by this node's replica of it. */
export interface TableRow {
  readonly name: string;
  readonly shardId: number;
  /** The id of the member that leads its group; 0: none is known. */
  readonly leader: number;
  /** What this node is in the group. */
  readonly role: string;
  readonly term: number;
  readonly revision: number;
  readonly lastIndex: number;
  readonly appliedIndex: number;
  readonly sizeBytes: number;
  readonly logBytes: number;
  /** Why this replica does not serve, or why the group has no leader; empty: neither. */
  readonly problem: string;
}

export interface TableChanges {
  readonly changed: readonly TableRow[];
  /** Names of tables that are gone. */
  readonly removed: readonly string[];
}

/** Replication between clusters: who follows this cluster, or how it follows another. */
export interface FollowersSection {
  /** Clusters that follow this one, by table; empty on a follower cluster. */
  readonly followers: readonly FollowerRow[];
  /** How this cluster follows; absent on a leader cluster. */
  readonly following?: FollowingSection;
}

/** How far a follower cluster is with a table. */
export interface FollowerRow {
  readonly table: string;
  /** The follower's name, or its network address. */
  readonly follower: string;
  /** The id of its cluster; empty where it gave none. */
  readonly clusterId: string;
  readonly appliedIndex: number;
  /** Entries that it lacks, by the log of the node that answers. */
  readonly lagEntries: number;
  /** In steps of a second. */
  readonly lastSeenMsAgo: number;
}

export interface FollowingSection {
  readonly leaderAddress: string;
  readonly leaderClusterId: string;
  readonly isReached: boolean;
  readonly isBroken: boolean;
  readonly isPaused: boolean;
  /** Empty: none. */
  readonly error: string;
  readonly tables: readonly {
    readonly name: string;
    readonly state: string;
    readonly leaderIndex: number;
    readonly lagEntries: number;
    readonly lagMs: number;
    readonly error: string;
    /** The id of the member that replicates it; 0: not known. */
    readonly replicatedBy: number;
  }[];
}

/** What the node archives. */
export interface ArchiveSection {
  readonly target: string;
  readonly backlogBytes: number;
  readonly backlogBytesMax: number;
  readonly warnings: readonly string[];
  readonly tables: readonly {
    readonly name: string;
    readonly state: string;
    readonly archivedIndex: number;
    /** Of that entry, milliseconds since 1970; 0: not known here. */
    readonly archivedTimeMs: number;
    readonly backlogBytes: number;
    /** In steps of a second. */
    readonly backlogMs: number;
    readonly gapCount: number;
    readonly error: string;
  }[];
}

/** Backups and restores of this node since it started. */
export interface TransfersSection {
  readonly backups: TransferCounts;
  readonly restores: TransferCounts;
  /** The last backup of the archive that this node began by moco-agent's protocol: none, running, done, failed. */
  readonly binlogBackup: { readonly state: string; readonly backupId: string; readonly error: string };
}

export interface TransferCounts {
  readonly underWay: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly bytes: number;
}

export interface DiskSection {
  readonly isFull: boolean;
  /** Empty: every disk has what the node wants. */
  readonly shortage: string;
  readonly disks: readonly {
    readonly disk: string;
    readonly directory: string;
    /** Parts of the data that are on it. */
    readonly holds: readonly string[];
    readonly freeBytes: number;
    readonly totalBytes: number;
  }[];
}

export interface CertificateRow {
  /** The listener or link that uses it. */
  readonly listener: string;
  readonly kind: 'certificate' | 'authority';
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** The stages of a write in their order (docs/metrics.md, `coxswain_write_stage_seconds`). */
export const STAGES = ['queue', 'wal', 'peers', 'apply', 'answer'] as const;
export type Stage = (typeof STAGES)[number];

/** The methods whose calls are counted apart. */
export const METHODS = ['Range', 'IterateRange', 'Put', 'DeleteRange', 'Txn'] as const;

/** The fields of a sample that are there whatever is replicated, in the order of its numbers. */
export const SAMPLE_FIELDS = [
  ...METHODS,
  'writes',
  'linearizable',
  'serializable',
  'failed',
  'pending',
  ...STAGES.flatMap((stage) => [`${stage}.p50`, `${stage}.p99`] as const),
  'write.p50',
  'write.p99',
  'fsyncs',
  'fsync.p50',
  'fsync.p99',
  'logBytes',
  'peerBytes',
  'cpu',
  'busy',
  'resident',
  'heap',
  'lagEntries',
  'lagSeconds',
] as const;
export type SampleField = (typeof SAMPLE_FIELDS)[number];

/** What was measured in one second: rates each second, latencies in milliseconds, shares of a core, sizes in bytes. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** In the order of `SAMPLE_FIELDS`; null: there was nothing to measure. */
  readonly values: readonly (number | null)[];
  /** Entries that each follower cluster lacks of the table of which it lacks most, by its name. */
  readonly lag?: Readonly<Record<string, number>>;
}

/** A message `sample`: at first those of the last minutes, then one each second. */
export interface LiveSamples {
  readonly samples: readonly Sample[];
}

/** A message `event`: things that happened to the node, newest last. */
export interface LiveEvents {
  readonly events: readonly EventRow[];
  /** Events that this stream was too slow for. */
  readonly missed: number;
}

export interface EventRow {
  readonly sequence: number;
  readonly atMs: number;
  readonly severity: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly text: string;
  readonly advice?: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

// ---- requests

/** POST /api/v1/range. */
export interface RangeBody {
  readonly table: string;
  readonly key: string;
  /** Absent: one key. */
  readonly rangeEnd?: string;
  /** Pairs of a page; 1 to 1,000. */
  readonly limit?: number;
  /** Values are cut to so many bytes; absent: they are whole. */
  readonly valueBytesMax?: number;
  /** Read the node's own copy, which may be stale and needs no leader. */
  readonly isLocal?: boolean;
  /** Give no pairs, but their number. */
  readonly isCountOnly?: boolean;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
  /** Bytes of the whole value. */
  readonly valueBytes: number;
  readonly createRevision: string;
  readonly modRevision: string;
  readonly version: string;
}

export interface RangeAnswer {
  readonly pairs: readonly Pair[];
  readonly hasMore: boolean;
  readonly count: number;
  readonly revision: string;
}

/** What a key must be for a change to be made: what the operator has seen of it. */
export type Expected =
  | { readonly isAbsent: true }
  | { readonly modRevision: string }
  /** Of a follower cluster, whose revisions are not those of the leader cluster that takes the write. */
  | { readonly value: string };

/** POST /api/v1/put. */
export interface PutBody {
  readonly table: string;
  readonly key: string;
  readonly value: string;
  readonly expected: Expected;
}

/** POST /api/v1/delete. */
export interface DeleteBody {
  readonly table: string;
  readonly key: string;
  readonly expected: Expected;
}

/** The answer to a put or delete. */
export interface ChangeAnswer {
  /** False: nothing was changed, since the key is not what was expected. */
  readonly isDone: boolean;
  readonly revision: string;
}

export interface CompareBody {
  readonly key: string;
  readonly rangeEnd?: string;
  readonly result: 'equal' | 'greater' | 'less' | 'notEqual';
  readonly target: 'exists' | 'value' | 'version' | 'create' | 'mod';
  /** Base64 for `value`, a decimal text for the others; absent for `exists`. */
  readonly operand?: string;
}

export type OperationBody =
  | { readonly put: { readonly key: string; readonly value: string; readonly prevKv?: boolean } }
  | { readonly delete: { readonly key: string; readonly rangeEnd?: string; readonly count?: boolean } }
  | { readonly range: { readonly key: string; readonly rangeEnd?: string; readonly limit?: number } };

/** POST /api/v1/txn. */
export interface TxnBody {
  readonly table: string;
  readonly compare: readonly CompareBody[];
  readonly success: readonly OperationBody[];
  readonly failure: readonly OperationBody[];
}

export type OperationAnswer =
  | { readonly put: { readonly prevKv?: Pair } }
  | { readonly delete: { readonly deleted: string } }
  | {
      readonly range: { readonly pairs: readonly Pair[]; readonly hasMore: boolean; readonly count: number };
    };

export interface TxnAnswer {
  readonly succeeded: boolean;
  readonly revision: string;
  readonly responses: readonly OperationAnswer[];
}

/** What the last objects of a table's archive say: GET /api/v1/archive?table=NAME. */
export interface ArchiveAnswer {
  /** Every shard that the archive has under the table's name, the newest last. */
  readonly shards: readonly {
    readonly shardId: number;
    readonly clusterId: string;
    readonly baseCount: number;
    readonly logCount: number;
    readonly sizeBytes: number;
    /** Revisions that a restore can reach, as ranges. */
    readonly restorable: readonly { readonly first: number; readonly last: number }[];
    /** Of the first and the last of them, milliseconds since 1970; null: not known. */
    readonly firstTimeMs: number | null;
    readonly lastTimeMs: number | null;
    readonly gaps: readonly { readonly first: number; readonly last: number }[];
  }[];
}

/** GET /api/v1/config: every option, by name; secrets are masked. */
export interface ConfigAnswer {
  readonly options: Readonly<Record<string, unknown>>;
}

/** POST /api/v1/actions/pause and /resume. */
export interface MemberActionBody {
  /** Id of the member. */
  readonly member: number;
}

/** POST /api/v1/actions/transfer. */
export interface TransferBody {
  readonly table: string;
  /** Id of the member that is to lead. */
  readonly member: number;
}

/** POST /api/v1/actions/backup. */
export interface BackupBody {
  /** Empty: all tables. */
  readonly tables: readonly string[];
}

/** Where the backup is downloaded, once, within a minute: a path on this listener. */
export interface BackupAnswer {
  readonly path: string;
}

/** POST /api/v1/tables/create and /delete. */
export interface TableBody {
  readonly table: string;
}

/** The answer to an action: what was done, in one sentence. */
export interface ActionAnswer {
  readonly message: string;
}
