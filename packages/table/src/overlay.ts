import { newSortedTree, type SortedTree } from './sorted-tree.js';

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
  readonly #entries = new Map<string, OverlayEntry>();
  #ordered: SortedTree<OverlayEntry> | undefined;
  #generation = 1;

  get(id: string): OverlayEntry | undefined {
    return this.#entries.get(id);
  }

  set(id: string, record: Buffer | undefined): void {
    const entry: OverlayEntry = { id, record, generation: this.#generation };
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    this.#ordered?.set(id, entry);
  }

  /** The entries from `first` up to, but not with, `end`, in key order; undefined: no upper bound. */
  range(first: string, end: string | undefined): OverlayEntry[] {
    if (this.#entries.size === 0) return [];
    return rangeOf(this.#order(), first, end);
  }

  /** What it holds now, whatever is set or released later. The tree is copied only where it changes. */
  freeze(): FrozenOverlay {
    if (this.#entries.size === 0) return NOTHING;
    const ordered = this.#order().clone();
    return { range: (first, end) => rangeOf(ordered, first, end) };
  }

  #order(): SortedTree<OverlayEntry> {
    this.#ordered ??= newSortedTree([...this.#entries]);
    return this.#ordered;
  }

  /** Ends a generation and returns its number: what is set from now on belongs to the next. */
  endGeneration(): number {
    return this.#generation++;
  }

  /** Forgets all that was last set in this generation or before: the store has it now. */
  release(generation: number): void {
    for (const [id, entry] of this.#entries) {
      if (entry.generation > generation) break;
      this.#entries.delete(id);
      this.#ordered?.delete(id);
    }
    if (this.#entries.size === 0) this.#ordered = undefined;
  }
}
