import type { ArchiveStatus, TableArchiveStatus } from '@coxswain/maintenance';
import { errors, type NodeApi } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import type { FollowerSighting, ReplicationStatus, TableReplication } from '@coxswain/replication';
import { type Method, unary } from './call.js';

/** What regatta.v1.Cluster tells beside the node's own status. */
export interface ClusterServiceOptions {
  readonly version: string;
  /** The cluster's name as configured; empty: its id is told. */
  readonly clusterName: string;
  /** Flat, dotted names, secrets masked. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Who replicates from this node. */
  readonly followers: () => readonly FollowerSighting[];
  /** How this node follows a leader cluster; undefined when it does not. */
  readonly replication: () => ReplicationStatus | undefined;
  /** What this node archives; undefined: no archive is configured. */
  readonly archive: () => ArchiveStatus | undefined;
  /** What else went wrong, for operators. */
  readonly errors: () => readonly string[];
}

/** regatta.v1.Cluster: the members, and the state of the node that answers. Works without a leader. */
export class ClusterService {
  readonly #node: NodeApi;
  readonly #options: ClusterServiceOptions;

  constructor(node: NodeApi, options: ClusterServiceOptions) {
    this.#node = node;
    this.#options = options;
  }

  /**
   * Members sorted by name; Go clients take their endpoints from the client URLs. Throws notReady while the cluster
   * forms, and nobody has said yet where clients reach it.
   */
  memberList(): regatta.MemberListResponse {
    const { clusterId, members } = this.#node.status();
    // Go clients would put an empty list in place of the endpoints that they have.
    if (members.every(({ clientUrls }) => clientUrls.length === 0)) throw errors.notReady();
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

  /** Tables sorted by name: the stock backup command takes its list from here, so none may be missing. */
  status(request: regatta.StatusRequest): regatta.StatusResponse {
    const { nodeId, role, clusterId, tables, meta, isDiskFull } = this.#node.status();
    const following = role === 'follower' ? this.#options.replication() : undefined;
    const problems: string[] = [];
    if (isDiskFull) problems.push('the disk is full: writes are refused until there is room');
    if (meta?.error !== undefined) problems.push(`the meta group: ${meta.error}`);
    if (following?.error !== undefined) problems.push(`replication: ${following.error}`);
    const archived = this.#options.archive();
    for (const warning of archived?.warnings ?? []) problems.push(`archive: ${warning}`);
    problems.push(...this.#options.errors());
    const archives = new Map(archived?.tables.map((table) => [table.name, table]));
    const byName = new Map<string, regatta.TableStatus>();
    for (const table of [...tables].sort((a, b) => compareText(a.name, b.name))) {
      if (table.error !== undefined) problems.push(`table '${table.name}': ${table.error}`);
      const replication = following?.tables.find(({ name }) => name === table.name);
      if (replication?.error !== undefined) {
        problems.push(`replication of table '${table.name}': ${replication.error}`);
      }
      const archive = archives.get(table.name);
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
