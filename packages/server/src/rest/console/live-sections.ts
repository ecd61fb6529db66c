import type { TidbBinlog } from '@coxswain/agents';
import type { ArchiveStatus } from '@coxswain/archive';
import type { TransferCounters } from '@coxswain/backup';
import type {
  ArchiveSection,
  CertificateRow,
  ClusterSection,
  FollowersSection,
  LiveState,
  MemberRow,
  MemberVitals,
  NodeSection,
  TableRow,
  TransferCounts,
  TransfersSection,
} from '@coxswain/console';
import type { Node, NodeStatus, Readiness, TableStatus } from '@coxswain/node';
import type { Follower, ReplicationStatus } from '@coxswain/replication';
import type { DiskUse } from '../../metrics/disk-metrics.js';
import type { Maintenance } from '../../parts/maintenance.js';
import type { Certificates } from '../../process/certificates.js';
import { nodeProblems, tableProblems } from '../../services/problems.js';
import { FollowerWatch } from './follower-watch.js';
import { MemberWatch } from './member-watch.js';
import type { Samples } from './samples.js';
import { ShownDisks } from './shown-disks.js';

/** Problems that are shown; the rest are counted. */
const PROBLEMS_MAX = 50;
/** Quarantined tables that are shown. */
const QUARANTINED_MAX = 100;
const SECOND_MS = 1_000;

/** The parts of a server that the console shows. */
export interface ShownParts {
  readonly node: Pick<Node, 'cluster' | 'members' | 'reports'>;
  readonly name: string;
  readonly clusterName: string;
  readonly version: string;
  readonly readiness: () => Readiness;
  readonly follower: Pick<Follower, 'status' | 'statusEverywhere'> | undefined;
  readonly binlog: Pick<TidbBinlog, 'isPump' | 'followed'>;
  readonly archive: () => ArchiveStatus | undefined;
  readonly maintenance: Pick<Maintenance, 'backups' | 'restores' | 'binlogBackups'>;
  /** Problems that are none of the node's, its tables', its replication's or its archive's. */
  readonly problems: () => readonly string[];
  readonly diskUse: DiskUse;
  readonly certificates: () => readonly Pick<Certificates<unknown>, 'name' | 'expiries'>[];
  readonly allows: () => NodeSection['allows'];
}

/** The sections of a state but for its tables, of which only those that changed are sent. */
export type Sections = Omit<LiveState, 'isFull' | 'tables'>;

/** Says what the console shows of a node, from what the node knows now. Nothing here is waited for. */
export class LiveSections {
  readonly #parts: ShownParts;
  readonly #startedMs = Date.now() - Math.round(process.uptime() * SECOND_MS);
  readonly #followers: FollowerWatch;
  readonly #members: MemberWatch;
  readonly #disks: ShownDisks;
  readonly #samples: () => Pick<Samples, 'latest'>;
  #replication: ReplicationStatus | undefined;

  constructor(parts: ShownParts, samples: () => Pick<Samples, 'latest'>) {
    this.#parts = parts;
    this.#samples = samples;
    this.#followers = new FollowerWatch(parts.node, parts.binlog);
    this.#disks = new ShownDisks(parts.diskUse);
    this.#members = new MemberWatch(parts.node, () => this.#answer());
  }

  get followers(): FollowerWatch {
    return this.#followers;
  }

  /** Looks at what members ask about, so that the first answer has it. */
  start(): void {
    this.#disks.refresh(performance.now());
  }

  /** Begins to ask for what is not known without a wait: it is shown when it is there. */
  refresh(nowMs: number): void {
    this.#followers.refresh(nowMs);
    this.#members.refresh(nowMs);
    this.#disks.refresh(nowMs);
    if (this.#parts.node.cluster.role !== 'follower') this.#replication = undefined;
    else
      void this.#parts.follower?.statusEverywhere().then((status) => {
        this.#replication = status;
      });
  }

  /** Everything but the tables. */
  sections(status: NodeStatus): Sections {
    const archive = this.#parts.archive();
    const problems = this.#problems(status, archive);
    return {
      node: this.#node(status, problems),
      members: this.#memberRows(status, this.#vitals(problems.length)),
      cluster: this.#cluster(status),
      followers: this.#followersSection(),
      archive: archive === undefined ? null : archiveSection(archive),
      transfers: this.#transfers(),
      disk: this.#disks.section(status),
      certificates: this.#certificates(),
    };
  }

  #node({ nodeId }: NodeStatus, problems: readonly string[]): NodeSection {
    const { name, version, readiness, allows } = this.#parts;
    const { isReady, conditions } = readiness();
    return {
      id: nodeId,
      name,
      version,
      startedMs: this.#startedMs,
      isReady,
      conditions: Object.keys(conditions).filter((condition) => conditions[condition]),
      problems: problems.slice(0, PROBLEMS_MAX),
      problemCount: problems.length,
      allows: allows(),
    };
  }

  #problems(status: NodeStatus, archive: ArchiveStatus | undefined): string[] {
    const replication = this.#replication;
    const problems = nodeProblems({ status, replication, archive, others: this.#parts.problems() });
    const replications = new Map(replication?.tables.map((table) => [table.name, table]));
    const archives = new Map(archive?.tables.map((table) => [table.name, table]));
    for (const table of status.tables)
      problems.push(...tableProblems(table, replications.get(table.name), archives.get(table.name)));
    return problems;
  }

  /** What another member hears of this node. */
  #answer(): MemberVitals {
    this.#disks.refresh(performance.now());
    const problems = this.#problems(this.#parts.node.reports.status(), this.#parts.archive());
    return this.#vitals(problems.length);
  }

  #vitals(problemCount: number): MemberVitals {
    const samples = this.#samples();
    return {
      version: this.#parts.version,
      startedMs: this.#startedMs,
      isReady: this.#parts.readiness().isReady,
      problemCount,
      cpuShare: samples.latest('cpu'),
      residentBytes: samples.latest('resident'),
      writesPerSecond: samples.latest('writes'),
      readsPerSecond: samples.latest('linearizable') + samples.latest('serializable'),
      diskFreeBytes: this.#disks.leastFreeBytes,
    };
  }

  #memberRows({ members, peers, tables, meta, nodeId }: NodeStatus, own: MemberVitals): MemberRow[] {
    const led = new Map<number, number>();
    for (const { leader } of tables) led.set(leader, (led.get(leader) ?? 0) + 1);
    return members
      .map(({ id, name, raftAddress, clientUrls, restAddress = '' }) => {
        const isSelf = id === nodeId;
        const peer = peers.find((each) => each.id === id);
        const isConnected = isSelf || (peer?.isConnected ?? false);
        const vitals = isSelf ? own : isConnected ? this.#members.vitalsOf(id) : undefined;
        return {
          id,
          name: name || `node-${id}`,
          raftAddress,
          clientUrls,
          restAddress,
          isSelf,
          isConnected,
          silentMs: isSelf ? 0 : wholeSeconds(peer?.silentMs ?? 0),
          state: this.#parts.node.members.state(id),
          leadsMeta: meta?.leader === id,
          tablesLed: led.get(id) ?? 0,
          ...(vitals !== undefined && { vitals }),
        };
      })
      .sort((a, b) => a.id - b.id);
  }

  #cluster({ clusterId, role, tables, quarantined }: NodeStatus): ClusterSection {
    return {
      id: clusterId ?? '',
      name: this.#parts.clusterName,
      role: role ?? '',
      tableCount: tables.length,
      leaderlessCount: count(tables, ({ leaderless }) => leaderless !== undefined),
      failedCount: count(tables, ({ error }) => error !== undefined),
      quarantined: quarantined
        .slice(0, QUARANTINED_MAX)
        .map(({ name, readableAs, untilMs }) => ({ name, readableAs, untilMs })),
    };
  }

  #followersSection(): FollowersSection {
    const replication = this.#replication;
    if (replication === undefined) return { followers: this.#followers.rows };
    const { leaderAddress, leaderClusterId = '', isReached, isBroken, error = '', tables } = replication;
    return {
      followers: [],
      following: {
        leaderAddress,
        leaderClusterId,
        isReached,
        isBroken,
        isPaused: this.#parts.node.members.isReplicationPaused,
        error,
        tables: tables.map((table) => ({
          name: table.name,
          state: table.state,
          leaderIndex: table.leaderIndex,
          lagEntries: table.lagEntries,
          lagMs: Math.round(table.lagMs),
          error: table.error ?? '',
          replicatedBy: table.replicatedBy ?? 0,
        })),
      },
    };
  }

  #transfers(): TransfersSection {
    const { backups, restores, binlogBackups } = this.#parts.maintenance;
    const { state, backupId, error = '' } = binlogBackups.status;
    return {
      backups: transferCounts(backups.counters),
      restores: transferCounts(restores.counters),
      binlogBackup: { state, backupId, error },
    };
  }

  #certificates(): CertificateRow[] {
    return this.#parts
      .certificates()
      .flatMap(({ name, expiries }) =>
        expiries.map(({ kind, expiresMs }) => ({ listener: name, kind, expiresMs })),
      );
  }
}

/** A table as the console shows it. */
export function tableRow(table: TableStatus): TableRow {
  return {
    name: table.name,
    shardId: table.shardId,
    leader: table.leader,
    role: table.role,
    term: table.term,
    revision: table.revision,
    lastIndex: table.lastIndex,
    appliedIndex: table.appliedIndex,
    sizeBytes: table.dbSizeBytes,
    logBytes: table.logSizeBytes,
    problem: table.error ?? (table.leaderless === undefined ? '' : `no leader: ${table.leaderless}`),
  };
}

function archiveSection({
  target,
  tables,
  backlogBytes,
  backlogBytesMax,
  warnings,
}: ArchiveStatus): ArchiveSection {
  return {
    target,
    backlogBytes,
    backlogBytesMax,
    warnings,
    tables: tables.map((table) => ({
      name: table.name,
      state: table.state,
      archivedIndex: table.archivedIndex,
      archivedTimeMs: table.archivedTimeMs,
      backlogBytes: table.backlogBytes,
      backlogMs: wholeSeconds(table.backlogMs),
      gapCount: table.gapCount,
      error: table.error ?? '',
    })),
  };
}

function transferCounts({ underWay, succeeded, failed, bytes }: Readonly<TransferCounters>): TransferCounts {
  return { underWay, succeeded, failed, bytes };
}

/** What grows all the time would be sent all the time. */
function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / SECOND_MS) * SECOND_MS;
}

function count<Item>(items: readonly Item[], is: (item: Item) => boolean): number {
  return items.reduce((total, item) => total + Number(is(item)), 0);
}
