import type { TidbBinlog } from '@coxswain/agents';
import type { ObjectStore } from '@coxswain/archive';
import { API_PREFIX, type BackupAnswer, webDirectory } from '@coxswain/console';
import { type Node, systemClock } from '@coxswain/node';
import type { Clock, Log } from '@coxswain/runtime';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { serverEvents } from '../../events.js';
import type { Token } from '../../grpc/bearer-token.js';
import type { GrpcMetrics } from '../../metrics/grpc-metrics.js';
import type { EventJournal } from '../../process/event-journal.js';
import type { KvService } from '../../services/kv-service.js';
import { openToAll } from '../token-guard.js';
import { ArchiveOverviews } from './archive-overviews.js';
import { BackupDownloads } from './backup-downloads.js';
import { ConsoleActions } from './console-actions.js';
import { consoleErrors } from './console-errors.js';
import { ConsoleGuard } from './console-guard.js';
import { DataBrowser } from './data-browser.js';
import { sendFailure } from './failure.js';
import { LeadershipTransfers } from './leadership-transfers.js';
import { LiveFeed } from './live-feed.js';
import { LiveSections, type ShownParts } from './live-sections.js';
import { LiveStream } from './live-stream.js';
import { RequestBody } from './request-body.js';
import { Samples } from './samples.js';
import { StaticFiles, secure } from './static-files.js';

/** The page holds nothing of the node, and its API asks for a token of its own: `rest.token` does not stand before them. */
const openGuard = { config: openToAll };

/** The most bytes of a request. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

export interface ConsoleOptions extends Omit<ShownParts, 'allows' | 'node' | 'binlog'> {
  readonly node: Node;
  readonly binlog: TidbBinlog;
  readonly kv: KvService;
  readonly grpc: GrpcMetrics;
  readonly token: Token;
  readonly hostNames: readonly string[];
  readonly config: () => Readonly<Record<string, unknown>>;
  /** Whether tables may be made and deleted (tables.enabled). */
  readonly hasTables: boolean;
  /** Whether backups, pauses and the like are served (maintenance.enabled). */
  readonly hasMaintenance: boolean;
  readonly store: ObjectStore | undefined;
  readonly journal: EventJournal;
  readonly clock?: Clock;
  readonly log: Log;
}

/** The console: the page at the root of the REST listener, and the API below /api/v1 that it uses (packages/console). */
export class Console {
  readonly #options: ConsoleOptions;
  readonly #guard: ConsoleGuard;
  readonly #files = new StaticFiles(webDirectory);
  readonly #samples: Samples;
  readonly #sections: LiveSections;
  readonly #feed: LiveFeed;
  readonly #browser: DataBrowser;
  readonly #actions: ConsoleActions;
  readonly #downloads: BackupDownloads;
  readonly #archive: ArchiveOverviews;

  constructor(options: ConsoleOptions) {
    const { node, binlog, kv, grpc, maintenance, store, journal, follower, hasTables, hasMaintenance } =
      options;
    const clock = options.clock ?? systemClock;
    this.#options = options;
    this.#guard = new ConsoleGuard(options);
    const allows = () => ({
      changes: this.#guard.allowsChanges,
      maintenance: hasMaintenance,
      tables: hasTables,
    });
    const sections = new LiveSections({ ...options, allows }, () => this.#samples);
    this.#sections = sections;
    this.#samples = new Samples({
      node,
      grpc,
      followerLag: () => sections.followers.lag(),
      ownLag: () => {
        if (node.cluster.role !== 'follower' || follower === undefined) return undefined;
        const { tables } = follower.status();
        return {
          entries: Math.max(0, ...tables.map(({ lagEntries }) => lagEntries)),
          seconds: Math.max(0, ...tables.map(({ lagMs }) => lagMs)) / 1000,
        };
      },
    });
    this.#feed = new LiveFeed(node, sections, this.#samples, journal);
    this.#browser = new DataBrowser(kv, node, clock);
    const transfers = new LeadershipTransfers(node, clock);
    this.#actions = new ConsoleActions({ node, binlog, transfers, clock });
    this.#downloads = new BackupDownloads(node, maintenance.backups, clock);
    this.#archive = new ArchiveOverviews(node, store);
  }

  start(): void {
    this.#sections.start();
    this.#samples.start();
  }

  stop(): void {
    this.#samples.stop();
    this.#feed.close();
  }

  addRoutes(http: FastifyInstance): void {
    const hidden = { ...openGuard, schema: { hide: true } };
    http.get('/', hidden, (request, reply) => this.#files.send(undefined, request, reply));
    http.get<{ Params: { readonly file: string } }>('/console/:file', hidden, (request, reply) =>
      this.#files.send(request.params.file, request, reply),
    );
    void http.register(
      (api, _options, done) => {
        this.#addApi(api);
        done();
      },
      { prefix: API_PREFIX },
    );
  }

  #addApi(api: FastifyInstance): void {
    const { log, config, hasMaintenance, hasTables } = this.#options;
    // Its bodies are JSON, which a form of another site cannot send.
    api.removeAllContentTypeParsers();
    const parsing = { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX } as const;
    api.addContentTypeParser('application/json', parsing, async (_request: FastifyRequest, body: Buffer) => {
      try {
        return JSON.parse(body.toString()) as unknown;
      } catch (error) {
        throw consoleErrors.badRequest('the body is no JSON', error);
      }
    });
    api.setErrorHandler((error, request, reply) => {
      if (sendFailure(error, reply)) return;
      log(serverEvents.callFailed, {
        path: request.routeOptions.url,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    });
    api.setNotFoundHandler((_request, reply) => void sendFailure(consoleErrors.pathUnknown(), reply));
    api.addHook('onRequest', async (_request, reply) => {
      secure(reply).header('Cache-Control', 'no-store');
    });

    // The page's own: it is no part of the API that /openapi.json describes, and may change with the page.
    const schema = { hide: true };
    const checked = async (request: FastifyRequest): Promise<void> => this.#guard.check(request);
    const reads = {
      ...openGuard,
      onRequest: checked,
      exposeHeadRoute: false,
      schema,
    };
    const changes = (option?: { readonly name: string; readonly isOn: boolean }) => ({
      ...openGuard,
      onRequest: async (request: FastifyRequest): Promise<void> => {
        this.#guard.check(request);
        if (option !== undefined && !option.isOn) throw consoleErrors.notServed(option.name);
        this.#guard.checkChange();
      },
      schema,
    });
    const maintained = { name: 'maintenance.enabled', isOn: hasMaintenance };
    const tabled = { name: 'tables.enabled', isOn: hasTables };
    const bodyOf = (request: FastifyRequest): RequestBody => new RequestBody(request.body);

    api.get('/live', reads, (request, reply) => this.#stream(request, reply));
    api.get('/config', reads, () => ({
      options: config(),
    }));
    api.get<{ Querystring: { readonly table?: string } }>('/archive', reads, (request, reply) =>
      this.#archive.describe(request.query.table ?? '', endOf(reply)),
    );
    api.post('/range', reads, (request, reply) => this.#browser.range(bodyOf(request), endOf(reply)));
    api.post('/put', changes(), (request, reply) => this.#browser.put(bodyOf(request), endOf(reply)));
    api.post('/delete', changes(), (request, reply) => this.#browser.delete(bodyOf(request), endOf(reply)));
    api.post('/txn', reads, (request, reply) => {
      const txn = this.#browser.readTxn(bodyOf(request));
      if (!this.#browser.isReadOnly(txn)) this.#guard.checkChange();
      return this.#browser.txn(txn, endOf(reply));
    });
    for (const action of ['pause', 'resume'] as const) {
      api.post(`/actions/${action}`, changes(maintained), (request) =>
        this.#actions.changeState(action, bodyOf(request)),
      );
    }
    api.post('/actions/gc', changes(maintained), () => this.#actions.collectGarbage());
    api.post('/actions/transfer', changes(maintained), (request) => this.#actions.transfer(bodyOf(request)));
    api.post('/actions/backup', changes(maintained), (request) => {
      const answer: BackupAnswer = {
        path: `${API_PREFIX}/backups/${this.#downloads.issue(bodyOf(request))}`,
      };
      return answer;
    });
    api.post('/tables/create', changes(tabled), (request) => this.#actions.createTable(bodyOf(request)));
    api.post('/tables/delete', changes(tabled), (request) => this.#actions.deleteTable(bodyOf(request)));
    api.get<{ Params: { readonly ticket: string } }>(
      '/backups/:ticket',
      {
        ...openGuard,
        onRequest: async (request) => this.#guard.checkOrigin(request),
        exposeHeadRoute: false,
        schema,
      },
      async (request, reply) => {
        const { name, content } = await this.#downloads.open(request.params.ticket, endOf(reply));
        return reply
          .type('application/zip')
          .header('Content-Disposition', `attachment; filename="${name}"`)
          .send(content);
      },
    );
  }

  #stream(_request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#feed.checkRoom();
    reply.hijack();
    const { raw } = reply;
    const headers = Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)] as const);
    for (const [name, value] of headers) raw.setHeader(name, value);
    raw.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' });
    this.#feed.add(new LiveStream(raw));
    return reply;
  }
}

/** Aborted when nobody waits for the answer any more. */
function endOf(reply: FastifyReply): AbortSignal {
  const aborter = new AbortController();
  reply.raw.once('close', () => aborter.abort());
  return aborter.signal;
}
