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

const OPEN_MS = 5_000;
/** How often in its life an open object is looked at for its size. */
const LOOKS_PER_OBJECT = 20;
const LOOK_LEAST_MS = 20;
const LOOK_GREATEST_MS = 500;
/** An idle table is told when there is something new; this is for what nobody tells. */
const IDLE_MS = 600_000;
const RETRY_LEAST_MS = 250;
const RETRY_GREATEST_MS = 30_000;

/**
 * Archives one table while this node leads its group: what is applied (R6) goes into objects of a limited size and age,
 * one after the other, and now and then a base. What is stored is read at the beginning, so nothing is remembered that
 * matters: whoever leads next goes on from there, and where two leaders store the same entries they are equal.
 *
 * A log of which entries are gone that were never stored is archived from where it goes on, the gap is marked, and a base
 * is taken at once: behind it everything can be restored again.
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
  /** Up to here the log has nothing but internal entries that are not stored: they wait for a command to go with. */
  #seen = 0;
  /** When the first command that is not stored was seen; undefined: there is none. */
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

  /** Resolves when it was stopped, or has left, and nothing of it is under way. What fails is tried again. */
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

  stop(): void {
    this.#aborter.abort();
    this.#waiting?.abort();
  }

  /** The node does not lead the table any more. Where the table was sealed (T2) nobody else will store the end of its log. */
  leave(): void {
    if (!this.#isSealed()) {
      this.stop();
      return;
    }
    this.#isLeaving = true;
    this.#waiting?.abort();
  }

  /** It stores the end of a shard that has no table any more. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /** Cuts the open object. Resolves when what was applied by now is stored, when this ends, or when aborted. */
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

  /** The last entry that is stored; 0: none. */
  get archivedIndex(): number {
    if (this.#archive !== undefined) return this.#archive.endIndex;
    return this.#context.node.maintenance.archivedIndex(this.table.shardId);
  }

  #backlogBytes(): number {
    // Entries that no restore would miss do not wait: an idle table has no backlog.
    if (this.#log === undefined || this.#openSinceMs === undefined) return 0;
    return this.#log.sizeBytesAbove(this.archivedIndex);
  }

  /** A log that was taken away has nothing applied. */
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
    // The end of the log of a deleted table is what brings the table back: it goes when it is stored.
    this.#release = log.hold();
    this.#seen = log.baseIndex;
    return log;
  }

  // ---- what is to be done, and when

  /** False: there is nothing left to do, ever. */
  async #untilDue(log: TableLog): Promise<boolean> {
    for (;;) {
      if (this.#aborter.signal.aborted) return false;
      this.#look(log);
      if (this.#isDue(log)) return true;
      if (this.#isLeaving) return false;
      await this.#wait(log);
    }
  }

  /** Looks for the first command behind what is stored. */
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

  /** What was never written to costs the store nothing. */
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

  /** Entries up to `last` can never be stored. */
  async #skip(log: TableLog, archive: ShardArchive, last: number): Promise<void> {
    // What a load brought into the shard was no part of the table's story, and is in the base that is taken now (T2).
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
        // Whoever else waits for the event loop comes first.
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
    // The node itself is not ready for a moment now and then; that is no failure of the archive.
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
