import type { Call } from '@coxswain/node';

/** What a handler knows of the call that carries its request. Nothing in it belongs to a gRPC library. */
export interface CallContext extends Call {
  /** When the caller of a stream gives up unless it has had an answer, on `Clock.monotonicMs`: `deadlineMs` at most. */
  readonly openingDeadlineMs: number;
  /** The first value of a metadata key of the request, in lower case. */
  metadata(key: string): string | undefined;
  /** Adds a pair to the metadata that follows the response. */
  setTrailer(key: string, value: string): void;
  /** Nobody waits for the answer any more: the caller has left, or its deadline has passed. */
  readonly isEnded: boolean;
  /** Aborted when nobody waits for the rest of a stream any more. */
  readonly signal: AbortSignal;
  /**
   * Asks for room for a part of the answer before it is made, see `ServerStream.reserve`: `sizeBytes` at most, 0 for a
   * small one. Gives undefined where there is room. Otherwise resolves as soon as there is; rejects with `timeout` when
   * nobody waits for the answer any more, and with `shuttingDown` when the node stops.
   */
  reserve(sizeBytes: number): Promise<void> | undefined;
  /** The caller's network address; empty where it has none. */
  readonly peer: string;
}

/**
 * Answers one request. Throws or rejects with an `ApiError` for what the caller is meant to see. A handler that
 * has the answer at hand gives it without a promise.
 */
export type UnaryHandler<Request, Response> = (
  request: Request,
  call: CallContext,
) => Response | Promise<Response>;

/** Answers one request with many messages, each asked for when the one before it has been taken. */
export type StreamHandler<Request, Response> = (
  request: Request,
  call: CallContext,
) => AsyncIterable<Response>;

/**
 * Answers messages that go on coming with one message, when it likes. They end where the caller has ended them;
 * when the call ends before, to ask for the next one throws.
 */
export type UploadHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  call: CallContext,
) => Promise<Response>;

/** Answers messages that go on coming with messages. */
type DuplexHandler<Request, Response> = (
  requests: AsyncIterable<Request>,
  call: CallContext,
) => AsyncIterable<Response>;

/** What a transport needs of a method: ts-proto's service definitions have this form. */
export interface MethodDefinition<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly requestDeserialize: (value: Buffer) => Request;
  readonly responseSerialize: (value: Response) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/** A method with what answers it. */
export type Method = {
  /** How long a call may take where the caller said nothing, in milliseconds. Default: the transport's. */
  readonly deadlineMs?: number;
  /** The transport ends the call then, with `timeout`; otherwise that is the handler's business. */
  readonly isCutAtDeadline?: boolean;
  /** Its answers are compressed with gzip for callers that take it. For small ones: it is done on the event loop. */
  readonly isAnswerGzipped?: boolean;
} & Handled;

/** See `Method`. */
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

/** Pairs a method with its handler; the definition ties the types of both. */
export function unary<Request, Response>(
  definition: MethodDefinition<Request, Response>,
  handle: UnaryHandler<Request, Response>,
  options: MethodOptions = {},
): Method {
  return { kind: 'unary', definition, handle, ...options } as unknown as Method;
}

/** Pairs a streaming method with its handler. */
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
