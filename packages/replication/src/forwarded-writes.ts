import { ApiError, type Call, errors, type NodeParts, Status } from '@coxswain/node';
import type { regatta } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { type LeaderLink, LinkError } from './leader-link.js';

/** The leader cluster is given a little less time than the caller gave, so that its own answer arrives. */
const DEADLINE_MARGIN_MS = 50;

/** The names that Go's gRPC gives to statuses: stock clients look for them in the text. */
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
 * Writes on a follower cluster: the leader cluster does them, unchecked here, and they are answered when they have
 * arrived here too, so that whoever wrote reads it (docs/protocol.md §2). The answer has the leader cluster's header.
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

  /** A read that the leader cluster answers: it changes nothing, so nothing has to arrive. */
  async range(request: regatta.RangeRequest, call: Call): Promise<regatta.RangeResponse> {
    try {
      return await this.#link.range(request, { deadlineMs: this.#deadlineMs(call) });
    } catch (error) {
      throw toApiError(error);
    }
  }

  async #write<Response extends { readonly header?: regatta.ResponseHeader | undefined }>(
    table: Buffer,
    call: Call,
    act: (call: { deadlineMs: number }) => Promise<Response>,
  ): Promise<Response> {
    // A write that the leader cluster did would not arrive here, and its writer would learn nothing of it.
    if (this.#node.members.isReplicationPaused) throw errors.replicationPaused();
    let response: Response;
    try {
      response = await act({ deadlineMs: this.#deadlineMs(call) });
    } catch (error) {
      throw toApiError(error);
    }
    const revision = Number(response.header?.revision ?? 0n);
    // A stock leader gives no revision where nothing was written.
    if (revision > 0) {
      try {
        await this.#node.logs.whenRevision(table.toString(), revision, call);
      } catch (error) {
        // P1: it has happened, so nothing may say that it may be repeated.
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
 * The leader cluster's error keeps its status and code. A write that may have happened says so, and UNAVAILABLE has a code
 * only where it certainly did not (P1).
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
