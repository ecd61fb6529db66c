import { isIP, connect as openSocket, type Socket } from 'node:net';
import { ClientConnection } from '@coxswain/http2';
import { CallError } from './call-error.js';
import { Status } from './status.js';
import type { Target } from './target.js';

/** Milliseconds to wait for TCP. Left alone, the system would repeat the first packet for two minutes. */
const CONNECT_MS_MAX = 3_000;
/** Milliseconds to wait for TLS and for HTTP/2's SETTINGS: a server that has not sent them by then never will. */
const HANDSHAKE_MS_MAX = 3_000;
/** Milliseconds after which a host's next address is tried: more than a round trip around the world. */
const ADDRESS_MS_MAX = 1_000;

/** Certificates in PEM, and whether to check those of the server. */
export interface ChannelTls {
  /** The authorities to trust; undefined means those that Node.js trusts. */
  readonly ca?: Buffer | undefined;
  /** The certificate that this side shows; `key` is its private key. */
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** The name that the server's certificate is checked against; undefined means the target's host. */
  readonly serverName?: string | undefined;
  /** True accepts any certificate, which is for experiments only. */
  readonly isVerificationSkipped?: boolean;
}

export interface DialOptions {
  readonly target: Target;
  /** Returns the certificates for the next handshake; undefined means no TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** Milliseconds without a byte after which TCP probes the connection; 0 means never. */
  readonly tcpProbeMs: number;
  /** Bytes that one stream may receive before they are consumed, see `ClientConnectionOptions.streamWindowBytes`. */
  readonly streamWindowBytes: number;
}

/** A connection that is established. */
export interface Link {
  readonly connection: ClientConnection;
  /** The TCP or Unix socket below TLS. Its counters show the bytes that really came and left. */
  readonly socket: Socket;
}

/**
 * Learns what becomes of a connection. Either `onUp` or `onFailed` is called, once; `onChange` and `onDown` only after
 * `onUp`.
 */
export interface DialListener {
  onUp(link: Link): void;
  /** There is no connection, so a call that waits for it was never sent. */
  onFailed(failure: CallError): void;
  /** A call can begin again on the connection, or never more, see `ClientConnectionOptions.onChange`. */
  onChange(link: Link): void;
  /** The connection is gone; `cause` is undefined when a side just closed it. */
  onDown(link: Link, cause: Error | undefined): void;
  /** TLS failed on this side, or the other side closed the connection before it said anything. */
  onHandshakeFailed(reason: string): void;
}

/** Makes one connection: TCP or a Unix socket, TLS if it is configured, then HTTP/2 up to the server's SETTINGS. */
export class Dial {
  readonly #options: DialOptions;
  readonly #listener: DialListener;
  readonly #raw: Socket;
  #secured: Socket | undefined;
  #timer: NodeJS.Timeout;
  #link: Link | undefined;
  #isOver = false;

  constructor(options: DialOptions, listener: DialListener) {
    this.#options = options;
    this.#listener = listener;
    const { path, host, port } = options.target;
    const { tcpProbeMs } = options;
    this.#raw =
      path === undefined
        ? openSocket({
            host,
            port,
            noDelay: true,
            keepAlive: tcpProbeMs > 0,
            keepAliveInitialDelay: tcpProbeMs,
            autoSelectFamilyAttemptTimeout: ADDRESS_MS_MAX,
          })
        : openSocket({ path });
    this.#timer = setTimeout(() => {
      this.#fail(
        Object.assign(new Error(`connect ETIMEDOUT ${options.target.authority}`), { code: 'ETIMEDOUT' }),
      );
    }, CONNECT_MS_MAX);
    this.#raw.on('error', (error) => this.#fail(error));
    // Deferred, so that the layers above the socket, which know more, report the error first.
    this.#raw.on('close', () => setImmediate(() => this.#handshakeFailed(hungUp())));
    this.#raw.once('connect', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        this.#handshakeFailed(new Error(`no answer in ${HANDSHAKE_MS_MAX / 1000} s`));
      }, HANDSHAKE_MS_MAX);
      if (options.tls === undefined) this.#connect(this.#raw);
      else void this.#secure(options.tls);
    });
  }

  /** Gives the connection up while it is being made. */
  cancel(): void {
    if (this.#link === undefined) this.#end();
  }

  async #secure(tls: () => ChannelTls): Promise<void> {
    // Loaded late, since most programs that do without TLS never need it.
    const { connect } = await import('node:tls');
    if (this.#isOver) return;
    try {
      const { ca, cert, key, serverName, isVerificationSkipped = false } = tls();
      const name = serverName ?? this.#options.target.host;
      const socket = connect({
        socket: this.#raw,
        // The name that the certificate is checked against. A server name may not be an address (RFC 6066, 3).
        host: name,
        ...(isIP(name) === 0 && { servername: name }),
        ca,
        cert,
        key,
        rejectUnauthorized: !isVerificationSkipped,
        ALPNProtocols: ['h2'],
      });
      this.#secured = socket;
      socket.on('error', (error) => this.#handshakeFailed(error));
      socket.once('secureConnect', () => {
        if (!this.#isOver) this.#connect(socket);
      });
    } catch (error) {
      // The configured certificates cannot be read.
      this.#handshakeFailed(error as Error);
    }
  }

  #connect(socket: Socket): void {
    const connection = new ClientConnection(socket, {
      streamWindowBytes: this.#options.streamWindowBytes,
      onReady: () => {
        if (this.#isOver) return;
        this.#isOver = true;
        clearTimeout(this.#timer);
        this.#link = { connection, socket: this.#raw };
        this.#listener.onUp(this.#link);
      },
      onChange: () => {
        if (this.#link !== undefined) this.#listener.onChange(this.#link);
      },
      onClose: (cause) => {
        if (this.#link !== undefined) this.#listener.onDown(this.#link, cause);
        else if (socket === this.#raw) this.#fail(cause ?? hungUp());
        // In TLS 1.3 a server that refuses this side's certificate says so after the handshake, or just hangs up.
        else
          this.#handshakeFailed(
            cause ?? new Error('the other side hung up: it may not take the certificate that is shown to it'),
          );
      },
    });
  }

  #handshakeFailed(error: Error): void {
    if (this.#isOver) return;
    if (this.#options.tls !== undefined) this.#listener.onHandshakeFailed(error.message);
    this.#fail(error);
  }

  #fail(cause: Error): void {
    if (this.#isOver) return;
    this.#end();
    this.#listener.onFailed(failureOf(cause, this.#options.target));
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#secured?.destroy();
    this.#raw.destroy();
  }
}

function hungUp(): Error {
  return new Error('Failed to connect: the other side closed the connection');
}

function failureOf(cause: NodeJS.ErrnoException, { authority }: Target): CallError {
  const isUnresolved = cause.syscall === 'getaddrinfo';
  const text = isUnresolved
    ? `Name resolution failed for target ${authority}`
    : `No connection established. Last error: ${textOf(cause)}`;
  return new CallError(Status.UNAVAILABLE, text, 'neverSent', undefined, { cause });
}

/** Joins the errors of a host with several addresses, which fails with one of each. */
function textOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(textOf).join('; ') : error.message;
}
