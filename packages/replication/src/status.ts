/** How a table of a follower cluster follows its leader cluster, as the node knows that replicates it. */
export interface TableReplication {
  readonly name: string;
  /**
   * `retrying`: the last attempt failed and another one follows by itself. `recovering`: the table takes a snapshot.
   * `resetting`: it takes one because an operator asked. `stopped`: only a reset makes it go on. `paused`: an operator
   * has paused a node, and nobody replicates. `elsewhere`: another node replicates it, and this one has not heard how.
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
  /** The applied index that the leader cluster reported last; 0 when it reported none. */
  readonly leaderAppliedIndex: number;
  /**
   * Entries that are known to be missing: nobody knows how many the leader cluster has taken since it was last heard.
   */
  readonly lagEntries: number;
  /**
   * How old the state here may be, in milliseconds: the time since something of the table was heard last, while the leader
   * cluster is out of reach or gives nothing of it. 0 when nothing is known to be missing.
   */
  readonly lagMs: number;
  /** The problem and its remedy, for operators; undefined when there is none. */
  readonly error: string | undefined;
  /** The node that replicates it, as far as this one knows. */
  readonly replicatedBy: number | undefined;
}

/** How a follower cluster stands with its leader cluster, as this node knows. */
export interface ReplicationStatus {
  readonly leaderAddress: string;
  /** The leader cluster's id. Undefined while none was met; empty for a leader cluster that reports no id. */
  readonly leaderClusterId: string | undefined;
  /** The reason why nothing is replicated at all, or undefined. */
  readonly error: string | undefined;
  /**
   * True when replication is broken: an operator must act, or nothing came from the leader cluster, or of a table, for
   * too long.
   */
  readonly isBroken: boolean;
  /** True when the last attempt to reach the leader cluster succeeded. False until one was made. */
  readonly isReached: boolean;
  /**
   * True when the last attempt for a table that this node replicates failed, also where the leader cluster refused it.
   */
  readonly isFailing: boolean;
  readonly tables: readonly TableReplication[];
  /** The number of commands applied since the process started. */
  readonly commandsApplied: number;
  readonly bytesReceived: number;
  readonly snapshotsTaken: number;
}

/** A follower that replicates a table from this node of a leader cluster. */
export interface FollowerSighting {
  readonly table: string;
  /** The name that it gave, or its network address. */
  readonly follower: string;
  /** The id of its cluster; empty: it gave none. */
  readonly clusterId: string;
  /** The last index that it has taken. */
  readonly leaderIndex: number;
  /** The last index that it said it has applied: when it asked, which on an idle table was up to half a minute ago. */
  readonly appliedIndex: number;
  readonly lagEntries: number;
  readonly lastSeenMsAgo: number;
}
