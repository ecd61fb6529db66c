import { ApiError, type LedTable, type TableLog } from '@coxswain/node';
import { Backoff, pause } from '@coxswain/runtime';
import type { TableArchiveStatus } from './archive-status.js';
import { addEntries, isInternal, READ_BYTES_MAX } from './archived-entries.js';
import { type TableArchiverContext, type TellOfTable, textOf } from './archiver-context.js';
import { BaseArchiver } from './base-archiver.js';
import { archiveEvents } from './events.js';
import { Flushes } from './flushes.js';
import { ShardArchive } from './shard-archive.js';
import type { Slots } from './slots.js';

/** Milliseconds within which the table's log must open. */
const OPEN_MS = 5_000;
/** The number of looks at the size of an open object during its life. */
const LOOKS_PER_OBJECT = 20;
const LOOK_LEAST_MS = 20;
const LOOK_GREATEST_MS = 500;
/**
 * The most milliseconds that an idle table waits: it is woken when there is something new, and this is for changes that
 * wake nobody.
 */
const IDLE_MS = 600_000;
const RETRY_LEAST_MS = 250;
const RETRY_GREATEST_MS = 30_000;

/**
 * Archives one table while this node leads its group: applied entries (R6) go into objects of a limited size and age,
 * one after the other, and now and then a base is stored. The end of the archive is read at the beginning, so an
 * archiver remembers nothing that matters: the next leader goes on from there, and where two leaders store the same
 * entries they are equal.
 *
 * A log that has lost entries that were never stored is archived from where it continues; the gap is marked, and a base
 * is taken at once, after which everything can be restored again.
 */
export class TableArchiver {
  readonly table: LedTable;
  readonly #context: TableArchiverContext;
  readonly #aborter = new AbortController();
  readonly #backoff: Backoff;
  readonly #bases: BaseArchiver;
  #log: TableLog | undefined;
  #release: (() => void) | undefined;
  #archive: ShardArchive | undefined;
  /**
   * The index up to which the log, after the stored entries, has only internal ones: they wait for a command to go
   * with.
   */
  #seen = 0;
  /** The monotonic time at which the first command that is not stored was seen; undefined when there is none. */
  #openSinceMs: number | undefined;
  #waiting: AbortController | undefined;
  readonly #flushes = new Flushes();
  #isLeaving = false;
  #error: string | undefined;

  constructor(table: LedTable, context: TableArchiverContext) {
    this.table = table;
    this.#context = context;
    this.#backoff = new Backoff(context.environment.random, {
      leastMs: RETRY_LEAST_MS,
      greatestMs: RETRY_GREATEST_MS,
    });
    this.#bases = new BaseArchiver(context, this.#tell, this.#aborter.signal);
  }

  /**
   * Archives the table until it is stopped, or has left. Resolves when nothing of it is under way any more. It tries
   * again what fails, after pauses of up to 30 s.
   */
  async run(): Promise<void> {
    const { signal } = this.#aborter;
    while (!signal.aborted) {
      try {
        this.#log ??= await this.#openLog();
        const log = this.#log;
        if (!(await this.#untilDue(log))) break;
        await this.#act(log);
        this.#succeeded();
      } catch (error) {
        if (signal.aborted || this.#hasNothingLeft()) break;
        await this.#failed(error);
      }
    }
    this.stop();
    await this.#bases.running;
    this.#release?.();
    this.#flushes.answerAll();
  }

  /** Stops archiving at once. Objects that are being stored are given up. */
  stop(): void {
    this.#aborter.abort();
    this.#waiting?.abort();
  }

  /**
   * Stops archiving a table that this node no longer leads. Of a sealed shard (T2) it still stores the end of the log,
   * since no other node will.
   */
  leave(): void {
    if (!this.#isSealed()) {
      this.stop();
      return;
    }
    this.#isLeaving = true;
    this.#waiting?.abort();
  }

  /**
   * True after this node has stopped leading a sealed shard (T2), whose table was deleted or moved to another shard: it
   * then stores the end of the shard's log.
   */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /**
   * Ends the open object and stores it. Resolves when everything applied by now is stored, when this archiver ends, or
   * when aborted.
   */
  flush(signal: AbortSignal): Promise<void> {
    if (this.#aborter.signal.aborted || signal.aborted) return Promise.resolve();
    const stored = this.#flushes.add(this.#log?.appliedIndex, signal);
    this.#waiting?.abort();
    return stored;
  }

  status(): TableArchiveStatus {
    const error = this.#error ?? this.#bases.error;
    return {
      name: this.table.name,
      state: error === undefined ? 'archiving' : 'retrying',
      archivedIndex: this.archivedIndex,
      archivedTimeMs: this.#archive?.archivedTimeMs ?? 0,
      backlogBytes: this.#backlogBytes(),
      backlogMs: this.#openSinceMs === undefined ? 0 : this.#nowMs - this.#openSinceMs,
      gapCount: this.#archive?.gapCount ?? 0,
      error,
    };
  }

  get #nowMs(): number {
    return this.#context.environment.clock.monotonicMs();
  }

  /** The index of the last entry that is stored; 0 when none is. */
  get archivedIndex(): number {
    if (this.#archive !== undefined) return this.#archive.endIndex;
    return this.#context.node.maintenance.archivedIndex(this.table.shardId);
  }

  #backlogBytes(): number {
    // Entries that no restore would miss do not wait: an idle table has no backlog.
    if (this.#log === undefined || this.#openSinceMs === undefined) return 0;
    return this.#log.sizeBytesAbove(this.archivedIndex);
  }

  /**
   * Whether an archiver that leaves can store nothing more: its log was not open, or was taken away, and then has
   * nothing applied.
   */
  #hasNothingLeft(): boolean {
    return this.#isLeaving && (this.#log === undefined || this.#log.appliedIndex === 0);
  }

  #isSealed(): boolean {
    const log = this.#log;
    return log !== undefined && log.appliedIndex > 0 && log.table.sealedBy !== undefined;
  }

  async #openLog(): Promise<TableLog> {
    const { node } = this.#context;
    const log = await node.logs.open(this.table.name, { deadlineMs: this.#nowMs + OPEN_MS });
    if (log.shardId !== this.table.shardId) throw new Error('another shard has the name by now');
    // A restore of a deleted table needs the end of its log, which is held until that end is stored.
    this.#release = log.hold();
    this.#seen = log.baseIndex;
    return log;
  }

  // ---- the next step, and its time

  /** Waits until something is due. Returns false when there will never be anything left to do. */
  async #untilDue(log: TableLog): Promise<boolean> {
    for (;;) {
      if (this.#aborter.signal.aborted) return false;
      this.#look(log);
      if (this.#isDue(log)) return true;
      if (this.#isLeaving) return false;
      await this.#wait(log);
    }
  }

  /** Looks for the first command after the stored entries, and answers the flushes that need nothing more. */
  #look(log: TableLog): void {
    if (log.appliedIndex === 0) return;
    this.#flushes.setMissing(log.appliedIndex);
    while (this.#openSinceMs === undefined && this.#seen < log.appliedIndex) {
      const from = Math.max(this.#seen + 1, log.firstIndex);
      if (from > log.appliedIndex) break;
      const entries = log.entries(from, READ_BYTES_MAX);
      const command = entries.find(({ kind }) => !isInternal(kind));
      if (command !== undefined) this.#openSinceMs = this.#nowMs;
      this.#seen = (command?.index ?? entries.at(-1)!.index + 1) - 1;
    }
    const stored = this.#openSinceMs === undefined ? log.appliedIndex : this.archivedIndex;
    this.#flushes.answerUpTo(stored);
  }

  #isDue(log: TableLog): boolean {
    if (log.appliedIndex === 0) return false;
    if (this.#archive === undefined) return this.#hasSomethingToArchive(log);
    return this.archivedIndex + 1 < log.firstIndex || this.#isObjectDue(log) || this.#isBaseDue();
  }

  /**
   * Whether the table's archive must be opened. A table that was never written to has nothing to archive, and costs the
   * store nothing.
   */
  #hasSomethingToArchive(log: TableLog): boolean {
    const isKnown = this.#context.node.maintenance.archivedIndex(this.table.shardId) > 0;
    return isKnown || this.#openSinceMs !== undefined || log.firstIndex > log.baseIndex + 1;
  }

  #isObjectDue(log: TableLog): boolean {
    const { objectAgeMs, objectSizeBytes } = this.#context.options;
    if (this.#openSinceMs === undefined) return false;
    if (this.#isLeaving || !this.#flushes.isEmpty) return true;
    if (this.#nowMs - this.#openSinceMs >= objectAgeMs) return true;
    return log.sizeBytesAbove(this.archivedIndex) >= objectSizeBytes;
  }

  #isBaseDue(): boolean {
    return this.#bases.running === undefined && !this.#isSealed() && this.#baseDueInMs() <= 0;
  }

  #baseDueInMs(): number {
    const archive = this.#archive;
    if (archive === undefined) return Number.POSITIVE_INFINITY;
    const endIndex = this.#openSinceMs === undefined ? archive.endIndex : (this.#log?.appliedIndex ?? 0);
    return this.#bases.dueInMs(archive, endIndex);
  }

  async #wait(log: TableLog): Promise<void> {
    const { clock } = this.#context.environment;
    const { objectAgeMs } = this.#context.options;
    const aborter = new AbortController();
    this.#waiting = aborter;
    const baseMs = this.#bases.running === undefined ? Math.max(0, this.#baseDueInMs()) : IDLE_MS;
    const lookMs = Math.min(LOOK_GREATEST_MS, Math.max(LOOK_LEAST_MS, objectAgeMs / LOOKS_PER_OBJECT));
    try {
      if (this.#openSinceMs !== undefined || !log.isServing) {
        await pause(clock, Math.min(lookMs, baseMs), aborter.signal);
      } else {
        await log.appliedAbove(log.appliedIndex, Math.min(IDLE_MS, baseMs), aborter.signal);
      }
    } finally {
      this.#waiting = undefined;
    }
  }

  // ---- doing it

  async #act(log: TableLog): Promise<void> {
    const archive = this.#archive;
    if (archive === undefined) {
      await this.#openArchive(log);
      return;
    }
    if (archive.endIndex + 1 < log.firstIndex) await this.#skip(log, archive, log.firstIndex - 1);
    if (this.#isBaseDue()) this.#bases.begin(log, archive, () => this.#waiting?.abort());
    if (this.#isObjectDue(log)) await this.#store(log, archive);
  }

  async #openArchive(log: TableLog): Promise<void> {
    const { node, environment } = this.#context;
    const { name, shardId } = this.table;
    const shard = {
      clusterId: node.reports.status().clusterId ?? '',
      shardId,
      table: name,
      firstIndex: log.loadedIndex > 0 ? 0 : log.baseIndex + 1,
    };
    await this.#inTurn(this.#context.openings, async (signal) => {
      const known = { archivedIndex: node.maintenance.archivedIndex(shardId), firstIndex: log.firstIndex };
      this.#archive = await ShardArchive.open(environment, shard, known, { signal });
      this.#advanced(this.#archive);
    });
  }

  /** Moves past entries up to `last`, which can never be stored: marks those that are missing as a gap. */
  async #skip(log: TableLog, archive: ShardArchive, last: number): Promise<void> {
    // What a load brought into the shard never was in its log, and is in the base that is taken now (T2).
    const first = Math.max(archive.endIndex, log.loadedIndex) + 1;
    if (first <= last) {
      await archive.putGap(first, last, { signal: this.#aborter.signal });
      this.#context.counters.gaps++;
      this.#tell(archiveEvents.archiveGap, { first, last });
    } else archive.beginRunAt(last + 1);
    this.#advanced(archive);
  }

  #advanced({ endIndex }: ShardArchive): void {
    this.#seen = endIndex;
    this.#openSinceMs = undefined;
    this.#context.report(this.table.shardId, endIndex);
  }

  async #store(log: TableLog, archive: ShardArchive): Promise<void> {
    const { clock } = this.#context.environment;
    await this.#inTurn(this.#context.uploads, async (signal) => {
      const { endIndex } = archive;
      const object = archive.beginLog();
      const unfit = await addEntries(log, endIndex + 1, object, {
        objectSizeBytes: this.#context.options.objectSizeBytes,
        signal,
        // Lets other work on the event loop run first.
        giveWay: () => new Promise<void>((resolve) => clock.defer(resolve)),
      });
      if (object.isEmpty) {
        if (unfit !== undefined) await this.#skip(log, archive, unfit);
        return;
      }
      try {
        await archive.putLog(object, { signal });
      } finally {
        if (archive.endIndex > endIndex) {
          this.#context.counters.logObjects++;
          this.#context.counters.logBytes += object.sizeBytes;
          this.#advanced(archive);
          this.#tell(archiveEvents.logArchived, { last: archive.endIndex });
        }
      }
    });
  }

  async #inTurn(slots: Slots, act: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#aborter;
    const release = await slots.take(signal);
    if (release === undefined) return;
    try {
      await act(signal);
    } finally {
      release();
    }
  }

  #succeeded(): void {
    this.#backoff.reset();
    if (this.#error !== undefined) this.#tell(archiveEvents.tableArchivingResumed);
    this.#error = undefined;
  }

  async #failed(error: unknown): Promise<void> {
    const { clock } = this.#context.environment;
    const aborter = new AbortController();
    // The node itself is not ready for a moment now and then. That is no failure of the archive.
    if (!(error instanceof ApiError)) {
      this.#context.counters.errors++;
      const reason = textOf(error);
      if (this.#error === undefined) this.#tell(archiveEvents.tableArchivingFailed, { error: reason });
      this.#error = reason;
    }
    this.#waiting = aborter;
    await pause(clock, this.#backoff.next(), aborter.signal);
    this.#waiting = undefined;
  }

  readonly #tell: TellOfTable = (kind, fields) => {
    const { name, shardId } = this.table;
    this.#context.environment.log(kind, { table: name, shardId, ...fields });
  };
}
