import type { Call } from '@coxswain/node';

/** The call that carries a request, as its handler sees it. Nothing in it belongs to a gRPC library. */
export interface CallContext extends Call {
  /**
   * The time on `Clock.monotonicMs` at which the caller of a stream gives up unless it has had an answer; at most
   * `deadlineMs`.
   */
  readonly openingDeadlineMs: number;
  /** Returns the first value of a metadata key of the request. The key is in lower case. */
  metadata(key: string): string | undefined;
  /** Adds a pair to the metadata that follows the response. */
  setTrailer(key: string, value: string): void;
  /** True when nobody waits for the answer any more: the caller has left, or its deadline has passed. */
  readonly isEnded: boolean;
  /** Aborted when nobody waits for the rest of a stream any more. */
  readonly signal: AbortSignal;
  /**
   * Asks for room for a part of the answer before it is made, at most `sizeBytes`, 0 for a small one; see
   * `ServerStream.reserve`. Returns undefined when there is room, else a promise that resolves as soon as there is. The
   * promise rejects with `timeout` when nobody waits for the answer any more, and with `shuttingDown` when the node
   * stops.
   */
  reserve(sizeBytes: number): Promise<void> | undefined;
  /** The caller's network address; empty when it has none. */
  readonly peer: string;
}

/**
 * Answers one request. Throws or rejects with an `ApiError` when the caller is meant to see the error. A handler that
 * has the answer at hand returns it without a promise.
 */
export type UnaryHandler<Request, Response> = (
  request: Request,
  call: CallContext,
) => Response | Promise<Response>;

/** Answers one request with many messages. Each is asked for when the one before it has been taken. */
export type StreamHandler<Request, Response> = (
  request: Request,
  call: CallContext,
) => AsyncIterable<Response>;

/**
 * Answers a stream of messages with one message, at any time. The stream ends when the caller has ended it; when the
 * call ends before that, asking for the next message throws.
 */
export type UploadHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  call: CallContext,
) => Promise<Response>;

/** Answers a stream of messages with a stream of messages. */
type DuplexHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  call: CallContext,
) => AsyncIterable<Response>;

/** The definition of a method, as a transport needs it. ts-proto's service definitions have this form. */
export interface MethodDefinition<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly requestDeserialize: (value: Buffer) => Request;
  readonly responseSerialize: (value: Response) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/** A method and the handler that answers it. */
export type Method = {
  /** The time in milliseconds that a call may take when the caller set no deadline. Default: the transport's. */
  readonly deadlineMs?: number;
  /** True makes the transport end the call at that deadline, with `timeout`; otherwise the handler ends it. */
  readonly isCutAtDeadline?: boolean;
  /**
   * True compresses answers with gzip for callers that accept it. Only for small answers, since this is done on the
   * event loop.
   */
  readonly isAnswerGzipped?: boolean;
} & Handled;

/** The options of a method; see `Method`. */
type MethodOptions = Pick<Method, 'deadlineMs' | 'isCutAtDeadline' | 'isAnswerGzipped'>;

type Handled =
  | {
      readonly kind: 'unary';
      readonly definition: MethodDefinition<unknown, unknown>;
      readonly handle: UnaryHandler<unknown, unknown>;
    }
  | {
      readonly kind: 'stream';
      readonly definition: MethodDefinition<unknown, unknown>;
      readonly handle: StreamHandler<unknown, unknown>;
    }
  | {
      readonly kind: 'upload';
      readonly definition: MethodDefinition<unknown, unknown>;
      readonly handle: UploadHandler<unknown, unknown>;
    }
  | {
      readonly kind: 'duplex';
      readonly definition: MethodDefinition<unknown, unknown>;
      readonly handle: DuplexHandler<unknown, unknown>;
    };

/** Pairs a method with its handler; the definition gives the types of both. */
export function unary<Request, Response>(
  definition: MethodDefinition<Request, Response>,
  handle: UnaryHandler<Request, Response>,
  options: MethodOptions = {},
): Method {
  return { kind: 'unary', definition, handle, ...options } as unknown as Method;
}

/** Pairs a method whose responses are a stream with its handler. */
export function stream<Request, Response>(
  definition: MethodDefinition<Request, Response>,
  handle: StreamHandler<Request, Response>,
  options: MethodOptions = {},
): Method {
  return { kind: 'stream', definition, handle, ...options } as unknown as Method;
}

/** Pairs a method whose requests are a stream with its handler. */
export function upload<Request, Response>(
  definition: MethodDefinition<Request, Response>,
  handle: UploadHandler<Request, Response>,
  options: MethodOptions = {},
): Method {
  return { kind: 'upload', definition, handle, ...options } as unknown as Method;
}
