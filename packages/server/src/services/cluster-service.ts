import type { ArchiveStatus, TableArchiveStatus } from '@coxswain/archive';
import { errors, type NodeParts } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import type { FollowerSighting, ReplicationStatus, TableReplication } from '@coxswain/replication';
import { type Method, unary } from '../grpc/call.js';
import { nodeProblems, tableProblems } from './problems.js';

/** The parts of regatta.v1.Cluster's answers that do not come from the node's own status. */
export interface ClusterServiceOptions {
  readonly version: string;
  /** The cluster's configured name; when it is empty, answers hold the cluster's id. */
  readonly clusterName: string;
  /** The configuration as a flat map of dotted names, with secrets masked. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Returns the follower clusters that replicate from this node. */
  readonly followers: () => readonly FollowerSighting[];
  /** Returns how this cluster follows a leader cluster; undefined when it does not. */
  readonly replication: () => Promise<ReplicationStatus> | undefined;
  /** Returns the state of the archive on this node; undefined when no archive is configured. */
  readonly archive: () => ArchiveStatus | undefined;
  /** Returns further problems that operators should see. */
  readonly errors: () => readonly string[];
}

/** Serves regatta.v1.Cluster: the members, and the state of the node that answers. It works without a leader. */
export class ClusterService {
  readonly #node: Pick<NodeParts, 'reports'>;
  readonly #options: ClusterServiceOptions;

  constructor(node: Pick<NodeParts, 'reports'>, options: ClusterServiceOptions) {
    this.#node = node;
    this.#options = options;
  }

  /**
   * Returns the members sorted by name, with the URLs at which clients reach them. Throws notFormed while the cluster
   * forms, that is until a majority has announced its URLs: Go clients replace their endpoints by these URLs, and would
   * lose the other members.
   */
  memberList(): regatta.MemberListResponse {
    const { clusterId, members } = this.#node.reports.status();
    const reachable = members.filter(({ clientUrls }) => clientUrls.length > 0);
    if (reachable.length <= members.length / 2) throw errors.notFormed(reachable.length, members.length);
    return {
      cluster: this.#options.clusterName || (clusterId ?? ''),
      members: members
        .map(({ id, name, raftAddress, clientUrls }) => ({
          id: String(id),
          name,
          peerURLs: [raftAddress],
          clientURLs: [...clientUrls],
        }))
        .sort((a, b) => compareText(a.name, b.name)),
    };
  }

  /**
   * Returns the state of this node, with all tables sorted by name. The stock backup command takes its list from here,
   * so no table may be missing.
   */
  async status(request: regatta.StatusRequest): Promise<regatta.StatusResponse> {
    const following =
      this.#node.reports.status().role === 'follower' ? await this.#options.replication() : undefined;
    const ofNode = this.#node.reports.status();
    const { nodeId, role, clusterId, tables } = ofNode;
    const archived = this.#options.archive();
    const problems = nodeProblems({
      status: ofNode,
      replication: following,
      archive: archived,
      others: this.#options.errors(),
    });
    const archives = new Map(archived?.tables.map((table) => [table.name, table]));
    const replications = new Map(following?.tables.map((table) => [table.name, table]));
    const byName = new Map<string, regatta.TableStatus>();
    for (const table of [...tables].sort((a, b) => compareText(a.name, b.name))) {
      const replication = replications.get(table.name);
      const archive = archives.get(table.name);
      const ofTable = tableProblems(table, replication, archive);
      problems.push(...ofTable);
      byName.set(table.name, {
        logSize: BigInt(table.logSizeBytes),
        dbSize: BigInt(table.dbSizeBytes),
        leader: String(table.leader),
        raftIndex: BigInt(table.lastIndex),
        raftTerm: BigInt(table.term),
        raftAppliedIndex: BigInt(table.appliedIndex),
        shardId: BigInt(table.shardId),
        revision: BigInt(table.revision),
        contentHash: table.contentHash,
        replication: replication && toWireReplication(replication),
        archive: archive && toWireArchive(archive),
        errors: ofTable,
        leaderless: table.leaderless?.code ?? '',
      });
    }
    return {
      id: String(nodeId),
      version: this.#options.version,
      info: `coxswain ${this.#options.version}`,
      tables: byName,
      config: request.config ? { ...this.#options.config } : undefined,
      errors: problems,
      role: role ?? '',
      clusterId: clusterId ?? '',
      leaderAddress: following?.leaderAddress ?? '',
      leaderClusterId: following?.leaderClusterId ?? '',
      followers: this.#options.followers().map(toWireFollower),
    };
  }

  methods(): readonly Method[] {
    return [
      unary(regatta.ClusterService.memberList, () => this.memberList()),
      unary(regatta.ClusterService.status, (request) => this.status(request)),
    ];
  }
}

function toWireReplication(table: TableReplication): regatta.TableReplication {
  return {
    state: table.state,
    leaderIndex: BigInt(table.leaderIndex),
    lagEntries: BigInt(table.lagEntries),
    lagMs: BigInt(Math.round(table.lagMs)),
    error: table.error ?? '',
    replicatedBy: BigInt(table.replicatedBy ?? 0),
  };
}

function toWireArchive(table: TableArchiveStatus): regatta.TableArchive {
  return {
    state: table.state,
    archivedIndex: BigInt(table.archivedIndex),
    archivedTimeMs: BigInt(table.archivedTimeMs),
    backlogBytes: BigInt(table.backlogBytes),
    gapCount: BigInt(table.gapCount),
    error: table.error ?? '',
  };
}

function toWireFollower(sighting: FollowerSighting): regatta.FollowerStatus {
  return {
    table: sighting.table,
    follower: sighting.follower,
    leaderIndex: BigInt(sighting.leaderIndex),
    lagEntries: BigInt(sighting.lagEntries),
    lastSeenMs: BigInt(Math.round(sighting.lastSeenMsAgo)),
  };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
