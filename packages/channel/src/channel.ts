import type { Field } from '@coxswain/http2';
import type { Call, CallHost, CallOptions, Method } from './call.js';
import { CallError } from './call-error.js';
import { ACCEPTED_ENCODINGS } from './decompress.js';
import { type ChannelTls, Dial, type DialListener, type Link } from './dial.js';
import type { Metadata } from './metadata.js';
import { ServerStreamCall } from './server-stream-call.js';
import { Silence, type SilenceLimits } from './silence.js';
import { SingleAnswerCall } from './single-answer-call.js';
import { Status } from './status.js';
import { parseTarget, type Target } from './target.js';

/** Connections are looked at this often within the shorter of the two times that they may be silent for. */
const LOOKS_PER_SILENCE = 4;
const LOOK_MS_MIN = 10;
/** The pause before the next dial grows by this, up to its maximum (gRPC: "Connection Backoff Protocol"). */
const BACKOFF_FACTOR = 1.6;
/** Each pause is longer or shorter by up to this part, so that clients of one server do not come at once. */
const BACKOFF_JITTER = 0.2;
/**
 * How often a connection that the server leaves is tried with a ping of HTTP/2: it takes no call any more, and servers
 * with grpc-go's defaults end a connection at the third ping.
 */
const PINGS_MAX = 2;

const asItIs = (bytes: Buffer): Buffer => bytes;
/** Any server answers this with a status alone, which no flow control holds back: there is no such service. */
const PING: Method<Buffer, Buffer> = {
  path: '/grpc.health.v1.Health/Check',
  requestSerialize: asItIs,
  responseDeserialize: asItIs,
};
const PING_REQUEST = Buffer.from([0x0a, 4, ...Buffer.from('ping')]);
const NO_METADATA: Metadata = new Map();

export interface ChannelOptions extends SilenceLimits {
  /** Gives the certificates for the next handshake. Undefined: no TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** The name that certificates are checked against. Undefined: that of the target. */
  readonly serverName?: string | undefined;
  /** A longer answer is RESOURCE_EXHAUSTED. Default: any is taken. */
  readonly messageBytesMax?: number;
  /** Bytes that the server may send on one call before they are read. */
  readonly windowBytes: number;
  /** The pauses between dials that fail: the first, and the longest. Calls in a pause fail at once. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** A handshake failed on this side, or the other side ended the connection before it said anything. */
  readonly onHandshakeFailed?: (reason: string) => void;
}

/** A connection that is up. */
interface Connected extends Link {
  readonly silence: Silence;
  pings: number;
}

/**
 * Calls of gRPC to one server, over one connection at a time, which is made when a call needs it. It does not trust the
 * network's silence: a connection that falls silent while a call waits is tried with a call that costs next to nothing,
 * and closed when not one byte comes back; calls on it fail as calls on a lost connection do. A connection that does not
 * come up within 3 s is given up. Certificates are those of the moment of each handshake.
 */
export class Channel implements CallHost, DialListener {
  readonly messageBytesMax: number;
  readonly #target: Target;
  readonly #options: ChannelOptions;
  readonly #lookMs: number;
  /** All that are up. New calls go to the current one; the others only end what a server that leaves still owes. */
  readonly #links = new Map<Link, Connected>();
  #current: Connected | undefined;
  #dial: Dial | undefined;
  /** Calls that wait for a connection, or for room on it, in their order. */
  readonly #waiting = new Set<Call>();
  readonly #whoWantsConnection = new Set<(failure: CallError | undefined) => void>();
  #backoffMs: number;
  /** No dial before this moment, on the clock of `performance.now()`. */
  #dialAtMs = 0;
  #lastFailure: CallError | undefined;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  /** See `fieldsOf`: the fields of each method, per metadata. */
  readonly #fields = new WeakMap<Metadata, Map<string, readonly Field[]>>();

  /** `target` is gRPC's: `host:port`, `unix:/path`. */
  constructor(target: string, options: ChannelOptions) {
    this.#target = parseTarget(target);
    this.#options = options;
    this.messageBytesMax = options.messageBytesMax ?? Number.POSITIVE_INFINITY;
    this.#backoffMs = options.backoffMsMin;
    this.#lookMs = Math.max(Math.min(options.silenceMs, options.trialMs) / LOOKS_PER_SILENCE, LOOK_MS_MIN);
  }

  /** One request, one answer. Rejects with a CallError. */
  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return await new SingleAnswerCall(this, method, request, options).answer;
  }

  /** One request, and answers to loop over. */
  serverStream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): ServerStreamCall<Request, Response> {
    return new ServerStreamCall(this, method, request, options);
  }

  /** Requests that are written one after the other, and one answer. */
  clientStream<Request, Response>(
    method: Method<Request, Response>,
    options: CallOptions = {},
  ): SingleAnswerCall<Request, Response> {
    return new SingleAnswerCall<Request, Response>(this, method, undefined, options);
  }

  /** Resolves when there is a connection. Rejects with a CallError when there is none, or after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.#current !== undefined) return;
    const unreachable = this.#whyNoDial();
    if (unreachable !== undefined) throw unreachable;
    await new Promise<void>((resolve, reject) => {
      const told = (failure: CallError | undefined): void => {
        clearTimeout(timer);
        this.#whoWantsConnection.delete(told);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const timer = setTimeout(() => {
        told(new CallError(Status.UNAVAILABLE, `no connection within ${timeoutMs} ms`, 'neverSent'));
      }, timeoutMs);
      this.#whoWantsConnection.add(told);
      this.#startDial();
    });
  }

  /** Calls under way go on; those that wait for a connection, and later ones, fail. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#failWaiting(closed());
    for (const { connection } of [...this.#links.keys()]) connection.leave();
  }

  // ---- CallHost

  fieldsOf(path: string, metadata: Metadata = NO_METADATA): readonly Field[] {
    let byPath = this.#fields.get(metadata);
    if (byPath === undefined) {
      byPath = new Map();
      this.#fields.set(metadata, byPath);
    }
    let fields = byPath.get(path);
    if (fields === undefined) {
      fields = [
        [':method', 'POST'],
        [':scheme', this.#options.tls === undefined ? 'http' : 'https'],
        [':path', path],
        [':authority', this.#target.authority],
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
        ['user-agent', 'grpc-node-coxswain'],
        ['grpc-accept-encoding', ACCEPTED_ENCODINGS],
        ...metadata,
      ];
      byPath.set(path, fields);
    }
    return fields;
  }

  submit(call: Call): void {
    if (this.#waiting.size === 0 && this.#current?.connection.hasRoom) {
      this.#begin(call, this.#current);
      return;
    }
    const unreachable = this.#current === undefined ? this.#whyNoDial() : undefined;
    if (unreachable !== undefined) {
      call.fail(unreachable);
      return;
    }
    this.#waiting.add(call);
    if (this.#current === undefined) this.#startDial();
    else this.#startLooking();
  }

  withdraw(call: Call): void {
    this.#waiting.delete(call);
  }

  // ---- DialListener

  onUp(link: Link): void {
    this.#dial = undefined;
    this.#backoffMs = this.#options.backoffMsMin;
    this.#lastFailure = undefined;
    const { silenceMs, trialMs } = this.#options;
    this.#current = { ...link, silence: new Silence({ silenceMs, trialMs }, this.#lookMs), pings: 0 };
    this.#links.set(link, this.#current);
    for (const told of [...this.#whoWantsConnection]) told(undefined);
    this.#serveWaiting();
  }

  onFailed(failure: CallError): void {
    this.#dial = undefined;
    const jitter = 1 + BACKOFF_JITTER * (2 * Math.random() - 1);
    this.#dialAtMs = performance.now() + this.#backoffMs * jitter;
    this.#backoffMs = Math.min(this.#backoffMs * BACKOFF_FACTOR, this.#options.backoffMsMax);
    this.#lastFailure = failure;
    this.#failWaiting(failure);
  }

  onChange(link: Link): void {
    if (link.connection.isLeaving && this.#current?.connection === link.connection) this.#current = undefined;
    this.#serveWaiting();
  }

  onDown(link: Link): void {
    this.#links.delete(link);
    this.onChange(link);
  }

  onHandshakeFailed(reason: string): void {
    this.#options.onHandshakeFailed?.(reason);
  }

  /** Why no connection can be made now; undefined where one can, or is being made. */
  #whyNoDial(): CallError | undefined {
    if (this.#isClosed) return closed();
    return this.#dial === undefined && performance.now() < this.#dialAtMs ? this.#lastFailure : undefined;
  }

  #startDial(): void {
    if (this.#dial !== undefined) return;
    const { tls, serverName, windowBytes } = this.#options;
    this.#dial = new Dial({ target: this.#target, tls, serverName, streamWindowBytes: windowBytes }, this);
  }

  #begin(call: Call, { connection }: Connected): void {
    call.begin(connection);
    this.#startLooking();
  }

  #serveWaiting(): void {
    if (this.#current === undefined) {
      if (this.#waiting.size > 0) this.#startDial();
      return;
    }
    for (const call of this.#waiting) {
      if (!this.#current?.connection.hasRoom) return;
      this.#waiting.delete(call);
      this.#begin(call, this.#current);
    }
  }

  #failWaiting(failure: CallError): void {
    for (const told of [...this.#whoWantsConnection]) told(failure);
    for (const call of [...this.#waiting]) {
      this.#waiting.delete(call);
      call.fail(failure);
    }
  }

  // ---- silence

  #startLooking(): void {
    if (this.#timer !== undefined || this.#options.silenceMs === 0) return;
    this.#timer = setInterval(() => this.#look(), this.#lookMs);
    this.#timer.unref();
  }

  #look(): void {
    let isAnyBusy = false;
    for (const link of this.#links.values()) {
      const { connection, socket, silence } = link;
      if (connection.streamCount === 0) {
        silence.reset();
        continue;
      }
      isAnyBusy = true;
      const verdict = silence.look(socket.bytesRead, socket.bytesWritten);
      if (verdict === 'dead') {
        if (connection.hasRoom || link.pings <= PINGS_MAX) connection.destroy();
      } else if (verdict === 'try') this.#try(link);
    }
    if (isAnyBusy) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Asks for a sign of life. */
  #try(link: Connected): void {
    if (link.connection.hasRoom) {
      const options: CallOptions = { deadline: Date.now() + this.#options.trialMs };
      const host: CallHost = {
        messageBytesMax: this.messageBytesMax,
        fieldsOf: (path) => this.fieldsOf(path),
        submit: (call) => call.begin(link.connection),
        withdraw: () => undefined,
      };
      new SingleAnswerCall(host, PING, PING_REQUEST, options).answer.catch(() => undefined);
    } else if (link.pings++ < PINGS_MAX) link.connection.ping();
  }
}

function closed(): CallError {
  return new CallError(Status.UNAVAILABLE, 'Channel closed before call started', 'neverSent');
}
