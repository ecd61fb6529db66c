/** Totals of the backups, or of the restores, of this node since it was started. */
export interface TransferCounters {
  underWay: number;
  succeeded: number;
  /** Counts also the transfers that the caller broke off. */
  failed: number;
  /** Compressed bytes. */
  bytes: number;
  keys: number;
}

export function noTransfers(): TransferCounters {
  return { underWay: 0, succeeded: 0, failed: 0, bytes: 0, keys: 0 };
}
