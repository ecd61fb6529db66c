import { type ServiceError, status } from '@grpc/grpc-js';

/** gRPC status codes by name. */
export { status as StatusCode } from '@grpc/grpc-js';

/** A call that failed. The message is the server's own text (regatta-protocol.md §2) or the connection's. */
export class CoxswainError extends Error {
  override readonly name: string = 'CoxswainError';
  constructor(
    readonly code: status,
    message: string,
    /** The endpoint that the last attempt went to. */
    readonly endpoint: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/**
 * A write that may or may not have been applied: the answer was lost, or the cluster cannot tell. It is never
 * repeated by the client. Read before repeating it.
 */
export class OutcomeUnknownError extends CoxswainError {
  override readonly name = 'OutcomeUnknownError';
}

/** The texts with which a node says UNAVAILABLE: nothing was done, so the request may be repeated (P1). */
export const refusals: ReadonlySet<string> = new Set([
  'request dropped as the shard is not ready',
  'system is too busy try again later',
  'the disk of the node is full, or nearly: writes are refused until there is room',
  'as much as archive.max-backlog waits to be archived, and archive.on-limit is "stop-writes": writes are refused until less does; see why with "coxswain archive list"',
  'the cluster is being promoted to a leader cluster: it makes and deletes tables when that is done',
  'timeout',
  'request aborted',
  'the request broke off before its end: nothing was changed',
  'the restore was interrupted, and nothing was changed: try again',
]);

/** What an attempt's failure means for the request. */
export interface Failure {
  readonly error: CoxswainError;
  /** Nothing was done, or nothing that matters: another attempt is safe. */
  readonly isRepeatable: boolean;
  /** Another node may do better. */
  readonly isEndpointAtFault: boolean;
}

/**
 * Judges a failed attempt. Reads may be repeated after any loss of contact. A write only when it certainly was
 * not applied: the connection was never made, or a server refused it. UNKNOWN is never repeated.
 */
export function judge(error: ServiceError, isRead: boolean, endpoint: string): Failure {
  const { code } = error;
  const text = error.details || error.message;
  const isContactLost =
    code === status.UNAVAILABLE ||
    code === status.DEADLINE_EXCEEDED ||
    // What grpc-js calls a stream that the other side, or the loss of the connection, has reset.
    code === status.CANCELLED ||
    (code === status.INTERNAL && text.includes('RST_STREAM'));
  if (!isContactLost) {
    const kind = code === status.UNKNOWN && !isRead ? OutcomeUnknownError : CoxswainError;
    return {
      error: new kind(code, text, endpoint, { cause: error }),
      isRepeatable: false,
      isEndpointAtFault: false,
    };
  }
  const wasRefused = code === status.UNAVAILABLE && (refusals.has(text) || wasNeverSent(text));
  const isRepeatable = isRead || wasRefused;
  const kind = isRepeatable ? CoxswainError : OutcomeUnknownError;
  return { error: new kind(code, text, endpoint, { cause: error }), isRepeatable, isEndpointAtFault: true };
}

/** What a read that was given up for its deadline ends with. */
export function late(cause: unknown, endpoint: string): CoxswainError {
  return new CoxswainError(status.DEADLINE_EXCEEDED, 'no answer in time', endpoint, { cause });
}

/** Whether grpc-js says that it had no connection to send the request on. */
function wasNeverSent(text: string): boolean {
  return text.startsWith('No connection established') || text.startsWith('Name resolution failed');
}
