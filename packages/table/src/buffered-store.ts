import { strict as assert } from 'node:assert/strict';
import { countBlocks, countBlocksWithin } from './block-count.js';
import { type BlockRange, BlockScan } from './block-scan.js';
import type { Write } from './effects.js';
import { HistoryBlockWriter } from './history-block.js';
import type { KeyBlocks } from './key-blocks.js';
import { LayeredScan } from './layered-scan.js';
import { historyLaneOfFlush, LATEST } from './layout.js';
import { asOf, Memtable, type MemtableEntry, type Written } from './memtable.js';
import { isWithinRevisions, type RevisionBounds } from './revision-bounds.js';
import type { Seen } from './seen.js';
import type { SortedRun } from './sorted-run.js';
import { keyId } from './sorted-tree.js';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  ScanOptions,
  StoreReader,
  StoreScan,
  StoreSnapshot,
} from './store.js';

/** The most keys that one trip to the store looks up. */
const LOOKUP_KEYS_MAX = 500;
/** The number of keys in memory that are counted between two turns of the event loop. */
const COUNT_STEP_KEYS = 4000;

/** A snapshot of the store below, shared by all who read at the same time. Only flushes change that store. */
class BaseSnapshot {
  readonly native: StoreSnapshot;
  readonly blocks: KeyBlocks;
  #holders = 0;
  readonly #onUnused: () => void;

  constructor(native: StoreSnapshot, blocks: KeyBlocks, onUnused: () => void) {
    this.native = native;
    this.blocks = blocks;
    this.#onUnused = onUnused;
  }

  hold(): this {
    this.#holders += 1;
    return this;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    this.native.close();
    this.#onUnused();
  }
}

class BufferedSnapshot implements StoreSnapshot, Seen {
  readonly memtables: readonly Memtable[];
  readonly number: number;
  readonly #base: BaseSnapshot;
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(memtables: readonly Memtable[], number: number, base: BaseSnapshot, onClose: () => void) {
    this.memtables = memtables;
    this.number = number;
    this.#base = base.hold();
    this.#onClose = onClose;
  }

  get native(): StoreSnapshot {
    return this.#base.native;
  }

  get blocks(): KeyBlocks {
    return this.#base.blocks;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#base.release();
    this.#onClose();
  }
}

/** The facts about the table that a flush uses. */
export interface FlushOptions {
  /** Versions that were superseded at this revision or an earlier one are dropped, since nobody can read them. */
  readonly historyFloor: number;
  /** The last batch in the memtable. */
  readonly batchNumber: number;
}

/**
 * An ordered store with the writes since its last flush laid over it, in memory. The log of the shard makes a write
 * durable, so the store below need not see it before a flush. A flush writes the last write of each key, in key order,
 * and the history in blocks, in one atomic batch. After a crash the store is as a flush left it, and the log has the
 * rest (D4).
 */
export class BufferedStore implements StoreReader {
  readonly #base: OrderedStore;
  #active = new Memtable();
  /** The memtable that is being flushed. */
  #frozen: Memtable | undefined;
  /**
   * The records that were flushed last, for point reads. Loaded records are not among them, as nobody reads those soon.
   */
  #flushed: ReadonlyMap<string, Written> = new Map();
  #blocks: KeyBlocks;
  #number = 0;
  #snapshot: BaseSnapshot | undefined;
  #openSnapshots = 0;
  /** The last write as of which somebody may read; -1 when no snapshot is open. */
  #heldNumber = -1;

  /** `blocks` are the numbers and places of the latest keys in `base`. */
  constructor(base: OrderedStore, blocks: KeyBlocks) {
    this.#base = base;
    this.#blocks = blocks;
  }

  /** About how many bytes of memory the writes take that no flush has begun with. */
  get usedBytes(): number {
    return this.#active.usedBytes;
  }

  /**
   * Makes the writes visible to readers, all at once. Keys and records must not be changed afterwards. The keys of
   * `runs` were never written before; they come in key order, after all keys of earlier runs, and are taken in before
   * the writes.
   */
  write(writes: Iterable<Write>, runs: readonly SortedRun[] = []): void {
    this.#number += 1;
    for (const run of runs) this.#active.load(run, this.#number);
    for (const write of writes) this.#active.write(write, this.#number, this.#heldNumber);
  }

  /**
   * Makes all earlier writes durable. Writes and reads continue meanwhile. Only one flush may run at a time. Rejects
   * with the store's error, after which no other flush may begin.
   */
  async flush(options: FlushOptions): Promise<void> {
    assert(this.#frozen === undefined, 'one flush goes on at a time');
    const frozen = this.#active;
    this.#frozen = frozen;
    this.#active = new Memtable();
    // Readers that come during the flush count what lies under the frozen memtable, so they must not see the flushed
    // records there.
    const before = this.#baseSnapshot().hold();
    try {
      // Readers that see the frozen memtable get the same result whether the store below has its records already or
      // not.
      await this.#base.write(flushedOperations(frozen, options));
      await this.#base.flush();
      const blocks = await this.#blocks.after(frozen.latestEntries(), () => this.#base.turn());
      this.#blocks = blocks;
      this.#frozen = undefined;
      this.#flushed = frozen.points;
      this.#snapshot = undefined;
    } finally {
      before.release();
    }
  }

  get isAwake(): boolean {
    return this.#base.isAwake;
  }

  hold(): Promise<void> | undefined {
    return this.#base.hold();
  }

  release(): void {
    this.#base.release();
  }

  /** Wakes the store, runs `work`, and keeps the store awake until the work has ended. */
  async awake<Result>(work: () => Result | Promise<Result>): Promise<Result> {
    const waking = this.hold();
    if (waking !== undefined) await waking;
    try {
      return await work();
    } finally {
      this.release();
    }
  }

  /** Reads a point as `getSync` does. Returns a promise when the store is at rest. */
  get(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined | Promise<Buffer | undefined> {
    if (this.isAwake) return this.getSync(key, snapshot);
    return this.getMany([key], snapshot).then(([record]) => record);
  }

  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined {
    const id = keyId(key);
    if (snapshot !== undefined) {
      const seen = this.seenBy(snapshot);
      const found = findIn(seen, id);
      return found === undefined ? this.#base.getSync(key, seen.native) : found.record;
    }
    const found = this.#active.get(id) ?? this.#frozen?.get(id) ?? this.#flushed.get(id);
    return found === undefined ? this.#base.getSync(key) : found.record;
  }

  async getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]> {
    const seen = snapshot === undefined ? this.snapshot() : this.seenBy(snapshot);
    try {
      // The records are fetched now, since the keys may be written again while this waits.
      const found = keys.map((key) => {
        const written = findIn(seen, keyId(key));
        return written && { record: written.record };
      });
      const rest = keys.filter((_, at) => found[at] === undefined);
      // Called even when all records are in memory, since it also lets the event loop turn.
      const stored = (await this.#base.getMany(rest, seen.native)).values();
      return found.map((written) => (written === undefined ? stored.next().value : written.record));
    } finally {
      if (snapshot === undefined) (seen as BufferedSnapshot).close();
    }
  }

  scan(options: ScanOptions): StoreScan {
    const { snapshot, revisions, ...rest } = options;
    const own = snapshot === undefined ? this.snapshot() : undefined;
    const seen = own ?? this.seenBy(snapshot!);
    const onClose = (): void => own?.close();
    if (revisions === undefined) return new LayeredScan(this.#base, seen, rest, onClose);
    assert(
      rest.reverse !== true && rest.limit === undefined,
      'records of some revisions are read in key order',
    );
    return new LayeredScan(
      this.#base,
      seen,
      rest,
      onClose,
      ({ gte, lt }) => new BlockScan(this.#rangeOf(seen, gte, lt), revisions),
    );
  }

  /**
   * Counts latest keys, in parts. The first parts are of the store below; each of the last ones corrects them by the
   * writes in memory, and may be negative.
   */
  async *count({
    gte,
    lt,
    snapshot,
  }: KeyRange & { readonly snapshot?: StoreSnapshot }): AsyncGenerator<number, void, undefined> {
    const own = snapshot === undefined ? this.snapshot() : undefined;
    const seen = own ?? this.seenBy(snapshot!);
    const range = this.#rangeOf(seen, gte, lt);
    try {
      yield* countBlocks(range);
      for (const memtable of seen.memtables) {
        for (const entries of stepsOf(memtable, range, COUNT_STEP_KEYS)) {
          let more = 0;
          for (const entry of entries) {
            const written = asOf(entry, seen.number);
            if (written === undefined) continue;
            more += (written.record === undefined ? 0 : 1) - (entry.wasStored ? 1 : 0);
          }
          yield more;
          await this.turn();
        }
      }
    } finally {
      own?.close();
    }
  }

  /** Counts the latest keys whose records have some revisions, in parts as `count` does. */
  async *countRevisions(
    { gte, lt, snapshot }: Required<KeyRange> & { readonly snapshot: StoreSnapshot },
    revisions: RevisionBounds,
  ): AsyncGenerator<number, void, undefined> {
    const seen = this.seenBy(snapshot);
    const range = this.#rangeOf(seen, gte, lt);
    yield* countBlocksWithin(range, revisions);
    for (const [level, memtable] of seen.memtables.entries()) {
      const above = { ...seen, memtables: seen.memtables.slice(0, level) };
      const below = seen.memtables.slice(level + 1);
      for (const entries of stepsOf(memtable, range, LOOKUP_KEYS_MAX)) {
        let more = 0;
        const doubtful: Buffer[] = [];
        for (const entry of entries) {
          const written = asOf(entry, seen.number);
          // A newer memtable has an entry of the key.
          if (written === undefined || findIn(above, entry.id) !== undefined) continue;
          if (written.record !== undefined && isWithinRevisions(revisions, written.record)) more += 1;
          const lowest = below.findLast((other) => other.get(entry.id, seen.number) !== undefined);
          if (!(lowest?.entry(entry.id) ?? entry).wasStored) continue;
          const known = seen.blocks.at(entry.id)!.revisions;
          if (known.isWithin(revisions)) more -= 1;
          else if (known.mayMeet(revisions)) doubtful.push(entry.storeKey);
        }
        const stored = await this.#base.getMany(doubtful, seen.native);
        yield more - stored.filter((record) => isWithinRevisions(revisions, record!)).length;
      }
    }
  }

  #rangeOf({ native, blocks }: Seen, gte: Buffer | undefined, lt: Buffer | undefined): BlockRange {
    assert(gte?.[0] === LATEST && lt !== undefined, 'blocks know only ranges of latest keys');
    return { store: this.#base, snapshot: native, blocks, first: keyId(gte), end: keyId(lt) };
  }

  snapshot(): BufferedSnapshot {
    const base = this.#baseSnapshot();
    this.#openSnapshots += 1;
    this.#heldNumber = this.#number;
    const memtables = this.#frozen === undefined ? [this.#active] : [this.#active, this.#frozen];
    return new BufferedSnapshot(memtables, this.#number, base, () => {
      this.#openSnapshots -= 1;
      if (this.#openSnapshots === 0) this.#heldNumber = -1;
    });
  }

  #baseSnapshot(): BaseSnapshot {
    if (this.#snapshot === undefined) {
      const snapshot = new BaseSnapshot(this.#base.snapshot(), this.#blocks, () => {
        if (this.#snapshot === snapshot) this.#snapshot = undefined;
      });
      this.#snapshot = snapshot;
    }
    return this.#snapshot;
  }

  /** Returns the part of memory and the snapshot of the store below that a snapshot of this store sees. */
  seenBy(snapshot: StoreSnapshot): Seen {
    assert(snapshot instanceof BufferedSnapshot, 'a snapshot belongs to the store that made it');
    return snapshot;
  }

  turn(): Promise<void> {
    return this.#base.turn();
  }

  /** Returns about how many bytes of disk the range takes. */
  approximateSizeBytes(range: KeyRange): Promise<number> {
    return this.#base.approximateSizeBytes(range);
  }

  /** Closes the store. Writes that were not flushed are lost. */
  close(): Promise<void> {
    return this.#base.close();
  }
}

/** Yields the entries of a range, some at a time. Keys may be written between two steps. */
function* stepsOf(
  memtable: Memtable,
  { first, end }: BlockRange,
  maxEntries: number,
): Generator<MemtableEntry[], void, undefined> {
  for (let from = first; ; ) {
    const entries = memtable.range(from, end, maxEntries);
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    from = `${last.id}\0`;
  }
}

function findIn({ memtables, number }: Pick<Seen, 'memtables' | 'number'>, id: string): Written | undefined {
  for (const memtable of memtables) {
    const found = memtable.get(id, number);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Yields the operations of a flush: the last write of each key, and blocks of history. */
function* flushedOperations(
  memtable: Memtable,
  { historyFloor, batchNumber }: FlushOptions,
): Generator<Operation> {
  const blocks: Operation[] = [];
  const lane = historyLaneOfFlush(memtable.lastSupersedingRevision, batchNumber);
  const history = new HistoryBlockWriter(lane, (storeKey, record) => blocks.push({ storeKey, record }));
  // The last write of a key in a batch counts, so keys that were written again come after the runs.
  for (const run of memtable.runs()) yield* run.operations();
  for (const entry of memtable.entries()) {
    yield entry;
    const versions = memtable.supersededVersions(entry);
    if (versions.length === 0) continue;
    const { storeKey } = entry;
    for (const version of versions) {
      const { record, revision } = memtable.supersededVersion(version);
      if (revision > historyFloor) history.add(storeKey, record, revision);
      if (blocks.length > 0) yield* blocks.splice(0);
    }
  }
  history.end();
  yield* blocks;
}
