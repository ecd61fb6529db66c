import type { LedTable, NodeParts } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { Contact } from './contact.js';
import { replicationEvents } from './events.js';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { ForwardedWrites } from './forwarded-writes.js';
import { UNDERSTANDS_REVISION_COMPARES } from './log-stream.js';
import { Promotion } from './promotion.js';
import { Reconciler } from './reconciler.js';
import { Recovery } from './recovery.js';
import { readReplicateMessage } from './replicate-message.js';
import { encodeProgress, readProgress } from './shared-progress.js';
import type { ReplicationStatus, TableReplication } from './status.js';
import { TableWorker, type TableWorkerContext } from './table-worker.js';

type FollowerNode = Pick<
  NodeParts,
  'kv' | 'tables' | 'cluster' | 'logs' | 'follower' | 'members' | 'reports'
>;

/** Background work that runs until `stop` is called. */
interface Running {
  stop(): void;
}

/** The state of this node whose changes wake the reconciler. */
interface Duty {
  readonly leadsMeta: boolean;
  readonly leaderClusterId: string | undefined;
  readonly state: string;
}

/**
 * The topic under which members of a follower cluster ask each other for the progress of their tables, and the
 * milliseconds for which they wait for answers.
 */
const PROGRESS_TOPIC = 'replication progress';
const PROGRESS_WAIT_MS = 1_000;
/** Entries whose times are asked for in one request: some, those of elections, have none. */
const TIMES_ASKED = 16;
/** Milliseconds for which the leader cluster must be out of reach before the next failing call logs that. */
const SILENCE_LOGGED_MS = 2_000;

/**
 * A node's part in following a leader cluster: replicates the tables that it leads, compares the list of tables, and
 * turns the cluster into a leader cluster when that is ordered.
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
  /** The number of workers that have not ended, including those that were stopped. */
  #workerCount = 0;
  #seen: Duty | undefined;
  /**
   * The monotonic time since which this node has known that an operator paused replication; undefined when it is not
   * paused.
   */
  #pausedSinceMs: number | undefined;
  /** The contact with the leader cluster as a whole; each worker has one for its table. */
  readonly #contact: Contact;
  #isSilenceLogged = false;
  /** The question to the other members that is under way; all callers at the same time share it. */
  #asking: Promise<ReplicationStatus> | undefined;

  constructor(node: FollowerNode, environment: FollowerEnvironment, options: FollowerOptions) {
    this.#node = node;
    this.#environment = environment;
    this.#options = options;
    this.#contact = new Contact(environment.clock);
    this.writes = new ForwardedWrites(node, environment);
    const contact = (isThere: boolean): void => {
      const { link, log } = environment;
      if (isThere) {
        this.#contact.heard();
        if (this.#isSilenceLogged) log(replicationEvents.leaderClusterReached, { address: link.address });
        this.#isSilenceLogged = false;
        return;
      }
      this.#contact.failed();
      // A call that fails once and succeeds with another node is not worth a line.
      const isShort = this.#contact.failingMs < SILENCE_LOGGED_MS;
      if (this.#isSilenceLogged || isShort || node.cluster.role !== 'follower') return;
      this.#isSilenceLogged = true;
      log(replicationEvents.leaderClusterLost, { address: link.address });
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
    this.#node.cluster.answerMembers(PROGRESS_TOPIC, () => this.#progress());
    this.#leaveNode = this.#node.cluster.onChange(() => this.#adjust());
    this.#adjust();
  }

  /** Stops all background work and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#leaveNode?.();
    for (const each of [this.#reconciling, this.#promoting, ...this.#workers.values()]) each?.stop();
    await Promise.all(this.#running);
  }

  status(): ReplicationStatus {
    const { commandsApplied, bytesReceived, snapshotsTaken } = this.#counters;
    const tables = this.#tables();
    const isFollower = this.#node.cluster.role === 'follower';
    const { logRpcTimeoutMs } = this.#options;
    const workers = [...this.#workers.values()].map(({ worker }) => worker);
    const contacts = [this.#contact, ...workers.map(({ contact }) => contact)];
    const isBroken =
      this.#reconciler.isForeign ||
      contacts.some(({ failingMs }) => failingMs >= logRpcTimeoutMs) ||
      tables.some(({ state }) => state === 'stopped');
    return {
      leaderAddress: this.#environment.link.address,
      leaderClusterId: this.#node.cluster.leaderClusterId,
      error: isFollower ? (this.#pausedText ?? this.#reconciler.error) : undefined,
      isBroken: isFollower && isBroken,
      isReached: !this.#contact.isNew && !this.#contact.isFailing,
      isFailing: isFollower && workers.some(({ contact }) => contact.isFailing),
      tables,
      commandsApplied,
      bytesReceived,
      snapshotsTaken,
    };
  }

  /**
   * The names of the leader cluster's nodes; empty for a stock one, undefined until it was met for the first time since
   * the process started.
   */
  get leaderNodes(): readonly string[] | undefined {
    return this.#reconciler.leaderNodes;
  }

  /** True while this node takes something from the leader cluster, or still applies what it took. */
  get isTaking(): boolean {
    return this.#workerCount > 0;
  }

  /** Reports to the leader cluster the state that an operator wants of this node. Rejects with a LinkError. */
  async tellState(deadlineMs: number): Promise<void> {
    await this.#reconciler.tell(deadlineMs);
  }

  /**
   * Returns when the leader cluster appended an entry, or the last entry before it that has a time, in milliseconds
   * since 1970 by the leader cluster's clock. Returns undefined when it sends no times, or its log no longer reaches
   * back to the entry and has gone on. Rejects with a LinkError.
   */
  async timeOf(table: string, leaderIndex: number, deadlineMs: number): Promise<number | undefined> {
    for (const from of new Set([Math.max(1, leaderIndex - TIMES_ASKED + 1), leaderIndex])) {
      const timeMs = await this.#timeBetween(table, from, leaderIndex, deadlineMs);
      if (timeMs !== undefined) return timeMs;
    }
    return undefined;
  }

  async #timeBetween(
    table: string,
    from: number,
    last: number,
    deadlineMs: number,
  ): Promise<number | undefined> {
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(table),
      leaderIndex: BigInt(from),
      clusterId: this.#node.cluster.leaderClusterId ?? '',
      capabilities: UNDERSTANDS_REVISION_COMPARES,
      follower: this.#options.followerName,
      followerClusterId: this.#node.cluster.id ?? '',
      appliedIndex: BigInt(last),
    });
    let found: number | undefined;
    for await (const bytes of this.#environment.link.replicate(request, { deadlineMs })) {
      const message = readReplicateMessage(bytes);
      const { commands, error } = message;
      // The message has this time even when its log begins later or the entries were loaded and cannot be sent.
      if (message.leaderIndex === last && message.leaderTimeMs > 0) found = message.leaderTimeMs;
      for (const { leaderIndex, timeMs } of commands) if (leaderIndex <= last && timeMs > 0) found = timeMs;
      const isOver = error !== undefined || (commands.at(-1)?.leaderIndex ?? last) >= last;
      if (isOver) break;
    }
    return found;
  }

  /**
   * Returns the status, and for tables that another node replicates the progress which that node reports within a
   * second. The index, and the number of entries that are missing, are always those of this node.
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
    const answers = await this.#node.cluster.askMembers(PROGRESS_TOPIC, Buffer.alloc(0), PROGRESS_WAIT_MS);
    const progress = readProgress(answers);
    const shards = new Map(this.#node.reports.status().tables.map(({ name, shardId }) => [name, shardId]));
    const status = this.status();
    const tables = status.tables.map((table) => {
      const reported = isElsewhere(table) ? progress.get(shards.get(table.name) ?? 0) : undefined;
      if (reported === undefined) return table;
      const lagEntries = Math.max(0, reported.leaderAppliedIndex - table.leaderIndex);
      return { ...table, ...reported, lagEntries };
    });
    return { ...status, tables };
  }

  /** Encodes the progress of the tables that this node replicates, for the other members. */
  #progress(): Buffer {
    const own = this.#tables().filter(({ state }) => state !== 'elsewhere');
    const shards = new Map(this.#node.reports.status().tables.map(({ name, shardId }) => [name, shardId]));
    return encodeProgress(new Map(own.map((table) => [shards.get(table.name) ?? 0, table])));
  }

  /** The reason for which nothing is replicated when an operator paused replication; otherwise undefined. */
  get #pausedText(): string | undefined {
    const node = this.#node;
    if (!node.members.isReplicationPaused) return undefined;
    const paused = node.reports
      .status()
      .members.filter(({ id }) => ['pausing', 'paused'].includes(node.members.state(id)))
      .map(({ name }) => name);
    return `it is paused on ${paused.join(', ')}: nothing is applied on any node until each of them is resumed with "PUT /state/NAME/resume" of the REST listener`;
  }

  #tables(): TableReplication[] {
    if (this.#node.cluster.role !== 'follower') return [];
    const { clock } = this.#environment;
    const isPaused = this.#pausedSinceMs !== undefined;
    const pausedMs = isPaused ? clock.monotonicMs() - this.#pausedSinceMs! : 0;
    const unheardMs = Math.max(this.#contact.unheardMs, pausedMs);
    const { nodeId, tables } = this.#node.reports.status();
    return tables.map(({ name, leaderIndex }) => {
      const status = this.#workers.get(name)?.worker.status();
      return (
        (status && { ...status, lagMs: Math.max(status.lagMs, unheardMs), replicatedBy: nodeId }) ?? {
          name,
          state: isPaused ? 'paused' : 'elsewhere',
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

  /** Starts and stops background work so that it fits this node's current part. */
  #adjust(): void {
    if (this.#isStopped) return;
    const { role } = this.#node.cluster;
    const isFollower = role === 'follower';
    if (isFollower) this.#reconciling ??= this.#run((signal) => this.#reconciler.run(signal));
    else this.#reconciling?.stop();
    this.#wakeReconciler();
    const isPaused = isFollower && this.#node.members.isReplicationPaused;
    this.#pausedSinceMs = isPaused
      ? (this.#pausedSinceMs ?? this.#environment.clock.monotonicMs())
      : undefined;
    const isTaking = isFollower && this.#reconciler.isLeaderKnown && !isPaused;
    this.#adjustWorkers(isTaking ? this.#node.logs.led() : []);
    const isPromoter = role === 'promoting' && this.#node.cluster.leadsMeta;
    if (!isPromoter) {
      this.#promoting?.stop();
      this.#promoting = undefined;
    } else {
      this.#promoting ??= this.#run((signal) => new Promotion(this.#node, this.#environment).run(signal));
    }
  }

  /**
   * Wakes the reconciler when this node's duty, the leader cluster that this cluster belongs to, or the state that an
   * operator wants of this node has changed.
   */
  #wakeReconciler(): void {
    const { leadsMeta, leaderClusterId } = this.#node.cluster;
    const state = this.#node.members.state(this.#node.cluster.nodeId);
    const before = this.#seen;
    this.#seen = { leadsMeta, leaderClusterId, state };
    if (before === undefined) return;
    const isSame =
      leadsMeta === before.leadsMeta && leaderClusterId === before.leaderClusterId && state === before.state;
    if (!isSame) this.#reconciler.wake();
  }

  #adjustWorkers(tables: readonly LedTable[]): void {
    const led = new Map(tables.map((table) => [table.name, table]));
    /** The contacts of tables that another worker of this node continues to replicate. */
    const contacts = new Map<string, Contact>();
    for (const [name, { worker, stop }] of this.#workers) {
      const table = led.get(name);
      if (table !== undefined && isSame(table, worker.table)) continue;
      stop();
      this.#workers.delete(name);
      contacts.set(name, worker.contact);
    }
    for (const table of tables) {
      if (this.#workers.has(table.name)) continue;
      const worker = new TableWorker(
        table,
        this.#workerContext,
        contacts.get(table.name) ?? new Contact(this.#environment.clock),
      );
      this.#workerCount++;
      this.#run(() =>
        worker.run().finally(() => {
          this.#workerCount--;
        }),
      );
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
