import { type ArchiveError, archiveErrors } from '../errors.js';

/** The server's answer is not one that an S3 server gives. */
export class S3AnswerError extends Error {
  override readonly name = 'S3AnswerError';
}

/** A request got no answer, or not the rest of one, for too long. */
export class S3SilenceError extends Error {
  override readonly name = 'S3SilenceError';
}

/**
 * A server refused a request. The text is the server's, which may repeat the signed parts of the request and the id of
 * the key.
 */
export class S3StatusError extends Error {
  override readonly name = 'S3StatusError';

  constructor(
    /** The HTTP status; 500 for an error in an answer whose own status is success. */
    readonly status: number,
    /** S3's name of the error, such as NoSuchKey; empty when the answer has none. */
    readonly serviceCode: string,
    message: string,
    /** The region that the bucket is in; undefined when the answer does not say. */
    readonly region: string | undefined,
    /** True for the answer to a HEAD request, which has no body, and so no code. */
    readonly isOfHead: boolean,
  ) {
    super(message);
  }
}

/** Makes the error that the body of an answer describes. */
export function s3StatusError(status: number, body: string, isOfHead: boolean): S3StatusError {
  const textOf = (element: string): string | undefined =>
    new RegExp(`<${element}>([^<]*)</${element}>`).exec(body)?.[1]?.trim();
  const code = /^[\w.]{1,100}$/.exec(textOf('Code') ?? '')?.[0] ?? '';
  const region = /^[\w-]{1,100}$/.exec(textOf('Region') ?? '')?.[0];
  return new S3StatusError(status, code, textOf('Message') ?? '', region, isOfHead);
}

/** The place where an error happened, for its text. */
export interface S3Place {
  /** The URL of the store. */
  readonly url: string;
  readonly endpoint: string;
  readonly bucket: string;
  readonly doing: string;
  /** The name of the object; undefined when the error is not about one. */
  readonly name?: string | undefined;
  /** The texts that no message may contain: the access key and its id. */
  readonly secrets: readonly string[];
}

const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504, 509]);
const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  'BadDigest',
  'IncompleteBody',
  'InternalError',
  'OperationAborted',
  'RequestTimeout',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
]);
const FULL_CODES: ReadonlySet<string> = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'InsufficientStorage',
]);
const INSUFFICIENT_STORAGE = 507;
/** Matches the codes for a certificate that is not trusted: trying again changes nothing. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL/;

/** The codes for a connection that broke off. */
const BREAK_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** The whole text of the error with which `fetch` refuses a port (fetch.spec.whatwg.org, 2.9 Port blocking). */
const BAD_PORT = 'bad port';

/** The most characters of a server's text that an error contains. */
const SERVER_TEXT_LENGTH_MAX = 200;

/** Whether the same request may succeed a moment later. */
export function isTransient(error: unknown): boolean {
  const refusal = refusalIn(error);
  if (refusal !== undefined) {
    return TRANSIENT_STATUS.has(refusal.status) || TRANSIENT_CODES.has(refusal.serviceCode);
  }
  if (error instanceof S3SilenceError) return true;
  const code = networkCode(error);
  return code !== undefined && !CERTIFICATE_CODE.test(code);
}

/**
 * Whether a server says that there is no such object. Only its code says so, or the bare status 404 of an answer that
 * has no body: servers answer 404 for unknown access keys too, and so do proxies.
 */
export function isNoSuchKey(error: unknown): boolean {
  const refusal = refusalIn(error);
  if (refusal === undefined) return false;
  return refusal.serviceCode === 'NoSuchKey' || (refusal.isOfHead && refusal.status === 404);
}

/** Whether a server says that an upload was already completed, or given up. */
export function isNoSuchUpload(error: unknown): boolean {
  return refusalIn(error)?.serviceCode === 'NoSuchUpload';
}

/**
 * Returns the declared error for the error with which a request ended. The server's answer is not attached as the
 * cause, since it may contain the signed parts of the request.
 */
export function declaredS3Error(error: unknown, place: S3Place): ArchiveError {
  const { url, endpoint, doing } = place;
  const refusal = refusalIn(error);
  if (refusal !== undefined) return refusalError(refusal, place);
  if (error instanceof S3SilenceError) return archiveErrors.timedOut(url, doing);
  const code = networkCode(error);
  if (code !== undefined) {
    if (CERTIFICATE_CODE.test(code))
      return archiveErrors.certificateRefused(url, endpoint, code, { cause: error });
    const what = BREAK_CODES.has(code) ? `the connection to ${endpoint} breaks off` : endpoint;
    return archiveErrors.storeUnreachable(url, `${what}: ${code}`, { cause: error });
  }
  const { message } = innermost(error);
  if (message === BAD_PORT)
    return archiveErrors.storeUnreachable(url, portRefused(endpoint), { cause: error });
  return archiveErrors.storeFailed(url, doing, message, { cause: error });
}

const portRefused = (endpoint: string): string =>
  `${endpoint}: no request is sent to this port, which browsers keep for another protocol`;

function refusalError(error: S3StatusError, place: S3Place): ArchiveError {
  const { url, bucket, doing, name } = place;
  const { status, serviceCode: code, region } = error;
  switch (code) {
    case 'RequestTimeTooSkewed':
      return archiveErrors.clockWrong(url);
    case 'NoSuchBucket':
      return archiveErrors.bucketMissing(url, bucket);
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return archiveErrors.regionWrong(url, region);
  }
  if (FULL_CODES.has(code) || status === INSUFFICIENT_STORAGE) return archiveErrors.storeFull(url);
  if (name !== undefined && isNoSuchKey(error)) return archiveErrors.objectMissing(url, name);
  if (status === 401 || status === 403) return archiveErrors.accessDenied(url, code || `status ${status}`);
  if (status >= 300 && status < 400) return archiveErrors.regionWrong(url, undefined);
  return archiveErrors.storeFailed(url, doing, `the server answered ${describe(error, place)}`);
}

/** Returns the status, code and text of a server's answer, without the key and its id, which must not be in a log. */
function describe({ status, serviceCode, message }: S3StatusError, { secrets }: S3Place): string {
  const kept = secrets.reduce((text, secret) => text.replaceAll(secret, '…'), message);
  const text = kept
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, SERVER_TEXT_LENGTH_MAX);
  return `${status} ${serviceCode}`.trim() + (text && `: ${text}`);
}

/**
 * Returns the server's refusal, which the S3 client may have put into an error of its own; undefined when there is
 * none.
 */
function refusalIn(error: unknown): S3StatusError | undefined {
  const at = innermost(error);
  return at instanceof S3StatusError ? at : undefined;
}

/** Returns the innermost cause of an error: the HTTP client's own error says only that it failed. */
function innermost(error: unknown): Error {
  let at = error as Error;
  while (at.cause instanceof Object) at = at.cause as Error;
  return at;
}

/** Returns the operating system's or the HTTP client's code for an error; undefined when the error is neither's. */
function networkCode(error: unknown): string | undefined {
  let at = error as NodeJS.ErrnoException | null | undefined;
  while (typeof at === 'object' && at !== null) {
    if (typeof at.code === 'string') return at.code;
    at = at.cause as NodeJS.ErrnoException | undefined;
  }
  return undefined;
}
