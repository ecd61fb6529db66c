import { readFileSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Log } from '@coxswain/runtime';
import { Certificates } from './certificates.js';

/** The TLS side of a listener; file names are PEM files, an empty one is not set. */
export interface ListenerTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** Refuse clients without a certificate of the authority. */
  readonly isClientCertRequired: boolean;
  /** Empty: any. */
  readonly allowedCommonName: string;
  /** Empty: any. */
  readonly allowedHostname: string;
}

/**
 * Reads the files of a listener's TLS options. `prefix` is what the options are called, for the error's text.
 * Throws when a file is missing, or cannot be read, or holds something else.
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

/** The certificates of a listener, read again when their files change. Throws as `loadTls` does. */
export function listenerCertificates(tls: ListenerTls, prefix: string, log: Log): Certificates<TlsOptions> {
  const files = [tls.certFile, tls.keyFile, tls.caFile];
  return new Certificates({ name: prefix, files, load: () => loadTls(tls, prefix), log });
}

/**
 * Why a client whose certificate has been verified is not let in: it bears another name than the options under `prefix`
 * ask for. Undefined: it is let in.
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
