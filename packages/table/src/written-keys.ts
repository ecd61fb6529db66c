import { isWithinBounds, type KeyBounds } from './key-bounds.js';
import { newSortedTree, type SortedTree } from './sorted-tree.js';

/** What the keys of one range deletion may take: about 90,000 of 30 bytes. Past that, readers walk over the store. */
export const WRITTEN_KEYS_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** What a key takes besides its bytes, about. */
const KEY_OVERHEAD_BYTES = 64;

/** Keys by their ids; see `keyId`. */
export type KeyTree = SortedTree<undefined>;

/**
 * The keys that were written within the bounds of a range deletion since it was made: no other key of the bounds can be
 * live, whether the sweep has removed it or not. It only grows, so it serves whoever reads the table as it was at some
 * moment since then: later writes are not in that reader's snapshot. In memory only.
 */
export class WrittenKeys {
  readonly #bounds: KeyBounds;
  readonly #sizeBytesMax: number;
  #tree: KeyTree | undefined = newSortedTree<undefined>();
  #sizeBytes = 0;

  /** Of a deletion of all these keys, of which none has been written since. */
  constructor(bounds: KeyBounds, sizeBytesMax: number) {
    this.#bounds = bounds;
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** All that the deletion deleted, with what the sweep has removed already. */
  get bounds(): KeyBounds {
    return this.#bounds;
  }

  /** Grows while it is read. Undefined: there were too many, and they are not known any more. */
  get tree(): KeyTree | undefined {
    return this.#tree;
  }

  /** Takes note of a key that has been written, wherever it is. */
  add(key: Buffer, id: string): void {
    if (this.#tree === undefined || !isWithinBounds(this.#bounds, key)) return;
    if (!this.#tree.setIfNotPresent(id, undefined)) return;
    this.#sizeBytes += key.length + KEY_OVERHEAD_BYTES;
    // Whoever reads the tree goes on with it, as it holds all that this reader can see.
    if (this.#sizeBytes > this.#sizeBytesMax) this.#tree = undefined;
  }
}

/** The next ids, at most `max`, from `from` on and before `end`, in order; undefined `end`: no upper bound. */
export function idsFrom(tree: KeyTree, from: string, end: string | undefined, max: number): string[] {
  const ids: string[] = [];
  for (const id of tree.keys(from)) {
    if (ids.length === max || (end !== undefined && id >= end)) break;
    ids.push(id);
  }
  return ids;
}
