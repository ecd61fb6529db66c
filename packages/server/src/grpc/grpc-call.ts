import { gzipSync } from 'node:zlib';
import {
  encodeHeaders,
  MESSAGE_PREFIX_BYTES,
  MessageFlagError,
  MessageReader,
  MessageTooLargeError,
  type ServerStream,
  type StreamListener,
} from '@coxswain/http2';
import { ApiError, errors, type WriteStages } from '@coxswain/node';
import { type Clock, type Log, parseTraceparent, type SpanContext, type Tracer } from '@coxswain/runtime';
import { serverEvents } from '../events.js';
import { codeNames, type MethodMetrics } from '../metrics/grpc-metrics.js';
import type { CallContext, Method } from './call.js';
import { transportErrors } from './errors.js';
import type { MessageDecompressor } from './message-decompressor.js';
import { RequestQueue } from './request-queue.js';
import type { SlowCalls } from './slow-calls.js';

/** The time in milliseconds that a call may take when the client set no deadline (docs/protocol.md §2). */
const DEFAULT_DEADLINE_MS = 5_000;
/** The largest size of a request in bytes; a larger one is refused with RESOURCE_EXHAUSTED (P4). */
export const MESSAGE_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** The largest message that is copied after its prefix, so that both leave in one frame. */
const COPIED_MESSAGE_BYTES_MAX = 16 * 1024 - MESSAGE_PREFIX_BYTES;
/** The longest time that Node's timers take. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** The longest text of an error in characters. Every client takes a text that fits in one frame. */
const ERROR_TEXT_LENGTH_MAX = 1024;

/**
 * The most time that is left when a handler gives up: it does so when a tenth of the caller's own time is left, but at
 * most this.
 */
const DEADLINE_MARGIN_MS_MAX = 250;
/**
 * The header with the time that a client of ours waits for the first message of a stream, in the form of grpc-timeout.
 */
const OPENING_TIMEOUT_HEADER = 'coxswain-opening-timeout';
/** The part of the margin that is left for the answer's way back: then the call is ended, whatever its handler does. */
const WAY_BACK = 1 / 5;

/** The header by which a request belongs to a trace (W3C Trace Context). */
const TRACEPARENT_HEADER = 'traceparent';

const STATUS_OK = 0;
const STATUS_CANCELLED = 1;
const responseHeaders = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
] as const;
const headerBlock = encodeHeaders(responseHeaders);
const gzipHeaderBlock = encodeHeaders([...responseHeaders, ['grpc-encoding', 'gzip']]);
const okTrailerBlock = encodeHeaders([['grpc-status', '0']]);
const notGrpcBlock = encodeHeaders([[':status', '415']]);
const notPostBlock = encodeHeaders([[':status', '405']]);
/**
 * The content types of gRPC. A message format or parameters may follow, but messages are taken for protobuf; grpc-web
 * does not match.
 */
const grpcContentType = /^application\/grpc(?:$|[+; ])/u;

const timeoutUnitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** A method that a listener serves, with its metrics. */
export interface Route {
  readonly method: Method;
  readonly metrics: MethodMetrics;
}

/** The objects that all calls of a connection share. */
export interface CallEnvironment {
  readonly slowCalls: SlowCalls;
  readonly decompressor: MessageDecompressor;
  readonly routes: ReadonlyMap<string, Route>;
  readonly clock: Clock;
  readonly log: Log;
  /** The caller's network address; see `CallContext.peer`. */
  readonly peer: string;
  /** Records the span of each call; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
}

/**
 * Accepts the request that has begun on `stream`, and returns the listener that takes the rest of it. A request that is
 * not a call of a known method is answered at once.
 */
export function acceptCall(stream: ServerStream, environment: CallEnvironment): StreamListener {
  if (stream.header(':method') !== 'POST') {
    stream.sendTrailers(notPostBlock);
    return nobody;
  }
  if (!grpcContentType.test(stream.header('content-type') ?? '')) {
    stream.sendTrailers(notGrpcBlock);
    return nobody;
  }
  const path = stream.header(':path') ?? '';
  const route = environment.routes.get(path);
  if (route === undefined) {
    return refuse(stream, transportErrors.methodUnknown(path));
  }
  const timeoutMs = readTimeoutMs(stream, 'grpc-timeout');
  if (timeoutMs instanceof ApiError) return refuse(stream, timeoutMs);
  const openingMs = readTimeoutMs(stream, OPENING_TIMEOUT_HEADER);
  if (openingMs instanceof ApiError) return refuse(stream, openingMs);
  stream.timeoutMs = timeoutMs;
  return new GrpcCall(stream, route, openingMs, environment);
}

/** Answers a request that does not become a call: no handler sees it, and no method's metrics count it. */
function refuse(stream: ServerStream, error: ApiError): StreamListener {
  stream.sendTrailers(failureBlock(error, [], false));
  return nobody;
}

const nobody: StreamListener = {
  onData: () => undefined,
  onEnd: () => undefined,
  onCancel: () => undefined,
};

/** One call: takes its request, runs its handler and sends its answer. It is also the handler's view of the call. */
class GrpcCall implements CallContext, StreamListener {
  /** The time at which the handler should give up, on `Clock.monotonicMs`. */
  readonly deadlineMs: number;
  readonly openingDeadlineMs: number;
  /** The span of this call; undefined when tracing is off. */
  readonly trace: SpanContext | undefined;

  readonly #stream: ServerStream;
  readonly #method: Method;
  readonly #metrics: MethodMetrics;
  readonly #environment: CallEnvironment;
  readonly #beganAtMs: number;
  readonly #reader = new MessageReader(MESSAGE_SIZE_BYTES_MAX);
  /** The timer that ends the call, set when the caller set a deadline or the method is cut at its own. */
  readonly #deadlineTimer: NodeJS.Timeout | undefined;
  readonly #hasOwnDeadline: boolean;
  #request: Buffer | Promise<Buffer> | undefined;
  #requests: RequestQueue<unknown> | undefined;
  #abortController: AbortController | undefined;
  #trailer: [name: string, value: string][] = [];
  #hasSentHeaders = false;
  #isEnded = false;
  /** The stages of a write that was applied at `#appliedMs`; undefined for any other call. */
  #writeStages: WriteStages | undefined;
  #appliedMs = 0;

  constructor(
    stream: ServerStream,
    { method, metrics }: Route,
    openingMs: number | undefined,
    environment: CallEnvironment,
  ) {
    this.#stream = stream;
    this.#method = method;
    this.#metrics = metrics;
    this.#environment = environment;
    this.#beganAtMs = metrics.begin(environment.clock.monotonicMs());
    const { timeoutMs } = stream;
    // Handlers give up a little before the caller does, so that the caller reads the reason.
    const marginMs = marginOf(timeoutMs ?? 0);
    const ownMs = timeoutMs && timeoutMs - marginMs;
    this.deadlineMs = this.#beganAtMs + (ownMs ?? method.deadlineMs ?? DEFAULT_DEADLINE_MS);
    this.openingDeadlineMs =
      openingMs === undefined
        ? this.deadlineMs
        : Math.min(this.deadlineMs, this.#beganAtMs + openingMs - marginOf(openingMs));
    this.#hasOwnDeadline = timeoutMs !== undefined;
    this.trace = environment.tracer?.begin(parseTraceparent(stream.header(TRACEPARENT_HEADER)));
    if (timeoutMs !== undefined || method.isCutAtDeadline === true) {
      // The caller's own deadline gets another answer; see `#toApiError`.
      const expire = (): void => this.#fail(errors.timeout());
      // A node checks its deadlines once a tick, so its answer, such as that there is no leader, comes a little after
      // them.
      const endMs = this.deadlineMs - this.#beganAtMs + marginMs * (1 - WAY_BACK);
      this.#deadlineTimer = setTimeout(expire, Math.min(endMs, TIMER_MS_MAX));
    }
    if (method.kind === 'duplex' || method.kind === 'upload') this.#serveRequests(method);
  }

  // ---- CallContext

  applied(atMs: number, stages: WriteStages): void {
    this.#appliedMs = atMs;
    this.#writeStages = stages;
  }

  metadata(key: string): string | undefined {
    return this.#stream.header(key);
  }

  setTrailer(key: string, value: string): void {
    this.#trailer.push([key, value]);
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get peer(): string {
    return this.#environment.peer;
  }

  reserve(sizeBytes: number): Promise<void> | undefined {
    return this.#stream.reserve(sizeBytes)?.then(this.#checkRoom);
  }

  readonly #checkRoom = (isGranted: boolean): void => {
    if (!isGranted && !this.#isEnded) throw errors.shuttingDown();
    const isLate = this.#method.kind === 'unary' && this.#environment.clock.monotonicMs() >= this.deadlineMs;
    if (this.#isEnded || isLate) throw errors.timeout();
  };

  get signal(): AbortSignal {
    if (this.#abortController === undefined) {
      this.#abortController = new AbortController();
      if (this.#isEnded) this.#abortController.abort();
    }
    return this.#abortController.signal;
  }

  // ---- StreamListener

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#isEnded) return;
    this.#reader.push(bytes, start, end);
    if (this.#requests !== undefined) {
      this.#requests.wake();
      return;
    }
    try {
      for (let message = this.#nextMessage(); message !== undefined; message = this.#nextMessage()) {
        if (this.#request !== undefined) {
          throw transportErrors.messagesTooMany();
        }
        this.#request = message;
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  onEnd(): void {
    if (this.#isEnded) return;
    if (this.#requests !== undefined) {
      this.#requests.end();
    } else if (!this.#reader.isEmpty) {
      this.#fail(transportErrors.messageCutOff());
    } else {
      const request = this.#request;
      // The handler may be done with the request long before the answer is there.
      this.#request = undefined;
      if (request === undefined) this.#fail(transportErrors.messageMissing());
      else if (request instanceof Promise) request.then(this.#serve, this.#fail);
      else this.#serve(request);
    }
  }

  onCancel(): void {
    this.#end(STATUS_CANCELLED);
  }

  /** Returns the next complete message, decompressed; undefined when there is none yet. */
  #nextMessage(): Buffer | Promise<Buffer> | undefined {
    const message = this.#reader.next();
    if (message === undefined) return undefined;
    this.#metrics.messagesReceived++;
    return message.isCompressed ? this.#decompress(message.bytes) : message.bytes;
  }

  /** Returns the next request of a call that has many. When it is taken, the client may send as many bytes again. */
  readonly #takeRequest = (): unknown => {
    if (this.#isEnded) {
      // The messages so far must not be mistaken for a complete upload.
      if (this.#method.kind === 'upload') throw errors.requestBrokenOff();
      return undefined;
    }
    const message = this.#nextMessage();
    if (message === undefined) {
      if (this.#stream.isEndReceived && !this.#reader.isEmpty) throw transportErrors.messageCutOff();
      return undefined;
    }
    this.#stream.consume(this.#reader.takenBytes);
    return message instanceof Promise ? message.then(this.#deserialize) : this.#deserialize(message);
  };

  #decompress(bytes: Buffer): Buffer | Promise<Buffer> {
    const encoding = this.#stream.header('grpc-encoding') ?? 'identity';
    const { decompressor } = this.#environment;
    const decompress = decompressor.of(encoding);
    if (decompress === undefined) {
      this.setTrailer('grpc-accept-encoding', decompressor.acceptedEncodings);
      throw transportErrors.compressionUnknown(encoding);
    }
    const plain = decompress(bytes);
    if (!(plain instanceof Promise)) return this.#keep(plain);
    const kept = plain.then((message) => this.#keep(message));
    // The caller that waits for the message gets the error; the call may end before anybody does.
    kept.catch(() => undefined);
    return kept;
  }

  /**
   * Counts a decompressed request as held memory until it is answered. Streamed requests are not counted, since only
   * one is taken at a time.
   */
  #keep(plain: Buffer): Buffer {
    if (this.#requests === undefined) this.#stream.hold(plain.length);
    return plain;
  }

  readonly #deserialize = (bytes: Buffer): unknown => {
    try {
      return this.#method.definition.requestDeserialize(bytes);
    } catch (cause) {
      throw transportErrors.messageUndecodable(cause);
    }
  };

  // ---- handlers

  readonly #serve = (bytes: Buffer): void => {
    if (this.#isEnded) return;
    const method = this.#method;
    // An answer that is known at once leaves at once: no promise stands between a local read and its answer.
    try {
      const request = this.#deserialize(bytes);
      if (method.kind === 'stream') {
        void this.#sendAll(method.handle(request, this));
      } else if (method.kind === 'unary') {
        const answer = method.handle(request, this);
        if (answer instanceof Promise) answer.then(this.#succeed, this.#fail);
        else this.#succeed(answer);
      }
    } catch (error) {
      this.#fail(error);
    }
  };

  #serveRequests(method: Method & { kind: 'duplex' | 'upload' }): void {
    this.#requests = new RequestQueue(this.#takeRequest);
    try {
      if (method.kind === 'duplex') void this.#sendAll(method.handle(this.#requests, this));
      else method.handle(this.#requests, this).then(this.#succeed, this.#fail);
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #succeed = (response: unknown): void => {
    if (this.#isEnded) return;
    try {
      this.#send(response);
      this.#complete();
    } catch (error) {
      this.#fail(error);
    }
  };

  async #sendAll(messages: AsyncIterable<unknown>): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]();
    try {
      try {
        while (await this.#sendNext(iterator)) {
          if (this.#stream.isCongested) {
            await new Promise<void>((resolve) => this.#stream.whenDrained(resolve));
          }
          // Waits for room that answers to other clients hold, which do not read them.
          const room = this.reserve(0);
          if (room !== undefined) await room;
        }
        this.#complete();
      } finally {
        await iterator.return?.();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * Sends the next message; returns false after the last one. Keeps no message, since the next one may be minutes away.
   */
  async #sendNext(iterator: AsyncIterator<unknown>): Promise<boolean> {
    const next = await iterator.next();
    if (next.done === true || this.#isEnded) return false;
    this.#send(next.value);
    return true;
  }

  // ---- the answer

  #send(message: unknown): void {
    const stream = this.#stream;
    const plain = this.#method.definition.responseSerialize(message);
    const isGzipped = this.#method.isAnswerGzipped === true && takesGzip(stream);
    const bytes = isGzipped ? gzipSync(plain) : plain;
    this.#metrics.messagesSent++;
    if (!this.#hasSentHeaders) {
      this.#hasSentHeaders = true;
      stream.sendHeaders(isGzipped ? gzipHeaderBlock : headerBlock);
    }
    const isCopied = bytes.length <= COPIED_MESSAGE_BYTES_MAX;
    const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES + (isCopied ? bytes.length : 0));
    prefix[0] = isGzipped ? 1 : 0;
    prefix.writeUInt32BE(bytes.length, 1);
    if (isCopied) bytes.copy(prefix, MESSAGE_PREFIX_BYTES);
    if (isCopied) stream.sendData(prefix);
    else stream.sendData(prefix, bytes);
  }

  #complete(): void {
    if (this.#isEnded) return;
    this.#stream.sendTrailers(
      this.#trailer.length === 0
        ? okTrailerBlock
        : encodeHeaders([['grpc-status', String(STATUS_OK)], ...this.#trailer]),
    );
    this.#end(STATUS_OK);
  }

  readonly #fail = (cause: unknown): void => {
    if (this.#isEnded) return;
    const error = this.#toApiError(cause);
    this.#stream.sendTrailers(failureBlock(error, this.#trailer, this.#hasSentHeaders));
    this.#end(error.status);
  };

  #end(code: number): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#deadlineTimer);
    const nowMs = this.#environment.clock.monotonicMs();
    this.#metrics.end(this.#beganAtMs, nowMs, code);
    if (this.trace?.isSampled) this.#record(this.trace, nowMs, code);
    // Streams are not slow calls, since they last as long as their clients read or send.
    if (this.#method.kind === 'unary') {
      const { path } = this.#method.definition;
      this.#environment.slowCalls.ended(path, nowMs - this.#beganAtMs, nowMs);
    }
    if (code === STATUS_OK) this.#writeStages?.answer.observe((nowMs - this.#appliedMs) / 1000);
    else this.#abortController?.abort();
    this.#requests?.end();
  }

  #record(context: SpanContext, endedMs: number, code: number): void {
    const { service, method } = this.#metrics;
    this.#environment.tracer!.record({
      name: `${service}/${method}`,
      kind: 'server',
      context,
      parentId: parseTraceparent(this.#stream.header(TRACEPARENT_HEADER))?.spanId,
      beganMs: this.#beganAtMs,
      endedMs,
      attributes: {
        'rpc.system': 'grpc',
        'rpc.service': service,
        'rpc.method': method,
        'rpc.grpc.status_code': code,
      },
      error: code === STATUS_OK ? undefined : codeNames[code],
    });
  }

  /** Returns the error that the caller sees: an error of the API in full, any other only as an internal error. */
  #toApiError(cause: unknown): ApiError {
    if (cause instanceof MessageTooLargeError) return transportErrors.messageTooLarge(cause.message);
    if (cause instanceof MessageFlagError) return transportErrors.messageFlagInvalid();
    if (!(cause instanceof ApiError)) {
      const { path } = this.#method.definition;
      this.#environment.log(serverEvents.callFailed, {
        path,
        error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
      });
      return transportErrors.internal();
    }
    // A caller that set the deadline itself gets `deadlineExceeded`; `timeout` is only for the default deadline.
    const isOwnDeadline = this.#hasOwnDeadline && cause.code === 'timeout';
    return isOwnDeadline ? errors.deadlineExceeded() : cause;
  }
}

function marginOf(timeoutMs: number): number {
  return Math.min(DEADLINE_MARGIN_MS_MAX, timeoutMs / 10);
}

/**
 * Reads how long the client waits for its answer, in milliseconds; undefined when it does not say. The header is up to
 * eight digits and a unit, as in `250m` (gRPC over HTTP/2, Timeout). Returns an error for anything else, since a call
 * must neither last longer than its client wanted nor end before.
 */
function readTimeoutMs(stream: ServerStream, name: string): number | undefined | ApiError {
  const header = stream.header(name);
  if (header === undefined) return undefined;
  if (!/^\d{1,8}[HMSmun]$/u.test(header)) return transportErrors.timeoutMalformed(name, header);
  return Number(header.slice(0, -1)) * timeoutUnitMs[header.at(-1)!]!;
}

function takesGzip(stream: ServerStream): boolean {
  return /(?:^|,)\s*gzip\s*(?:,|$)/u.test(stream.header('grpc-accept-encoding') ?? '');
}

/** Encodes the trailers of a call that failed. When nothing was sent before them, they are headers too. */
function failureBlock(
  { status, message, code }: ApiError,
  trailer: readonly (readonly [name: string, value: string])[],
  hasSentHeaders: boolean,
): Buffer {
  return encodeHeaders([
    ...(hasSentHeaders ? [] : responseHeaders),
    ['grpc-status', String(status)],
    ['grpc-message', percentEncode(message)],
    ...(code === '' ? [] : ([['coxswain-error', code]] as const)),
    ...trailer,
  ]);
}

/**
 * Encodes an error's text for `grpc-message`: everything but printable ASCII, and `%` (gRPC over HTTP/2,
 * Status-Message). Cuts a text that is too long.
 */
function percentEncode(text: string): string {
  const short = text.length <= ERROR_TEXT_LENGTH_MAX ? text : `${text.slice(0, ERROR_TEXT_LENGTH_MAX)}…`;
  // Half a character cannot be encoded, and becomes the replacement character.
  return short.replace(/\p{Surrogate}/gu, '\ufffd').replace(/[^ -$&-~]/gu, encodeURIComponent);
}
