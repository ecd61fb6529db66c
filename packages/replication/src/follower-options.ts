export interface FollowerOptions {
  /** How often a leader cluster without long poll is asked. Default 1 s. */
  readonly pollIntervalMs: number;
  /** How often the tables are compared with the leader cluster's. Default 30 s. */
  readonly reconcileIntervalMs: number;
  /** How long one stream of the log may last. Default 1 m. */
  readonly logRpcTimeoutMs: number;
  /** How long the download of one snapshot may take. Default 1 h. */
  readonly snapshotRpcTimeoutMs: number;
  /** How many snapshots this node takes at a time. Default 1. */
  readonly recoveriesMax: number;
  /** The rate at which snapshots are taken, in bytes a second; 0: without a limit. */
  readonly snapshotBytesPerSecondMax: number;
  /** The name of this node in the leader cluster's status. */
  readonly followerName: string;
  /** The most bytes of commands that are packed into one entry, except for a single larger command (P4). */
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
