import type { Random } from '@coxswain/runtime';

// Jest looks a global up in its own context each time, at fifty times the price of a constant.
const { floor, imul, log, min } = Math;

/**
 * A random generator that depends on its seed alone (sfc32, C. Doty-Humphrey: 128 bits of state, passes PractRand).
 * Each part of the simulation draws from a fork of its own, so that a part that draws more often does not change the
 * numbers of the others.
 */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number, stream = '') {
    this.#a = seed | 0;
    this.#b = floor(seed / 2 ** 32) | 0;
    this.#c = hash(stream);
    this.#counter = 1;
    for (let round = 0; round < 15; round++) this.#next32();
  }

  /** Returns a separate generator, whose numbers depend on this one's state and on `stream`. */
  fork(stream: string): SeededRandom {
    return new SeededRandom(this.#next32() + this.#next32() * 2 ** 20, stream);
  }

  next(): number {
    return (this.#next32() >>> 0) / 2 ** 32;
  }

  bytes(lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    for (let i = 0; i < lengthBytes; i++) bytes[i] = this.#next32() & 0xff;
    return bytes;
  }

  /** Returns an integer that is uniform in [from, to]. */
  integer(from: number, to: number): number {
    return from + floor(this.next() * (to - from + 1));
  }

  /** Returns a number that is uniform in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** Returns an exponentially distributed number, so that long waits are rare but happen; at most 20 times the mean. */
  exponential(mean: number): number {
    return min(-log(1 - this.next()), 20) * mean;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from');
    return items[floor(this.next() * items.length)]!;
  }

  /** Returns a key of `weights`, each as likely as its share of the sum. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const names = Object.keys(weights) as K[];
    let left = this.next() * names.reduce((sum, name) => sum + weights[name], 0);
    for (const name of names) {
      left -= weights[name];
      if (left < 0) return name;
    }
    return names.at(-1)!;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.integer(0, i);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  #next32(): number {
    const result = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + result;
    this.#c |= 0;
    return result;
  }
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = imul(value ^ text.charCodeAt(i), 0x01000193);
  return value | 0;
}
