import { connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { NO_ANSWER, systemErrors } from '@coxswain/channel';
import type { Place } from './place.js';

/** A place with the TLS options of the probe. */
type ProbedPlace = Omit<Place, 'tls'> & {
  readonly tls: (ConnectionOptions & { readonly serverName?: string }) | undefined;
};

/** The connection preface of HTTP/2 (RFC 9113, 3.4) and an empty SETTINGS frame. */
const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
const SETTINGS_FRAME = 4;
const TLS_ALERT = 0x15;

const UNTRUSTED =
  'its certificate is signed by no authority that is trusted here: give the right --cacert (ca)';
const WANTS_CERTIFICATE =
  'it wants a certificate of the client, and takes none but those of its own authority: give the right --cert and --key (cert, key)';

const CLOSED_PLAIN =
  'it closes the connection: perhaps it speaks TLS (use https://), or it is the port of another service';

const causes: Readonly<Record<string, string>> = {
  ...systemErrors,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  CERT_SIGNATURE_FAILURE: UNTRUSTED,
  CERT_HAS_EXPIRED: 'its certificate has expired: renew it',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: compare the clocks',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: use http://, and neither --cacert nor --cert',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS: use http://, and neither --cacert nor --cert',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: WANTS_CERTIFICATE,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: WANTS_CERTIFICATE,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: WANTS_CERTIFICATE,
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: WANTS_CERTIFICATE,
};

const SPEAKS_TLS = 'it speaks TLS: use https://, and --cacert (ca) if its authority is your own';

/**
 * Finds out why no connection can be made, by making one and checking each step: address, TLS, HTTP/2. Takes at most
 * twice `timeoutMs`, and sends no token. Resolves with undefined when the connection works now.
 */
export async function diagnose(place: Place, timeoutMs: number): Promise<string | undefined> {
  const cause = await probe(place, timeoutMs);
  // Servers silently close a connection that does not begin with a TLS handshake.
  if (cause !== CLOSED_PLAIN) return cause;
  const withTls = await probe({ ...place, tls: { rejectUnauthorized: false } }, timeoutMs);
  return withTls === undefined || withTls === WANTS_CERTIFICATE ? SPEAKS_TLS : cause;
}

/** Makes a connection, and resolves with the reason why it cannot be used; undefined when it can. */
function probe(place: ProbedPlace, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let isSecured = false;
    let step = NO_ANSWER;
    const socket = open(place);
    const end = (cause: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(cause);
    };
    const timer = setTimeout(() => end(`it ${step}`), timeoutMs);
    socket.on('connect', () => {
      step = place.tls
        ? 'takes the connection and does not answer the TLS handshake: the process hangs, or it does not speak TLS'
        : 'takes the connection and says nothing: the process hangs, or it speaks TLS (use https://)';
    });
    socket.on(place.tls ? 'secureConnect' : 'connect', () => {
      isSecured = place.tls !== undefined;
      if (isSecured) step = 'takes the connection and says nothing: the process hangs';
      socket.write(preface);
    });
    let received = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      const answer = readAnswer(received);
      if (answer !== 'more') end(answer);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => end(explain(error, place, isSecured)));
    socket.on('close', () => end(closed(place, isSecured)));
  });
}

function open({ path, host, port, tls }: ProbedPlace): Socket {
  const address = path === undefined ? { host, port } : { path };
  if (tls === undefined) return connectPlain(address);
  const { serverName, ...rest } = tls;
  const options: ConnectionOptions = { ...rest, ...address, ALPNProtocols: ['h2'] };
  const name = serverName ?? (path === undefined ? host : undefined);
  // A server name may not be an address (RFC 6066, 3).
  return connectTls(
    name === undefined || /^[\d.]+$|:/.test(name) ? options : { ...options, servername: name },
  );
}

/** Interprets the first bytes of a server; undefined when it speaks HTTP/2. */
function readAnswer(bytes: Buffer): string | 'more' | undefined {
  if (bytes[0] === TLS_ALERT && (bytes.length < 2 || bytes[1] === 3)) {
    return SPEAKS_TLS;
  }
  if (bytes.length < 9) return 'more';
  if (bytes[3] === SETTINGS_FRAME && bytes.readUInt32BE(5) === 0) return undefined;
  if (bytes.toString('latin1', 0, 5) === 'HTTP/') {
    return 'it speaks HTTP/1.1: that is another port, such as that of the REST API; give the API address, 8443 by default';
  }
  return 'it does not speak gRPC: that is the port of another service';
}

/** Explains an error of the socket. */
function explain(error: NodeJS.ErrnoException, place: ProbedPlace, isSecured: boolean): string {
  if (error.code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is not for "${place.tls?.serverName ?? place.host}": use a name that the certificate holds`;
  }
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return closed(place, isSecured);
  return causes[error.code ?? ''] ?? `it cannot be connected to (${error.code ?? error.message})`;
}

/**
 * Explains a closed connection. With TLS 1.3 a server checks the client's certificate after the client has completed
 * the handshake.
 */
function closed({ tls }: ProbedPlace, isSecured: boolean): string {
  if (tls === undefined) return CLOSED_PLAIN;
  return isSecured
    ? WANTS_CERTIFICATE
    : 'it closes the connection in the TLS handshake: perhaps it wants --cert and --key, or does not speak TLS';
}
