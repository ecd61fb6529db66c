import type { Socket } from 'node:net';
import {
  type ChannelOptions,
  Client,
  connectivityState,
  credentials,
  type StatusObject,
} from '@grpc/grpc-js';
import { WatchedCredentials } from './watched-credentials.js';

/** Connections are looked at this often within the shorter of the two times that they may be silent for. */
const LOOKS_PER_SILENCE = 4;
const LOOK_MS_MIN = 10;
/** A connection that is not up by then is dialled again: the system alone would pause for up to a minute. */
const DIAL_MS_MAX = 3_000;
/**
 * As much more that the system took to send since the last look shows that the other side acknowledges what is sent: a
 * long upload over a slow link has nothing to read for longer than a connection may be silent.
 */
const PROGRESS_BYTES_MIN = 16 * 1024;

/** Any server answers this with a status alone, which no flow control holds back: there is no such service. */
const PING = '/grpc.health.v1.Health/Check';
const PING_REQUEST = Buffer.from([0x0a, 4, ...Buffer.from('ping')]);
const asItIs = (bytes: Buffer): Buffer => bytes;

/** Certificates in PEM. */
export interface ChannelTls {
  /** The authorities to trust. Undefined: those that Node.js trusts. */
  readonly ca?: Buffer | undefined;
  /** What this side shows, with its key. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Believe any certificate: for trials only. */
  readonly isVerificationSkipped?: boolean;
}

export interface WatchedChannelOptions {
  /** What is used for the next handshake. Undefined: no TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** A connection on which nothing came for so long, while a call waits, is tried with a call; 0: never. */
  readonly silenceMs: number;
  /** How long that trial may take. When it is over without a single byte, the connection is closed. */
  readonly trialMs: number;
  readonly options?: ChannelOptions;
  /** A handshake failed on this side, or the other side ended the connection before it said anything. */
  readonly onHandshakeFailed?: (reason: string) => void;
}

/** A socket of grpc-js, from the moment on that its TCP connection is up. */
interface Connection {
  readonly socket: Socket;
  /** Set once TLS is done, where there is TLS. */
  secured: Socket;
  /** Calls can be sent on it. */
  isUp: boolean;
  receivedBytes: number;
  sentBytes: number;
  silentLooks: number;
}

/**
 * A grpc-js client that does not trust the network's silence. grpc-js waits without a limit for a connection to come
 * up, and its keepalive pings are refused by servers with grpc-go's defaults when they come more than once in some
 * minutes. Here a connection that falls silent while a call waits is tried with a call that costs next to nothing, and
 * closed when not one byte comes back; calls on it fail as calls on a lost connection do. A connection that does not
 * come up within 3 s is dialled again. Certificates are those of the moment of each handshake.
 *
 * Whoever makes a call hands it to `watch`.
 */
export class Channel {
  readonly #target: string;
  readonly #options: WatchedChannelOptions;
  readonly #lookMs: number;
  readonly #connections = new Set<Connection>();
  #client: Client | undefined;
  #waitingCalls = 0;
  #dialLooks = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `target` is gRPC's: `host:port`, `unix:/path`. */
  constructor(target: string, options: WatchedChannelOptions) {
    this.#target = target;
    this.#options = options;
    const { silenceMs, trialMs } = options;
    const shorterMs = silenceMs > 0 ? Math.min(silenceMs, trialMs) : DIAL_MS_MAX;
    this.#lookMs = Math.max(shorterMs / LOOKS_PER_SILENCE, LOOK_MS_MIN);
  }

  /** For calls that begin now: another one after a connection did not come up. */
  get client(): Client {
    this.#client ??= this.#open();
    return this.#client;
  }

  /** Watches the connection until the call has ended. Gives the call. */
  watch<Call extends { on(event: 'status', listener: (status: StatusObject) => void): unknown }>(
    call: Call,
  ): Call {
    this.#waitingCalls++;
    call.on('status', () => {
      this.#waitingCalls--;
    });
    this.#startLooking();
    return call;
  }

  /** Resolves when there is a connection. Rejects when it is refused, or after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    this.#waitingCalls++;
    this.#startLooking();
    try {
      for (;;) {
        const channel = this.client.getChannel();
        const state = channel.getConnectivityState(true);
        if (state === connectivityState.READY) return;
        if (state === connectivityState.TRANSIENT_FAILURE) throw new Error('the connection was refused');
        const remainingMs = deadlineMs - performance.now();
        if (remainingMs <= 0) throw new Error(`no connection within ${timeoutMs} ms`);
        const until = Date.now() + Math.min(remainingMs, this.#lookMs);
        await new Promise<void>((resolve) => channel.watchConnectivityState(state, until, () => resolve()));
      }
    } finally {
      this.#waitingCalls--;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#client?.close();
    this.#client = undefined;
    // grpc-js itself would wait for a handshake that is under way.
    for (const { socket, isUp } of this.#connections) if (!isUp) socket.destroy();
  }

  #open(): Client {
    const { tls, options } = this.#options;
    const current = () => {
      if (tls === undefined) return credentials.createInsecure();
      const { ca, key, cert, isVerificationSkipped = false } = tls();
      return credentials.createSsl(ca ?? null, key ?? null, cert ?? null, {
        rejectUnauthorized: !isVerificationSkipped,
      });
    };
    const watched = new WatchedCredentials(tls !== undefined, current, {
      onSocket: (socket) => this.#onSocket(socket),
      onSecured: (socket, secured) => this.#onSecured(socket, secured),
      onHandshakeFailed: ({ message }) => this.#options.onHandshakeFailed?.(message),
    });
    return new Client(this.#target, watched, {
      ...options,
      // A connection of one's own: only then is it known which calls a silent one holds up.
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  #onSocket(socket: Socket): void {
    const connection: Connection = {
      socket,
      secured: socket,
      isUp: false,
      receivedBytes: 0,
      sentBytes: 0,
      silentLooks: 0,
    };
    this.#connections.add(connection);
    this.#markWhenUp(connection);
    const dialled = setTimeout(() => {
      if (connection.isUp) return;
      const error = new Error(`no answer in ${DIAL_MS_MAX / 1000} s`);
      connection.secured.destroy(error);
      socket.destroy();
    }, DIAL_MS_MAX);
    dialled.unref();
    socket.once('close', () => {
      clearTimeout(dialled);
      this.#connections.delete(connection);
    });
  }

  #onSecured(socket: Socket, secured: Socket): void {
    const connection = [...this.#connections].find((each) => each.socket === socket);
    if (connection === undefined || secured === socket) return;
    connection.secured = secured;
    // A server that does not like this side's certificate says so after the handshake, in TLS 1.3, or just hangs up.
    let reason = 'the other side hung up: it may not take the certificate that is shown to it';
    secured.once('error', ({ message }) => {
      reason = message;
    });
    secured.once('close', () => {
      if (!connection.isUp && this.#client !== undefined) this.#options.onHandshakeFailed?.(reason);
    });
  }

  /** grpc-js is ready when the server's SETTINGS have come. */
  #markWhenUp(connection: Connection, channel = this.#client?.getChannel()): void {
    const state = channel?.getConnectivityState(false);
    if (state === connectivityState.READY) connection.isUp = true;
    else if (channel !== undefined && state !== connectivityState.SHUTDOWN && !connection.socket.destroyed)
      channel.watchConnectivityState(state!, Number.POSITIVE_INFINITY, () =>
        this.#markWhenUp(connection, channel),
      );
  }

  #startLooking(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#look(), this.#lookMs);
    this.#timer.unref();
  }

  /** Counts looks and not time: a process that was held up itself has not listened meanwhile. */
  #look(): void {
    const state = this.#client?.getChannel().getConnectivityState(false);
    const isDialling = state === connectivityState.CONNECTING;
    if (this.#waitingCalls === 0 && !isDialling) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#dialLooks = 0;
      for (const connection of this.#connections) connection.silentLooks = 0;
      return;
    }
    // A socket that is there is in its handshake, which has a limit of its own.
    this.#dialLooks = isDialling && this.#connections.size === 0 ? this.#dialLooks + 1 : 0;
    if (this.#dialLooks * this.#lookMs >= DIAL_MS_MAX) this.#dialAgain();
    if (state === connectivityState.READY && this.#options.silenceMs > 0) this.#lookAtCurrent();
  }

  /** The system pauses longer and longer before it tries a first packet again. The calls that wait were never sent. */
  #dialAgain(): void {
    this.#dialLooks = 0;
    this.#client?.close();
    this.#client = undefined;
    if (this.#waitingCalls > 0) this.client.getChannel().getConnectivityState(true);
  }

  /** The newest connection is the one that calls go to; older ones only end what a server that leaves still owes. */
  #lookAtCurrent(): void {
    const current = [...this.#connections].at(-1);
    if (current === undefined) return;
    const { silenceMs, trialMs } = this.#options;
    const { bytesRead, bytesWritten } = current.secured;
    const isAlive =
      bytesRead !== current.receivedBytes || bytesWritten - current.sentBytes >= PROGRESS_BYTES_MIN;
    current.receivedBytes = bytesRead;
    current.sentBytes = bytesWritten;
    current.silentLooks = isAlive ? 0 : current.silentLooks + 1;
    const silentMs = current.silentLooks * this.#lookMs;
    if (silentMs >= silenceMs + trialMs) {
      // Without an error: grpc-js then fails its calls with UNAVAILABLE, as those of any connection that was lost.
      current.secured.destroy();
      current.socket.destroy();
    } else if (silentMs >= silenceMs && silentMs - this.#lookMs < silenceMs) {
      this.#ping();
    }
  }

  #ping(): void {
    const deadline = Date.now() + this.#options.trialMs;
    this.#client?.makeUnaryRequest(PING, asItIs, asItIs, PING_REQUEST, { deadline }, () => undefined);
  }
}
