import { type CallError, Status } from '@coxswain/channel';

/** gRPC status codes by name. */
export { Status as StatusCode } from '@coxswain/channel';

/** A call that failed. The message is the server's own text, or says what became of the connection. */
export class CoxswainError extends Error {
  override readonly name: string = 'CoxswainError';
  /** Which error of docs/errors.md it is; empty where a stock server answered, or none did. Judge by this, not by the text. */
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

interface CoxswainErrorOptions extends ErrorOptions {
  /** See `CoxswainError.errorCode`. */
  readonly errorCode?: string;
}

/**
 * A write that may or may not have been applied: the answer was lost, or the cluster cannot know. Its code is always
 * UNKNOWN, and it is never repeated by the client (P1). Read before repeating it.
 */
export class OutcomeUnknownError extends CoxswainError {
  override readonly name = 'OutcomeUnknownError';
  constructor(endpoint: string, options?: ErrorOptions) {
    super(
      Status.UNKNOWN,
      'outcome unknown: the write may have been applied; read before retrying',
      endpoint,
      { ...options, errorCode: 'outcomeUnknown' },
    );
  }
}

/**
 * The texts with which a stock server says that it did not take a request. It sends no codes; its other texts with
 * UNAVAILABLE, such as `timeout`, also come where it gave up waiting for a write that may be applied yet.
 */
const stockRefusals: ReadonlySet<string> = new Set([
  'request dropped as the shard is not ready',
  'system is too busy try again later',
]);

/**
 * The text with which a stock server answers, as UNKNOWN, that its list of tables changed between its reading and its
 * writing of it: it compares a version and, where that is another, has written nothing.
 */
const STOCK_CONFLICT = 'version mismatch';

/** What an attempt's failure means for the request. */
export interface Failure {
  readonly error: CoxswainError;
  /** Nothing was done, or nothing that matters: another attempt is safe. */
  readonly isRepeatable: boolean;
  /** Another node may do better. */
  readonly isEndpointAtFault: boolean;
  /** There was no connection on which the request could have been sent. */
  readonly wasNeverSent: boolean;
}

/**
 * Judges a failed attempt. Reads may be repeated after any loss of contact. A write only when it certainly was
 * not applied: it never began, or a server refused it (P1). An unknown outcome is never repeated.
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
  // A deadline that passed on the server ended the call, and not the write.
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
    // What a node had no memory for it has none for at once.
    isRepeatable: isRefused || isConflict || (isRead && isContactLost && code !== Status.RESOURCE_EXHAUSTED),
    isEndpointAtFault: isRefused || isContactLost,
    wasNeverSent: origin === 'neverSent',
  };
}

/** What stands for the text of a server that gives none, such as one on the port of another service. */
function withoutText(code: Status): string {
  return code === Status.UNIMPLEMENTED
    ? 'the server does not serve this call: perhaps it is not the API address, port 8443 by default'
    : `the server answered ${Status[code] ?? code}, and did not say why`;
}

/** The channel's own text never reaches the caller: it speaks of its parts. It is the error's cause. */
function contactLost(cause: CallError, endpoint: string): CoxswainError {
  const { code, details, origin } = cause;
  if (origin === 'neverSent')
    return new CoxswainError(Status.UNAVAILABLE, 'no connection to the node', endpoint, { cause });
  if (origin === 'refused')
    return new CoxswainError(
      Status.UNAVAILABLE,
      'the node does not take the call: it is stopping, or busy',
      endpoint,
      {
        cause,
      },
    );
  if (code === Status.DEADLINE_EXCEEDED) return late(cause, endpoint);
  if (code === Status.RESOURCE_EXHAUSTED) {
    const text =
      'the node gave the call up for want of memory: take answers as they come, and fewer at a time';
    return new CoxswainError(code, text, endpoint, { cause });
  }
  const text = origin === 'answered' ? details || withoutText(code) : 'the connection to the node was lost';
  return new CoxswainError(Status.UNAVAILABLE, text, endpoint, { cause });
}

/** What a read that was given up for its deadline ends with. */
export function late(cause: unknown, endpoint: string): CoxswainError {
  return new CoxswainError(Status.DEADLINE_EXCEEDED, 'no answer in time', endpoint, { cause });
}
