import { type BackupAgent, TidbBinlog } from '@coxswain/agents';
import { type Node, NodeDisks, systemClock } from '@coxswain/node';
import { type Follower, LeaderReplication, SnapshotDownloads } from '@coxswain/replication';
import { localUrl } from './config/address.js';
import { describeConfig } from './config/config.js';
import type { Config } from './config/config-schema.js';
import { toNodeOptions, wolfOptions } from './config/node-options.js';
import { serverEvents } from './events.js';
import { guardWithToken } from './grpc/bearer-token.js';
import { DiskUse } from './metrics/disk-metrics.js';
import { MetricsPage } from './metrics/metrics-page.js';
import { type Archive, openArchive } from './parts/archive.js';
import { openBackupAgent } from './parts/backup-agent.js';
import { openConsole } from './parts/console.js';
import { openFollower } from './parts/follower.js';
import { Listeners } from './parts/listeners.js';
import { Maintenance } from './parts/maintenance.js';
import { describeServer } from './parts/metrics.js';
import { type NodeData, openNode } from './parts/node.js';
import { openRest } from './parts/rest.js';
import { Shared } from './parts/shared.js';
import { dataPaths } from './process/data-directory.js';
import { withRoom } from './process/disk-room.js';
import { during } from './process/during.js';
import type { EventJournal } from './process/event-journal.js';
import { toStartError } from './process/start-error.js';
import { version } from './process/version.js';
import type { AdminApi } from './rest/admin-api.js';
import { addBinlogRoutes } from './rest/binlog-routes.js';
import { addDebugRoutes } from './rest/debug-routes.js';
import { SnapshotHttp } from './rest/snapshot-http.js';
import { ClusterService } from './services/cluster-service.js';
import { EventsService } from './services/events-service.js';
import { HealthService } from './services/health-service.js';
import { KvService } from './services/kv-service.js';
import { MetricsService } from './services/metrics-service.js';
import { keepingUp, readinessOf, servicesOf } from './services/readiness.js';
import { metadataMethods, replicationMethods, tableMethods } from './services/replication-services.js';
import { TablesService } from './services/tables-service.js';

/** The most streams of the log at a time: each table of each follower cluster has one, and most of them wait. */
const LOG_CALLS_MAX = 100_000;
/** The most snapshots at a time; more would only share the disk and the link. */
const SNAPSHOT_CALLS_MAX = 8;

/**
 * One node of a leader or follower cluster, wired: data directory, replica host, listeners
 * (DESIGN.md, "How a request travels"). Only this class and `parts/` choose implementations.
 */
export class Server {
  readonly #shared: Shared;
  readonly #listeners: Listeners;
  #node: Node | undefined;
  #admin: AdminApi | undefined;
  #backupAgent: BackupAgent | undefined;
  #stopped: Promise<void> | undefined;
  #onClosed: () => void = () => undefined;
  /**
   * Resolves when an operator has closed the node through its REST listener. The process must then stop it, as at
   * SIGTERM.
   */
  readonly closed = new Promise<void>((resolve) => {
    this.#onClosed = resolve;
  });

  /**
   * `fatal` is called for a broken invariant or a disk that cannot be trusted, and with a `StartError` for data that
   * this node must not use. The process must then end (D6).
   */
  constructor(
    config: Config,
    journal: EventJournal,
    fatal: (error: unknown) => void,
    role: 'leader' | 'follower' = 'leader',
  ) {
    this.#shared = new Shared({ config, role, journal, fatal });
    this.#listeners = new Listeners(this.#shared);
  }

  /** The URL at which clients on this machine reach the API, once started. */
  get apiUrl(): string {
    return localUrl(this.#listeners.address('api'));
  }

  /** The URL at which follower clusters on this machine reach the replication listener, once started. */
  get replicationUrl(): string {
    return localUrl(this.#listeners.address('replication'));
  }

  /** The address of the Xtrabackup agent's listener, once started; undefined when there is none. */
  get backupAgentAddress(): { readonly host: string; readonly port: number } | undefined {
    return this.#backupAgent?.address;
  }

  /** The URL of the HTTP admin API on this machine, once started. */
  get restUrl(): string {
    return localUrl(this.#admin!.address);
  }

  /** Returns what happened to this node since its process started. */
  get journal(): EventJournal {
    return this.#shared.journal;
  }

  /** Checks every certificate file now. Returns the links and listeners whose files had changed and are now in use. */
  reloadCertificates(): string[] {
    return this.#shared.certificates.reload();
  }

  /**
   * Requires the tokens of `config` from the next call on. Returns the options whose token was replaced. Only a restart
   * can add a first token or remove one.
   */
  replaceTokens(config: Config): string[] {
    return this.#shared.tokens.replace(config);
  }

  /** Returns whether `name` is the option of a token, and the token in use is the one in `config`. */
  usesToken(name: string, config: Config): boolean {
    return this.#shared.tokens.uses(name, config);
  }

  /**
   * Opens the data and the listeners. Resolves when the node listens; health answers whether it is ready. Rejects with
   * a `StartError`, and leaves nothing open.
   */
  async start(): Promise<void> {
    const { config, role, parts, log } = this.#shared;
    // The content of a follower cluster comes from its leader cluster (R5), so it replicates no table over wolf.raft.
    const wolf = role === 'leader' ? wolfOptions(config) : undefined;
    const options = { ...toNodeOptions(config), role, wolf };
    const paths = dataPaths(
      config['data-dir'] || config['raft.node-host-dir'] || 'coxswain-data',
      config['raft.wal-dir'],
      config['raft.state-machine-dir'],
    );
    const disks = new NodeDisks(
      { files: paths.root, log: paths.wal, tables: paths.tables },
      options.storeWriteBufferBytes,
    );
    try {
      await this.#open({ options, paths, disks });
      await parts.start();
    } catch (error) {
      await this.#close();
      throw await withRoom(toStartError('start', error), disks, paths, options);
    }
    log(serverEvents.nodeStarted, { version, dataDirectory: paths.root });
  }

  /** Drains and stops: health turns NOT_SERVING, nothing new is accepted, calls under way end, the node leaves. */
  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  async #close(): Promise<void> {
    await this.#shared.parts.stop();
    if (this.#node) this.#shared.log(serverEvents.nodeStopped);
  }

  /** Opens all parts: first those that hold data, then the listeners, of which the REST listener comes last. */
  async #open(data: NodeData): Promise<void> {
    const shared = this.#shared;
    const node = await openNode(shared, data);
    this.#node = node;
    const follower =
      shared.role === 'follower'
        ? await during('reach the leader cluster', () => openFollower(node, shared))
        : undefined;
    const archive = await during('open the archive', () => openArchive(node, shared));
    await this.#serve(node, follower, archive, data);
  }

  async #serve(
    node: Node,
    follower: Follower | undefined,
    archive: Archive | undefined,
    { paths, disks }: NodeData,
  ): Promise<void> {
    const shared = this.#shared;
    const { config, role, parts, tokens, tracing, journal, log, fatal } = shared;
    parts.add('events', { stop: () => journal.close() });
    const diskUse = new DiskUse(disks);
    const leader = new LeaderReplication(node, {
      clock: systemClock,
      messageBytesMax: config['replication.max-send-message-size-bytes'],
      logCallsMax: LOG_CALLS_MAX,
      tracer: tracing?.tracer,
      snapshotCallsMax: SNAPSHOT_CALLS_MAX,
    });
    parts.add('followers of this cluster', { stop: () => leader.drain() });
    const binlog = new TidbBinlog(node, {
      clock: systemClock,
      log,
      startedAs: role,
      leader,
      follower,
      stop: () => this.#onClosed(),
    });
    parts.add('tidb-binlog', { start: () => binlog.start(fatal), stop: () => binlog.stop() });
    const maintenance = await Maintenance.open(node, shared, archive, binlog);
    const metrics = new MetricsPage(() =>
      describeServer(shared, {
        node,
        readiness: () => health.readiness(),
        diskUse,
        leader,
        follower,
        archiver: archive?.archiver,
        maintenance,
        backupAgent: () => this.#backupAgent,
      }),
    );

    const kvService = new KvService(node, follower?.writes);
    const kv = kvService.methods();
    const tables = config['tables.enabled']
      ? guardWithToken(tokens.of('tables.token'), new TablesService(node).methods())
      : [];
    const forFollowers = replicationMethods(leader);
    const problems = (): string[] => [...maintenance.problems(), ...binlog.problems()];
    const cluster = new ClusterService(node, {
      version,
      clusterName: config['memberlist.cluster-name'],
      config: describeConfig(config),
      followers: () => leader.followers(),
      replication: () => follower?.statusEverywhere(),
      archive: () => archive?.archiver.status(),
      errors: problems,
    }).methods();
    const metered = new MetricsService(metrics, systemClock).methods();
    const guarded = config['maintenance.enabled']
      ? guardWithToken(tokens.of('maintenance.token'), [
          ...maintenance.methods(),
          ...tableMethods(leader),
          ...new EventsService(journal, config['raft.node-id']).methods(),
        ])
      : [];
    const always = [...cluster, ...metered, ...guarded];
    const health = new HealthService(
      () => readinessOf(node, follower),
      servicesOf([...kv, ...tables, ...forFollowers], always),
    );
    parts.add('health', { stop: () => health.drain() });

    const api = [...kv, ...tables, ...always, ...metadataMethods(leader), ...health.methods()];
    await this.#listeners.openForClients(api);
    if (config['replication.enabled']) {
      const downloads = new SnapshotDownloads(leader, systemClock);
      parts.add('snapshot downloads', { stop: () => downloads.close() });
      const snapshots = new SnapshotHttp(downloads, leader, { clock: systemClock, log });
      // Follower clusters forward their writes over the connection by which they replicate.
      const methods = [...kv, ...forFollowers, ...health.methods()];
      await this.#listeners.openForFollowers(node, methods, snapshots);
    }
    this.#backupAgent = await openBackupAgent(node, shared, paths);
    await this.#listeners.openForWolf(node);

    const console = openConsole(node, shared, {
      ...{ kv: kvService, binlog, follower, archive, maintenance, problems, diskUse },
      readiness: () => health.readiness(),
    });
    this.#admin = await openRest(shared, {
      readiness: () => health.readiness(),
      replicationReadiness: () => keepingUp(health.readiness(), node, follower),
      metrics,
      addRoutes: (http) => {
        addBinlogRoutes(http, {
          binlog,
          token: tokens.of('maintenance.token'),
          hasMaintenance: config['maintenance.enabled'],
        });
        addDebugRoutes(http, { token: tokens.of('maintenance.token') });
        console.addRoutes(http);
      },
    });
  }
}
