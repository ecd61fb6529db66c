import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Log } from '@coxswain/node';

const dayMs = 86_400_000;
/** The files are looked at no more often. */
const lookIntervalMs = 1_000;
const warnBeforeMs = 30 * dayMs;

export interface CertificatesOptions<T> {
  /** The listener or link that uses them: `api`, `replication`, `raft`. */
  readonly name: string;
  readonly files: readonly string[];
  /** Reads and checks all files. Throws for files that are missing, unusable, or do not belong together. */
  readonly load: () => T & { readonly cert?: unknown };
  readonly log: Log;
  readonly nowMs?: () => number;
}

/**
 * Certificates in files, read again when the files change. New ones that are unusable are logged, and those in use
 * stay in use.
 */
export class Certificates<T> {
  readonly name: string;
  readonly #options: CertificatesOptions<T>;
  readonly #nowMs: () => number;
  #loaded: T & { readonly cert?: unknown };
  #seen: string;
  #lookedMs: number;
  #warnedMs = 0;

  /** Throws as `load` does. */
  constructor(options: CertificatesOptions<T>) {
    this.name = options.name;
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#seen = this.#stamp();
    this.#loaded = options.load();
    this.#lookedMs = this.#nowMs();
    this.#warnOfExpiry();
  }

  /** For the next handshake. The same object as long as nothing was read again. */
  get current(): T {
    if (Math.abs(this.#nowMs() - this.#lookedMs) >= lookIntervalMs) this.reload();
    return this.#loaded;
  }

  /** Seconds until the certificate expires; negative once it has. */
  get expirySeconds(): number {
    return (this.#expiresMs - this.#nowMs()) / 1000;
  }

  /** Looks at the files now. True: they had changed, and the new ones are in use. */
  reload(): boolean {
    const { load, log, name } = this.#options;
    this.#lookedMs = this.#nowMs();
    this.#warnOfExpiry();
    const stamp = this.#stamp();
    if (stamp === this.#seen) return false;
    this.#seen = stamp;
    try {
      this.#loaded = load();
    } catch (error) {
      log('error', 'replaced certificate files are not usable: the old ones stay in use', {
        listener: name,
        reason: (error as Error).message,
      });
      return false;
    }
    this.#warnedMs = 0;
    const expires = new Date(this.#expiresMs).toISOString();
    log('info', 'certificates were read again', { listener: name, expires });
    this.#warnOfExpiry();
    return true;
  }

  get #expiresMs(): number {
    return Date.parse(new X509Certificate(this.#loaded.cert as Buffer).validTo);
  }

  #warnOfExpiry(): void {
    const nowMs = this.#nowMs();
    if (this.#expiresMs - nowMs > warnBeforeMs || nowMs - this.#warnedMs < dayMs) return;
    this.#warnedMs = nowMs;
    const expires = new Date(this.#expiresMs).toISOString();
    this.#options.log('warn', 'a certificate expires soon: replace its files', {
      listener: this.name,
      expires,
    });
  }

  /** Changes whenever a file is replaced or rewritten. */
  #stamp(): string {
    const stamps = this.#options.files.map((file) => {
      const stat = file === '' ? undefined : statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    });
    return stamps.join();
  }
}
