import type { RateLimit } from '@coxswain/runtime';
import type { ObjectStore, StoreCall } from './store.js';

/** Reads objects of a store at a limited rate, and counts the bytes that were read. */
export class CountingStore implements Pick<ObjectStore, 'get'> {
  readonly #store: Pick<ObjectStore, 'get'>;
  readonly #rate: RateLimit;
  #bytes = 0;

  constructor(store: Pick<ObjectStore, 'get'>, rate: RateLimit) {
    this.#store = store;
    this.#rate = rate;
  }

  /** The bytes that were read so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async *get(name: string, call: StoreCall): AsyncGenerator<Buffer> {
    for await (const piece of this.#store.get(name, call)) {
      this.#bytes += piece.length;
      await this.#rate.pay(piece.length, call.signal ?? new AbortController().signal);
      yield piece;
    }
  }
}
