import type { TableLog } from '@coxswain/node';
import { Backoff } from '@coxswain/runtime';
import { type TableArchiverContext, type TellOfTable, textOf } from './archiver-context.js';
import { archiveEvents } from './events.js';
import type { ShardArchive } from './shard-archive.js';

const RETRY_LEAST_MS = 250;
const RETRY_GREATEST_MS = 30_000;

/**
 * Archives bases of one table, one after another, and prunes what a new one makes needless. It tries again what fails,
 * after pauses of up to 30 s.
 */
export class BaseArchiver {
  readonly #context: TableArchiverContext;
  readonly #tell: TellOfTable;
  readonly #signal: AbortSignal;
  readonly #backoff: Backoff;
  #running: Promise<void> | undefined;
  #notBeforeMs = 0;
  #error: string | undefined;

  constructor(context: TableArchiverContext, tell: TellOfTable, signal: AbortSignal) {
    this.#context = context;
    this.#tell = tell;
    this.#signal = signal;
    this.#backoff = new Backoff(context.environment.random, {
      leastMs: RETRY_LEAST_MS,
      greatestMs: RETRY_GREATEST_MS,
    });
  }

  /** The archiving of a base that is under way, which never rejects; undefined when there is none. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** Why the last base could not be archived; undefined when it could. */
  get error(): string | undefined {
    return this.#error;
  }

  /**
   * Returns the milliseconds until the next base is due, at most 0 when it is due now. A base is due at once when the
   * end of the archive cannot be restored without one, and otherwise when the last one is old and entries came after
   * it; a failed attempt puts it off. `endIndex` is the last entry that a base taken now would hold.
   */
  dueInMs(archive: ShardArchive, endIndex: number): number {
    const heldBackMs = this.#notBeforeMs - this.#nowMs;
    if (!archive.isRestorable) return heldBackMs;
    const { lastBase } = archive;
    const hasChanged = endIndex > (lastBase?.revision ?? 0);
    if (!hasChanged) return Number.POSITIVE_INFINITY;
    const { clock } = this.#context.environment;
    const sinceMs = clock.nowMs() - (lastBase?.timeMs ?? archive.beganMs);
    return Math.max(this.#context.options.baseIntervalMs - sinceMs, heldBackMs);
  }

  /** Begins to archive a base of the table as it is now. Calls `onEnd` when that has ended, whatever its outcome. */
  begin(log: TableLog, archive: ShardArchive, onEnd: () => void): void {
    this.#running = this.#run(log, archive, onEnd);
  }

  async #run(log: TableLog, archive: ShardArchive, onEnd: () => void): Promise<void> {
    const signal = this.#signal;
    const release = await this.#context.bases.take(signal);
    try {
      if (signal.aborted) return;
      const view = log.table.view();
      const { revision } = view;
      try {
        // The end of a shard must come after every base, so that a restore that begins with a base meets it.
        if (view.state.sealedBy !== undefined) return;
        await archive.putBase(view, { signal });
      } finally {
        view.close();
      }
      this.#context.counters.bases++;
      this.#tell(archiveEvents.baseArchived, { revision });
      this.#backoff.reset();
      this.#error = undefined;
      await this.#prune(archive, signal);
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    } finally {
      release?.();
      this.#running = undefined;
      onEnd();
    }
  }

  /** Prunes the shard's archive, in which a new base has made older objects needless. */
  async #prune(archive: ShardArchive, signal: AbortSignal): Promise<void> {
    const { retention } = this.#context.options;
    if (retention.ageMs === 0) return;
    const { counters } = this.#context;
    try {
      const { baseCount, logCount, gapCount, unbacked } = await archive.prune(retention, { signal });
      counters.objectsPruned += baseCount + logCount + gapCount;
      if (unbacked.length > 0) this.#tell(archiveEvents.unbackedEntriesPruned, { unbacked });
    } catch (error) {
      if (signal.aborted) return;
      counters.errors++;
      this.#tell(archiveEvents.archivePruningFailed, { error: textOf(error) });
    }
  }

  #failed(error: unknown): void {
    this.#notBeforeMs = this.#nowMs + this.#backoff.next();
    this.#context.counters.errors++;
    const reason = textOf(error);
    if (this.#error === undefined) this.#tell(archiveEvents.baseArchivingFailed, { error: reason });
    this.#error = reason;
  }

  get #nowMs(): number {
    return this.#context.environment.clock.monotonicMs();
  }
}
