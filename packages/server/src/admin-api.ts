import type { Log, Readiness } from '@coxswain/node';
import fastify, { type FastifyInstance } from 'fastify';
import { formatListenAddress, type ListenAddress } from './address.js';
import { formatConditions } from './health-service.js';
import type { MetricsPage } from './metrics-page.js';

export interface AdminApiOptions {
  readonly address: ListenAddress;
  readonly readTimeoutMs: number;
  readonly version: string;
  /** Whether the node serves its clients from what it has. */
  readonly readiness: () => Readiness;
  /** The same, and on a follower cluster whether it also takes what its leader cluster writes. */
  readonly replicationReadiness: () => Readiness;
  readonly metrics: MetricsPage;
  readonly log: Log;
}

/** No route has a schema. Fastify's own compilers of schemas would be loaded at every start: 100 modules. */
function noSchemas(): never {
  throw new Error('a route of the admin API has a schema, and nothing compiles it');
}

/**
 * The HTTP admin API: /metrics for Prometheus, /healthz and /livez (the process answers), /readyz (the node
 * serves; else 503 and why), /readyz?role=replication (it serves, and a follower cluster keeps up), /version.
 */
export class AdminApi {
  readonly #options: AdminApiOptions;
  readonly #http: FastifyInstance;

  constructor(options: AdminApiOptions) {
    this.#options = options;
    this.#http = fastify({
      requestTimeout: options.readTimeoutMs,
      forceCloseConnections: true,
      schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    });
    this.#http.get('/healthz', () => 'ok\n');
    this.#http.get('/livez', () => 'ok\n');
    this.#http.get('/version', () => ({ version: options.version, node: process.version }));
    this.#http.get<{ Querystring: { readonly role?: string } }>('/readyz', (request, reply) => {
      const { role } = request.query;
      reply.type('text/plain; charset=utf-8');
      if (role !== undefined && role !== 'replication')
        return reply.status(400).send('unknown role: leave it out, or ask for role=replication\n');
      const readiness = role === undefined ? options.readiness() : options.replicationReadiness();
      return reply
        .status(readiness.isReady ? 200 : 503)
        .send(readiness.isReady ? 'ok\n' : `${formatConditions(readiness)}\n`);
    });
    this.#http.get('/metrics', async (_request, reply) =>
      reply.type(options.metrics.contentType).send(await options.metrics.text()),
    );
  }

  /** Where it listens, with the port that the system chose where 0 was asked for. */
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
    this.#options.log('info', 'rest listener is open', { address: formatListenAddress(this.address) });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}
