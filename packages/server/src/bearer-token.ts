import { createHash, timingSafeEqual } from 'node:crypto';
import { errors } from '@coxswain/node';
import type { CallContext, Method } from './call.js';

/**
 * Guards methods with a token: `authorization: Bearer TOKEN`, the scheme in any case. An empty token leaves
 * them open. Errors: badAuthorization, noToken, invalidToken.
 */
export function guardWithToken(token: string, methods: readonly Method[]): readonly Method[] {
  if (token === '') return methods;
  const isToken = tokenCheck(token);
  const check = (call: CallContext): void => {
    const header = call.metadata('authorization');
    if (header === undefined || header === '') throw errors.noToken();
    const space = header.indexOf(' ');
    if (space < 0) throw errors.badAuthorization();
    if (header.slice(0, space).toLowerCase() !== 'bearer') throw errors.noToken();
    if (!isToken(header.slice(space + 1))) throw errors.invalidToken();
  };
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

/** Whether what was presented is the token; with an empty one, anything is. Takes the same time whatever was presented. */
export function tokenCheck(token: string): (presented: string) => boolean {
  if (token === '') return () => true;
  // Digests have equal lengths.
  const expected = digest(token);
  return (presented) => timingSafeEqual(digest(presented), expected);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
