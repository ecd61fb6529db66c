export interface FollowerOptions {
  /** How often a leader cluster without long poll is asked. Default 1 s. */
  readonly pollIntervalMs: number;
  /** How often the tables are compared with the leader cluster's. Default 30 s. */
  readonly reconcileIntervalMs: number;
  /** How long one stream of the log may last. Default 1 m. */
  readonly logRpcTimeoutMs: number;
  /** Default 1 h. */
  readonly snapshotRpcTimeoutMs: number;
  /** Snapshots at a time on this node. Default 1. */
  readonly recoveriesMax: number;
  /** 0: as fast as it goes. */
  readonly snapshotBytesPerSecondMax: number;
  /** What this node is called in the leader cluster's status. */
  readonly followerName: string;
  /** Commands that are packed into one entry take at most so much, but for a single larger one (P4). */
  readonly sequenceBytesMax: number;
}

/** The defaults of everything but the name. */
export const defaultFollowerOptions = {
  pollIntervalMs: 1_000,
  reconcileIntervalMs: 30_000,
  logRpcTimeoutMs: 60_000,
  snapshotRpcTimeoutMs: 3_600_000,
  recoveriesMax: 1,
  snapshotBytesPerSecondMax: 0,
  sequenceBytesMax: 1024 * 1024,
} as const;
