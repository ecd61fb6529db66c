import { type Json, type TidbBinlog, writeJson } from '@coxswain/agents';
import { type ApiError, Status } from '@coxswain/node';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Token } from '../grpc/bearer-token.js';
import { schemas } from './binlog-schemas.js';

/** The options of the HTTP API of TiDB-Binlog. */
export interface BinlogRoutesOptions {
  readonly binlog: TidbBinlog;
  /** The token for all requests that change something or show keys. When it is empty, they need `rest.token`. */
  readonly token: Token;
  /** True when those requests are served at all. */
  readonly hasMaintenance: boolean;
}

interface TableQuery {
  readonly table?: string;
}

/** The content types of the real server: the one that Go's library chooses for a body, and that of its JSON answers. */
const PLAIN_TEXT = 'text/plain; charset=utf-8';
const JSON_TEXT = 'application/json; charset=UTF-8';
const INDENT = 2;

/**
 * Adds the HTTP API of TiDB-Binlog (docs/operations-protocols.md §3) except /metrics. Paths, shapes, texts and content
 * types are those of the real Pump and Drainer.
 */
export function addBinlogRoutes(http: FastifyInstance, options: BinlogRoutesOptions): void {
  const { binlog, token, hasMaintenance } = options;
  const reading = { exposeHeadRoute: false };

  http.get<{ Querystring: TableQuery }>(
    '/status',
    { ...reading, schema: schemas.status },
    async (request, reply) => {
      const table = request.query.table || undefined;
      const status = binlog.isPump ? binlog.pumpStatus(table) : binlog.drainerStatus(table);
      return sendLine(reply, await status);
    },
  );

  http.get<{ Querystring: TableQuery }>(
    '/drainers',
    { ...reading, schema: schemas.drainers },
    async (request, reply) => {
      if (!binlog.isPump) return reply.callNotFound();
      return sendLine(reply, await binlog.drainers(request.query.table || undefined));
    },
  );

  http.get<{ Querystring: TableQuery }>(
    '/commit_ts',
    { ...reading, schema: schemas.commitTs },
    async (request, reply) => sendIndented(reply, await binlog.commitTs(request.query.table || undefined)),
  );

  if (!hasMaintenance) return;
  const guarded = { ...reading, config: token.value === '' ? {} : { token } };

  http.put<{ Params: { readonly nodeID: string; readonly action: string } }>(
    '/state/:nodeID/:action',
    { ...guarded, schema: schemas.state },
    async ({ params: { nodeID, action } }, reply) =>
      sendIndented(reply, await binlog.applyAction(nodeID, action)),
  );

  http.get<{ Params: { readonly ts: string }; Querystring: TableQuery & { readonly values?: string } }>(
    '/debug/binlog/:ts',
    { ...guarded, schema: schemas.entry },
    async ({ params: { ts }, query: { table, values } }, reply) =>
      reply.type(PLAIN_TEXT).send(await binlog.entryAt(ts, table || undefined, values === '1')),
  );

  http.post('/debug/gc/trigger', { ...guarded, schema: schemas.garbage }, async (_request, reply) =>
    reply.type(PLAIN_TEXT).send(await binlog.collectGarbage()),
  );
}

/** Answers with an error of ours, as one line of text, when the real server has no answer for the case. */
export function sendApiError(error: ApiError, reply: FastifyReply): FastifyReply {
  return reply
    .status(error.status === Status.NotFound ? 404 : 503)
    .type(PLAIN_TEXT)
    .send(`${error.message}\n`);
}

function sendLine(reply: FastifyReply, value: Json): FastifyReply {
  return reply.type(PLAIN_TEXT).send(`${writeJson(value)}\n`);
}

function sendIndented(reply: FastifyReply, value: Json): FastifyReply {
  return reply.type(JSON_TEXT).send(`${writeJson(value, INDENT)}\n`);
}
