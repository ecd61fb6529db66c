import type { Certificates } from './certificates.js';

/** Every set of certificates that a server uses: of its links to peers and other clusters, and of its listeners. */
export class CertificatesInUse {
  readonly #all: Certificates<unknown>[] = [];

  /** Adds what a link or listener was made with and gives it back; undefined where that has no TLS. */
  add<T>(certificates: Certificates<T> | undefined): Certificates<T> | undefined {
    if (certificates !== undefined) this.#all.push(certificates);
    return certificates;
  }

  /** In the order in which they were added. */
  get all(): readonly Certificates<unknown>[] {
    return this.#all;
  }

  /** Looks at every certificate file now. Gives the names of those that had changed and are in use. */
  reload(): string[] {
    return this.#all.filter((certificates) => certificates.reload()).map(({ name }) => name);
  }
}
