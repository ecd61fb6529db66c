import { ApiError, type Readiness } from '@coxswain/node';
import type { Log } from '@coxswain/runtime';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { formatListenAddress, type ListenAddress } from '../config/address.js';
import { serverEvents } from '../events.js';
import type { MetricsPage } from '../metrics/metrics-page.js';
import { formatConditions } from '../services/health-service.js';
import { sendApiError } from './binlog-routes.js';
import { lazyCompilers } from './schema-compilers.js';

/** The options of the HTTP admin API. */
export interface AdminApiOptions {
  readonly address: ListenAddress;
  readonly readTimeoutMs: number;
  readonly version: string;
  /** Returns whether the node can serve its clients from its own data. */
  readonly readiness: () => Readiness;
  /** Returns the same, and on a follower cluster also whether it keeps up with its leader cluster. */
  readonly replicationReadiness: () => Readiness;
  readonly metrics: MetricsPage;
  /** Adds the routes of another API. */
  readonly addRoutes: (http: FastifyInstance) => void;
  readonly log: Log;
}

/** The longest part of a path, in characters; longer ones are answered with 404. */
const PATH_PART_LENGTH_MAX = 4_096;
const NOT_FOUND = '404 page not found\n';
const BAD_PATH = 'the path is not encoded as a URL is: write %25 for each % in it\n';

/** A path that is served, with one of its methods. */
interface Served {
  readonly path: RegExp;
  readonly method: string;
}

/**
 * The HTTP admin API: /metrics for Prometheus, /healthz and /livez (the process answers), /readyz (the node serves;
 * else 503 and why), /readyz?role=replication (it serves, and a follower cluster keeps up), /version, the routes of
 * `addRoutes`, and /openapi.json, which describes all of it.
 */
export class AdminApi {
  readonly #options: AdminApiOptions;
  readonly #http: FastifyInstance;
  readonly #served: Served[] = [];
  #page: Promise<string> | undefined;

  constructor(options: AdminApiOptions) {
    this.#options = options;
    this.#http = fastify({
      requestTimeout: options.readTimeoutMs,
      forceCloseConnections: true,
      routerOptions: { maxParamLength: PATH_PART_LENGTH_MAX },
      schemaController: lazyCompilers,
      // Answers a path for which no route can be looked up.
      frameworkErrors: ({ code }, request, reply) =>
        code === 'FST_ERR_BAD_URL' ? sendText(400, BAD_PATH, reply) : this.#notFound(request, reply),
    });
    this.#http.setNotFoundHandler((request, reply) => this.#notFound(request, reply));
    this.#http.setErrorHandler((error, _request, reply) =>
      error instanceof ApiError ? sendApiError(error, reply) : sendError(error, reply),
    );
    // Nobody reads the body of a request, whatever its content and type.
    this.#http.addHook('onRequest', (request, _reply, done) => {
      delete request.raw.headers['content-type'];
      done();
    });
    this.#http.removeAllContentTypeParsers();
    this.#http.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume();
      done(null);
    });
    this.#http.addHook('onRoute', ({ url, method }) => {
      const path = new RegExp(`^${url.replace(/:[^/]+/g, '[^/]+')}$`);
      for (const each of [method].flat()) this.#served.push({ path, method: each });
    });
    this.#addRoutes(this.#http);
    this.#http.get('/openapi.json', async (_request, reply) => {
      this.#page ??= this.#describe();
      return reply.type('application/json; charset=utf-8').send(await this.#page);
    });
  }

  /**
   * Makes the page of the API from the schemas of the routes. The code for that is loaded when the page is first asked
   * for.
   */
  async #describe(): Promise<string> {
    const { default: swagger } = await import('@fastify/swagger');
    const http = fastify({ schemaController: lazyCompilers });
    await http.register(swagger, { openapi: describeApi(this.#options.version) });
    this.#addRoutes(http);
    await http.ready();
    const page = `${JSON.stringify(http.swagger(), undefined, 2)}\n`;
    await http.close();
    return page;
  }

  #addRoutes(http: FastifyInstance): void {
    const options = this.#options;
    const tags = ['Node'];
    const text = (description: string) => ({
      description,
      content: { 'text/plain': { schema: { type: 'string' } } },
    });
    const ok = { 200: text('ok') };
    const ready = {
      200: text('ok'),
      400: text('The role is not known.'),
      503: text('The conditions that keep it from being ready, as name=true.'),
    };
    http.get('/healthz', { schema: { tags, summary: 'The process answers', response: ok } }, () => 'ok\n');
    http.get('/livez', { schema: { tags, summary: 'The process answers', response: ok } }, () => 'ok\n');
    http.get('/version', { schema: { tags, summary: 'The releases of Coxswain and Node' } }, () => ({
      version: options.version,
      node: process.version,
    }));
    http.get<{ Querystring: { readonly role?: string } }>(
      '/readyz',
      // The query has no schema, so that a probe needs no module to be loaded.
      {
        schema: {
          tags,
          summary: 'The node serves; else 503 and why',
          description: READY_DESCRIPTION,
          response: ready,
        },
      },
      (request, reply) => {
        const { role } = request.query;
        reply.type('text/plain; charset=utf-8');
        if (role !== undefined && role !== 'replication')
          return reply.status(400).send('unknown role: leave it out, or ask for role=replication\n');
        const readiness = role === undefined ? options.readiness() : options.replicationReadiness();
        return reply
          .status(readiness.isReady ? 200 : 503)
          .send(readiness.isReady ? 'ok\n' : `${formatConditions(readiness)}\n`);
      },
    );
    http.get(
      '/metrics',
      { schema: { tags, summary: 'All metrics, in the text format of Prometheus' } },
      async (_request, reply) => reply.type(options.metrics.contentType).send(await options.metrics.text()),
    );
    options.addRoutes(http);
  }

  /** Answers as the real Pump does: another method of a path that is served gets 405 without a body. */
  #notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.split('?', 1)[0]!;
    const methods = this.#served.filter((served) => served.path.test(path)).map(({ method }) => method);
    if (methods.length === 0 || methods.includes(request.method)) return sendText(404, NOT_FOUND, reply);
    return reply
      .status(405)
      .header('Allow', [...new Set(methods)].join(', '))
      .send();
  }

  /** The address at which it listens, with the port that the system chose when 0 was asked for. */
  get address(): ListenAddress {
    const bound = this.#http.server.address();
    return bound && typeof bound === 'object'
      ? { ...this.#options.address, port: bound.port }
      : this.#options.address;
  }

  /** Begins to listen. Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<void> {
    const { host, port, path } = this.#options.address;
    await this.#http.listen(path === undefined ? { host: host!, port: port! } : { path });
    this.#options.log(serverEvents.listenerOpened, {
      listener: 'rest',
      address: formatListenAddress(this.address),
    });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

const READY_DESCRIPTION =
  'With role=replication: it also takes what its leader cluster writes. No other query is known.';

/**
 * Answers an error of fastify. A query that does not fit its schema is one that repeats a parameter, since all
 * parameters are text.
 */
function sendError(error: unknown, reply: FastifyReply): FastifyReply {
  if ((error as { readonly code?: string }).code !== 'FST_ERR_VALIDATION') return reply.send(error);
  return sendText(400, 'a parameter of the query is given more than once: give it once\n', reply);
}

function sendText(status: number, text: string, reply: FastifyReply): FastifyReply {
  return reply.status(status).type('text/plain; charset=utf-8').send(text);
}

function describeApi(version: string) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Coxswain, the REST listener of a node',
      description:
        'Health, metrics, and the HTTP API of TiDB-Binlog for the data of this cluster: a node of a leader cluster answers as a Pump, one of a follower cluster as a Drainer.',
      version,
    },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  } as const;
}
