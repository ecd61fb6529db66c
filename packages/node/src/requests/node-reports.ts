import { NO_NODE } from '@coxswain/raft';
import type { Clock, Histogram } from '@coxswain/runtime';
import type { Wal } from '@coxswain/wal';
import type { NodeMetrics, NodeStatus, Readiness, ReportsApi } from '../api/reports-api.js';
import type { Identity } from '../cluster/identity.js';
import type { Liveness } from '../cluster/liveness.js';
import type { Peers } from '../cluster/peers.js';
import type { TrustedClock } from '../cluster/trusted-clock.js';
import type { DiskWatch } from '../disk/disk-watch.js';
import type { Budget } from '../group/budget.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import type { Snapshots } from '../group/snapshots.js';
import type { WriteStages } from '../group/write-stages.js';
import type { Meta } from '../meta/meta.js';
import { META_SHARD } from '../meta/shards.js';
import type { Wolf } from '../wolf/wolf.js';

/** The counters of a node since it started. */
export interface NodeCounters {
  appended: number;
  applied: number;
  refused: number;
  outcomeUnknown: number;
  linearizable: number;
  serializable: number;
  readIndexRounds: number;
  leaderChanges: number;
}

/** The parts of a node that its reports describe. */
export interface ReportedParts {
  readonly clock: Clock;
  /** Gives the system's wall time, in milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly trustedClock: TrustedClock;
  readonly identity: Identity;
  readonly nodeId: number;
  readonly wal: Wal;
  readonly syncSeconds: Histogram;
  readonly writeStages: WriteStages;
  readonly budget: Budget;
  readonly counters: NodeCounters;
  readonly peers: Peers;
  readonly liveness: Liveness;
  readonly replicas: Replicas;
  readonly meta: Meta;
  readonly snapshots: Snapshots;
  readonly diskWatch: DiskWatch;
  readonly wolf: Wolf;
  readonly isStopping: () => boolean;
}

/** Reports the state of a node to operators, probes and /metrics. */
export class NodeReports implements ReportsApi {
  readonly #parts: ReportedParts;

  constructor(parts: ReportedParts) {
    this.#parts = parts;
  }

  status(): NodeStatus {
    const { nodeId, identity, meta, replicas, diskWatch, peers, liveness } = this.#parts;
    return {
      nodeId,
      role: meta.settings.role,
      clusterId: identity.clusterId,
      incarnation: identity.incarnation,
      members: meta.members.list(),
      tables: meta.directory.replicas().map((replica) => replica.status()),
      quarantined: meta.lifecycle.quarantinedTables(),
      meta: replicas.get(META_SHARD)?.status(),
      isDiskFull: diskWatch.isFull,
      diskShortage: diskWatch.shortage,
      peers: [...peers.ids].map((id) => ({
        id,
        isConnected: peers.isConnected(id),
        isHeard: liveness.isAlive(id),
        silentMs: peers.silenceMs(id),
      })),
    };
  }

  readiness(): Readiness {
    const { meta, replicas, diskWatch, wolf, isStopping } = this.#parts;
    const served = meta.directory.replicas();
    const conditions = {
      hasNoCluster: !meta.group.registry.hasGenesis,
      // A node without a leader of the meta group does not know how the cluster has changed meanwhile.
      hasNoLeader:
        !meta.isFresh ||
        hasNoLeader(replicas.get(META_SHARD)) ||
        served.some((replica) => hasNoLeader(replica) && !wolf.isUnformed(replica)),
      isRebuilding: served.some(({ hasTable }) => !hasTable),
      isDiskFull: diskWatch.isFull,
      isShuttingDown: isStopping(),
    };
    return { isReady: !Object.values(conditions).includes(true), conditions };
  }

  metrics(): NodeMetrics {
    const { counters, wal, budget, snapshots, peers, trustedClock, clock, wallMs } = this.#parts;
    const { appended, applied, refused, outcomeUnknown } = counters;
    const { linearizable, serializable, readIndexRounds, leaderChanges } = counters;
    const { syncs, segmentBytes } = wal.statistics();
    return {
      proposals: { appended, applied, refused, outcomeUnknown, pending: budget.count },
      reads: { linearizable, serializable, readIndexRounds },
      leaderChanges,
      walSyncs: syncs,
      walSyncSeconds: this.#parts.syncSeconds,
      walBytes: segmentBytes,
      writeStages: this.#parts.writeStages,
      snapshotsSent: snapshots.sentCount,
      snapshotsReceived: snapshots.receivedCount,
      clock: {
        aheadSeconds: trustedClock.aheadMs(wallMs(), clock.monotonicMs()) / 1000,
        jumps: trustedClock.jumps,
        lastJumpSeconds: trustedClock.lastJumpMs / 1000,
      },
      peerBytesSent: peers.bytesSent,
      peerBytesReceived: peers.bytesReceived,
    };
  }
}

function hasNoLeader(replica: Replica | undefined): boolean {
  return replica === undefined || replica.raft.leader === NO_NODE;
}
