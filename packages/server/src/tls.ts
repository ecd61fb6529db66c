import { readFileSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Log } from '@coxswain/node';
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

/** Whether the client's certificate, whose chain has been verified, bears the name that is asked for. */
export function isClientAllowed(socket: TLSSocket, tls: ListenerTls): boolean {
  if (tls.allowedCommonName === '' && tls.allowedHostname === '') return true;
  const certificate = socket.getPeerCertificate();
  if (tls.allowedCommonName !== '' && certificate.subject?.CN !== tls.allowedCommonName) return false;
  return tls.allowedHostname === '' || checkServerIdentity(tls.allowedHostname, certificate) === undefined;
}
