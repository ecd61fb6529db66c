import type { Socket } from 'node:net';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';

type Connect = ChannelCredentials['_createSecureConnector'];
type SecureConnector = ReturnType<Connect>;

/** What the owner of the credentials learns of the sockets that grpc-js opens, which it keeps to itself. */
export interface SocketWatcher {
  /** A TCP connection is up; its handshakes, of TLS and of HTTP/2, are still to come. */
  onSocket(socket: Socket): void;
  /** What the connection stands on once the TLS handshake is done: the socket itself where there is no TLS. */
  onSecured(socket: Socket, secured: Socket): void;
  onHandshakeFailed(error: Error): void;
}

/**
 * Credentials that are made anew for each handshake, so that certificates which were replaced meanwhile count, and that
 * hand each socket to a watcher. grpc-js asks its credentials to secure every connection that it opens: there is no
 * other place where it shows the socket.
 */
export class WatchedCredentials extends ChannelCredentials {
  readonly #isTls: boolean;
  readonly #current: () => ChannelCredentials;
  readonly #watcher: SocketWatcher;

  constructor(isTls: boolean, current: () => ChannelCredentials, watcher: SocketWatcher) {
    super();
    this.#isTls = isTls;
    this.#current = current;
    this.#watcher = watcher;
  }

  override _isSecure(): boolean {
    return this.#isTls;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...[target, options, callCredentials]: Parameters<Connect>
  ): SecureConnector {
    const connect = async (socket: Socket) => {
      this.#watcher.onSocket(socket);
      // grpc-js itself would wait for ever for a handshake whose socket is closed without an error.
      const closed = new Promise<never>((_, reject) =>
        socket.once('close', () => reject(new Error('the connection was closed in the handshake'))),
      );
      closed.catch(() => undefined);
      try {
        const inner = this.#current()._createSecureConnector(target, options, callCredentials);
        const result = await Promise.race([inner.connect(socket), closed]);
        this.#watcher.onSecured(socket, result.socket);
        return result;
      } catch (cause) {
        // grpc-js rejects with texts as well.
        const { message = String(cause) } = cause as Partial<Error>;
        const error = new Error(message, { cause });
        this.#watcher.onHandshakeFailed(error);
        throw error;
      }
    };
    return {
      connect,
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }
}
