import type { Config } from '../config/config-schema.js';
import { Token } from './bearer-token.js';

const tokenNames = ['tables.token', 'maintenance.token', 'clone.token', 'rest.token'] as const;
type TokenName = (typeof tokenNames)[number];

/** The tokens of a server, each by the name of its option. They can be replaced while the server runs. */
export class Tokens {
  readonly #tokens: Readonly<Record<TokenName, Token>>;

  constructor(config: Pick<Config, TokenName>) {
    this.#tokens = {
      'tables.token': new Token(config['tables.token']),
      'maintenance.token': new Token(config['maintenance.token']),
      'clone.token': new Token(config['clone.token']),
      'rest.token': new Token(config['rest.token']),
    };
  }

  of(name: TokenName): Token {
    return this.#tokens[name];
  }

  /**
   * Requires the tokens of `config` from the next call on. Returns the options whose token was replaced. Only a restart
   * can add a first token or remove one.
   */
  replace(config: Pick<Config, TokenName>): string[] {
    return tokenNames.filter((name) => this.#tokens[name].replace(config[name]));
  }

  /** Returns whether `name` is the option of a token, and the token in use is the one in `config`. */
  uses(name: string, config: Pick<Config, TokenName>): boolean {
    return tokenNames.some((token) => token === name && this.#tokens[token].value === config[token]);
  }
}
