import { LATEST } from './layout.js';
import { runAround, type SortedRun } from './sorted-run.js';
import { compareIds, newSortedTree, type SortedTree } from './sorted-tree.js';

/** A key that was written or deleted, but may not be in the store yet. */
export interface OverlayEntry {
  /** The key as a Latin-1 string; see `keyId`. */
  readonly id: string;
  /** The record as it will be stored; undefined when the key is deleted. */
  readonly record: Buffer | undefined;
  readonly generation: number;
}

/** The content of an overlay at some moment; see `Overlay.range`. */
export type FrozenOverlay = Pick<Overlay, 'range'>;

/** A run of keys that an entry loads and nobody had written before. */
interface OverlayRun {
  readonly run: SortedRun;
  readonly generation: number;
}

/** The first character of each key in a run, which are store keys. */
const PREFIX = String.fromCharCode(LATEST);

const NOTHING: FrozenOverlay = { range: () => [] };

function rangeOf(ordered: SortedTree<OverlayEntry>, first: string, end: string | undefined): OverlayEntry[] {
  const entries: OverlayEntry[] = [];
  for (const [id, entry] of ordered.entries(first)) {
    if (end !== undefined && id >= end) break;
    entries.push(entry);
  }
  return entries;
}

/**
 * The effects that apply has computed and the store has not written (A2): those of this batch and of batches in flight.
 * Points are looked up in a hash map. The keys are kept in order only from the first range on, since most batches never
 * ask for one.
 */
export class Overlay {
  /** The entries in the order of generations, since an entry that is set again moves to the end. */
  #entries = new Map<string, OverlayEntry>();
  /** The generation of the entry that was set last, which is the newest. */
  #lastGeneration = 0;
  #ordered: SortedTree<OverlayEntry> | undefined;
  /** The runs in key order, which is also the order of generations. An entry of the same key is newer. */
  #runs: OverlayRun[] = [];
  #generation = 1;

  get(id: string): OverlayEntry | undefined {
    return this.#entries.get(id) ?? this.#loaded(id);
  }

  #loaded(id: string): OverlayEntry | undefined {
    // Mostly there are no runs, and then no store key is made.
    if (this.#runs.length === 0) return undefined;
    const runId = PREFIX + id;
    const loaded = runAround(this.#runs, runId);
    const place = loaded?.run.find(runId);
    if (loaded === undefined || place === undefined) return undefined;
    return { id, record: loaded.run.record(place), generation: loaded.generation };
  }

  /**
   * Takes in a run of keys that were never written, after those of the earlier runs. The run may grow until the
   * generation ends.
   */
  load(run: SortedRun): void {
    this.#runs.push({ run, generation: this.#generation });
  }

  set(id: string, record: Buffer | undefined): void {
    const entry: OverlayEntry = { id, record, generation: this.#generation };
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    this.#lastGeneration = this.#generation;
    this.#ordered?.set(id, entry);
  }

  /**
   * Returns the entries from `first` up to, but not with, `end`, in key order. Undefined `end` means no upper bound.
   */
  range(first: string, end: string | undefined): OverlayEntry[] {
    const entries = this.#entries.size === 0 ? [] : rangeOf(this.#order(), first, end);
    if (this.#runs.length === 0) return entries;
    return [...entries, ...this.#loadedBetween(first, end)].sort((left, right) =>
      compareIds(left.id, right.id),
    );
  }

  #loadedBetween(first: string, end: string | undefined): OverlayEntry[] {
    return this.#runs.flatMap(({ run, generation }) => {
      const { from, to } = run.between(PREFIX + first, end === undefined ? undefined : PREFIX + end);
      return Array.from({ length: to - from }, (_, step) => {
        const place = from + step;
        return { id: run.id(place).slice(PREFIX.length), record: run.record(place), generation };
      }).filter(({ id }) => !this.#entries.has(id));
    });
  }

  /**
   * Returns the present content, which later calls of `set` and `release` do not change. The tree is copied only where
   * it changes.
   */
  freeze(): FrozenOverlay {
    if (this.#runs.length > 0) {
      const entries = this.range('', undefined);
      const ordered = newSortedTree(entries.map((entry): [string, OverlayEntry] => [entry.id, entry]));
      return { range: (first, end) => rangeOf(ordered, first, end) };
    }
    if (this.#entries.size === 0) return NOTHING;
    const ordered = this.#order().clone();
    return { range: (first, end) => rangeOf(ordered, first, end) };
  }

  #order(): SortedTree<OverlayEntry> {
    this.#ordered ??= newSortedTree([...this.#entries]);
    return this.#ordered;
  }

  /** Ends a generation and returns its number. Effects that are set from now on belong to the next one. */
  endGeneration(): number {
    return this.#generation++;
  }

  /** Drops all effects that were last set in this generation or before, since the store now has them. */
  release(generation: number): void {
    if (this.#lastGeneration <= generation) {
      // Usually that is everything. A Map that lived on would keep its dropped entries
      // (findings/v8-map-keeps-what-it-forgot.sh).
      if (this.#entries.size > 0) this.#entries = new Map();
      this.#ordered = undefined;
    } else {
      for (const [id, entry] of this.#entries) {
        if (entry.generation > generation) break;
        this.#entries.delete(id);
        this.#ordered?.delete(id);
      }
    }
    if (this.#runs.length > 0) this.#runs = this.#runs.filter((loaded) => loaded.generation > generation);
  }
}
