export interface FollowerOptions {
  /** Milliseconds between two requests to a leader cluster without long poll; 1 s by default. */
  readonly pollIntervalMs: number;
  /** Milliseconds between two comparisons of the tables with the leader cluster's; 30 s by default. */
  readonly reconcileIntervalMs: number;
  /** The most milliseconds that one stream of the log may last; 1 minute by default. */
  readonly logRpcTimeoutMs: number;
  /** The most milliseconds that one snapshot may take; 1 hour by default. */
  readonly snapshotRpcTimeoutMs: number;
  /** Snapshots that this node takes at the same time; 1 by default. */
  readonly recoveriesMax: number;
  /** The most bytes per second for all snapshots together; 0 means no limit. */
  readonly snapshotBytesPerSecondMax: number;
  /** This node's name in the leader cluster's status. */
  readonly followerName: string;
  /** The most bytes of commands that are packed into one entry; a single larger command gets its own (P4). */
  readonly sequenceBytesMax: number;
}

/** The defaults of all options but the name. */
export const defaultFollowerOptions = {
  pollIntervalMs: 1_000,
  reconcileIntervalMs: 30_000,
  logRpcTimeoutMs: 60_000,
  snapshotRpcTimeoutMs: 3_600_000,
  recoveriesMax: 1,
  snapshotBytesPerSecondMax: 0,
  sequenceBytesMax: 1024 * 1024,
} as const;
