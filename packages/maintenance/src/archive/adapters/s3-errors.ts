import { S3ServiceError } from 's3mini';
import { type ArchiveError, archiveErrors } from '../errors.js';

/** A server answers what no S3 server does. */
export class S3AnswerError extends Error {
  override readonly name = 'S3AnswerError';
}

/** A request got no answer, or not the rest of one, for too long. */
export class S3SilenceError extends Error {
  override readonly name = 'S3SilenceError';
}

/** Where an error happened, for its text. */
export interface S3Place {
  /** Of the store. */
  readonly url: string;
  readonly endpoint: string;
  readonly bucket: string;
  readonly doing: string;
  /** Of the object; undefined where it is not about one. */
  readonly name?: string | undefined;
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
/** Of certificates that are not believed: trying again changes nothing. */
const CERTIFICATE_CODE = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL/;

const BREAK_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

/** Whether the same request may do better in a moment. */
export function isTransient(error: unknown): boolean {
  if (error instanceof S3ServiceError) {
    return TRANSIENT_STATUS.has(error.status) || TRANSIENT_CODES.has(serviceCode(error));
  }
  if (error instanceof S3SilenceError) return true;
  const code = networkCode(error);
  return code !== undefined && !CERTIFICATE_CODE.test(code);
}

/** Whether a server says that there is no such thing, an object or an upload. */
export function isNotFound(error: unknown): boolean {
  return error instanceof S3ServiceError && error.status === 404 && serviceCode(error) !== 'NoSuchBucket';
}

/**
 * The declared error for what a request ended with. What a server answers is no cause of it: answers repeat what was
 * signed, and the id of the key.
 */
export function declaredS3Error(error: unknown, place: S3Place): ArchiveError {
  const { url, endpoint, doing } = place;
  if (error instanceof S3ServiceError) return serviceError(error, place);
  if (error instanceof S3SilenceError) return archiveErrors.timedOut(url, doing);
  const code = networkCode(error);
  if (code !== undefined) {
    const what = BREAK_CODES.has(code) ? `the connection to ${endpoint} breaks off` : endpoint;
    return archiveErrors.storeUnreachable(url, `${what}: ${code}`, { cause: error });
  }
  return archiveErrors.storeFailed(url, doing, innermostMessage(error), { cause: error });
}

function serviceError(error: S3ServiceError, { url, bucket, doing, name }: S3Place): ArchiveError {
  const { status } = error;
  const code = serviceCode(error);
  switch (code) {
    case 'RequestTimeTooSkewed':
      return archiveErrors.clockWrong(url);
    case 'NoSuchBucket':
      return archiveErrors.bucketMissing(url, bucket);
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return archiveErrors.regionWrong(url, /<Region>([\w-]+)<\/Region>/.exec(error.body ?? '')?.[1]);
  }
  if (FULL_CODES.has(code) || status === INSUFFICIENT_STORAGE) return archiveErrors.storeFull(url);
  if (status === 404 && name !== undefined) return archiveErrors.objectMissing(url, name);
  if (status === 404) return archiveErrors.bucketMissing(url, bucket);
  if (status === 401 || status === 403) return archiveErrors.accessDenied(url, code || `status ${status}`);
  if (status >= 300 && status < 400) return archiveErrors.regionWrong(url, undefined);
  return archiveErrors.storeFailed(url, doing, `the server answered ${status} ${code}`.trim());
}

/** S3's name of the error; empty where the answer has none. */
function serviceCode(error: S3ServiceError): string {
  const { serviceCode: code, body } = error;
  if (code !== undefined && code !== 'Unknown') return code;
  return /<Code>(\w+)<\/Code>/.exec(body ?? '')?.[1] ?? '';
}

/** The HTTP client's own says only that it failed. */
function innermostMessage(error: unknown): string {
  let at = error as Error;
  while (at.cause instanceof Object) at = at.cause as Error;
  return at.message;
}

/** The operating system's or the HTTP client's name of what went wrong; undefined: it is neither's error. */
function networkCode(error: unknown): string | undefined {
  let at = error as NodeJS.ErrnoException | null | undefined;
  while (typeof at === 'object' && at !== null) {
    if (typeof at.code === 'string') return at.code;
    at = at.cause as NodeJS.ErrnoException | undefined;
  }
  return undefined;
}
