import { LATEST } from './layout.js';
import { runAround, type SortedRun } from './sorted-run.js';
import { compareIds, newSortedTree, type SortedTree } from './sorted-tree.js';

/** A key that was written or deleted, but maybe not in the store yet. */
export interface OverlayEntry {
  /** See `keyId`. */
  readonly id: string;
  /** The record as it will be stored; undefined: the key is deleted. */
  readonly record: Buffer | undefined;
  readonly generation: number;
}

/** An overlay at some moment; see `Overlay.range`. */
export type FrozenOverlay = Pick<Overlay, 'range'>;

/** Keys that an entry loads, which nobody had written before. */
interface OverlayRun {
  readonly run: SortedRun;
  readonly generation: number;
}

/** Stands before a key in its store key, by which runs are in order. */
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
 * The effects that apply has computed and the store has not written (A2): this batch's and those in flight.
 * Points are looked up in a hash map; an order of keys is kept only from the first range on, since most
 * batches never ask for one.
 */
export class Overlay {
  /** In the order of generations: an entry that is set again moves to the end. */
  #entries = new Map<string, OverlayEntry>();
  /** Of the entry that was set last, which is the newest. */
  #lastGeneration = 0;
  #ordered: SortedTree<OverlayEntry> | undefined;
  /** In key order, and in the order of generations. An entry of the same key is newer. */
  #runs: OverlayRun[] = [];
  #generation = 1;

  get(id: string): OverlayEntry | undefined {
    return this.#entries.get(id) ?? this.#loaded(id);
  }

  #loaded(id: string): OverlayEntry | undefined {
    // Mostly there is none, and then no key of a run is made.
    if (this.#runs.length === 0) return undefined;
    const runId = PREFIX + id;
    const loaded = runAround(this.#runs, runId);
    const place = loaded?.run.find(runId);
    if (loaded === undefined || place === undefined) return undefined;
    return { id, record: loaded.run.record(place), generation: loaded.generation };
  }

  /** Takes in keys that were never written, after those of the runs before. The run may grow until the generation ends. */
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

  /** The entries from `first` up to, but not with, `end`, in key order; undefined: no upper bound. */
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

  /** What it holds now, whatever is set or released later. The tree is copied only where it changes. */
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

  /** Ends a generation and returns its number: effects that are set from now on belong to the next. */
  endGeneration(): number {
    return this.#generation++;
  }

  /** Forgets all that was last set in this generation or before: the store has it now. */
  release(generation: number): void {
    if (this.#lastGeneration <= generation) {
      // All of it, as is usual. A Map that lives on would keep what it has forgotten (findings/v8-map-keeps-what-it-forgot.sh).
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
