/** What backups or restores of this node came to since it was started. */
export interface TransferCounters {
  underWay: number;
  succeeded: number;
  /** Also those that the caller broke off. */
  failed: number;
  /** Compressed. */
  bytes: number;
  keys: number;
}

export function noTransfers(): TransferCounters {
  return { underWay: 0, succeeded: 0, failed: 0, bytes: 0, keys: 0 };
}
