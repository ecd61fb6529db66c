import { readFileSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Log } from '@coxswain/runtime';
import { Certificates } from './certificates.js';

/** The TLS options of a listener. File names are those of PEM files; an empty name means that the option is not set. */
export interface ListenerTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** True refuses clients without a certificate of the authority. */
  readonly isClientCertRequired: boolean;
  /** The only common name that clients may have; empty allows any. */
  readonly allowedCommonName: string;
  /** The only host name that clients' certificates may be for; empty allows any. */
  readonly allowedHostname: string;
}

/**
 * Reads the files of a listener's TLS options. `prefix` is that of the options' names, for the error's text. Throws
 * when a file is missing, cannot be read, or has the wrong content.
 */
export function loadTls(tls: ListenerTls, prefix: string): TlsOptions {
  const checksClients =
    tls.isClientCertRequired || tls.allowedCommonName !== '' || tls.allowedHostname !== '';
  const read = (file: string, option: string): Buffer => {
    if (file === '') throw new Error(`${prefix}.${option} must be set: the listener's address asks for TLS`);
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new Error(`${prefix}.${option}: cannot read ${file}: ${(cause as Error).message}`, { cause });
    }
  };
  const options: TlsOptions = {
    cert: read(tls.certFile, 'cert-filename'),
    key: read(tls.keyFile, 'key-filename'),
    ...(checksClients || tls.caFile !== '' ? { ca: read(tls.caFile, 'ca-filename') } : {}),
    requestCert: checksClients,
    rejectUnauthorized: checksClients,
    ALPNProtocols: ['h2'],
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    throw new Error(
      `${prefix}: the certificate, key or authority is not usable: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  return options;
}

/** Returns the certificates of a listener, which are read again when their files change. Throws as `loadTls` does. */
export function listenerCertificates(tls: ListenerTls, prefix: string, log: Log): Certificates<TlsOptions> {
  const files = [tls.certFile, tls.keyFile, tls.caFile];
  return new Certificates({ name: prefix, files, load: () => loadTls(tls, prefix), log });
}

/**
 * Returns why a client whose certificate has been verified is refused: it has another name than the options under
 * `prefix` ask for. Returns undefined when it is admitted.
 */
export function whyRefused(socket: TLSSocket, tls: ListenerTls, prefix: string): string | undefined {
  const { allowedCommonName, allowedHostname } = tls;
  if (allowedCommonName === '' && allowedHostname === '') return undefined;
  const certificate = socket.getPeerCertificate();
  const commonName = certificate.subject?.CN;
  if (allowedCommonName !== '' && commonName !== allowedCommonName)
    return `the client's certificate is of '${commonName}', not of ${prefix}.allowed-cn`;
  const isOfHost = allowedHostname === '' || checkServerIdentity(allowedHostname, certificate) === undefined;
  return isOfHost ? undefined : `the client's certificate is not for ${prefix}.allowed-hostname`;
}
