import type { Table } from '@coxswain/table';
import type { NodeOptions } from '../api/options.js';
import type { ArchiveBacklog, WantedLog } from './archive-backlog.js';
import type { Replica } from './replica.js';
import type { Replicas } from './replicas.js';
import type { Turns } from './turns.js';

/** Entries are removed from the log in portions of at least this fraction of `snapshotEntries`. */
const COMPACTION_PORTION = 0.25;
/**
 * From this many `snapshotEntries` on, a log waits for a checkpoint that the table makes by itself, until
 * `LONG_LOG_COMPACTIONS` times `snapshotEntries` entries have been applied since the last one.
 */
const LONG_LOG_ENTRIES = 10_000;
const LONG_LOG_COMPACTIONS = 5;
/** The limit of the entries removed at once: each takes a few nanoseconds of the event loop. */
const COMPACTION_ENTRIES_MAX = 100_000;

/** The parts of a node that LogCompaction uses. */
export interface LogCompactionOptions {
  readonly options: NodeOptions;
  readonly replicas: Replicas;
  readonly turns: Turns;
  readonly archiveBacklog: ArchiveBacklog | undefined;
  /**
   * Gives the index of the first entry of the replica's log that the archive lacks; undefined when the log is not
   * archived.
   */
  readonly unarchivedFrom: (replica: Replica) => number | undefined;
  /** Runs background work. */
  readonly run: (work: Promise<unknown>) => void;
}

/** Removes entries from logs once a checkpoint of the table holds their effects (D4) and nobody needs them any more. */
export class LogCompaction {
  readonly #options: NodeOptions;
  readonly #replicas: Replicas;
  readonly #turns: Turns;
  readonly #archiveBacklog: ArchiveBacklog | undefined;
  readonly #unarchivedFrom: (replica: Replica) => number | undefined;
  readonly #run: (work: Promise<unknown>) => void;

  constructor(options: LogCompactionOptions) {
    this.#options = options.options;
    this.#replicas = options.replicas;
    this.#turns = options.turns;
    this.#archiveBacklog = options.archiveBacklog;
    this.#unarchivedFrom = options.unarchivedFrom;
    this.#run = options.run;
  }

  /** Removes entries that are archived by now, even from logs to which nothing is written any more. */
  tendArchived(): void {
    const backlog = this.#archiveBacklog;
    if (backlog === undefined) return;
    const wanted = [...this.#replicas.values()].flatMap((replica) => this.#wantedLog(replica) ?? []);
    backlog.look(wanted);
    for (const { replica } of wanted) {
      if (replica.hasTable && !replica.isSuspended) void this.compact(replica);
    }
  }

  /**
   * Makes a checkpoint of each of these replicas and compacts its log at once, but leaves the entries above the index
   * that followers have, which `followedUpTo` gives by table.
   */
  async compactNow(replicas: readonly Replica[], followedUpTo: ReadonlyMap<string, number>): Promise<void> {
    for (const replica of replicas) {
      await this.#replicas.tend(replica, (table) => table.checkpoint());
      if (replica.isClosed || !replica.hasTable || replica.isSuspended) continue;
      await this.compact(replica, {
        upTo: followedUpTo.get(replica.name ?? '') ?? Number.POSITIVE_INFINITY,
      });
    }
  }

  /**
   * Compacts a log when enough entries may go; with `asked`, when any may go, but none above `asked.upTo`. Returns the
   * removal that is under way, if there is one; nobody has to wait for it.
   */
  compact(replica: Replica, asked?: { readonly upTo: number }): Promise<void> | undefined {
    const { log, table } = replica;
    const { snapshotEntries, compactionOverheadEntries, logBytesMax } = this.#options;
    const { index: truncatedIndex } = log.truncated;
    // Entries may be large: those of a load, and those that a follower cluster packs.
    const isLarge = log.sizeBytes > logBytesMax;
    const isDue = isLarge || asked !== undefined;
    if (!isDue && table.appliedIndex - truncatedIndex - compactionOverheadEntries < snapshotEntries)
      return undefined;
    // A part of a large log stays too, for followers that lag a little.
    const kept = Math.floor((table.appliedIndex - truncatedIndex) / 2);
    const overhead = isLarge ? Math.min(kept, compactionOverheadEntries) : compactionOverheadEntries;
    const portion = isDue ? 1 : snapshotEntries * COMPACTION_PORTION;
    const last = Math.min(
      table.appliedIndex - overhead,
      this.#wantedFrom(replica) - 1,
      asked?.upTo ?? Number.POSITIVE_INFINITY,
      truncatedIndex + COMPACTION_ENTRIES_MAX,
    );
    if (last - truncatedIndex < portion) return undefined;
    // D4: only entries that a checkpoint covers may leave the log.
    const index = Math.min(table.checkpointIndex, last);
    if (index - truncatedIndex >= portion) return this.#remove(replica, index);
    this.#checkpoint(replica, table, portion, isDue);
    return undefined;
  }

  #remove(replica: Replica, index: number): Promise<void> {
    const term = replica.log.term(index);
    if (term === undefined) throw new Error(`the log of group ${replica.group} has no term at ${index}`);
    const compact = { index, term, membership: replica.membership };
    const compacted = this.#turns
      .write([{ group: replica.group, compact }])
      // R3: outcomes are kept as long as the log has their entries.
      .then(() => this.#replicas.tend(replica, (tended) => tended.pruneOutcomes(index + 1)));
    this.#run(compacted);
    return compacted;
  }

  /**
   * Makes a checkpoint when it is worth one. A busy table makes checkpoints by itself, and each costs less per entry
   * the more entries it covers.
   */
  #checkpoint(replica: Replica, table: Table, portion: number, isDue: boolean): void {
    const { snapshotEntries } = this.#options;
    const isShort = snapshotEntries < LONG_LOG_ENTRIES;
    const worth = isShort
      ? Math.max(portion, snapshotEntries - portion)
      : LONG_LOG_COMPACTIONS * snapshotEntries;
    if (!table.isCheckpointing && table.appliedIndex - table.checkpointIndex >= (isDue ? 1 : worth))
      this.#run(this.#replicas.tend(replica, (tended) => tended.checkpoint()));
  }

  #wantedLog(replica: Replica): WantedLog | undefined {
    const from = this.#unarchivedFrom(replica);
    return from === undefined ? undefined : { replica, from };
  }

  /** Gives the index of the first entry that the archive keeps in the log; infinite when it keeps none. */
  #wantedFrom(replica: Replica): number {
    const backlog = this.#archiveBacklog;
    const wanted = backlog && this.#wantedLog(replica);
    return wanted === undefined ? Number.POSITIVE_INFINITY : backlog!.keptFrom(wanted);
  }
}
