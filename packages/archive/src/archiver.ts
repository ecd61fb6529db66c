import type { LedTable, NodeParts } from '@coxswain/node';
import type { Clock, Log, Random, RateLimit } from '@coxswain/runtime';
import type { ArchiveCounters, ArchiveStatus, TableArchiveStatus } from './archive-status.js';
import { ArchivedReports } from './archived-reports.js';
import type { TableArchiverContext } from './archiver-context.js';
import { archiveEvents } from './events.js';
import { prune, type Retention } from './prune.js';
import { Slots } from './slots.js';
import type { ObjectStore } from './store.js';
import { TableArchiver } from './table-archiver.js';

/** The limits and intervals of a node's archiving, from its configuration. */
export interface ArchiverOptions {
  /** Compressed bytes that a log object holds, roughly; a single entry may be larger. */
  readonly objectSizeBytes: number;
  /** Milliseconds for which an entry waits, at most and roughly, until its object is stored, when the store answers. */
  readonly objectAgeMs: number;
  /** Milliseconds after which a table that is written to gets another base. */
  readonly baseIntervalMs: number;
  readonly retention: Retention;
  /** The most bytes that may wait in the logs of all tables of the node (archive.max-backlog). */
  readonly backlogBytesMax: number;
}

/** The parts of the process that archiving uses. */
export interface ArchiverEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: ObjectStore;
  /** The rate limit for bases, in compressed bytes. */
  readonly baseRate: RateLimit;
  /** Is called for a broken invariant: the process must end. */
  readonly fatal: (error: unknown) => void;
}

/** The parts of the node that archiving uses. */
export type ArchiverNode = Pick<NodeParts, 'cluster' | 'logs' | 'maintenance' | 'reports'>;

/** Log objects that are gathered or stored at the same time; each is held in memory. */
const UPLOADS_MAX = 2;
/** Bases that are stored at the same time. */
const BASES_MAX = 1;
/** Tables whose archives are opened at the same time; each costs a few small requests. */
const OPENINGS_MAX = 8;
/** The part of archive.max-backlog from which on the backlog is worth a warning. */
const BACKLOG_WARNING = 0.5;
/** Milliseconds between two looks at the backlog. */
const CHECK_MS = 1_000;
/** Milliseconds between two prunings of shards that no table has any more. */
const PRUNE_MS = 3_600_000;

/**
 * Archives the tables of a leader cluster that this node leads (R6). A table that another node leads is archived by
 * that node.
 */
export class Archiver {
  readonly #node: ArchiverNode;
  readonly #environment: ArchiverEnvironment;
  readonly #options: ArchiverOptions;
  readonly #counters: ArchiveCounters = {
    logObjects: 0,
    logBytes: 0,
    bases: 0,
    gaps: 0,
    errors: 0,
    objectsPruned: 0,
  };
  readonly #reports: ArchivedReports;
  readonly #tableContext: TableArchiverContext;
  /** The archivers of the tables that this node leads. */
  readonly #tables = new Map<string, TableArchiver>();
  readonly #running = new Map<TableArchiver, Promise<void>>();
  #leaveNode: (() => void) | undefined;
  #isStopped = false;
  #isBehind = false;
  #check: { cancel(): void } | undefined;
  readonly #aborter = new AbortController();
  #pruning: Promise<void> | undefined;
  #prunedMs: number;

  constructor(node: ArchiverNode, environment: ArchiverEnvironment, options: ArchiverOptions) {
    this.#node = node;
    this.#environment = environment;
    this.#options = options;
    this.#prunedMs = environment.clock.monotonicMs();
    this.#reports = new ArchivedReports(node, environment);
    this.#tableContext = {
      node,
      environment,
      options,
      counters: this.#counters,
      uploads: new Slots(UPLOADS_MAX),
      bases: new Slots(BASES_MAX),
      openings: new Slots(OPENINGS_MAX),
      report: (shardId, index) => this.#reports.add(shardId, index),
    };
  }

  /** Begins to archive the tables that this node leads, and follows the changes of what it leads. */
  start(): void {
    this.#leaveNode = this.#node.cluster.onChange(() => this.#adjust());
    this.#adjust();
    this.#watch();
  }

  /**
   * Stops archiving, and resolves when nothing of it runs any more. Objects that are being stored are given up; the
   * next leader stores them.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#leaveNode?.();
    this.#check?.cancel();
    this.#aborter.abort();
    for (const archiver of this.#running.keys()) archiver.stop();
    await Promise.all([...this.#running.values(), this.#pruning]);
    await this.#reports.stop();
  }

  get store(): ObjectStore {
    return this.#environment.store;
  }

  /**
   * Returns the index up to which the archive has the shard's log, as far as this node or the cluster knows; 0 for
   * nothing.
   */
  archivedIndex(shardId: number): number {
    return Math.max(
      this.#node.maintenance.archivedIndex(shardId),
      this.#archiverOf(shardId)?.archivedIndex ?? 0,
    );
  }

  /**
   * Returns why this node cannot archive the shard for the moment; undefined when it can, or another node archives it.
   */
  errorOf(shardId: number): string | undefined {
    return this.#archiverOf(shardId)?.status().error;
  }

  #archiverOf(shardId: number): TableArchiver | undefined {
    return [...this.#tables.values()].find(({ table }) => table.shardId === shardId);
  }

  /**
   * Whether this node still stores the end of a table of that name which was deleted, or whose shard was replaced (T2).
   * False while the store fails.
   */
  isEnding(name: string): boolean {
    return [...this.#running.keys()].some(
      (archiver) =>
        archiver.table.name === name && archiver.isLeaving && archiver.status().error === undefined,
    );
  }

  /**
   * Ends the open objects of this node's tables and stores them. Resolves when everything applied by now is stored, or
   * when aborted.
   */
  async flush(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#tables.values()].map((archiver) => archiver.flush(signal)));
  }

  status(): ArchiveStatus {
    const { sizeBytes, refusesWrites } = this.#node.maintenance.archiveBacklog();
    const tables = this.#node.cluster.role === 'leader' ? this.#tableStatuses(refusesWrites) : [];
    return {
      target: this.#environment.store.url,
      tables,
      backlogBytes: sizeBytes,
      backlogBytesMax: this.#options.backlogBytesMax,
      warnings: this.#warnings(sizeBytes, refusesWrites),
      counters: this.#counters,
    };
  }

  #tableStatuses(refusesWrites: boolean): TableArchiveStatus[] {
    return this.#node.reports.status().tables.map(({ name, shardId }) => {
      const archiver = this.#tables.get(name);
      if (archiver === undefined) return this.#elsewhere(name, shardId);
      const status = archiver.status();
      return refusesWrites ? { ...status, state: 'full' } : status;
    });
  }

  #elsewhere(name: string, shardId: number): TableArchiveStatus {
    return {
      name,
      state: 'elsewhere',
      archivedIndex: this.#node.maintenance.archivedIndex(shardId),
      archivedTimeMs: 0,
      backlogBytes: 0,
      backlogMs: 0,
      gapCount: 0,
      error: undefined,
    };
  }

  #warnings(backlogBytes: number, refusesWrites: boolean): string[] {
    if (refusesWrites) return ['as much as archive.max-backlog waits to be archived: writes are refused'];
    return this.#isMuch(backlogBytes) ? ['more than half of archive.max-backlog waits to be archived'] : [];
  }

  #isMuch(backlogBytes: number): boolean {
    return backlogBytes >= this.#options.backlogBytesMax * BACKLOG_WARNING;
  }

  /**
   * Logs once when much begins to wait, and once when that is over. Looks every second, and prunes when that is due.
   */
  #watch(): void {
    const { clock, log } = this.#environment;
    const { sizeBytes, refusesWrites } = this.#node.maintenance.archiveBacklog();
    const isBehind = this.#isMuch(sizeBytes);
    if (isBehind !== this.#isBehind) {
      this.#isBehind = isBehind;
      const { backlogBytesMax } = this.#options;
      const kind = isBehind ? archiveEvents.archiveBehind : archiveEvents.archiveCaughtUp;
      log(kind, { backlogBytes: sizeBytes, backlogBytesMax, refusesWrites });
    }
    if (clock.monotonicMs() - this.#prunedMs >= PRUNE_MS) this.#pruneShards();
    this.#check = clock.startTimer(CHECK_MS, () => this.#watch());
  }

  /**
   * Prunes shards that no table has any more, and that no node archives. The node that leads the meta group removes
   * them when they are old enough.
   */
  #pruneShards(): void {
    this.#prunedMs = this.#environment.clock.monotonicMs();
    const isMine = this.#node.cluster.role === 'leader' && this.#node.cluster.leadsMeta;
    if (!isMine || this.#options.retention.ageMs === 0) return;
    this.#pruning ??= this.#prune().finally(() => {
      this.#pruning = undefined;
    });
  }

  async #prune(): Promise<void> {
    const { clock, store, log } = this.#environment;
    const { clusterId } = this.#node.reports.status();
    const options = { retention: this.#options.retention, nowMs: clock.nowMs(), isDryRun: false };
    const { signal } = this.#aborter;
    try {
      for await (const pruned of prune(store, { clusterId }, options, { signal })) {
        this.#counters.objectsPruned += pruned.baseCount + pruned.logCount + pruned.gapCount;
        const { shard, unbacked } = pruned;
        if (unbacked.length > 0)
          log(archiveEvents.unbackedEntriesPruned, { table: shard.table, shardId: shard.shardId, unbacked });
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#counters.errors++;
      log(archiveEvents.archivePruningFailed, { error: String(error) });
    }
  }

  /** Begins to archive what this node leads now, and leaves what it no longer leads. */
  #adjust(): void {
    if (this.#isStopped) return;
    const tables = this.#node.cluster.role === 'leader' ? this.#node.logs.led() : [];
    const led = new Map(tables.map((table) => [table.name, table]));
    for (const [name, archiver] of this.#tables) {
      const table = led.get(name);
      if (table !== undefined && isSame(table, archiver.table)) continue;
      this.#tables.delete(name);
      archiver.leave();
    }
    for (const table of tables) if (!this.#tables.has(table.name)) this.#begin(table);
  }

  #begin(table: LedTable): void {
    const archiver = new TableArchiver(table, this.#tableContext);
    this.#tables.set(table.name, archiver);
    const ended = archiver
      .run()
      .catch((error: unknown) => {
        if (!this.#isStopped) this.#environment.fatal(error);
      })
      .finally(() => this.#running.delete(archiver));
    this.#running.set(archiver, ended);
  }
}

function isSame(a: LedTable, b: LedTable): boolean {
  return a.shardId === b.shardId && a.term === b.term;
}
