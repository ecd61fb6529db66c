import { ErrorCode } from '@coxswain/http2';
import { CallError } from './call-error.js';
import type { Metadata } from './metadata.js';
import { Status } from './status.js';

/** Fields that HTTP and gRPC use themselves. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  ':status',
  'grpc-status',
  'grpc-message',
  'grpc-encoding',
  'grpc-accept-encoding',
]);

/**
 * The gRPC status for an HTTP status, for answers of proxies that know nothing of gRPC (gRPC: "HTTP to gRPC Status Code
 * Mapping").
 */
const ofHttpStatus: ReadonlyMap<string, Status> = new Map([
  ['400', Status.INTERNAL],
  ['401', Status.UNAUTHENTICATED],
  ['403', Status.PERMISSION_DENIED],
  ['404', Status.UNIMPLEMENTED],
  ['429', Status.UNAVAILABLE],
  ['502', Status.UNAVAILABLE],
  ['503', Status.UNAVAILABLE],
  ['504', Status.UNAVAILABLE],
]);

/**
 * Returns the first value of a field, in a list that alternates names and values; undefined when the field is missing.
 */
export function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1];
  return undefined;
}

export function metadataOfFields(fields: readonly string[]): Metadata {
  const metadata = new Map<string, string>();
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at]!;
    if (!OWN_FIELDS.has(name) && !metadata.has(name)) metadata.set(name, fields[at + 1]!);
  }
  return metadata;
}

/**
 * Returns how a call ended, from the header block that ended the answer or, when none did, from the block that began
 * it; undefined means with status OK.
 */
export function failureOfFields(fields: readonly string[]): CallError | undefined {
  const code = fieldOf(fields, 'grpc-status');
  if (code === '0') return undefined;
  const metadata = metadataOfFields(fields);
  if (code !== undefined) {
    const number = Number(code);
    const known = Number.isInteger(number) && Status[number] !== undefined ? number : Status.UNKNOWN;
    return new CallError(known, decodeMessage(fieldOf(fields, 'grpc-message') ?? ''), 'answered', metadata);
  }
  const httpStatus = fieldOf(fields, ':status');
  if (httpStatus !== undefined && httpStatus !== '200') {
    const known = ofHttpStatus.get(httpStatus) ?? Status.UNKNOWN;
    return new CallError(known, `Received HTTP status code ${httpStatus}`, 'answered', metadata);
  }
  // The server closed the stream in order, but without a status: one that closes a failed stream may give its reason
  // only after the end.
  return new CallError(Status.UNKNOWN, 'the answer ended without a status', 'lost', metadata);
}

/** Decodes grpc-message (gRPC over HTTP/2, "Status-Message"); a text that is not encoded is taken as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Maps the reset of a stream to a failure (gRPC over HTTP/2, "Errors"). */
export function failureOfReset(errorCode: number, isUnprocessed: boolean): CallError {
  if (isUnprocessed) return new CallError(Status.UNAVAILABLE, 'Stream refused by server', 'refused');
  switch (errorCode) {
    case ErrorCode.refusedStream:
      return new CallError(Status.UNAVAILABLE, 'Stream refused by server after it had begun', 'lost');
    case ErrorCode.cancel:
      return new CallError(Status.CANCELLED, 'Call cancelled', 'lost');
    case ErrorCode.enhanceYourCalm:
      // A node that runs out of memory resets the stream that holds the most, which may be a write under way.
      return new CallError(Status.RESOURCE_EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded', 'lost');
    default:
      return new CallError(Status.INTERNAL, `Received RST_STREAM with code ${errorCode}`, 'lost');
  }
}
