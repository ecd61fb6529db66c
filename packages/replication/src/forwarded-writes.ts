import { ApiError, type Call, errors, type NodeParts, Status } from '@coxswain/node';
import type { regatta } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { type LeaderLink, type LinkCall, LinkError } from './leader-link.js';

/**
 * Milliseconds by which the leader cluster's deadline is earlier than the caller's, so that its own answer arrives in
 * time.
 */
const DEADLINE_MARGIN_MS = 50;

/** Go's names for the gRPC statuses, which stock clients look for in the text. */
const CODE_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

/**
 * Writes on a follower cluster. The leader cluster carries them out, without any check here, and the answer waits until
 * the write has arrived here, too, so that its author can read it (docs/protocol.md §2). The answer has the leader
 * cluster's header.
 */
export class ForwardedWrites {
  readonly #node: Pick<NodeParts, 'logs' | 'members'>;
  readonly #link: LeaderLink;
  readonly #clock: Clock;

  constructor(
    node: Pick<NodeParts, 'logs' | 'members'>,
    { link, clock }: { link: LeaderLink; clock: Clock },
  ) {
    this.#node = node;
    this.#link = link;
    this.#clock = clock;
  }

  put(request: regatta.PutRequest, call: Call): Promise<regatta.PutResponse> {
    return this.#write(request.table, call, (linkCall) => this.#link.put(request, linkCall));
  }

  deleteRange(request: regatta.DeleteRangeRequest, call: Call): Promise<regatta.DeleteRangeResponse> {
    return this.#write(request.table, call, (linkCall) => this.#link.deleteRange(request, linkCall));
  }

  txn(request: regatta.TxnRequest, call: Call): Promise<regatta.TxnResponse> {
    return this.#write(request.table, call, (linkCall) => this.#link.txn(request, linkCall));
  }

  /** Reads from the leader cluster. A read changes nothing, so nothing has to arrive here. */
  async range(request: regatta.RangeRequest, call: Call): Promise<regatta.RangeResponse> {
    try {
      return await this.#link.range(request, { deadlineMs: this.#deadlineMs(call), trace: call.trace });
    } catch (error) {
      throw toApiError(error);
    }
  }

  async #write<Response extends { readonly header?: regatta.ResponseHeader | undefined }>(
    table: Buffer,
    call: Call,
    act: (call: LinkCall) => Promise<Response>,
  ): Promise<Response> {
    // While replication is paused, the write would not arrive here, and its author would not see that.
    if (this.#node.members.isReplicationPaused) throw errors.replicationPaused();
    let response: Response;
    try {
      response = await act({ deadlineMs: this.#deadlineMs(call), trace: call.trace });
    } catch (error) {
      throw toApiError(error);
    }
    const revision = Number(response.header?.revision ?? 0n);
    // A stock leader gives no revision when nothing was written.
    if (revision > 0) {
      try {
        await this.#node.logs.whenRevision(table.toString(), revision, call);
      } catch (error) {
        // P1: the write has happened, so no answer may invite to repeat it.
        if (error instanceof ApiError) throw errors.appliedByLeaderOnly();
        throw error;
      }
    }
    return response;
  }

  #deadlineMs(call: Call): number {
    const leftMs = call.deadlineMs - this.#clock.monotonicMs();
    return call.deadlineMs - Math.min(DEADLINE_MARGIN_MS, leftMs / 10);
  }
}

/**
 * Maps the leader cluster's error, keeping its status and code. A write that may have happened becomes outcomeUnknown,
 * and UNAVAILABLE has a code only when the write certainly did not happen (P1).
 */
function toApiError(error: unknown): unknown {
  if (!(error instanceof LinkError)) return error;
  if (error.mayHaveHappened) return errors.outcomeUnknown();
  if (!error.isFromLeader && error.status === Status.Unavailable) return errors.leaderUnreachable();
  const code = CODE_NAMES[error.status] ?? 'Unknown';
  return new ApiError(
    error.status as Status,
    `leader error: rpc error: code = ${code} desc = ${error.message}`,
    { cause: error, code: error.errorCode },
  );
}
