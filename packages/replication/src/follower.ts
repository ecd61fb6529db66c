import type { LedTable, NodeParts } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { Contact } from './contact.js';
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

/** A task that runs until it is stopped. */
interface Running {
  stop(): void;
}

/** The state that wakes the reconciler when it changes. */
interface Duty {
  readonly leadsMeta: boolean;
  readonly leaderClusterId: string | undefined;
  readonly state: string;
}

/** The topic under which the members of a follower cluster ask how the others replicate, and how long they wait. */
const PROGRESS_TOPIC = 'replication progress';
const PROGRESS_WAIT_MS = 1_000;
/** Entries whose times are asked for at once: some, of elections, have none. */
const TIMES_ASKED = 16;
/** A leader cluster that was out of reach for so long is logged as such at the next call that fails. */
const SILENCE_LOGGED_MS = 2_000;

/**
 * A node's part in following a leader cluster: it replicates the tables that it leads, compares the list of tables, and
 * turns the cluster into a leader cluster when it is ordered to.
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
  /** The number of workers that have not ended yet, including those that were stopped. */
  #workerCount = 0;
  #seen: Duty | undefined;
  /** Since when an operator has replication paused, as this node knows; undefined: it is not. */
  #pausedSinceMs: number | undefined;
  /** The contact with the leader cluster as a whole. */
  readonly #contact: Contact;
  #isSilenceLogged = false;
  /** The request for the status that is under way, shared by all that ask at the same time. */
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
        if (this.#isSilenceLogged)
          log('info', 'the leader cluster is reached again', { address: link.address });
        this.#isSilenceLogged = false;
        return;
      }
      this.#contact.failed();
      // A call that fails once, and succeeds with another node of the leader cluster, is not worth a line.
      const isShort = this.#contact.failingMs < SILENCE_LOGGED_MS;
      if (this.#isSilenceLogged || isShort || node.cluster.role !== 'follower') return;
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
    this.#node.cluster.answerMembers(PROGRESS_TOPIC, () => this.#progress());
    this.#leaveNode = this.#node.cluster.onChange(() => this.#adjust());
    this.#adjust();
  }

  /** Stops the follower. Resolves when nothing of it runs any more. */
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

  /** The names of the leader cluster's nodes; none of a stock one. Undefined: it was not met since the process started. */
  get leaderNodes(): readonly string[] | undefined {
    return this.#reconciler.leaderNodes;
  }

  /** True while this node takes something from the leader cluster, or still applies entries that it took. */
  get isTaking(): boolean {
    return this.#workerCount > 0;
  }

  /** Reports to the leader cluster the state that an operator wants of this node. Rejects with a LinkError. */
  async tellState(deadlineMs: number): Promise<void> {
    await this.#reconciler.tell(deadlineMs);
  }

  /**
   * Returns when the leader cluster appended the entry, or the last one before it that has a time, in milliseconds
   * since 1970, by the leader cluster's clock. Returns undefined when the leader cluster reports no times, or when its
   * log does not reach back so far and has gone on. Rejects with a LinkError.
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
      // This also answers for a log that begins later, and for entries that were loaded: they have a time, and cannot
      // be sent.
      if (message.leaderIndex === last && message.leaderTimeMs > 0) found = message.leaderTimeMs;
      for (const { leaderIndex, timeMs } of commands) if (leaderIndex <= last && timeMs > 0) found = timeMs;
      const isOver = error !== undefined || (commands.at(-1)?.leaderIndex ?? last) >= last;
      if (isOver) break;
    }
    return found;
  }

  /**
   * Works as `status` does, but asks the node that replicates a table how that table stands, for at most a second. The
   * index is this node's own, and so is the number of entries that are missing.
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
      const told = isElsewhere(table) ? progress.get(shards.get(table.name) ?? 0) : undefined;
      if (told === undefined) return table;
      const lagEntries = Math.max(0, told.leaderAppliedIndex - table.leaderIndex);
      return { ...table, ...told, lagEntries };
    });
    return { ...status, tables };
  }

  /** Returns how the tables that this node replicates stand, for the other members. */
  #progress(): Buffer {
    const own = this.#tables().filter(({ state }) => state !== 'elsewhere');
    const shards = new Map(this.#node.reports.status().tables.map(({ name, shardId }) => [name, shardId]));
    return encodeProgress(new Map(own.map((table) => [shards.get(table.name) ?? 0, table])));
  }

  /** Says why nothing is replicated, where an operator wanted that. */
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

  /** Starts and stops tasks until those that run fit the node's part. */
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
   * Wakes the reconciler: this node's duty, the leader cluster that this cluster belongs to, or the state that an
   * operator wants has changed.
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
    /** Contacts for tables that this node goes on replicating with another worker. */
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
