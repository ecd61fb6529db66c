import type { Clock, FollowerControl, LedTable, Log, NodeApi, Random, ReplicationApi } from '@coxswain/node';
import { ForwardedWrites } from './forwarded-writes.js';
import type { LeaderLink } from './leader-link.js';
import { Promotion } from './promotion.js';
import { Reconciler } from './reconciler.js';
import { Recovery } from './recovery.js';
import { encodeProgress, readProgress } from './shared-progress.js';
import type { ReplicationStatus, TableReplication } from './status.js';
import { TableWorker, type TableWorkerContext } from './table-worker.js';

export interface FollowerOptions {
  /** How often a leader cluster without long poll is asked. Default 1 s. */
  readonly pollIntervalMs: number;
  /** How often the tables are compared with the leader cluster's. Default 30 s. */
  readonly reconcileIntervalMs: number;
  /** How long one stream of the log may last. Default 1 m. */
  readonly logRpcTimeoutMs: number;
  /** Default 1 h. */
  readonly snapshotRpcTimeoutMs: number;
  /** Snapshots at a time on this node. Default 1. */
  readonly recoveriesMax: number;
  /** 0: as fast as it goes. */
  readonly snapshotBytesPerSecondMax: number;
  /** What this node is called in the leader cluster's status. */
  readonly followerName: string;
  /** Commands that are packed into one entry take at most so much, but for a single larger one (P4). */
  readonly sequenceBytesMax: number;
}

/** The defaults of everything but the name. */
export const defaultFollowerOptions = {
  pollIntervalMs: 1_000,
  reconcileIntervalMs: 30_000,
  logRpcTimeoutMs: 60_000,
  snapshotRpcTimeoutMs: 3_600_000,
  recoveriesMax: 1,
  snapshotBytesPerSecondMax: 0,
  sequenceBytesMax: 1024 * 1024,
} as const;

export interface FollowerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly link: LeaderLink;
  /** A broken invariant: the process must end. */
  readonly fatal: (error: unknown) => void;
}

type FollowerNode = NodeApi & ReplicationApi & FollowerControl;

/** What runs until it is told to stop. */
interface Running {
  stop(): void;
}

/** The topic under which the members of a follower cluster ask how the others replicate, and how long they wait. */
const PROGRESS_TOPIC = 'replication progress';
const PROGRESS_WAIT_MS = 1_000;
/** A leader cluster that was out of reach for so long is logged as such at the next call that fails. */
const SILENCE_LOGGED_MS = 2_000;

/**
 * A node's part in following a leader cluster: it replicates the tables that it leads, compares the list of tables, and
 * turns the cluster into a leader cluster when it is told to.
 */
export class Follower {
  readonly writes: ForwardedWrites;
  readonly #node: FollowerNode;
  readonly #environment: FollowerEnvironment;
  readonly #options: FollowerOptions;
  readonly #reconciler: Reconciler;
  readonly #workers = new Map<string, Running & { readonly worker: TableWorker }>();
  readonly #workerContext: TableWorkerContext;
  readonly #counters = { commandsApplied: 0, bytesReceived: 0, snapshotsTaken: 0 };
  #reconciling: Running | undefined;
  #promoting: Running | undefined;
  #leaveNode: (() => void) | undefined;
  #isStopped = false;
  readonly #running = new Set<Promise<void>>();
  #seen: { readonly leadsMeta: boolean; readonly leaderClusterId: string | undefined } | undefined;
  /** When the first attempt since the last contact failed; undefined: none did. */
  #silentSinceMs: number | undefined;
  /** When the leader cluster was heard last; undefined: not since this process started. */
  #contactMs: number | undefined;
  readonly #startedMs: number;
  #isSilenceLogged = false;
  /** Shared by all that ask at the same time. */
  #asking: Promise<ReplicationStatus> | undefined;

  constructor(node: FollowerNode, environment: FollowerEnvironment, options: FollowerOptions) {
    this.#node = node;
    this.#environment = environment;
    this.#options = options;
    this.#startedMs = environment.clock.monotonicMs();
    this.writes = new ForwardedWrites(node, environment);
    const contact = (isThere: boolean): void => {
      const { clock, link, log } = environment;
      if (isThere) {
        this.#contactMs = clock.monotonicMs();
        if (this.#isSilenceLogged)
          log('info', 'the leader cluster is reached again', { address: link.address });
        this.#isSilenceLogged = false;
        this.#silentSinceMs = undefined;
        return;
      }
      this.#silentSinceMs ??= clock.monotonicMs();
      // A call that fails once, and succeeds with another node of it, is not worth a line.
      if (this.#isSilenceLogged || this.#silentMs < SILENCE_LOGGED_MS || node.role !== 'follower') return;
      this.#isSilenceLogged = true;
      log('warn', 'the leader cluster is out of reach: the tables here grow old', { address: link.address });
    };
    const shared = { node, environment, options, contact, counters: this.#counters };
    this.#reconciler = new Reconciler({ ...shared, onChecked: () => this.#adjust() });
    this.#workerContext = {
      ...shared,
      recovery: new Recovery(shared),
      uncomparable: new Map(),
    };
  }

  start(): void {
    this.#node.answerMembers(PROGRESS_TOPIC, () => this.#progress());
    this.#leaveNode = this.#node.onChange(() => this.#adjust());
    this.#adjust();
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#leaveNode?.();
    for (const each of [this.#reconciling, this.#promoting, ...this.#workers.values()]) each?.stop();
    await Promise.all(this.#running);
  }

  status(): ReplicationStatus {
    const { commandsApplied, bytesReceived, snapshotsTaken } = this.#counters;
    const tables = this.#tables();
    const isFollower = this.#node.role === 'follower';
    const { logRpcTimeoutMs } = this.#options;
    const isSilent = this.#silentMs >= logRpcTimeoutMs;
    const isBroken =
      this.#reconciler.isForeign || isSilent || tables.some(({ state }) => state === 'stopped');
    return {
      leaderAddress: this.#environment.link.address,
      leaderClusterId: this.#node.leaderClusterId,
      error: isFollower ? this.#reconciler.error : undefined,
      isBroken: isFollower && isBroken,
      isReached: this.#contactMs !== undefined && this.#silentSinceMs === undefined,
      tables,
      commandsApplied,
      bytesReceived,
      snapshotsTaken,
    };
  }

  /**
   * As `status`, and for tables that another node replicates what that one says of them within a second. The index is
   * this node's own, and so is the number of entries that are missing.
   */
  statusEverywhere(): Promise<ReplicationStatus> {
    this.#asking ??= this.#askOthers().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #askOthers(): Promise<ReplicationStatus> {
    const isElsewhere = ({ state }: TableReplication): boolean => state === 'elsewhere';
    if (!this.status().tables.some(isElsewhere)) return this.status();
    const answers = await this.#node.askMembers(PROGRESS_TOPIC, Buffer.alloc(0), PROGRESS_WAIT_MS);
    const progress = readProgress(answers);
    const shards = new Map(this.#node.status().tables.map(({ name, shardId }) => [name, shardId]));
    const status = this.status();
    const tables = status.tables.map((table) => {
      const told = isElsewhere(table) ? progress.get(shards.get(table.name) ?? 0) : undefined;
      if (told === undefined) return table;
      const lagEntries = Math.max(0, told.leaderAppliedIndex - table.leaderIndex);
      return { ...table, ...told, lagEntries };
    });
    return { ...status, tables };
  }

  /** How the tables that this node replicates stand, for the other members. */
  #progress(): Buffer {
    const own = this.#tables().filter(({ state }) => state !== 'elsewhere');
    const shards = new Map(this.#node.status().tables.map(({ name, shardId }) => [name, shardId]));
    return encodeProgress(new Map(own.map((table) => [shards.get(table.name) ?? 0, table])));
  }

  /** For how long every attempt to reach the leader cluster has failed. */
  get #silentMs(): number {
    const { clock } = this.#environment;
    return this.#silentSinceMs === undefined ? 0 : clock.monotonicMs() - this.#silentSinceMs;
  }

  /** Nobody knows what is missing while the leader cluster is out of reach: a table is as old as the last contact then. */
  get #unheardMs(): number {
    if (this.#silentSinceMs === undefined) return 0;
    return this.#environment.clock.monotonicMs() - (this.#contactMs ?? this.#startedMs);
  }

  #tables(): TableReplication[] {
    if (this.#node.role !== 'follower') return [];
    const unheardMs = this.#unheardMs;
    const { nodeId, tables } = this.#node.status();
    return tables.map(({ name, leaderIndex }) => {
      const status = this.#workers.get(name)?.worker.status();
      return (
        (status && { ...status, lagMs: Math.max(status.lagMs, unheardMs), replicatedBy: nodeId }) ?? {
          name,
          state: 'elsewhere',
          leaderIndex: leaderIndex ?? 0,
          leaderAppliedIndex: 0,
          lagEntries: 0,
          lagMs: unheardMs,
          error: undefined,
          replicatedBy: undefined,
        }
      );
    });
  }

  /** Makes what runs here what the node's part is now. */
  #adjust(): void {
    if (this.#isStopped) return;
    const { role } = this.#node;
    const isFollower = role === 'follower';
    if (isFollower) this.#reconciling ??= this.#run((signal) => this.#reconciler.run(signal));
    else this.#reconciling?.stop();
    this.#wakeReconciler();
    const isTaking = isFollower && this.#reconciler.isLeaderKnown;
    this.#adjustWorkers(isTaking ? this.#node.ledTables() : []);
    const isPromoter = role === 'promoting' && this.#node.leadsMeta;
    if (!isPromoter) {
      this.#promoting?.stop();
      this.#promoting = undefined;
    } else {
      this.#promoting ??= this.#run((signal) => new Promotion(this.#node, this.#environment).run(signal));
    }
  }

  /** Its duty, or the leader cluster that this cluster belongs to, has changed. */
  #wakeReconciler(): void {
    const { leadsMeta, leaderClusterId } = this.#node;
    const before = this.#seen;
    this.#seen = { leadsMeta, leaderClusterId };
    if (before === undefined) return;
    if (leadsMeta !== before.leadsMeta || leaderClusterId !== before.leaderClusterId) this.#reconciler.wake();
  }

  #adjustWorkers(tables: readonly LedTable[]): void {
    const led = new Map(tables.map((table) => [table.name, table]));
    for (const [name, { worker, stop }] of this.#workers) {
      const table = led.get(name);
      if (table !== undefined && isSame(table, worker.table)) continue;
      stop();
      this.#workers.delete(name);
    }
    for (const table of tables) {
      if (this.#workers.has(table.name)) continue;
      const worker = new TableWorker(table, this.#workerContext);
      this.#run(() => worker.run());
      this.#workers.set(table.name, { worker, stop: () => worker.stop() });
    }
  }

  #run(work: (signal: AbortSignal) => Promise<void>): Running {
    const aborter = new AbortController();
    const ended = work(aborter.signal)
      .catch((error: unknown) => {
        if (!this.#isStopped) this.#environment.fatal(error);
      })
      .finally(() => this.#running.delete(ended));
    this.#running.add(ended);
    return { stop: () => aborter.abort() };
  }
}

function isSame(a: LedTable, b: LedTable): boolean {
  return (
    a.shardId === b.shardId &&
    a.term === b.term &&
    a.stopped === b.stopped &&
    a.isResetWanted === b.isResetWanted
  );
}
