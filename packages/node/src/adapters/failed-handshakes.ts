import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** A peer that failed a TLS handshake with a listener of this node, and the reason. */
export interface FailedHandshake {
  /** The peer's IP address; undefined for a Unix socket. */
  readonly from: string | undefined;
  readonly reason: string;
}

/**
 * Calls `onFailed` for each failed TLS handshake with `listener`, a server of `node:tls` or `node:http2`. Hangs up on a
 * peer that has not finished its handshake within the listener's time limit, which Node only reports.
 */
export function watchHandshakes(listener: EventEmitter, onFailed: (failed: FailedHandshake) => void): void {
  // The address can be read only while the connection exists; the socket remembers it once it was read. A peer that
  // does not like this side's certificate hangs up, and the TLS socket, made later, does not know where it came from.
  listener.prependListener('connection', (socket: Socket) => void socket.remoteAddress);
  listener.on(
    'tlsClientError',
    (error: Error & { code?: string; reason?: string }, socket: RefusedSocket) => {
      onFailed({
        from: socket.remoteAddress ?? socket._parent?.remoteAddress,
        // OpenSSL's whole message has addresses of memory and lines of its source.
        reason: whyDistrusted(socket) ?? error.reason ?? error.message,
      });
      // After any other failure Node still sends an alert, and hangs up itself.
      if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') socket.destroy();
    },
  );
}

/** The socket of a handshake that failed, of which Node's own parts are used too. */
type RefusedSocket = Socket & Partial<Pick<TLSSocket, 'authorizationError'>> & { readonly _parent?: Socket };

/**
 * Returns in words why this side does not trust the certificate that a peer shows; undefined when that is not why the
 * handshake failed. Node hangs up on such a peer, and reports that as though the peer had done it.
 */
function whyDistrusted({ authorizationError }: RefusedSocket): string | undefined {
  // A code such as CERT_HAS_EXPIRED, or null.
  if (!authorizationError) return undefined;
  return String(authorizationError)
    .toLowerCase()
    .replaceAll('_', ' ')
    .replace(/\bcert\b/, 'certificate');
}
