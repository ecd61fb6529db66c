import type { Entry } from '@coxswain/raft';

/** The approximate bytes of memory that an entry takes besides its data. */
const ENTRY_OVERHEAD_BYTES = 128;

/** Consecutive entries of one group that were appended together. */
export class CachedRun {
  /** The entries in use are `[start, end)`: the others were compacted away, or replaced. */
  start = 0;
  end: number;
  /** Neighbours in the order of appending, over all groups. */
  older: CachedRun | undefined;
  newer: CachedRun | undefined;

  constructor(
    readonly entries: readonly Entry[],
    readonly firstIndex: number,
    /** The append that makes the run durable: until then the cache is the only place to read it from. */
    readonly sequence: number,
    /** Its `evicted` is called when the run leaves the cache to make room. */
    readonly owner: { evicted(run: CachedRun): void },
  ) {
    this.end = entries.length;
  }
}

/** The recent entries of every group, limited in bytes over all of them; the oldest leave first. */
export class EntryCache {
  readonly #bytesMax: number;
  #bytes = 0;
  #oldest: CachedRun | undefined;
  #newest: CachedRun | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  add(run: CachedRun): void {
    run.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = run;
    else this.#newest.newer = run;
    this.#newest = run;
    this.#bytes += costBytes(run, run.start, run.end);
  }

  /** Shrinks a run to `[start, end)`, which must lie within; a run that becomes empty leaves the cache. */
  trim(run: CachedRun, start: number, end: number): void {
    if (run.start === run.end) return;
    this.#bytes -= costBytes(run, run.start, start) + costBytes(run, end, run.end);
    run.start = start;
    run.end = end;
    if (run.start === run.end) this.#unlink(run);
  }

  /** Makes room, but keeps entries that are not durable up to `durableSequence`. */
  evict(durableSequence: number): void {
    while (this.#bytes > this.#bytesMax && this.#oldest !== undefined) {
      const run = this.#oldest;
      if (run.sequence > durableSequence) return;
      this.trim(run, run.end, run.end);
      run.owner.evicted(run);
    }
  }

  #unlink(run: CachedRun): void {
    if (run.older === undefined) this.#oldest = run.newer;
    else run.older.newer = run.newer;
    if (run.newer === undefined) this.#newest = run.older;
    else run.newer.older = run.older;
    run.older = undefined;
    run.newer = undefined;
  }
}

function costBytes(run: CachedRun, from: number, to: number): number {
  let bytes = 0;
  for (let i = from; i < to; i++) bytes += run.entries[i]!.data.length + ENTRY_OVERHEAD_BYTES;
  return bytes;
}
