import type { SeededRandom } from '../random.js';
import type { WorkloadOptions } from './options.js';

/** Draws what operations are about: keys, ranges of them, and values. */
export class KeyDraws {
  readonly #random: SeededRandom;
  readonly #options: WorkloadOptions;
  #sequence = 0;

  constructor(random: SeededRandom, options: WorkloadOptions) {
    this.#random = random;
    this.#options = options;
  }

  key(): string {
    return keyName(this.#random.integer(0, this.#options.keys - 1));
  }

  /** Gives every key, in order. */
  keys(): string[] {
    return Array.from({ length: this.#options.keys }, (_, i) => keyName(i));
  }

  /** Returns a value that never comes twice, so that it identifies the write that it is from. */
  value(): string {
    const id = `${this.#options.valuePrefix ?? ''}${++this.#sequence}.`;
    return id + 'x'.repeat(Math.floor(this.#random.exponential(this.#options.valueSizeMeanBytes)));
  }

  /** Draws a range of keys; `end` is the number of the first key after it. */
  someRange(): { keys: string[]; end: number } {
    const first = this.#random.integer(0, this.#options.keys - 1);
    const end = this.#random.integer(first + 1, this.#options.keys);
    return { keys: this.keys().slice(first, end), end };
  }
}

/** Gives the name of the key of a number, in the order of the numbers. */
export const keyName = (number: number) => `key-${String(number).padStart(3, '0')}`;
