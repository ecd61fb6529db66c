/** The replication of one table of a follower cluster, as reported by the node that replicates it. */
export interface TableReplication {
  readonly name: string;
  /**
   * `replicating`: the table follows. `retrying`: the last attempt failed and another one follows by itself.
   * `recovering`: the node takes a snapshot. `resetting`: the node takes a snapshot because an operator ordered it.
   * `stopped`: only a reset can continue. `paused`: an operator has paused a node, so no node replicates. `elsewhere`:
   * another node replicates the table, and this one has no report from it.
   */
  readonly state:
    | 'replicating'
    | 'retrying'
    | 'recovering'
    | 'resetting'
    | 'stopped'
    | 'paused'
    | 'elsewhere';
  /** The last index of the leader cluster that is applied here. */
  readonly leaderIndex: number;
  /** The leader cluster's applied index by its last message; 0 when it sent none. */
  readonly leaderAppliedIndex: number;
  /**
   * Entries that are known to be missing. Entries that the leader cluster has taken since it was last heard are not
   * known.
   */
  readonly lagEntries: number;
  /**
   * The possible age of the table here, in milliseconds: while the leader cluster is out of reach or sends nothing of
   * the table, the time since something of it was heard. 0 when nothing is known to be missing.
   */
  readonly lagMs: number;
  /** The trouble and its remedy; undefined when there is none. */
  readonly error: string | undefined;
  /** The id of the node that replicates the table, as far as this node knows. */
  readonly replicatedBy: number | undefined;
}

/** The replication of a follower cluster, as this node knows it. */
export interface ReplicationStatus {
  readonly leaderAddress: string;
  /** The leader cluster's id; undefined until it was met, empty when it sends none. */
  readonly leaderClusterId: string | undefined;
  /** The reason for which nothing is replicated at all; undefined when there is none. */
  readonly error: string | undefined;
  /**
   * True when replication is broken: an operator must act, or nothing came from the leader cluster, or of a table, for
   * too long.
   */
  readonly isBroken: boolean;
  /** True when the last attempt to reach the leader cluster succeeded; false before the first attempt. */
  readonly isReached: boolean;
  /**
   * True when, for a table that this node replicates, the last attempt failed, also when the leader cluster refused it.
   */
  readonly isFailing: boolean;
  readonly tables: readonly TableReplication[];
  /** Commands applied since the process started, as are the bytes and snapshots below. */
  readonly commandsApplied: number;
  readonly bytesReceived: number;
  readonly snapshotsTaken: number;
}

/** A follower that replicates a table from this node of a leader cluster. */
export interface FollowerSighting {
  readonly table: string;
  /** The follower's name; without one, its network address. */
  readonly follower: string;
  /** The id of its cluster; empty when it gave none. */
  readonly clusterId: string;
  /** The last index that it has taken. */
  readonly leaderIndex: number;
  /** The last index that it has applied, as of its last request; on an idle table, that may be half a minute ago. */
  readonly appliedIndex: number;
  readonly lagEntries: number;
  readonly lastSeenMsAgo: number;
}
