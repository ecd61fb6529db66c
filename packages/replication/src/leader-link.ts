import type { regatta, replication } from '@coxswain/protocol';
import type { SpanContext } from '@coxswain/runtime';

/** The limits of one call to the leader cluster. */
export interface LinkCall {
  /** The deadline in milliseconds on the clock of `Clock.monotonicMs`. */
  readonly deadlineMs: number;
  /** Ends the call early when nobody waits for it any more. */
  readonly signal?: AbortSignal;
  /** The span of which the call is a part; undefined when tracing is off. */
  readonly trace?: SpanContext | undefined;
}

/** A call to the leader cluster failed, or reached none of its nodes. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  /** The `ApiError.code` that a node of ours gave; empty when a stock leader answered, or nobody did. */
  readonly errorCode: string;
  constructor(
    /** The gRPC status. */
    readonly status: number,
    message: string,
    /** True when a node of the leader cluster itself gave the error; false when the connection failed or was lost. */
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
  /** The `ApiError.code` that a node of ours gave, see `LinkError.errorCode`. */
  readonly errorCode?: string;
}

/**
 * Calls the leader cluster: one of its nodes at a time, and another one when that fails. Every call rejects, or its
 * iteration throws, with a LinkError.
 */
export interface LeaderLink {
  /** The address of the node that calls go to now, for people. */
  readonly address: string;
  metadata(request: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse>;
  /**
   * Streams the messages of the log undecoded, so that their commands stay marshalled. A slow reader slows the sender
   * down.
   */
  replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncIterable<Buffer>;
  snapshot(request: replication.SnapshotRequest, call: LinkCall): AsyncIterable<replication.SnapshotChunk>;
  range(request: regatta.RangeRequest, call: LinkCall): Promise<regatta.RangeResponse>;
  put(request: regatta.PutRequest, call: LinkCall): Promise<regatta.PutResponse>;
  deleteRange(request: regatta.DeleteRangeRequest, call: LinkCall): Promise<regatta.DeleteRangeResponse>;
  txn(request: regatta.TxnRequest, call: LinkCall): Promise<regatta.TxnResponse>;
  close(): void;
}
