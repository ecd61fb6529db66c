import { type CallError, Status } from '@coxswain/channel';

/** The gRPC status codes by name. */
export { Status as StatusCode } from '@coxswain/channel';

/** A call that failed. The message is the server's own text, or describes the failure of the connection. */
export class CoxswainError extends Error {
  override readonly name: string = 'CoxswainError';
  /**
   * The code of the error in docs/errors.md: the node's, or one of this client for what it finds itself; empty when a
   * stock server answered. Judge by it, not by the text.
   */
  readonly errorCode: string;
  constructor(
    readonly code: Status,
    message: string,
    /** The endpoint that the last attempt went to. */
    readonly endpoint: string,
    { errorCode = '', ...options }: CoxswainErrorOptions = {},
  ) {
    super(message, options);
    this.errorCode = errorCode;
  }
}

/** Every error that the client finds itself, by its code: the status, and the text to which details may be added. */
export const clientErrors = {
  aborted: { status: Status.CANCELLED, text: 'the call was aborted' },
  clientClosed: { status: Status.CANCELLED, text: 'the client is closed' },
  connectionLost: { status: Status.UNAVAILABLE, text: 'the connection to the node was lost' },
  noAnswer: { status: Status.DEADLINE_EXCEEDED, text: 'no answer in time' },
  noConnection: { status: Status.UNAVAILABLE, text: 'no node can be reached' },
  noRoomForAnswer: {
    status: Status.RESOURCE_EXHAUSTED,
    text: 'the node gave the call up for want of memory: take answers as they come, and fewer at a time',
  },
  notBegun: {
    status: Status.UNAVAILABLE,
    text: 'the node does not take the call: it is stopping, or busy',
  },
  outcomeUnknown: {
    status: Status.UNKNOWN,
    text: 'outcome unknown: the write may have been applied; read before retrying',
  },
} as const;

/** Makes an error that the client found itself; `detail` is added to its text. */
export function clientError(
  errorCode: Exclude<keyof typeof clientErrors, 'outcomeUnknown'>,
  endpoint: string,
  { cause, detail }: { readonly cause?: unknown; readonly detail?: string } = {},
): CoxswainError {
  const { status, text } = clientErrors[errorCode];
  return new CoxswainError(status, detail === undefined ? text : `${text}: ${detail}`, endpoint, {
    errorCode,
    ...(cause !== undefined && { cause }),
  });
}

interface CoxswainErrorOptions extends ErrorOptions {
  /** The code of the error in docs/errors.md, see `CoxswainError.errorCode`. */
  readonly errorCode?: string;
}

/**
 * A write that may or may not have been applied: the answer was lost, or the cluster does not know the outcome. Its
 * status is always UNKNOWN, and the client never repeats it (P1). Read before you repeat it.
 */
export class OutcomeUnknownError extends CoxswainError {
  override readonly name = 'OutcomeUnknownError';
  constructor(endpoint: string, options?: ErrorOptions) {
    const { status, text } = clientErrors.outcomeUnknown;
    super(status, text, endpoint, { ...options, errorCode: 'outcomeUnknown' });
  }
}

/**
 * The texts with which a stock server refuses a request. It sends no codes; its other texts with UNAVAILABLE, such as
 * `timeout`, may also mean that it gave up waiting for a write that is applied later.
 */
const stockRefusals: ReadonlySet<string> = new Set([
  'request dropped as the shard is not ready',
  'system is too busy try again later',
]);

/**
 * The text with which a stock server answers, as UNKNOWN, that its list of tables changed between its reading and its
 * writing of it: it compares a version and writes nothing when that has changed.
 */
const STOCK_CONFLICT = 'version mismatch';

/** The meaning of a failed attempt for the request. */
export interface Failure {
  readonly error: CoxswainError;
  /** True when another attempt is safe, since nothing was done, or the request changes nothing. */
  readonly isRepeatable: boolean;
  /** True when another node may do better. */
  readonly isEndpointAtFault: boolean;
  /** True when there was no connection on which the request could have been sent. */
  readonly wasNeverSent: boolean;
}

/**
 * Judges a failed attempt. A read may be repeated after any loss of contact; a write only when it certainly was not
 * applied, since it never began or a server refused it (P1). A request with an unknown outcome is never repeated.
 */
export function judge(cause: CallError, isRead: boolean, endpoint: string): Failure {
  const { code, origin } = cause;
  const text = cause.details || withoutText(code);
  const errorCode = cause.metadata.get('coxswain-error') ?? '';
  const wasSent = !cause.wasNeverProcessed;
  const isContactLost =
    errorCode === '' &&
    (origin === 'lost' ||
      !wasSent ||
      code === Status.UNAVAILABLE ||
      code === Status.DEADLINE_EXCEEDED ||
      code === Status.CANCELLED);
  const isRefused = code === Status.UNAVAILABLE && (errorCode !== '' || stockRefusals.has(text) || !wasSent);
  const isConflict = errorCode === '' && code === Status.UNKNOWN && text === STOCK_CONFLICT;
  // When the deadline passed on the server, that ended the call, but not the write.
  const isUnclear =
    (code === Status.UNKNOWN && !isConflict) ||
    origin === 'unusable' ||
    (isContactLost && !isRefused && wasSent) ||
    errorCode === 'deadlineExceeded';
  const error =
    isUnclear && !isRead
      ? new OutcomeUnknownError(endpoint, { cause })
      : isContactLost && !stockRefusals.has(text)
        ? contactLost(cause, endpoint)
        : isConflict
          ? new CoxswainError(Status.ABORTED, `another change of the tables came first (${text})`, endpoint, {
              cause,
            })
          : new CoxswainError(code, text, endpoint, { cause, errorCode });
  return {
    error,
    // A node that has no memory for an answer will not have it a moment later.
    isRepeatable: isRefused || isConflict || (isRead && isContactLost && code !== Status.RESOURCE_EXHAUSTED),
    isEndpointAtFault: isRefused || isContactLost,
    wasNeverSent: origin === 'neverSent',
  };
}

/** The text for an error of a server that gives none, such as one on the port of another service. */
function withoutText(code: Status): string {
  return code === Status.UNIMPLEMENTED
    ? 'the server does not serve this call: perhaps it is not the API address, port 8443 by default'
    : `the server answered ${Status[code] ?? code}, and did not say why`;
}

/**
 * Describes a lost connection. The channel's own text speaks of the channel's parts, so it becomes the cause of the
 * error and is not shown.
 */
function contactLost(cause: CallError, endpoint: string): CoxswainError {
  const { code, details, origin } = cause;
  if (origin === 'neverSent') return clientError('noConnection', endpoint, { cause });
  if (origin === 'refused') return clientError('notBegun', endpoint, { cause });
  if (code === Status.DEADLINE_EXCEEDED) return clientError('noAnswer', endpoint, { cause });
  if (code === Status.RESOURCE_EXHAUSTED) return clientError('noRoomForAnswer', endpoint, { cause });
  if (origin !== 'answered') return clientError('connectionLost', endpoint, { cause });
  return new CoxswainError(Status.UNAVAILABLE, details || withoutText(code), endpoint, { cause });
}
