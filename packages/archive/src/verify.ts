import { BaseObjectReader } from './base-object.js';
import { ShardContents, type StoredBase, type StoredLog } from './catalog.js';
import { ArchiveError } from './errors.js';
import type { ArchivedEntry, ArchivedShard } from './log-object.js';
import { type GapInfo, readGap } from './manifest.js';
import { restorableRuns } from './overview.js';
import { readLog } from './plan.js';
import { type Run, Runs, showRun } from './runs.js';
import type { ObjectStore, StoreCall } from './store.js';

/** Something that is wrong with an archive, and that may matter to a restore. */
export interface ArchiveProblem {
  /**
   * `damaged`: an object differs from the one that was stored; `missing`: entries are in no object, and no gap lists
   * them; `lost`: an object that the manifest lists is gone; `conflict`: two objects disagree about an entry;
   * `unreachable`: neither a base nor the beginning of the log leads to entries.
   */
  readonly kind: 'damaged' | 'missing' | 'lost' | 'conflict' | 'unreachable';
  readonly detail: string;
}

/** Entries that were gone before they could be archived, and when that was found, in milliseconds since 1970. */
export type MarkedGap = Run & Pick<GapInfo, 'timeMs'>;

/** The findings about one shard. */
export interface VerifiedShard {
  readonly shard: ArchivedShard;
  readonly baseCount: number;
  readonly logCount: number;
  readonly sizeBytes: number;
  /** The revisions that a restore can reach exactly. */
  readonly restorable: readonly Run[];
  readonly gaps: readonly MarkedGap[];
  /** The problems that were found, at most 1000; when there is none, everything in `restorable` is whole. */
  readonly problems: readonly ArchiveProblem[];
  /** The number of problems that `problems` leaves out. */
  readonly problemsOmitted: number;
}

/** The options for verifying a shard. */
export interface VerifyOptions {
  /** Is called after each object that was read, with the number of objects read and the number of all. */
  readonly onProgress?: (objectsRead: number, objectsInAll: number) => void;
}

const PROBLEMS_MAX = 1000;

/**
 * Reads everything that is archived of a shard, and compares all records of it. Rejects with tooManyObjects, and with
 * the store's errors.
 */
export async function verifyShard(
  store: ObjectStore,
  shard: ArchivedShard,
  options: VerifyOptions,
  call: StoreCall,
): Promise<VerifiedShard> {
  const contents = await ShardContents.load(store, shard, { from: 0 }, call);
  return new Verification(store, contents, options, call).run();
}

class Verification {
  readonly #store: ObjectStore;
  readonly #contents: ShardContents;
  readonly #options: VerifyOptions;
  readonly #call: StoreCall;
  readonly #problems: ArchiveProblem[] = [];
  #problemsOmitted = 0;
  #objectsRead = 0;
  /** The entries that could be read without an error. */
  readonly #whole = new Runs();
  readonly #wholeBases: StoredBase[] = [];
  readonly #gaps: MarkedGap[] = [];

  constructor(store: ObjectStore, contents: ShardContents, options: VerifyOptions, call: StoreCall) {
    this.#store = store;
    this.#contents = contents;
    this.#options = options;
    this.#call = call;
  }

  async run(): Promise<VerifiedShard> {
    const { bases, logs, gaps, chapterErrors, shard } = this.#contents;
    for (const error of chapterErrors) this.#problem('damaged', error.message);
    for (const base of bases) {
      if (await this.#checked(() => this.#readBase(base))) this.#wholeBases.push(base);
    }
    for (const gap of gaps) {
      await this.#checked(async () => {
        const { timeMs } = await readGap(this.#store, gap, this.#call);
        this.#gaps.push({ first: gap.first, last: gap.last, timeMs });
      });
    }
    await this.#readLogs(logs);
    const restorable = this.#checkContiguity();
    this.#checkLost();
    return {
      shard,
      baseCount: bases.length,
      logCount: logs.length,
      sizeBytes: [...bases, ...logs, ...gaps].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      restorable,
      gaps: this.#gaps,
      problems: this.#problems,
      problemsOmitted: this.#problemsOmitted,
    };
  }

  async #readBase({ name, shard, revision, sizeBytes: listedBytes }: StoredBase): Promise<void> {
    const { sha256, sizeBytes } = this.#contents.told.get(name) ?? {
      sha256: undefined,
      sizeBytes: listedBytes,
    };
    const expected = { name, shard, revision, sha256, sizeBytes };
    const reader = new BaseObjectReader(expected, this.#store.get(name, this.#call));
    for await (const _chunks of reader.backup());
  }

  /**
   * Reads each log object. Beside one that overlaps objects before it, it reads those once more, and compares the
   * entries that both hold.
   */
  async #readLogs(logs: readonly StoredLog[]): Promise<void> {
    let longest: StoredLog | undefined;
    let covered: StoredLog[] = [];
    for (const log of logs) {
      // Later objects begin no earlier, so an object that ends before this one cannot share an entry with any of them.
      covered = covered.filter(({ last }) => last >= log.first);
      const others = covered.filter(({ first }) => first <= log.last);
      const isWhole = await this.#checked(() => this.#readLog(log, others));
      if (isWhole) {
        this.#whole.add(log);
        // An object within another one need not be compared with later ones.
        if (!longest || log.last > longest.last) {
          longest = log;
          covered.push(log);
        }
      }
    }
  }

  async #readLog(log: StoredLog, others: readonly StoredLog[]): Promise<void> {
    const readers = others.map((other) => ({ other, entries: this.#entries(other) }));
    const conflicts = new Set<StoredLog>();
    try {
      for await (const entry of this.#entries(log)) {
        for (const { other, entries } of readers) {
          if (entry.index > other.last || conflicts.has(other)) continue;
          const same = await entryAt(entries, entry.index);
          if (same && isEqual(entry, same)) continue;
          conflicts.add(other);
          this.#problem(
            'conflict',
            `${log.name} and ${other.name} disagree about entry ${entry.index}, which both were to hold alike`,
          );
        }
      }
    } finally {
      for (const { entries } of readers) await entries.return();
    }
  }

  async *#entries(log: StoredLog): AsyncGenerator<ArchivedEntry, void, undefined> {
    const told = this.#contents.told.get(log.name);
    for await (const entries of readLog(this.#store, log, told, this.#call)) yield* entries;
  }

  /**
   * Resolves with whether the work succeeded. An error of the archive itself becomes a problem; one of the store is
   * thrown.
   */
  async #checked(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      if (error.code === 'objectDamaged') this.#problem('damaged', error.message);
      // The object went after it was listed.
      else if (error.code === 'objectMissing') this.#problem('lost', error.message);
      else throw error;
      return false;
    } finally {
      this.#objectsRead++;
      const { bases, logs, gaps } = this.#contents;
      this.#options.onProgress?.(this.#objectsRead, bases.length + logs.length + gaps.length);
    }
  }

  /**
   * Checks that the log has no hole but marked ones, from the beginning of the restorable entries to the end. Returns
   * the revisions that a restore can reach.
   */
  #checkContiguity(): Run[] {
    const begin = this.#begin();
    const end = this.#end();
    if (begin === undefined) {
      if (end > 0) this.#problem('unreachable', 'there is no base, and not the beginning of the log');
      return [];
    }
    const told = new Runs();
    for (const run of this.#whole) told.add(run);
    for (const gap of this.#gaps) told.add(gap);
    for (const hole of told.missing({ first: begin, last: end })) {
      this.#problem('missing', `${showRun(hole)} are in no object that can be read`);
    }
    this.#checkGaps();
    return restorableRuns(this.#contents.shard, this.#wholeBases, this.#whole);
  }

  /**
   * Returns the first entry that a restore needs: the shard's first one when it is there, and otherwise the one after
   * the first whole base; undefined when there is neither. Nobody needs the entries before a base.
   */
  #begin(): number | undefined {
    const { firstIndex } = this.#contents.shard;
    if (firstIndex > 0 && this.#contents.runs.find(firstIndex)) return firstIndex;
    const [base] = this.#wholeBases;
    return base && base.revision + 1;
  }

  /** Returns the last entry that is known to have been archived. */
  #end(): number {
    const told = [...this.#contents.told.values()].map((entry) => (entry.kind === 'base' ? 0 : entry.last));
    return told.reduce((end, last) => Math.max(end, last), this.#contents.runs.last);
  }

  #checkGaps(): void {
    const end = this.#end();
    for (const gap of this.#gaps) {
      const isBehind = this.#wholeBases.some(({ revision }) => revision >= gap.last);
      if (!isBehind && end > gap.last) {
        this.#problem('unreachable', `behind the gap of ${showRun(gap)} there is no base yet`);
      }
    }
  }

  #checkLost(): void {
    const needed = this.#begin() ?? 0;
    for (const entry of this.#contents.lost()) {
      if (entry.kind === 'base') {
        if (entry.revision + 1 >= needed) this.#problem('lost', `${entry.name} is gone`);
      } else if (entry.last >= needed) {
        this.#problem('lost', `${entry.name} is gone, and with it ${showRun(entry)}`);
      }
    }
  }

  #problem(kind: ArchiveProblem['kind'], detail: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ kind, detail });
    else this.#problemsOmitted++;
  }
}

/** Reads on to the entry at an index, past those before it. Resolves with undefined when the object ends before it. */
async function entryAt(
  entries: AsyncGenerator<ArchivedEntry, void, undefined>,
  index: number,
): Promise<ArchivedEntry | undefined> {
  for (;;) {
    const { value, done } = await entries.next();
    if (done) return undefined;
    if (value.index === index) return value;
  }
}

function isEqual(a: ArchivedEntry, b: ArchivedEntry): boolean {
  return a.term === b.term && a.timeMs === b.timeMs && a.command.equals(b.command);
}
