import type { StoreSnapshot } from './store.js';

/** A snapshot of a store that several readers hold. The last one to release it closes it. */
export class SharedSnapshot {
  readonly native: StoreSnapshot;
  readonly #holders = new Set<object>();

  constructor(native: StoreSnapshot) {
    this.native = native;
  }

  hold(holder: object): void {
    this.#holders.add(holder);
  }

  release(holder: object): void {
    if (this.#holders.delete(holder) && this.#holders.size === 0) this.native.close();
  }
}
