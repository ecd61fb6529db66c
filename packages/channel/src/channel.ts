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

/** The number of looks at a connection within the shorter of `silenceMs` and `trialMs`. */
const LOOKS_PER_SILENCE = 4;
const LOOK_MS_MIN = 10;
/**
 * The factor by which the pause before the next dial grows, up to its maximum (gRPC: "Connection Backoff Protocol").
 */
const BACKOFF_FACTOR = 1.6;
/** Each pause is longer or shorter by up to this part, so that the clients of one server do not all come at once. */
const BACKOFF_JITTER = 0.2;
/**
 * The number of HTTP/2 pings that test a connection which the server is about to close. Such a connection takes no more
 * calls, and servers with grpc-go's defaults close a connection at the third ping.
 */
const PINGS_MAX = 2;

const asItIs = (bytes: Buffer): Buffer => bytes;
/**
 * A call that tests a connection. There is no such service, so every server answers with a status alone, which no flow
 * control holds back.
 */
const PING: Method<Buffer, Buffer> = {
  path: '/grpc.health.v1.Health/Check',
  requestSerialize: asItIs,
  responseDeserialize: asItIs,
};
const PING_REQUEST = Buffer.from([0x0a, 4, ...Buffer.from('ping')]);
const NO_METADATA: Metadata = new Map();

export interface ChannelOptions extends SilenceLimits {
  /** Returns the certificates for the next handshake; undefined means no TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /**
   * Milliseconds without a byte after which TCP probes the connection, also while no call waits; without it, never. It
   * keeps the flow known to firewalls on the way, and ends a connection whose other side is gone about 10 s later.
   */
  readonly tcpProbeMs?: number;
  /** The longest answer in bytes; a longer one fails with RESOURCE_EXHAUSTED. Without it every length is accepted. */
  readonly messageBytesMax?: number;
  /** Bytes that the server may send on one call before they are read. */
  readonly windowBytes: number;
  /** The first and the longest pause between dials that fail, in milliseconds. Calls during a pause fail at once. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** Called when a handshake failed on this side, or the other side closed the connection before it said anything. */
  readonly onHandshakeFailed?: (reason: string) => void;
  /** Called when the channel begins to dial, and when it has, loses or cannot make a connection. It must not throw. */
  readonly onStateChange?: (state: ChannelState, reason: string) => void;
}

/** What a channel has just begun or learned; of the last two there is a reason, of the others it is empty. */
export type ChannelState = 'connecting' | 'connected' | 'failed' | 'disconnected';

/** A connection that is established. */
interface Connected extends Link {
  readonly silence: Silence;
  pings: number;
  isSilent: boolean;
}

/**
 * Makes gRPC calls to one server over one connection at a time, which it opens when a call needs it. It does not trust
 * a silent network: when a connection is silent while a call waits, it tests the connection with a call that costs next
 * to nothing, and closes it when not one byte comes back; the calls on it then fail as on any lost connection. It gives
 * up a connection that is not established within 3 s. Each handshake uses the certificates of that moment.
 */
export class Channel implements CallHost, DialListener {
  readonly messageBytesMax: number;
  readonly #target: Target;
  readonly #options: ChannelOptions;
  readonly #lookMs: number;
  /**
   * All established connections. New calls go to the current one; on the others, the calls under way come to their end.
   */
  readonly #links = new Map<Link, Connected>();
  #current: Connected | undefined;
  #dial: Dial | undefined;
  /** Calls that wait for a connection, or for room on it, in their order. */
  readonly #waiting = new Set<Call>();
  readonly #whoWantsConnection = new Set<(failure: CallError | undefined) => void>();
  #backoffMs: number;
  /** The time before which there is no dial, in milliseconds on the clock of `performance.now()`. */
  #dialAtMs = 0;
  #lastFailure: CallError | undefined;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  /** The header fields of each method by metadata, see `fieldsOf`. */
  readonly #fields = new WeakMap<Metadata, Map<string, readonly Field[]>>();

  /** `target` is in the form of gRPC: `host:port` or `unix:/path`. */
  constructor(target: string, options: ChannelOptions) {
    this.#target = parseTarget(target);
    this.#options = options;
    this.messageBytesMax = options.messageBytesMax ?? Number.POSITIVE_INFINITY;
    this.#backoffMs = options.backoffMsMin;
    this.#lookMs = Math.max(Math.min(options.silenceMs, options.trialMs) / LOOKS_PER_SILENCE, LOOK_MS_MIN);
  }

  /** Makes a call with one request and one answer. Rejects with a CallError. */
  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    return await new SingleAnswerCall(this, method, request, options).answer;
  }

  /** Makes a call with one request and a stream of answers, to loop over. */
  serverStream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): ServerStreamCall<Request, Response> {
    return new ServerStreamCall(this, method, request, options);
  }

  /** Makes a call with a stream of requests, which the caller writes one by one, and one answer. */
  clientStream<Request, Response>(
    method: Method<Request, Response>,
    options: CallOptions = {},
  ): SingleAnswerCall<Request, Response> {
    return new SingleAnswerCall<Request, Response>(this, method, undefined, options);
  }

  /** Resolves when there is a connection. Rejects with a CallError when none can be made, or after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    if (this.#current !== undefined) return;
    const unreachable = this.#whyNoDial();
    if (unreachable !== undefined) throw unreachable;
    await new Promise<void>((resolve, reject) => {
      const settle = (failure: CallError | undefined): void => {
        clearTimeout(timer);
        this.#whoWantsConnection.delete(settle);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const timer = setTimeout(() => {
        settle(new CallError(Status.UNAVAILABLE, `no connection within ${timeoutMs} ms`, 'neverSent'));
      }, timeoutMs);
      this.#whoWantsConnection.add(settle);
      this.#startDial();
    });
  }

  /** Closes the channel: calls under way go on; those that wait for a connection, and later ones, fail. */
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
    const silence = new Silence({ silenceMs, trialMs }, this.#lookMs);
    this.#current = { ...link, silence, pings: 0, isSilent: false };
    this.#links.set(link, this.#current);
    this.#options.onStateChange?.('connected', '');
    for (const settle of [...this.#whoWantsConnection]) settle(undefined);
    this.#serveWaiting();
  }

  onFailed(failure: CallError): void {
    this.#dial = undefined;
    const jitter = 1 + BACKOFF_JITTER * (2 * Math.random() - 1);
    this.#dialAtMs = performance.now() + this.#backoffMs * jitter;
    this.#backoffMs = Math.min(this.#backoffMs * BACKOFF_FACTOR, this.#options.backoffMsMax);
    this.#lastFailure = failure;
    this.#options.onStateChange?.('failed', failure.details);
    this.#failWaiting(failure);
  }

  onChange(link: Link): void {
    this.#drop(link, 'the server takes no more calls on it');
    this.#serveWaiting();
  }

  onDown(link: Link, cause: Error | undefined): void {
    const isSilent = this.#links.get(link)?.isSilent;
    this.#links.delete(link);
    this.#drop(link, isSilent ? 'nothing came any more' : (cause?.message ?? 'the server closed it'));
    this.#serveWaiting();
  }

  /** Sends no more calls on a connection that takes none. */
  #drop({ connection }: Link, reason: string): void {
    if (!connection.isLeaving || this.#current?.connection !== connection) return;
    this.#current = undefined;
    this.#options.onStateChange?.('disconnected', this.#isClosed ? 'closed on this side' : reason);
  }

  onHandshakeFailed(reason: string): void {
    this.#options.onHandshakeFailed?.(reason);
  }

  /** Returns why no connection can be made now; undefined when one can, or is being made. */
  #whyNoDial(): CallError | undefined {
    if (this.#isClosed) return closed();
    return this.#dial === undefined && performance.now() < this.#dialAtMs ? this.#lastFailure : undefined;
  }

  #startDial(): void {
    if (this.#dial !== undefined) return;
    const { tls, tcpProbeMs = 0, windowBytes } = this.#options;
    this.#options.onStateChange?.('connecting', '');
    this.#dial = new Dial({ target: this.#target, tls, tcpProbeMs, streamWindowBytes: windowBytes }, this);
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
    for (const settle of [...this.#whoWantsConnection]) settle(failure);
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
        if (!connection.hasRoom && link.pings > PINGS_MAX) continue;
        link.isSilent = true;
        connection.destroy();
      } else if (verdict === 'try') this.#try(link);
    }
    if (isAnyBusy) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Tests a connection with a call or, when it takes no call, with a ping. */
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
