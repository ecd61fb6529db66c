import { encodeKey } from '../load/key-space.js';
import type { Violations } from './violations.js';

/** The number of neighbouring keys that one range deletion erases. */
const WINDOW_KEY_COUNT = 100;
/** The greatest share of the keys that is erased. */
const ERASED_SHARE_MAX = 0.5;

type WindowState = 'kept' | 'erased' | 'unknown';

/** A run of neighbouring keys. */
export interface KeyWindow {
  readonly index: number;
  readonly first: string;
  /** The first key after the window. */
  readonly end: string;
  readonly keyCount: number;
}

/**
 * The keys that a fill has put. All of them must be there except windows that were erased, each by one range deletion.
 */
export class BulkKeys {
  readonly #keyCount: number;
  readonly #states: WindowState[];
  readonly #seenCounts: number[];
  #takenCount = 0;
  #seenCount = 0;

  constructor(keyCount: number) {
    this.#keyCount = keyCount;
    const windowCount = Math.floor(keyCount / WINDOW_KEY_COUNT);
    this.#states = Array.from({ length: windowCount }, () => 'kept');
    this.#seenCounts = Array.from({ length: windowCount }, () => 0);
  }

  /** Returns a window that was not handed out yet, or undefined when enough were. */
  takeWindow(): KeyWindow | undefined {
    if (this.#takenCount >= this.#states.length * ERASED_SHARE_MAX) return undefined;
    const index = this.#takenCount++;
    return {
      index,
      first: encodeKey(index * WINDOW_KEY_COUNT).toString(),
      end: encodeKey((index + 1) * WINDOW_KEY_COUNT).toString(),
      keyCount: WINDOW_KEY_COUNT,
    };
  }

  mark(window: KeyWindow, state: WindowState): void {
    this.#states[window.index] = state;
  }

  /** Records a key that is stored at the end. Returns false for one that is not a bulk key. */
  saw(key: string): boolean {
    const match = /^key-(\d{10})$/.exec(key);
    if (match === null || Number(match[1]) >= this.#keyCount) return false;
    this.#seenCount++;
    const window = Math.floor(Number(match[1]) / WINDOW_KEY_COUNT);
    if (window < this.#seenCounts.length) this.#seenCounts[window]!++;
    return true;
  }

  /** Checks the recorded keys. */
  check(violations: Violations): void {
    let windowsSeenCount = 0;
    for (const [index, state] of this.#states.entries()) {
      const seen = this.#seenCounts[index]!;
      windowsSeenCount += seen;
      const mayBeKept = state !== 'erased' && seen === WINDOW_KEY_COUNT;
      const mayBeErased = state !== 'kept' && seen === 0;
      if (!mayBeKept && !mayBeErased) {
        violations.add(
          `${seen} of ${WINDOW_KEY_COUNT} keys from ${index * WINDOW_KEY_COUNT} on are there: ${state}`,
        );
      }
    }
    const restCount = this.#keyCount - this.#states.length * WINDOW_KEY_COUNT;
    if (this.#seenCount - windowsSeenCount !== restCount) violations.add('the last keys are not all there');
  }
}
