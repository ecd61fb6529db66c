import {
  type CallError,
  type ChannelState,
  type Metadata,
  type Method,
  metadataOf,
  whenAborted,
} from '@coxswain/channel';
import { Endpoint } from './endpoint.js';
import {
  CoxswainError,
  clientError,
  clientErrors,
  type Failure,
  judge,
  OutcomeUnknownError,
} from './errors.js';
import type { TlsOptions } from './place.js';

/** Options for the connection to a cluster. */
export interface ConnectOptions {
  /** The API addresses of some or all nodes: `host:port`, or a URL with http, https, unix or unixs. */
  readonly endpoints: readonly string[];
  /**
   * TLS for endpoints without a scheme: true, or options. An https endpoint uses TLS in any case. A function is called
   * at every handshake: pass one, such as that of `tlsFromFiles`, when certificates are renewed while the program runs.
   */
  readonly tls?: TlsOptions | (() => TlsOptions) | boolean;
  /** The token to send as `authorization: Bearer TOKEN`. */
  readonly token?: string;
  /** Milliseconds that a call may take, all attempts together; 5000 by default. */
  readonly timeoutMs?: number;
  /**
   * Milliseconds without a byte after which an idle connection is probed by TCP (keepalive); 30,000 by default, 0 means
   * never. Firewalls and load balancers then do not forget it, and one whose other side is gone ends within 10 s more.
   * Calls under way do not wait for that: they notice after 4 s that their connection is dead.
   */
  readonly keepAliveMs?: number;
  /** Called with each change of a connection, in order, soon after it. What it throws is an uncaught exception. */
  readonly onConnectionEvent?: (event: ConnectionEvent) => void;
}

/**
 * A change of the connection to one endpoint: the client begins to make it (`connecting`), has it (`connected`), could
 * not make it (`failed`), or makes no more calls on it (`disconnected`).
 */
export interface ConnectionEvent {
  readonly state: ChannelState;
  readonly endpoint: string;
  /** Why, for people; empty for `connecting` and `connected`. */
  readonly reason: string;
}

/** Limits of one call. */
export interface CallOptions {
  /**
   * Milliseconds that the call may take, all attempts together; by default those of the connection, or without limit
   * when `deadline` is given.
   */
  readonly timeoutMs?: number;
  /** The time at which the call is given up, for several calls with one limit. Of this and `timeoutMs` the earlier counts. */
  readonly deadline?: Date;
  /**
   * Gives the call up when it is aborted: the call fails with status CANCELLED and the code `aborted`, a write that was
   * sent with an `OutcomeUnknownError`; `cause` is the signal's reason.
   */
  readonly signal?: AbortSignal;
}

/** Limits of a call with many messages; `timeoutMs` is for the first one, `deadline` and `signal` for all. */
export interface StreamOptions extends CallOptions {
  /** Milliseconds that the whole call may take; by default as long as the server allows. */
  readonly durationMs?: number;
}

/** The health of a node, as the node reports it. */
export interface Health {
  readonly isServing: boolean;
  /** Conditions as `name=bool`, of which the true ones are bad; empty when the node serves. */
  readonly reason: string;
}

const asItIs = (bytes: Buffer): Buffer => bytes;
const healthCheck: Method<Buffer, Buffer> = {
  path: '/grpc.health.v1.Health/Check',
  requestSerialize: asItIs,
  responseDeserialize: asItIs,
};
/** HealthCheckResponse.status: field 1, a varint; 1 is SERVING. */
const servingResponse = Buffer.from([0x08, 0x01]);

const DEFAULT_TIMEOUT_MS = 5_000;
const DEFAULT_KEEP_ALIVE_MS = 30_000;
/**
 * Milliseconds of the first pause between rounds over all endpoints, which is doubled from round to round, and of the
 * longest.
 */
const BACKOFF_LEAST_MS = 25;
const BACKOFF_GREATEST_MS = 500;
/** Milliseconds after which a read that a node has not answered is sent to another node as well. */
const SILENCE_MS = 1_000;
/** Milliseconds that finding out why there is no connection may take. */
const DIAGNOSIS_MS = 1_000;
/**
 * The fewest milliseconds that must be left for another attempt: a server answers up to 250 ms before the deadline with
 * the reason, and of a call that is cut off earlier nothing is known but that it was not answered.
 */
const ATTEMPT_MS_MIN = 300;

/** When an attempt is given up. */
interface Limits {
  /** On the clock of `Date.now()`. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** The longest timeout of Node's timers. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Sends calls to one node at a time, and moves to the next one when that fails. */
export class Connection {
  readonly #endpoints: readonly Endpoint[];
  readonly #metadata: Metadata;
  readonly #timeoutMs: number;
  #current = 0;
  #isClosed = false;

  constructor(options: ConnectOptions) {
    if (options.endpoints.length === 0) throw new TypeError('at least one endpoint is needed');
    const { tls, keepAliveMs: tcpProbeMs = DEFAULT_KEEP_ALIVE_MS, onConnectionEvent } = options;
    const onStateChange =
      onConnectionEvent &&
      ((endpoint: string, state: ChannelState, reason: string): void =>
        queueMicrotask(() => onConnectionEvent({ state, endpoint, reason })));
    this.#endpoints = options.endpoints.map(
      (address) => new Endpoint(address, { tls, tcpProbeMs, onStateChange }),
    );
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#metadata = metadataOf(options.token ? { authorization: `Bearer ${options.token}` } : {});
  }

  /** The address of the endpoint that calls go to now. */
  get endpoint(): string {
    return this.#endpoints[this.#current]!.address;
  }

  /**
   * Resolves when some node has been reached. Rejects with a CoxswainError of status UNAVAILABLE that names the reason
   * for each endpoint.
   */
  async ready(options?: CallOptions): Promise<void> {
    const deadline = this.#deadlineOf(options);
    let last: unknown;
    for (let tries = 0; tries < this.#endpoints.length; tries++) {
      const endpoint = this.#chosen();
      const remainingMs = Math.max(deadline - Date.now(), 1);
      const limitMs = this.#endpoints.length > 1 ? Math.min(SILENCE_MS, remainingMs) : remainingMs;
      try {
        await unlessAborted(endpoint.ready(Math.min(limitMs, TIMER_MS_MAX)), options);
        return;
      } catch (error) {
        if (options?.signal?.aborted) throw aborted(options.signal, endpoint);
        last = error;
        this.#leave(endpoint);
      }
    }
    throw await this.#noNode(last, options);
  }

  /** Makes the error for when no node can be reached. It names the reason for each endpoint. */
  async #noNode(cause: unknown, options: CallOptions | undefined): Promise<CoxswainError> {
    const endpoint = this.#chosen();
    const diagnoses = this.#endpoints.map(async (each) => {
      const reason = await each.diagnose(Math.min(DIAGNOSIS_MS, this.#timeoutMs));
      return `${each.address}: ${reason ?? 'it answers now: try again'}`;
    });
    try {
      const reasons = await unlessAborted(Promise.all(diagnoses), options);
      const addresses = this.#endpoints.map(({ address }) => address).join(', ');
      return clientError('noConnection', addresses, { cause, detail: reasons.join('; ') });
    } catch (error) {
      if (options?.signal?.aborted) return aborted(options.signal, endpoint);
      throw error;
    }
  }

  /**
   * Makes a call with one request and one response, in as many attempts as are safe and the time allows. Rejects with a
   * CoxswainError, for a write of unknown outcome with an OutcomeUnknownError.
   */
  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    isRead: boolean,
    options: CallOptions | undefined,
  ): Promise<Response> {
    const limits = { deadline: this.#deadlineOf(options), signal: options?.signal };
    if (limits.deadline <= Date.now()) {
      const detail = 'the time was up before the call';
      throw clientError('noAnswer', this.#chosen().address, { detail });
    }
    for (let attempt = 1; ; attempt++) {
      const endpoint = this.#chosen();
      try {
        if (isRead && this.#endpoints.length > 1) return await this.#askAround(method, request, limits);
        return await this.#attempt(endpoint, method, request, limits);
      } catch (cause) {
        const failure = judge(cause as CallError, isRead, endpoint.address);
        throwIfAborted(failure, options, endpoint);
        if (failure.isEndpointAtFault) this.#leave(endpoint);
        if (failure.isRepeatable && (await this.#pause(attempt, limits))) continue;
        throw failure.wasNeverSent ? await this.#noNode(cause, options) : failure.error;
      }
    }
  }

  /**
   * Makes a call with one request and many responses, each of which is read when it is asked for; leaving the loop
   * cancels the call. It moves to another node only before the first response, since all responses belong to one view.
   * The timeout is for the first response alone; the rest may take as long as the reader takes, within `durationMs`. A
   * call that is not a read is repeated only when it certainly was not begun.
   */
  async *stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: StreamOptions | undefined,
    isRead = true,
  ): AsyncGenerator<Response> {
    const signal = options?.signal;
    const limits = { deadline: this.#deadlineOf(options), signal };
    for (let attempt = 1; ; attempt++) {
      const endpoint = this.#chosen();
      const remainingMs = Math.min(Math.max(limits.deadline - Date.now(), 1), TIMER_MS_MAX);
      const call = endpoint.channel.serverStream(method, request, {
        metadata: this.#metadata,
        // Before that time the server says why it has nothing to send.
        varying: [['coxswain-opening-timeout', `${Math.min(Math.ceil(remainingMs), 99_999_999)}m`]],
        deadline: wholeDeadlineOf(options),
        signal,
      });
      let hasBegun = false;
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = !hasBegun;
        if (isLate) call.cancel();
      }, remainingMs);
      try {
        for await (const response of call) {
          // What came before the abort is no longer wanted either.
          if (signal?.aborted) break;
          hasBegun = true;
          yield response;
        }
        if (signal?.aborted) throw aborted(signal, endpoint);
        return;
      } catch (cause) {
        if (cause instanceof CoxswainError) throw cause;
        const failure = judge(cause as CallError, isRead, endpoint.address);
        throwIfAborted(failure, options, endpoint);
        if (failure.isEndpointAtFault) this.#leave(endpoint);
        if (isLate && isRead) throw clientError('noAnswer', endpoint.address, { cause });
        if (!hasBegun && failure.isRepeatable && (await this.#pause(attempt, limits))) continue;
        throw failure.wasNeverSent ? await this.#noNode(cause, options) : failure.error;
      } finally {
        clearTimeout(timer);
        call.cancel();
      }
    }
  }

  /**
   * Makes a call with many requests, sent at the pace of the server, and one response. It is made only once, since
   * nobody can send the messages again. When `messages` throws, the call is broken off and the error passed on. A
   * failure before the last message was sent is a CoxswainError, whatever the server has received, since an incomplete
   * upload has no effect.
   */
  async upload<Request, Response>(
    method: Method<Request, Response>,
    messages: AsyncIterable<Request>,
    options: StreamOptions | undefined,
  ): Promise<Response> {
    await this.ready(options);
    const endpoint = this.#chosen();
    const call = endpoint.channel.clientStream(method, {
      metadata: this.#metadata,
      deadline: wholeDeadlineOf(options),
      signal: options?.signal,
    });
    let isOver = false;
    let isSent = false;
    let interrupt = (): void => undefined;
    const over = (): void => {
      isOver = true;
      interrupt();
    };
    call.answer.then(over, over);
    const source = messages[Symbol.asyncIterator]();
    // Resolves with undefined at the end of the messages, and also when the server has answered or is gone: it takes no
    // more messages then, and the next one may be long in coming.
    const next = (): Promise<Request | undefined> =>
      new Promise((resolve, reject) => {
        interrupt = () => resolve(undefined);
        source.next().then(({ done, value }) => resolve(done || isOver ? undefined : value), reject);
      });
    try {
      for (let message = await next(); message !== undefined; message = isOver ? undefined : await next()) {
        if (!call.write(message)) await call.drained();
      }
      isSent = !isOver;
      call.endRequest();
    } finally {
      if (!isSent) call.cancel();
      // Lets the generator of the messages release its resources.
      source.return?.().catch(() => undefined);
    }
    try {
      return await call.answer;
    } catch (cause) {
      const failure = judge(cause as CallError, !isSent, endpoint.address);
      throwIfAborted(failure, options, endpoint);
      throw failure.error;
    }
  }

  /** Asks the current endpoint, and no other, for its health. */
  async health(service: string, options: CallOptions | undefined): Promise<Health> {
    const endpoint = this.#chosen();
    const name = Buffer.from(service);
    // HealthCheckRequest.service: field 1, a string. Names are shorter than 128 bytes.
    const request = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
    // The reason is in the trailing metadata.
    let reason = '';
    try {
      const response = await endpoint.channel.unary(healthCheck, request, {
        metadata: this.#metadata,
        deadline: this.#deadlineOf(options),
        signal: options?.signal,
        onTrailers: (trailers) => {
          reason = trailers.get('health-reason') ?? '';
        },
      });
      return { isServing: servingResponse.equals(response), reason };
    } catch (error) {
      const failure = judge(error as CallError, true, endpoint.address);
      throwIfAborted(failure, options, endpoint);
      throw failure.error;
    }
  }

  /** Closes all connections: calls under way end, and none is repeated. */
  close(): void {
    this.#isClosed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #attempt<Request, Response>(
    { channel }: Endpoint,
    method: Method<Request, Response>,
    request: Request,
    limits: Limits,
  ): Promise<Response> {
    return channel.unary(method, request, { metadata: this.#metadata, ...limits });
  }

  /**
   * Asks the current node, after a second of silence the next one as well, and so on; the first answer counts. So a
   * node that hangs delays a read by a second, and one that is merely slow is not cut short.
   */
  #askAround<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    limits: Limits,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const timers: NodeJS.Timeout[] = [];
      let askedCount = 0;
      let underWayCount = 0;
      const end = (): void => timers.forEach(clearTimeout);
      const ask = (): void => {
        const endpoint = this.#endpoints[this.#current]!;
        askedCount++;
        underWayCount++;
        timers.push(
          setTimeout(() => {
            this.#leave(endpoint);
            if (askedCount < this.#endpoints.length && !this.#isClosed) ask();
          }, SILENCE_MS),
        );
        this.#attempt(endpoint, method, request, limits).then(
          (response) => {
            end();
            resolve(response);
          },
          (error: CallError) => {
            underWayCount--;
            if (underWayCount > 0 && judge(error, true, endpoint.address).isRepeatable) return;
            end();
            reject(error);
          },
        );
      };
      ask();
    });
  }

  /**
   * Returns the endpoint of the next attempt. Throws once the client is closed, since a new channel would never be
   * closed.
   */
  #chosen(): Endpoint {
    const endpoint = this.#endpoints[this.#current]!;
    if (this.#isClosed) throw clientError('clientClosed', endpoint.address);
    return endpoint;
  }

  /** Moves to the next endpoint, unless another call already did. */
  #leave(endpoint: Endpoint): void {
    if (this.#endpoints[this.#current] === endpoint) {
      this.#current = (this.#current + 1) % this.#endpoints.length;
    }
  }

  /** Pauses after each round over the endpoints. Returns false when there is no time for another attempt. */
  async #pause(attempt: number, { deadline, signal }: Limits): Promise<boolean> {
    const round = Math.floor(attempt / this.#endpoints.length);
    const isRoundComplete = attempt % this.#endpoints.length === 0;
    const pauseMs = isRoundComplete ? Math.min(BACKOFF_LEAST_MS * 2 ** (round - 1), BACKOFF_GREATEST_MS) : 0;
    if (Date.now() + pauseMs + ATTEMPT_MS_MIN >= deadline) return false;
    // The next attempt finds that the signal was aborted.
    if (pauseMs > 0 && !signal?.aborted) await pause(pauseMs, signal);
    return true;
  }

  /** The time at which a call, or the wait for its first message, is given up, on the clock of `Date.now()`. */
  #deadlineOf(options: CallOptions | undefined): number {
    const { timeoutMs, deadline } = options ?? {};
    if (deadline === undefined) return Date.now() + (timeoutMs ?? this.#timeoutMs);
    return Math.min(deadline.getTime(), Date.now() + (timeoutMs ?? Number.POSITIVE_INFINITY));
  }
}

/** The time at which a call with many messages is given up; undefined means never. */
function wholeDeadlineOf(options: StreamOptions | undefined): number | undefined {
  const { durationMs, deadline } = options ?? {};
  if (durationMs === undefined) return deadline?.getTime();
  return Math.min(Date.now() + durationMs, deadline?.getTime() ?? Number.POSITIVE_INFINITY);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      ignoreSignal?.();
      resolve();
    };
    const timer = setTimeout(end, ms);
    const ignoreSignal = signal && whenAborted(signal, end);
  });
}

/** Settles as the promise does, but rejects as soon as the signal is aborted. */
async function unlessAborted<T>(promise: Promise<T>, options: CallOptions | undefined): Promise<T> {
  const signal = options?.signal;
  if (signal === undefined) return await promise;
  promise.catch(() => undefined);
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const ignoreSignal = whenAborted(signal, () => reject(signal.reason as Error));
    promise.then(resolve, reject).finally(ignoreSignal);
  });
}

function aborted({ reason: cause }: AbortSignal, { address }: Endpoint): CoxswainError {
  return clientError('aborted', address, { cause });
}

/** Throws the error for an aborted call, unless a node had answered it for good before. */
function throwIfAborted(
  { error, isRepeatable }: Failure,
  options: CallOptions | undefined,
  endpoint: Endpoint,
): void {
  const signal = options?.signal;
  if (!signal?.aborted) return;
  const isUnknown = error instanceof OutcomeUnknownError;
  if (isUnknown) throw new OutcomeUnknownError(endpoint.address, { cause: signal.reason });
  if (isRepeatable || error.errorCode in clientErrors) throw aborted(signal, endpoint);
}
