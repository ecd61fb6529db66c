import { createHash, timingSafeEqual } from 'node:crypto';
import { errors } from '@coxswain/node';
import type { CallContext, Method } from './call.js';

/**
 * Guards methods with a token: calls must present `authorization: Bearer TOKEN`, the scheme in any case. An empty token
 * leaves the methods open. Errors: badAuthorization, noToken, invalidToken.
 */
export function guardWithToken(token: Token, methods: readonly Method[]): readonly Method[] {
  if (token.value === '') return methods;
  const check = (call: CallContext): void => checkBearer(token, call.metadata('authorization'));
  return methods.map((method): Method => {
    if (method.kind === 'stream') {
      return {
        ...method,
        handle: (request: unknown, call: CallContext) => {
          check(call);
          return method.handle(request, call);
        },
      };
    }
    if (method.kind === 'upload') {
      return {
        ...method,
        handle: (requests: AsyncIterable<unknown>, call: CallContext) => {
          check(call);
          return method.handle(requests, call);
        },
      };
    }
    if (method.kind === 'duplex') {
      return {
        ...method,
        handle: (requests: AsyncIterable<unknown>, call: CallContext) => {
          check(call);
          return method.handle(requests, call);
        },
      };
    }
    return {
      ...method,
      handle: (request: unknown, call: CallContext) => {
        check(call);
        return method.handle(request, call);
      },
    };
  });
}

/** Throws unless the header `authorization` presents the token. Errors: badAuthorization, noToken, invalidToken. */
export function checkBearer(token: Token, header: string | undefined): void {
  if (token.value === '') return;
  if (header === undefined || header === '') throw errors.noToken();
  const space = header.indexOf(' ');
  if (space < 0) throw errors.badAuthorization();
  if (header.slice(0, space).toLowerCase() !== 'bearer') throw errors.noToken();
  if (!token.isRight(header.slice(space + 1))) throw errors.invalidToken();
}

/** A token that can be replaced while it is in use. An empty token admits everybody, and cannot be replaced. */
export class Token {
  #value: string;
  #digest: Buffer;

  constructor(value: string) {
    this.#value = value;
    this.#digest = digest(value);
  }

  get value(): string {
    return this.#value;
  }

  /**
   * Requires `value` from the next call on. Returns false, without any effect, when the value is the same or either
   * value is empty: a file that was emptied by mistake must not open what a token guards.
   */
  replace(value: string): boolean {
    if (value === this.#value || value === '' || this.#value === '') return false;
    this.#value = value;
    this.#digest = digest(value);
    return true;
  }

  /**
   * Returns true for the token, and for any text when the token is empty. Takes the same time whatever was presented.
   */
  isRight(presented: string): boolean {
    // Digests have equal lengths, as timingSafeEqual needs them.
    return this.#value === '' || timingSafeEqual(digest(presented), this.#digest);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
