import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { FastifyRequest } from 'fastify';
import { checkBearer, type Token } from '../../grpc/bearer-token.js';
import { consoleErrors } from './console-errors.js';

export interface ConsoleGuardOptions {
  /** Guards the whole API; where it is empty, reading is open and nothing can be changed. */
  readonly token: Token;
  /** Names, beside addresses and localhost, by which browsers may reach the node. */
  readonly hostNames: readonly string[];
}

/**
 * Decides which requests of browsers are served. A page of another site must neither read nor write through the browser
 * of an operator who has a way to the node, whether or not a token is set: not by a request of its own (`Origin`,
 * `Sec-Fetch-Site`), and not by a name of its own that it has made to lead here (`Host`).
 */
export class ConsoleGuard {
  readonly #token: Token;
  readonly #hostNames: ReadonlySet<string>;

  constructor({ token, hostNames }: ConsoleGuardOptions) {
    this.#token = token;
    this.#hostNames = new Set(['localhost', hostname(), ...hostNames].map((name) => name.toLowerCase()));
  }

  /** Whether a token guards the API, so that something can be changed through it. */
  get allowsChanges(): boolean {
    return this.#token.value !== '';
  }

  /** Throws foreignHost, foreignOrigin, noToken, badAuthorization or invalidToken. */
  check(request: Pick<FastifyRequest, 'headers'>): void {
    this.checkOrigin(request);
    checkBearer(this.#token, request.headers.authorization);
  }

  /** Throws foreignHost or foreignOrigin. */
  checkOrigin({ headers }: Pick<FastifyRequest, 'headers'>): void {
    const { host = '', origin } = headers;
    const name = hostNameOf(host);
    if (!this.#isOwn(name)) throw consoleErrors.foreignHost(JSON.stringify(name.slice(0, 200)));
    const site = headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin' && site !== 'none') throw consoleErrors.foreignOrigin();
    if (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host)
      throw consoleErrors.foreignOrigin();
  }

  /** Throws changesNeedToken. */
  checkChange(): void {
    if (!this.allowsChanges) throw consoleErrors.changesNeedToken();
  }

  #isOwn(name: string): boolean {
    return isIP(name) !== 0 || this.#hostNames.has(name);
  }
}

/** The name or address in a Host header, in lower case, without port and brackets. */
function hostNameOf(host: string): string {
  return host
    .toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
