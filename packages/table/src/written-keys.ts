import { isWithinBounds, type KeyBounds } from './key-bounds.js';
import { newSortedTree, type SortedTree } from './sorted-tree.js';

/**
 * The bytes of memory for the keys of one range deletion: about 90,000 keys of 30 bytes. When there are more, readers
 * scan the store instead.
 */
export const WRITTEN_KEYS_SIZE_BYTES_MAX = 8 * 1024 * 1024;
/** About how many bytes of memory a key takes beside its own bytes. */
const KEY_OVERHEAD_BYTES = 64;

/** Keys by their ids; see `keyId`. */
export type KeyTree = SortedTree<undefined>;

/**
 * The keys that were written within the bounds of a range deletion since it was made. No other key within the bounds
 * can be live, whether the sweep has removed it or not. The set only grows, so it serves every reader as of some moment
 * since then: later writes are not in that reader's snapshot. It is in memory only.
 */
export class WrittenKeys {
  readonly #bounds: KeyBounds;
  readonly #sizeBytesMax: number;
  #tree: KeyTree | undefined = newSortedTree<undefined>();
  #sizeBytes = 0;

  /** Begins the set for a deletion of all keys within the bounds, of which none has been written since. */
  constructor(bounds: KeyBounds, sizeBytesMax: number) {
    this.#bounds = bounds;
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** The bounds of everything that the deletion deleted, including keys that the sweep has already removed. */
  get bounds(): KeyBounds {
    return this.#bounds;
  }

  /**
   * The keys, which may grow while they are read; undefined when there were too many, so that they are no longer known.
   */
  get tree(): KeyTree | undefined {
    return this.#tree;
  }

  /** Adds a key that has been written, when it lies within the bounds. */
  add(key: Buffer, id: string): void {
    if (this.#tree === undefined || !isWithinBounds(this.#bounds, key)) return;
    if (!this.#tree.setIfNotPresent(id, undefined)) return;
    this.#sizeBytes += key.length + KEY_OVERHEAD_BYTES;
    // A reader of the tree continues with it, since it holds all keys that this reader can see.
    if (this.#sizeBytes > this.#sizeBytesMax) this.#tree = undefined;
  }
}

/**
 * Returns the next ids, at most `max`, from `from` on and before `end`, in order. Undefined `end` means no upper bound.
 */
export function idsFrom(tree: KeyTree, from: string, end: string | undefined, max: number): string[] {
  const ids: string[] = [];
  for (const id of tree.keys(from)) {
    if (ids.length === max || (end !== undefined && id >= end)) break;
    ids.push(id);
  }
  return ids;
}
