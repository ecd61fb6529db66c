import { readFileSync } from 'node:fs';
import type { TlsOptions } from './place.js';

/** Files in PEM for `tlsFromFiles`. */
export interface TlsFiles {
  /** The authorities to trust; by default those that Node.js trusts. */
  readonly ca?: string;
  /** The client's own certificate, for servers that ask for one, and its private key. */
  readonly cert?: string;
  readonly key?: string;
  /** The name that the servers' certificates are checked against; by default the host of the endpoint. */
  readonly serverName?: string;
}

/**
 * Returns TLS options for `ConnectOptions.tls` that read the files again at every handshake, so that renewed
 * certificates count from the next connection on. Where a file cannot be read, or certificate and key do not belong
 * together, as in the middle of a renewal, those that were read before count.
 *
 * Throws what reading a file throws, and a TypeError when certificate and key do not belong together now.
 */
export function tlsFromFiles(files: TlsFiles): () => TlsOptions {
  let last = read(files);
  return () => {
    try {
      last = read(files);
    } catch {
      // The renewal is not complete, or has failed: the servers say what they think of the older ones.
    }
    return last;
  };
}

function read({ ca, cert, key, serverName }: TlsFiles): TlsOptions {
  if ((cert === undefined) !== (key === undefined)) throw new TypeError('give cert and key together');
  const options: TlsOptions = {
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    ...(cert !== undefined && { cert: readFileSync(cert) }),
    ...(key !== undefined && { key: readFileSync(key) }),
    ...(serverName !== undefined && { serverName }),
  };
  if (options.cert !== undefined && options.key !== undefined) {
    // Loaded late: only who has certificates of their own waits for it.
    const { createPrivateKey, X509Certificate } = process.getBuiltinModule('node:crypto');
    if (!new X509Certificate(options.cert).checkPrivateKey(createPrivateKey(options.key)))
      throw new TypeError(`${key} is not the key of ${cert}`);
  }
  return options;
}
