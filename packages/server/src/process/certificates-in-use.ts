import type { Certificates } from './certificates.js';

/**
 * Every set of certificates that a server uses: those of its links to peers and other clusters, and of its listeners.
 */
export class CertificatesInUse {
  readonly #all: Certificates<unknown>[] = [];

  /**
   * Adds the certificates of a link or listener and returns them; undefined, for one without TLS, is passed through.
   */
  add<T>(certificates: Certificates<T> | undefined): Certificates<T> | undefined {
    if (certificates !== undefined) this.#all.push(certificates);
    return certificates;
  }

  /** All certificates, in the order in which they were added. */
  get all(): readonly Certificates<unknown>[] {
    return this.#all;
  }

  /**
   * Checks every certificate file now. Returns the names of the links and listeners whose files had changed and are now
   * in use.
   */
  reload(): string[] {
    return this.#all.filter((certificates) => certificates.reload()).map(({ name }) => name);
  }
}
