import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Log } from '@coxswain/runtime';
import { serverEvents } from '../events.js';

const DAY_MS = 86_400_000;
const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** The least time between two checks of the files. */
const LOOK_INTERVAL_MS = 1_000;
const WARN_BEFORE_MS = 30 * DAY_MS;

/** The PEM texts that expire, if there are any. */
interface Pem {
  readonly cert?: unknown;
  readonly ca?: unknown;
}

/** The time at which a certificate or authority expires. */
export interface Expiry {
  /** The certificate that this side shows, or the authority by which it checks others. */
  readonly kind: 'certificate' | 'authority';
  readonly expiresMs: number;
}

/** The options of a set of certificates. */
export interface CertificatesOptions<T> {
  /** The listener or link that uses them: `api`, `replication`, `raft`, `leader-cluster`, `clone`. */
  readonly name: string;
  readonly files: readonly string[];
  /** Reads and checks all files. Throws for files that are missing, unusable, or do not belong together. */
  readonly load: () => T & Pem;
  readonly log: Log;
  readonly nowMs?: () => number;
}

/**
 * Certificates in files, which are read again when the files change. When the new ones are unusable, that is logged,
 * and the old ones stay in use.
 */
export class Certificates<T> {
  readonly name: string;
  readonly #options: CertificatesOptions<T>;
  readonly #nowMs: () => number;
  #loaded: T;
  #expiries: readonly Expiry[];
  #seen: string;
  #lookedMs: number;
  #warnedMs = 0;

  /** Reads the files. Throws as `load` does. */
  constructor(options: CertificatesOptions<T>) {
    this.name = options.name;
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#seen = this.#stamp();
    const loaded = options.load();
    this.#loaded = loaded;
    this.#expiries = expiriesOf(loaded);
    this.#lookedMs = this.#nowMs();
    this.#warnOfExpiry();
  }

  /** The certificates for the next handshake. It is the same object as long as nothing was read again. */
  get current(): T {
    if (Math.abs(this.#nowMs() - this.#lookedMs) >= LOOK_INTERVAL_MS) this.reload();
    return this.#loaded;
  }

  /** The times at which the certificates in use expire. */
  get expiries(): readonly Expiry[] {
    return this.#expiries;
  }

  /** Checks the files now. Returns true when they had changed, and the new ones are in use. */
  reload(): boolean {
    const { load, log, name } = this.#options;
    this.#lookedMs = this.#nowMs();
    this.#warnOfExpiry();
    const stamp = this.#stamp();
    if (stamp === this.#seen) return false;
    this.#seen = stamp;
    try {
      const loaded = load();
      this.#expiries = expiriesOf(loaded);
      this.#loaded = loaded;
    } catch (error) {
      log(serverEvents.certificatesUnusable, {
        listener: name,
        reason: (error as Error).message,
      });
      return false;
    }
    this.#warnedMs = 0;
    const expires = this.#expiries.map(({ kind, expiresMs }) => [kind, new Date(expiresMs).toISOString()]);
    log(serverEvents.certificatesReloaded, { listener: name, expires: Object.fromEntries(expires) });
    this.#warnOfExpiry();
    return true;
  }

  #warnOfExpiry(): void {
    const nowMs = this.#nowMs();
    if (nowMs - this.#warnedMs < DAY_MS) return;
    for (const { kind, expiresMs } of this.#expiries) {
      if (expiresMs - nowMs > WARN_BEFORE_MS) continue;
      this.#warnedMs = nowMs;
      const expires = new Date(expiresMs).toISOString();
      this.#options.log(serverEvents.certificateExpiring, {
        listener: this.name,
        kind,
        expires,
      });
    }
  }

  /** Returns a text that changes whenever a file is replaced or rewritten. */
  #stamp(): string {
    const stamps = this.#options.files.map((file) => {
      const stat = file === '' ? undefined : statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    });
    return stamps.join();
  }
}

/**
 * Returns when the certificate and the authorities expire. A file of authorities may hold some that have expired and
 * that nobody needs, so the one that lasts longest counts. Throws when a text is not a certificate.
 */
function expiriesOf({ cert, ca }: Pem): readonly Expiry[] {
  const expiries: Expiry[] = [];
  if (cert !== undefined) expiries.push({ kind: 'certificate', expiresMs: expiryMs(String(cert)) });
  const authorities = ca === undefined ? [] : (String(ca).match(pemCertificate) ?? []);
  if (authorities.length > 0) {
    expiries.push({ kind: 'authority', expiresMs: Math.max(...authorities.map(expiryMs)) });
  }
  return expiries;
}

/** Returns when the first certificate of a text expires, which is the one that is shown, in milliseconds since 1970. */
function expiryMs(pem: string): number {
  return Date.parse(new X509Certificate(pem).validTo);
}
