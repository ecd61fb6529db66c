import type { Server, TLSSocket, TlsOptions } from 'node:tls';
import { type FailedHandshake, watchHandshakes } from '@coxswain/node';
import type { Clock, Log } from '@coxswain/runtime';
import { serverEvents } from '../events.js';
import type { FailedHandshakes } from '../metrics/failed-handshakes.js';
import type { Certificates } from './certificates.js';
import { type ListenerTls, listenerCertificates, whyRefused } from './tls.js';

/** The least time between two log lines for failed handshakes, since strangers can make as many as they like. */
const FAILURE_LOG_INTERVAL_MS = 10_000;

/** The options of the TLS handshakes of a listener. */
export interface HandshakesOptions {
  /** The prefix of the options that configure the listener, for error texts and the log. */
  readonly name: string;
  readonly tls: ListenerTls;
  readonly clock: Clock;
  /** Counts the handshakes that failed. */
  readonly failedHandshakes: FailedHandshakes;
  readonly log: Log;
}

/**
 * The TLS handshakes of a listener. Each one uses the newest certificates in the files; one that fails is counted, and logged at most
 * once in 10 s.
 */
export class Handshakes {
  readonly certificates: Certificates<TlsOptions>;
  readonly #options: HandshakesOptions;
  #failedMs = Number.NEGATIVE_INFINITY;

  /** Reads the files. Throws as `loadTls` does. */
  constructor(options: HandshakesOptions) {
    this.#options = options;
    this.certificates = listenerCertificates(options.tls, options.name, options.log);
  }

  /** Makes a server with `create`, from the certificates in use, and has each of its handshakes use the newest ones. */
  serve<Listener extends Server>(create: (tls: TlsOptions) => Listener): Listener {
    const { certificates } = this;
    let used = certificates.current;
    const server = create(used);
    // This runs before Node's own listener begins the handshake.
    server.prependListener('connection', () => {
      if (certificates.current === used) return;
      used = certificates.current;
      server.setSecureContext(used);
    });
    watchHandshakes(server, (failed) => this.#logFailure(failed));
    return server;
  }

  /** Returns whether a client with a verified certificate is admitted. Logs why it is not. */
  admits(socket: TLSSocket): boolean {
    const { tls, name } = this.#options;
    const reason = whyRefused(socket, tls, name);
    if (reason !== undefined) this.#logFailure({ from: socket.remoteAddress, reason });
    return reason === undefined;
  }

  #logFailure(failed: FailedHandshake): void {
    const { name, log, clock, failedHandshakes } = this.#options;
    failedHandshakes.count(name);
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#failedMs < FAILURE_LOG_INTERVAL_MS) return;
    this.#failedMs = nowMs;
    log(serverEvents.handshakeFailed, { listener: name, ...failed });
  }
}
