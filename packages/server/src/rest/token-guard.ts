import { writeJson } from '@coxswain/agents';
import { ApiError } from '@coxswain/node';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { checkBearer, Token } from '../grpc/bearer-token.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The token that requests of the route must present. When it is undefined, that is `rest.token`. */
    readonly token?: Token;
  }
}

const JSON_TEXT = 'application/json; charset=UTF-8';
const INDENT = 2;

/** The `config` of a route that anyone may ask: it shows no data and changes nothing. */
export const openToAll = { token: new Token('') };

/**
 * Returns the hook that refuses requests without the token of their route, and without `token` those of all other routes
 * and paths. The answer is 401, in the shape of the HTTP API of TiDB-Binlog.
 */
export function guardRoutes(token: Token) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    try {
      checkBearer(request.routeOptions.config.token ?? token, request.headers.authorization);
      return undefined;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const answer = { message: error.message, code: 3, data: null };
      return reply
        .status(401)
        .header('WWW-Authenticate', 'Bearer')
        .type(JSON_TEXT)
        .send(`${writeJson(answer, INDENT)}\n`);
    }
  };
}
