import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { PeerTls } from '@coxswain/node';
import type { LinkTls } from '@coxswain/replication';
import type { Log } from '@coxswain/runtime';
import type { Config } from '../config/config-schema.js';
import { Certificates } from './certificates.js';
import { StartError } from './start-error.js';

/**
 * Returns the certificates of the link to the leader cluster; undefined for a link without TLS. TLS is used when the
 * address says https, when a certificate or authority is set, or when verification is skipped. Throws StartError when
 * TLS is used and only one of certificate and key is set.
 */
export function linkCertificates(config: Config, log: Log): Certificates<LinkTls> | undefined {
  const names = ['replication.ca-filename', 'replication.cert-filename', 'replication.key-filename'] as const;
  const files = names.map((name) => config[name]);
  const [caFile, certFile, keyFile] = files;
  const isVerificationSkipped = config['replication.insecure-skip-verify'];
  const isAsked = caFile !== '' || certFile !== '' || isVerificationSkipped;
  if (!isAsked && !config['replication.leader-address'].includes('https://')) return undefined;
  if ((certFile === '') !== (keyFile === '')) {
    const [missing, given] = certFile === '' ? [names[1], names[2]] : [names[2], names[1]];
    throw new StartError(
      `${missing} must be set: a certificate and its key go together, and ${given} is given`,
    );
  }
  return new Certificates({
    name: 'leader-cluster',
    files,
    load: () => {
      const [ca, cert, key] = names.map((name) => readPem(config, name));
      return checkedTls({ ca, cert, key, isVerificationSkipped });
    },
    log,
  });
}

/** Returns the authorities by which donors of a clone are checked; undefined when the system's authorities are used. */
export function cloneAuthority(config: Config, log: Log): Certificates<LinkTls> | undefined {
  const name = 'clone.ca-filename';
  if (config[name] === '') return undefined;
  const load = () => checkedTls({ ca: readPem(config, name) });
  return new Certificates({ name: 'clone', files: [config[name]], load, log });
}

/**
 * Returns the certificates for TLS between nodes; undefined when there is none. Throws StartError when only some of the
 * options are set.
 */
export function peerCertificates(config: Config, log: Log): Certificates<PeerTls> | undefined {
  const names = ['raft.cert-filename', 'raft.key-filename', 'raft.ca-filename'] as const;
  const missing = names.find((name) => config[name] === '');
  if (missing && names.every((name) => config[name] === '')) return undefined;
  if (missing)
    throw new StartError(`${missing} must be set: TLS between nodes needs all of ${names.join(', ')}`);
  const load = (): PeerTls => {
    const [cert, key, ca] = names.map((name) => readFileSync(config[name]));
    return checkedTls({ cert: cert!, key: key!, ca: ca! });
  };
  return new Certificates({ name: 'raft', files: names.map((name) => config[name]), load, log });
}

/**
 * Reads the file that an option names; undefined when the option is not set. Throws an error with the option's name.
 */
function readPem(
  config: Config,
  name: 'clone.ca-filename' | `replication.${'ca' | 'cert' | 'key'}-filename`,
): Buffer | undefined {
  if (config[name] === '') return undefined;
  try {
    return readFileSync(config[name]);
  } catch (cause) {
    throw new Error(`${name}: cannot read ${config[name]}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Checks that certificate, key and authorities belong together, which would otherwise only show in the next handshake.
 */
function checkedTls<
  T extends { ca?: Buffer | undefined; cert?: Buffer | undefined; key?: Buffer | undefined },
>(tls: T): T {
  const { ca, cert, key } = tls;
  createSecureContext({ ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) });
  return tls;
}
