import type { regatta, replication } from '@coxswain/protocol';

/** The limits of one call to the leader cluster. */
export interface LinkCall {
  /** The deadline, on `Clock.monotonicMs`. */
  readonly deadlineMs: number;
  /** Ends the call early, once nobody waits for it any more. */
  readonly signal?: AbortSignal;
}

/** A call to the leader cluster that failed, or reached no node. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  /** The code that one of our nodes gave as `ApiError.code`; empty where a stock leader or nobody answered. */
  readonly errorCode: string;
  constructor(
    /** The gRPC status. */
    readonly status: number,
    message: string,
    /** True when a node of the leader cluster answered with this error. False: contact was not made, or was lost. */
    readonly isFromLeader: boolean,
    /** True when a write may have happened although the call failed (P1). */
    readonly mayHaveHappened: boolean,
    { errorCode = '', ...options }: LinkErrorOptions = {},
  ) {
    super(message, options);
    this.errorCode = errorCode;
  }
}

interface LinkErrorOptions extends ErrorOptions {
  /** See `LinkError.errorCode`. */
  readonly errorCode?: string;
}

/**
 * The way to the leader cluster: one of its nodes at a time, another one when that fails. Every call rejects, or its
 * iteration throws, with a LinkError.
 */
export interface LeaderLink {
  /** The address of the node that calls go to now, for people. */
  readonly address: string;
  metadata(request: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse>;
  /**
   * Yields each message as it came, undecoded: commands stay marshalled. Messages are asked for one at a time, so a
   * slow reader slows the sender.
   */
  replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncIterable<Buffer>;
  snapshot(request: replication.SnapshotRequest, call: LinkCall): AsyncIterable<replication.SnapshotChunk>;
  range(request: regatta.RangeRequest, call: LinkCall): Promise<regatta.RangeResponse>;
  put(request: regatta.PutRequest, call: LinkCall): Promise<regatta.PutResponse>;
  deleteRange(request: regatta.DeleteRangeRequest, call: LinkCall): Promise<regatta.DeleteRangeResponse>;
  txn(request: regatta.TxnRequest, call: LinkCall): Promise<regatta.TxnResponse>;
  close(): void;
}
