import type { NodeApi } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { type Method, unary } from './call.js';

/** What regatta.v1.Cluster tells beside the node's own status. */
export interface ClusterServiceOptions {
  readonly version: string;
  /** The cluster's name as configured; empty: its id is told. */
  readonly clusterName: string;
  /** Flat, dotted names, secrets masked. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** regatta.v1.Cluster: the members, and the state of the node that answers. Works without a leader. */
export class ClusterService {
  readonly #node: NodeApi;
  readonly #options: ClusterServiceOptions;

  constructor(node: NodeApi, options: ClusterServiceOptions) {
    this.#node = node;
    this.#options = options;
  }

  /** Members sorted by name; Go clients take their endpoints from the client URLs. */
  memberList(): regatta.MemberListResponse {
    const { clusterId, members } = this.#node.status();
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
    const { nodeId, clusterId, tables, meta, isDiskFull } = this.#node.status();
    const errors: string[] = [];
    if (isDiskFull) errors.push('the disk is full: writes are refused until there is room');
    if (meta?.error !== undefined) errors.push(`the meta group: ${meta.error}`);
    const byName = new Map<string, regatta.TableStatus>();
    for (const table of [...tables].sort((a, b) => compareText(a.name, b.name))) {
      if (table.error !== undefined) errors.push(`table '${table.name}': ${table.error}`);
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
        replication: undefined,
      });
    }
    return {
      id: String(nodeId),
      version: this.#options.version,
      info: `coxswain ${this.#options.version}`,
      tables: byName,
      config: request.config ? { ...this.#options.config } : undefined,
      errors,
      role: 'leader',
      clusterId: clusterId ?? '',
      leaderAddress: '',
      leaderClusterId: '',
      followers: [],
    };
  }

  methods(): readonly Method[] {
    return [
      unary(regatta.ClusterService.memberList, () => this.memberList()),
      unary(regatta.ClusterService.status, (request) => this.status(request)),
    ];
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
