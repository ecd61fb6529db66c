/** The totals of this node's backups or restores since it was started. */
export interface TransferCounters {
  underWay: number;
  succeeded: number;
  /** The number of failures, including those that the caller broke off. */
  failed: number;
  /** The compressed bytes. */
  bytes: number;
  keys: number;
}

export function noTransfers(): TransferCounters {
  return { underWay: 0, succeeded: 0, failed: 0, bytes: 0, keys: 0 };
}
