import {
  BackupAgent,
  BinlogBackups,
  Clones,
  defaultBackupAgentLimits,
  OneAtATime,
  TidbBinlog,
} from '@coxswain/agents';
import { ArchiveRestores, Archiver, type ObjectStore, openArchiveStore, S3Store } from '@coxswain/archive';
import { Backups, Restorer, Restores } from '@coxswain/backup';
import { HeldMemory } from '@coxswain/http2';
import {
  DataDirectoryError,
  type Disks,
  type Environment,
  GrpcWolfLink,
  type Log,
  Node,
  NodeDisks,
  type NodeOptions,
  NodeSmallFiles,
  type Readiness,
  systemClock,
  systemRandom,
} from '@coxswain/node';
import {
  defaultFollowerOptions,
  Follower,
  LeaderReplication,
  openGrpcLeaderLink,
  SnapshotDownloads,
} from '@coxswain/replication';
import { RateLimit } from '@coxswain/runtime';
import { LevelStoreDirectory, RestingStores, type StoreDirectory } from '@coxswain/table';
import { NodeWalDisk } from '@coxswain/wal';
import { formatListenAddress, localUrl, parseListenAddress } from './config/address.js';
import { describeConfig } from './config/config.js';
import { type Config, configOptions } from './config/config-schema.js';
import { listenerTls, noTls, plainAddress } from './config/listeners.js';
import { nodeName, toNodeOptions, wolfOptions } from './config/node-options.js';
import { guardWithToken, Token } from './grpc/bearer-token.js';
import type { Method } from './grpc/call.js';
import { GrpcListener, memoryLimits } from './grpc/grpc-listener.js';
import { reflect } from './grpc/reflection.js';
import { describeBackupAgent, describeMoco } from './metrics/agent-metrics.js';
import { describeArchive } from './metrics/archive-metrics.js';
import { describeCertificates } from './metrics/certificate-metrics.js';
import { GrpcMetrics } from './metrics/grpc-metrics.js';
import { describeHeldMemory } from './metrics/held-memory-metrics.js';
import { describeMaintenance } from './metrics/maintenance-metrics.js';
import { MetricsPage } from './metrics/metrics-page.js';
import { describeNodeMetrics } from './metrics/node-metrics.js';
import { describeReplication } from './metrics/replication-metrics.js';
import type { Certificates } from './process/certificates.js';
import { DataDirectory, type DataPaths, dataPaths } from './process/data-directory.js';
import { checkFirstRoom, withRoom } from './process/disk-room.js';
import { during } from './process/during.js';
import { cloneAuthority, linkCertificates, peerCertificates } from './process/link-certificates.js';
import { Parts } from './process/parts.js';
import { RaftListener } from './process/raft-listener.js';
import { StartError, toStartError } from './process/start-error.js';
import { version } from './process/version.js';
import { AdminApi } from './rest/admin-api.js';
import { addBinlogRoutes } from './rest/binlog-routes.js';
import { SnapshotHttp } from './rest/snapshot-http.js';
import { ClusterService } from './services/cluster-service.js';
import { openDonorLink } from './services/donor-link.js';
import { HealthService } from './services/health-service.js';
import { KvService } from './services/kv-service.js';
import { MaintenanceService } from './services/maintenance-service.js';
import { MetricsService } from './services/metrics-service.js';
import { mocoMethods } from './services/moco-service.js';
import { cloneProblems, keepingUp, servicesOf, withArchive, withReplication } from './services/readiness.js';
import { metadataMethods, replicationMethods, tableMethods } from './services/replication-services.js';
import { TablesService } from './services/tables-service.js';
import { wolfMethods } from './services/wolf-service.js';

/** Where a promoted node that was given no replication.address listens. */
const defaultReplicationAddress = configOptions.find(({ name }) => name === 'replication.address')!
  .default as string;
/** How long calls under way may take to end when the node stops: as long as the default deadline. */
const DRAIN_MS = 5_000;
/** Tables whose files are open at a time, where neither the operator nor the limit of descriptors says less. */
const OPEN_TABLES_MAX = 2_000;
const OPEN_TABLES_MIN = 8;
/** One takes four when it is new, and more as it grows. */
const DESCRIPTORS_PER_OPEN_TABLE = 8;
/** What a node takes without tables and connections, and must have left when it makes one. */
const DESCRIPTORS_FOR_ALL_ELSE = 160;
/** A peer of which nothing was heard for so many election timeouts is dialled again. */
const SILENT_ELECTION_TIMEOUTS = 2;
/** Streams of the log at a time: each table of each follower cluster has one, most of which wait. */
const LOG_CALLS_MAX = 100_000;
/** Snapshots at a time; more would only share the disk and the link. */
const SNAPSHOT_CALLS_MAX = 8;
/** Backups at a time, likewise. */
const BACKUP_CALLS_MAX = 8;
/** Restores at a time, likewise. */
const RESTORE_CALLS_MAX = 8;

const tokenNames = ['tables.token', 'maintenance.token', 'clone.token'] as const;
type TokenName = (typeof tokenNames)[number];

/**
 * One node of a leader or follower cluster, wired: data directory, replica host, listeners (DESIGN.md, "How a request
 * travels"). Nothing that is chosen here is chosen anywhere else.
 */
export class Server {
  readonly #config: Config;
  readonly #log: Log;
  readonly #parts = new Parts();
  #node: Node | undefined;
  #health: HealthService | undefined;
  #admin: AdminApi | undefined;
  readonly #metrics = new GrpcMetrics();
  readonly #memory = new HeldMemory(memoryLimits);
  readonly #listeners: GrpcListener[] = [];
  /** The certificates of links: to peers, to the leader cluster, to a cluster that is cloned. Listeners have their own. */
  readonly #linkCertificates: Certificates<unknown>[] = [];
  #stopped: Promise<void> | undefined;
  readonly #tokens: Readonly<Record<TokenName, Token>>;

  readonly #fatal: (error: unknown) => void;
  readonly #role: 'leader' | 'follower';
  #follower: Follower | undefined;
  #backups: Backups | undefined;
  #restores: Restores | undefined;
  #restorer: Restorer | undefined;
  #backupAgent: BackupAgent | undefined;
  /** Shared by all that sends backups. */
  readonly #backupRate: RateLimit;
  /** Shared by all that takes restores. */
  readonly #restoreRate: RateLimit;
  #clones: Clones | undefined;
  #binlogBackups: BinlogBackups | undefined;
  #archiveStore: ObjectStore | undefined;
  #archiver: Archiver | undefined;
  #binlog: TidbBinlog | undefined;
  #onClosed: () => void = () => undefined;
  /** Resolves when an operator has closed the node by its REST listener: the process is to stop it, as at SIGTERM. */
  readonly closed = new Promise<void>((resolve) => {
    this.#onClosed = resolve;
  });

  /**
   * `fatal` is called for a broken invariant or a disk that cannot be trusted, and with a `StartError` for data that
   * this node must not use: the process must end (D6).
   */
  constructor(
    config: Config,
    log: Log,
    fatal: (error: unknown) => void,
    role: 'leader' | 'follower' = 'leader',
  ) {
    this.#config = config;
    this.#tokens = {
      'tables.token': new Token(config['tables.token']),
      'maintenance.token': new Token(config['maintenance.token']),
      'clone.token': new Token(config['clone.token']),
    };
    this.#log = log;
    this.#fatal = fatal;
    this.#role = role;
    this.#backupRate = new RateLimit(systemClock, config['maintenance.backup-bytes-per-second']);
    this.#restoreRate = new RateLimit(systemClock, config['maintenance.restore-bytes-per-second']);
  }

  /** The URL at which clients on this machine reach the API, once started. */
  get apiUrl(): string {
    return localUrl(this.#listeners[0]!.address);
  }

  /** The URL at which follower clusters on this machine reach the replication listener, once started. */
  get replicationUrl(): string {
    return localUrl(this.#listeners[1]!.address);
  }

  /** Where the Xtrabackup agent listens, once started; undefined: nowhere. */
  get backupAgentAddress(): { readonly host: string; readonly port: number } | undefined {
    return this.#backupAgent?.address;
  }

  /** The URL of the HTTP admin API on this machine, once started. */
  get restUrl(): string {
    return localUrl(this.#admin!.address);
  }

  /**
   * Opens the data and the listeners. Resolves when the node listens; whether it is ready is another question,
   * which health answers. Rejects with a `StartError`, and leaves nothing open.
   */
  async start(): Promise<void> {
    // What a follower cluster holds comes from its leader cluster (R5).
    const wolf = this.#role === 'leader' ? wolfOptions(this.#config) : undefined;
    const options: NodeOptions = { ...toNodeOptions(this.#config), role: this.#role, wolf };
    const paths = this.#paths();
    const disks = new NodeDisks(
      { files: paths.root, log: paths.wal, tables: paths.tables },
      options.storeWriteBufferBytes,
    );
    try {
      await this.#open(options, paths, disks);
    } catch (error) {
      await this.#close();
      throw await withRoom(toStartError('start', error), disks, paths, options);
    }
  }

  /** Every set of certificates in use here. */
  #certificates(): Certificates<unknown>[] {
    const listeners = this.#listeners.map(({ certificates }) => certificates);
    return [...this.#linkCertificates, ...listeners.filter((certificates) => certificates !== undefined)];
  }

  /** Looks at every certificate file now. Gives the listeners whose certificates had changed and are in use. */
  reloadCertificates(): string[] {
    return this.#certificates()
      .filter((certificates) => certificates.reload())
      .map(({ name }) => name);
  }

  /**
   * Asks for the tokens of `config` from the next call on. Gives the options whose token was replaced; where a token
   * comes or goes altogether, only a restart changes it.
   */
  replaceTokens(config: Config): string[] {
    return tokenNames.filter((name) => this.#tokens[name].replace(config[name]));
  }

  /** Whether the token of the option, where it is one, is in use as `config` has it. */
  usesToken(name: string, config: Config): boolean {
    return tokenNames.some((token) => token === name && this.#tokens[token].value === config[token]);
  }

  /** Drains and stops: health turns NOT_SERVING, nothing new is taken, calls under way end, the node leaves. */
  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  #paths(): DataPaths {
    const config = this.#config;
    return dataPaths(
      config['data-dir'] || config['raft.node-host-dir'] || 'coxswain-data',
      config['raft.wal-dir'],
      config['raft.state-machine-dir'],
    );
  }

  async #open(nodeOptions: NodeOptions, paths: DataPaths, disks: Disks): Promise<void> {
    const directory = await during(`use the data directory ${paths.root}`, () => DataDirectory.take(paths));
    this.#parts.add('data directory', () => directory.release());
    await checkFirstRoom(disks, paths, nodeOptions);
    const openToOthers = directory.openToOthers.join(' ');
    if (openToOthers !== '') {
      this.#log('warn', `other users of this machine can enter ${openToOthers}: chmod go= ${openToOthers}`);
    }

    const environment = await this.#openEnvironment(nodeOptions, paths, disks);
    const node = await during(`open the data in ${paths.root}`, () => Node.open(nodeOptions, environment));
    this.#node = node;
    this.#parts.add('node', () => node.stop());
    if (this.#role === 'follower') {
      const follower = await during('reach the leader cluster', () => this.#makeFollower(node));
      this.#follower = follower;
      this.#parts.add('follower', () => follower.stop());
    }
    await during('open the archive', () => this.#makeArchiver(node));
    await this.#listen(node);
    await during(`open the tables in ${paths.tables}`, () => node.openTables());
    await during('join the cluster', () => node.start());
    this.#follower?.start();
    this.#archiver?.start();
    this.#binlog!.start(this.#fatal);
    this.#log('info', 'the node has started', { version, dataDirectory: paths.root });
  }

  async #openEnvironment(options: NodeOptions, paths: DataPaths, disks: Disks): Promise<Environment> {
    const config = this.#config;
    const certificates = await during('read the certificates of raft', () =>
      peerCertificates(config, this.#log),
    );
    if (certificates !== undefined) this.#linkCertificates.push(certificates);
    const files = new NodeSmallFiles(paths.root);
    return {
      clock: systemClock,
      random: systemRandom,
      transport: new RaftListener({
        listenAddress: config['raft.listen-address'] || config['raft.address'],
        tls: certificates && (() => certificates.current),
        silenceMs: SILENT_ELECTION_TIMEOUTS * options.electionTicks * options.tickMs,
        log: this.#log,
      }),
      wolfLink: new GrpcWolfLink(),
      walDisk: await during(`open the log in ${paths.wal}`, () => NodeWalDisk.open(paths.wal)),
      stores: await during(`open the tables in ${paths.tables}`, () =>
        this.#openStores(options, paths.tables, files),
      ),
      files,
      disks,
      log: this.#log,
      // Some of what forbids to use the data is only known once the node talks to others, or has read the log.
      fatal: (error) =>
        this.#fatal(
          error instanceof DataDirectoryError
            ? toStartError(`use the data directory ${paths.root}`, error)
            : error,
        ),
    };
  }

  async #openStores(options: NodeOptions, path: string, files: NodeSmallFiles): Promise<StoreDirectory> {
    const directory = await LevelStoreDirectory.open(path, {
      writeBufferSizeBytes: options.storeWriteBufferBytes,
      cacheSizeBytes: options.storeCacheBytes,
    });
    const { max } = await files.descriptors();
    const allowed = Math.floor((max - DESCRIPTORS_FOR_ALL_ELSE) / DESCRIPTORS_PER_OPEN_TABLE);
    const byDefault = Math.max(OPEN_TABLES_MIN, Math.min(OPEN_TABLES_MAX, allowed));
    return new RestingStores(directory, this.#config['storage.open-tables'] || byDefault);
  }

  async #makeFollower(node: Node): Promise<Follower> {
    const config = this.#config;
    const certificates = linkCertificates(config, this.#log);
    if (certificates !== undefined) this.#linkCertificates.push(certificates);
    const link = await openGrpcLeaderLink({
      address: config['replication.leader-address'],
      tls: certificates && (() => certificates.current),
      serverName: config['replication.server-name'],
      messageBytesMax: config['replication.max-recv-message-size-bytes'],
      keepaliveTimeMs: config['replication.keepalive-time'],
      keepaliveTimeoutMs: config['replication.keepalive-timeout'],
      clock: systemClock,
      log: this.#log,
    });
    this.#parts.add('link to the leader cluster', () => link.close());
    const environment = {
      clock: systemClock,
      random: systemRandom,
      log: this.#log,
      link,
      fatal: this.#fatal,
    };
    return new Follower(node, environment, {
      ...defaultFollowerOptions,
      pollIntervalMs: config['replication.poll-interval'],
      reconcileIntervalMs: config['replication.reconcile-interval'],
      logRpcTimeoutMs: config['replication.log-rpc-timeout'],
      snapshotRpcTimeoutMs: config['replication.snapshot-rpc-timeout'],
      recoveriesMax: config['replication.max-recovery-in-flight'],
      snapshotBytesPerSecondMax: config['replication.max-snapshot-recv-bytes-per-second'],
      followerName: [config['memberlist.cluster-name'], nodeName(config)].filter(Boolean).join('/'),
    });
  }

  /** The store itself is not asked for anything yet: whether it is there holds no node up. */
  #makeArchiver(node: Node): void {
    const config = this.#config;
    if (config['archive.target'] === '') return;
    const store = openArchiveStore({
      target: config['archive.target'],
      endpoint: config['archive.s3-endpoint'],
      region: config['archive.s3-region'],
      accessKeyId: config['archive.s3-access-key-id'],
      secretAccessKey: config['archive.s3-secret-access-key'],
    });
    this.#archiveStore = store;
    this.#parts.add('archive store', () => store.close());
    const environment = {
      // Pruning by age must not take what a clock that jumped ahead makes old (A7).
      clock: node.clock,
      random: systemRandom,
      log: this.#log,
      store,
      baseRate: this.#backupRate,
      fatal: this.#fatal,
    };
    const archiver = new Archiver(node, environment, {
      objectSizeBytes: config['archive.object-size'],
      objectAgeMs: config['archive.object-age'],
      baseIntervalMs: config['archive.base-interval'],
      retention: {
        ageMs: config['archive.retention-age'],
        basesMin: config['archive.retention-bases'],
      },
      backlogBytesMax: config['archive.max-backlog'],
    });
    this.#archiver = archiver;
    this.#parts.add('archiver', () => archiver.stop());
  }

  async #listen(node: Node): Promise<void> {
    const config = this.#config;
    const follower = this.#follower;
    const leader = new LeaderReplication(node, {
      clock: systemClock,
      messageBytesMax: config['replication.max-send-message-size-bytes'],
      logCallsMax: LOG_CALLS_MAX,
      snapshotCallsMax: SNAPSHOT_CALLS_MAX,
    });
    this.#parts.add('followers of this cluster', () => leader.drain());
    const binlog = new TidbBinlog(node, {
      clock: systemClock,
      log: this.#log,
      startedAs: this.#role,
      leader,
      follower,
      stop: () => this.#onClosed(),
    });
    this.#binlog = binlog;
    this.#parts.add('tidb-binlog', () => binlog.stop());
    const kv = new KvService(node, follower?.writes).methods();
    const tables = config['tables.enabled']
      ? guardWithToken(this.#tokens['tables.token'], new TablesService(node).methods())
      : [];
    const cluster = new ClusterService(node, {
      version,
      clusterName: config['memberlist.cluster-name'],
      config: describeConfig(config),
      followers: () => leader.followers(),
      replication: () => follower?.statusEverywhere(),
      archive: () => this.#archiver?.status(),
      errors: () => [...this.#mocoErrors(node), ...this.#binlog!.problems()],
    }).methods();
    const service = this.#makeMaintenance(node);
    const moco = await during('read clone.ca-filename', () => this.#makeMoco(node, binlog));
    const maintenance = config['maintenance.enabled']
      ? guardWithToken(this.#tokens['maintenance.token'], [
          ...service.methods(),
          ...moco,
          ...tableMethods(leader),
        ])
      : [];
    const forFollowers = replicationMethods(leader);
    const metrics = new MetricsPage(() => [
      ...this.#metrics.describe(),
      ...describeNodeMetrics(node, version, this.#health!.readiness()),
      ...describeReplication(node, leader, follower),
      ...describeMaintenance(this.#backups!.counters, this.#restores!.counters),
      ...describeBackupAgent(this.#backupAgent),
      ...describeMoco(this.#clones!.status, this.#binlogBackups!.status),
      ...describeArchive(this.#archiver?.status()),
      describeCertificates(this.#certificates()),
      ...describeHeldMemory(this.#memory),
    ]);
    const metered = new MetricsService(metrics, systemClock).methods();
    const healthService = new HealthService(
      () => this.#readiness(node),
      servicesOf([...kv, ...tables, ...forFollowers], [...cluster, ...metered, ...maintenance]),
    );
    this.#health = healthService;
    this.#parts.add('health', () => healthService.drain());
    const health = healthService.methods();

    const api = [
      ...kv,
      ...tables,
      ...cluster,
      ...metered,
      ...maintenance,
      ...metadataMethods(leader),
      ...health,
    ];
    await this.#listenGrpc('api', api);
    // Follower clusters forward their writes over the connection that they replicate with.
    if (config['replication.enabled']) {
      const downloads = new SnapshotDownloads(leader, systemClock);
      this.#parts.add('snapshot downloads', () => downloads.close());
      const snapshots = new SnapshotHttp(downloads, leader, { clock: systemClock, log: this.#log });
      const listen = () => this.#listenForFollowers([...kv, ...forFollowers, ...health], snapshots);
      if (config['replication.address'] === '') this.#oncePromoted(node, listen);
      else await listen();
    }

    await this.#listenForBackupTools(node);
    await this.#listenForWolf(node);

    const admin = new AdminApi({
      address: parseListenAddress(config['rest.address'])!,
      readTimeoutMs: config['rest.read-timeout'],
      version,
      readiness: () => this.#health!.readiness(),
      replicationReadiness: () => keepingUp(this.#health!.readiness(), node, follower),
      metrics,
      addRoutes: (http) =>
        addBinlogRoutes(http, {
          binlog,
          token: this.#tokens['maintenance.token'],
          hasMaintenance: config['maintenance.enabled'],
        }),
      log: this.#log,
    });
    this.#parts.add('rest listener', () => admin.close());
    await during(`open the rest listener at ${config['rest.address']}`, () => admin.listen());
    this.#admin = admin;
  }

  #makeMaintenance(node: Node): MaintenanceService {
    this.#backups = new Backups(node, {
      clock: systemClock,
      rate: this.#backupRate,
      callsMax: BACKUP_CALLS_MAX,
    });
    const restorer = new Restorer(node, { clock: systemClock, log: this.#log });
    this.#restorer = restorer;
    this.#parts.add('restores', () => restorer.settled());
    this.#restores = new Restores(node, restorer, {
      rate: this.#restoreRate,
      callsMax: RESTORE_CALLS_MAX,
    });
    const archiveRestores = new ArchiveRestores(node, restorer, {
      clock: systemClock,
      archive: this.#archiver,
      rate: this.#restoreRate,
      callsMax: RESTORE_CALLS_MAX,
    });
    return new MaintenanceService(node, this.#backups, this.#restores, archiveRestores);
  }

  #makeMoco(node: Node, binlog: TidbBinlog): readonly Method[] {
    const config = this.#config;
    const requests = new OneAtATime(() => node.maintenance.clone.isRunning);
    const authority = cloneAuthority(config, this.#log);
    if (authority !== undefined) this.#linkCertificates.push(authority);
    const cloneToken = this.#tokens['clone.token'];
    const external = {
      address: config['clone.address'],
      get token() {
        return cloneToken.value;
      },
    };
    const environment = { clock: systemClock, log: this.#log, requests };
    const clones = new Clones(node, {
      ...environment,
      random: systemRandom,
      restorer: this.#restorer!,
      connect: (donor) => openDonorLink(donor, authority, this.#log),
      external,
      rate: this.#restoreRate,
    });
    this.#clones = clones;
    this.#parts.add('clones', () => clones.stop());
    const backups = new BinlogBackups(node, {
      ...environment,
      archive: this.#archiver && {
        store: this.#archiveStore!,
        flush: (signal) => this.#archiver!.flush(signal),
      },
      openBucket: (options) => new S3Store(options),
      followedUpTo: () => binlog.followedUpTo(),
    });
    this.#binlogBackups = backups;
    this.#parts.add('backups of the archive', () => backups.stop());
    return mocoMethods(clones, backups);
  }

  /** What an operator must know of what went on after an answer. Of a clone every member says it. */
  #mocoErrors(node: Node): string[] {
    const backup = this.#binlogBackups!.status;
    return [
      ...cloneProblems(node),
      ...(backup.error === undefined ? [] : [`backup "${backup.backupId}" has failed: ${backup.error}`]),
    ];
  }

  #readiness(node: Node): Readiness {
    const { isReady, conditions } = withArchive(
      withReplication(node.reports.readiness(), node, this.#follower),
      node,
    );
    const isUnderCloning = node.maintenance.clone.unfinished !== undefined;
    return { isReady: isReady && !isUnderCloning, conditions: { ...conditions, isUnderCloning } };
  }

  async #listenForBackupTools(node: Node): Promise<void> {
    const given = this.#config['backup-agent.address'];
    if (given === '') return;
    const { host, port } = plainAddress(this.#config, 'backup-agent.address');
    const agent = new BackupAgent(node, {
      ...defaultBackupAgentLimits,
      host,
      port,
      isPasswordRight: (password) => this.#tokens['maintenance.token'].isRight(password),
      rate: this.#backupRate,
      files: new NodeSmallFiles(this.#paths().root),
      clock: systemClock,
      log: this.#log,
    });
    this.#parts.add('backup agent', () => agent.close());
    await during(`open the backup agent listener at ${given}`, () => agent.listen());
    this.#backupAgent = agent;
  }

  /** The seed has no TLS, and its own listener so that nobody reaches it who merely reaches the API. */
  async #listenForWolf(node: Node): Promise<void> {
    const given = this.#config['wolf.address'];
    if (given === '') return;
    const address = plainAddress(this.#config, 'wolf.address');
    const methods = wolfMethods(node.wolf);
    const listener = new GrpcListener(
      {
        name: 'wolf',
        address,
        tls: noTls,
        connectionsMax: 0,
        streamsMax: 0,
        memory: this.#memory,
        clock: systemClock,
        metrics: this.#metrics,
        log: this.#log,
      },
      [...methods, ...reflect(methods)],
    );
    await during(`open the wolf.raft listener at ${given}`, () => listener.listen());
    this.#listeners.push(listener);
    this.#parts.add('listener', () => listener.close(DRAIN_MS));
  }

  /** A follower cluster refuses whoever comes here until it is promoted: a port that is taken does not hold it up. */
  async #listenForFollowers(methods: readonly Method[], snapshots: SnapshotHttp): Promise<void> {
    try {
      await this.#listenGrpc('replication', methods, snapshots);
    } catch (error) {
      if (this.#role !== 'follower' || !(error instanceof StartError)) throw error;
      this.#log('warn', 'the replication listener is not open, and a follower cluster needs none', {
        reason: error.message,
        advice: 'before it is promoted set replication.address to another one, and start the node again',
      });
    }
  }

  /** Does something when the node belongs to a leader cluster: at once, or when its follower cluster was promoted (R5). */
  #oncePromoted(node: Node, act: () => Promise<void>): void {
    const leave = node.cluster.onChange(() => {
      if (node.cluster.role !== 'leader' || this.#stopped !== undefined) return;
      leave();
      void act().catch(this.#fatal);
    });
  }

  async #listenGrpc(
    name: 'api' | 'replication',
    methods: readonly Method[],
    http1?: SnapshotHttp,
  ): Promise<void> {
    const config = this.#config;
    const address = parseListenAddress(config[`${name}.address`] || defaultReplicationAddress)!;
    const listener = new GrpcListener(
      {
        name,
        address,
        tls: listenerTls(config, name),
        connectionsMax: name === 'api' ? config['api.max-concurrent-connections'] : 0,
        streamsMax: name === 'api' ? config['api.max-concurrent-streams'] : 0,
        memory: this.#memory,
        clock: systemClock,
        metrics: this.#metrics,
        log: this.#log,
        http1,
      },
      [...methods, ...reflect(methods)],
    );
    await during(`open the ${name} listener at ${formatListenAddress(address)}`, () => listener.listen());
    this.#listeners.push(listener);
    this.#parts.add('listener', () => listener.close(DRAIN_MS));
  }

  async #close(): Promise<void> {
    await this.#parts.stop();
    if (this.#node) this.#log('info', 'the node has stopped');
  }
}
