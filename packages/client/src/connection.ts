import { type CallError, type Metadata, type Method, metadataOf, Status } from '@coxswain/channel';
import { Endpoint } from './endpoint.js';
import { CoxswainError, judge, late } from './errors.js';
import type { TlsOptions } from './place.js';

/** Options for the connection to a cluster. */
export interface ConnectOptions {
  /** The API addresses of some or all nodes: `host:port`, or a URL with http, https, unix or unixs. */
  readonly endpoints: readonly string[];
  /**
   * TLS for endpoints without a scheme: true, or options. An https endpoint uses TLS in any case. A function is called
   * at every handshake: pass one when certificates are renewed while the program runs.
   */
  readonly tls?: TlsOptions | (() => TlsOptions) | boolean;
  /** The token to send as `authorization: Bearer TOKEN`. */
  readonly token?: string;
  /** Milliseconds that a call may take, all attempts together; 5000 by default. */
  readonly timeoutMs?: number;
}

/** Limits of one call. */
export interface CallOptions {
  /** Milliseconds that the call may take, all attempts together; by default those of the connection. */
  readonly timeoutMs?: number;
}

/** Limits of a call with many messages. */
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

/** Sends calls to one node at a time, and moves to the next one when that fails. */
export class Connection {
  readonly #endpoints: readonly Endpoint[];
  readonly #metadata: Metadata;
  readonly #timeoutMs: number;
  #current = 0;
  #isClosed = false;

  constructor(options: ConnectOptions) {
    if (options.endpoints.length === 0) throw new TypeError('at least one endpoint is needed');
    this.#endpoints = options.endpoints.map((address) => new Endpoint(address, options.tls));
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
  async ready(): Promise<void> {
    const deadline = Date.now() + this.#timeoutMs;
    let last: unknown;
    for (const endpoint of this.#endpoints) {
      const remainingMs = Math.max(deadline - Date.now(), 1);
      try {
        await endpoint.ready(this.#endpoints.length > 1 ? Math.min(SILENCE_MS, remainingMs) : remainingMs);
        return;
      } catch (error) {
        last = error;
        this.#leave(endpoint);
      }
    }
    throw await this.#noNode(last);
  }

  /** Makes the error for when no node can be reached. It names the reason for each endpoint. */
  async #noNode(cause: unknown): Promise<CoxswainError> {
    const reasons = await Promise.all(
      this.#endpoints.map(async (endpoint) => {
        const reason = await endpoint.diagnose(Math.min(DIAGNOSIS_MS, this.#timeoutMs));
        return `${endpoint.address}: ${reason ?? 'it answers now: try again'}`;
      }),
    );
    const addresses = this.#endpoints.map(({ address }) => address).join(', ');
    const text = `no node can be reached: ${reasons.join('; ')}`;
    return new CoxswainError(Status.UNAVAILABLE, text, addresses, { errorCode: 'noConnection', cause });
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
    const deadline = Date.now() + (options?.timeoutMs ?? this.#timeoutMs);
    for (let attempt = 1; ; attempt++) {
      const endpoint = this.#chosen();
      try {
        if (isRead && this.#endpoints.length > 1) return await this.#askAround(method, request, deadline);
        return await this.#attempt(endpoint, method, request, deadline);
      } catch (cause) {
        const failure = judge(cause as CallError, isRead, endpoint.address);
        if (failure.isEndpointAtFault) this.#leave(endpoint);
        if (failure.isRepeatable && (await this.#pause(attempt, deadline))) continue;
        throw failure.wasNeverSent ? await this.#noNode(cause) : failure.error;
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
    const deadline = Date.now() + (options?.timeoutMs ?? this.#timeoutMs);
    for (let attempt = 1; ; attempt++) {
      const endpoint = this.#chosen();
      const remainingMs = Math.max(deadline - Date.now(), 1);
      const call = endpoint.channel.serverStream(method, request, {
        metadata: this.#metadata,
        // Before that time the server says why it has nothing to send.
        varying: [['coxswain-opening-timeout', `${Math.min(Math.ceil(remainingMs), 99_999_999)}m`]],
        deadline: deadlineOf(options),
      });
      let hasBegun = false;
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = !hasBegun;
        if (isLate) call.cancel();
      }, remainingMs);
      try {
        for await (const response of call) {
          hasBegun = true;
          yield response;
        }
        return;
      } catch (cause) {
        const failure = judge(cause as CallError, isRead, endpoint.address);
        if (failure.isEndpointAtFault) this.#leave(endpoint);
        if (isLate && isRead) throw late(cause, endpoint.address);
        if (!hasBegun && failure.isRepeatable && (await this.#pause(attempt, deadline))) continue;
        throw failure.wasNeverSent ? await this.#noNode(cause) : failure.error;
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
    this.#chosen();
    await this.ready();
    const endpoint = this.#chosen();
    const call = endpoint.channel.clientStream(method, {
      metadata: this.#metadata,
      deadline: deadlineOf(options),
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
      const { error } = judge(cause as CallError, !isSent, endpoint.address);
      throw error;
    }
  }

  /** Asks the current endpoint, and no other, for its health. */
  async health(service: string, options: CallOptions | undefined): Promise<Health> {
    const endpoint = this.#chosen();
    const deadline = Date.now() + (options?.timeoutMs ?? this.#timeoutMs);
    const name = Buffer.from(service);
    // HealthCheckRequest.service: field 1, a string. Names are shorter than 128 bytes.
    const request = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
    // The reason is in the trailing metadata.
    let reason = '';
    try {
      const response = await endpoint.channel.unary(healthCheck, request, {
        metadata: this.#metadata,
        deadline,
        onTrailers: (trailers) => {
          reason = trailers.get('health-reason') ?? '';
        },
      });
      return { isServing: servingResponse.equals(response), reason };
    } catch (error) {
      throw judge(error as CallError, true, endpoint.address).error;
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
    deadline: number,
  ): Promise<Response> {
    return channel.unary(method, request, { metadata: this.#metadata, deadline });
  }

  /**
   * Asks the current node, after a second of silence the next one as well, and so on; the first answer counts. So a
   * node that hangs delays a read by a second, and one that is merely slow is not cut short.
   */
  #askAround<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    deadline: number,
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
        this.#attempt(endpoint, method, request, deadline).then(
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
    if (this.#isClosed) throw new CoxswainError(Status.CANCELLED, 'the client is closed', endpoint.address);
    return endpoint;
  }

  /** Moves to the next endpoint, unless another call already did. */
  #leave(endpoint: Endpoint): void {
    if (this.#endpoints[this.#current] === endpoint) {
      this.#current = (this.#current + 1) % this.#endpoints.length;
    }
  }

  /** Pauses after each round over the endpoints. Resolves with false when there is no time for another attempt. */
  async #pause(attempt: number, deadline: number): Promise<boolean> {
    const round = Math.floor(attempt / this.#endpoints.length);
    const isRoundComplete = attempt % this.#endpoints.length === 0;
    const pauseMs = isRoundComplete ? Math.min(BACKOFF_LEAST_MS * 2 ** (round - 1), BACKOFF_GREATEST_MS) : 0;
    if (Date.now() + pauseMs + ATTEMPT_MS_MIN >= deadline) return false;
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    return true;
  }
}

function deadlineOf(options: StreamOptions | undefined): number | undefined {
  return options?.durationMs === undefined ? undefined : Date.now() + options.durationMs;
}
