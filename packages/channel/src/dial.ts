import { isIP, connect as openSocket, type Socket } from 'node:net';
import { ClientConnection } from '@coxswain/http2';
import { CallError } from './call-error.js';
import { Status } from './status.js';
import type { Target } from './target.js';

/** The system alone would try a first packet again for two minutes. */
const CONNECT_MS_MAX = 3_000;
/** TLS, and HTTP/2's SETTINGS, are there by then, or never. */
const HANDSHAKE_MS_MAX = 3_000;
/** A host's next address is tried when one has not answered for so long: more than a round trip around the world. */
const ADDRESS_MS_MAX = 1_000;

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

export interface DialOptions {
  readonly target: Target;
  /** Gives the certificates for the next handshake. Undefined: no TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** The name that the certificate is checked against. Undefined: the target's host. */
  readonly serverName: string | undefined;
  /** See `ClientConnectionOptions.streamWindowBytes`. */
  readonly streamWindowBytes: number;
}

/** A connection that came about. */
export interface Link {
  readonly connection: ClientConnection;
  /** What it stands on, below TLS: its counters show what really came and left. */
  readonly socket: Socket;
}

/** What becomes of a connection. Of `onUp` and `onFailed` one comes, once; `onChange` and `onDown` only after `onUp`. */
export interface DialListener {
  onUp(link: Link): void;
  /** There is no connection: a call that waits for it was never sent. */
  onFailed(failure: CallError): void;
  /** See `ClientConnectionOptions.onChange`. */
  onChange(link: Link): void;
  onDown(link: Link): void;
  /** TLS failed on this side, or the other side ended the connection before it said anything. */
  onHandshakeFailed(reason: string): void;
}

/** Makes one connection: TCP or a Unix socket, TLS where it is wanted, HTTP/2 up to the server's SETTINGS. */
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
    this.#raw =
      path === undefined
        ? openSocket({ host, port, noDelay: true, autoSelectFamilyAttemptTimeout: ADDRESS_MS_MAX })
        : openSocket({ path });
    this.#timer = setTimeout(() => {
      this.#fail(
        Object.assign(new Error(`connect ETIMEDOUT ${options.target.authority}`), { code: 'ETIMEDOUT' }),
      );
    }, CONNECT_MS_MAX);
    this.#raw.on('error', (error) => this.#fail(error));
    // Whoever stands on it, and knows more, comes first.
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

  /** Nobody wants the connection any more. */
  cancel(): void {
    if (this.#link === undefined) this.#end();
  }

  async #secure(tls: () => ChannelTls): Promise<void> {
    // Most who do without TLS never load it.
    const { connect } = await import('node:tls');
    if (this.#isOver) return;
    try {
      const { ca, cert, key, isVerificationSkipped = false } = tls();
      const name = this.#options.serverName ?? this.#options.target.host;
      const socket = connect({
        socket: this.#raw,
        // What the certificate is checked against; a server name may not be an address (RFC 6066, 3).
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
      // The certificates that are to be used are none.
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
        if (this.#link !== undefined) this.#listener.onDown(this.#link);
        else if (socket === this.#raw) this.#fail(cause ?? hungUp());
        // A server that does not like this side's certificate says so after the handshake, in TLS 1.3, or just hangs up.
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

/** A host with several addresses fails with an error of each. */
function textOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(textOf).join('; ') : error.message;
}
