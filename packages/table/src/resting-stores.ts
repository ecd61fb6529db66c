import { strict as assert } from 'node:assert/strict';
import { StoreDamagedError } from './errors.js';
import { RestingStore, type StoreOpener } from './resting-store.js';
import type { OrderedStore, StoreDirectory } from './store.js';

/**
 * The number of stores that are opened at the same time while others are closed to make room. Each opening takes some
 * trips to the disk.
 */
const LANES = 4;

/**
 * The stores of a directory, of which at most `awakeMax` are awake. To wake one more, the store that was used longest
 * ago and that nobody uses is closed first. When all are in use, more are awake for as long as that lasts.
 */
export class RestingStores implements StoreDirectory {
  readonly #directory: StoreDirectory;
  readonly #awakeMax: number;
  readonly #awake = new Set<RestingStore>();
  /** The names of the stores that are not closed for good. */
  readonly #names = new Set<string>();
  /** The number of stores that are awake or being opened or closed. */
  #openCount = 0;
  readonly #lanes: Promise<unknown>[] = Array.from({ length: LANES }, () => Promise.resolve());
  #turns = 0;
  #uses = 0;

  readonly #opener: StoreOpener = {
    open: (store, options) => this.#wake(store, options),
    wakingFailed: ({ name }, error) => {
      if (error instanceof StoreDamagedError) this.onDamaged?.(name, error);
    },
    closed: (store) => {
      this.#awake.delete(store);
      this.#openCount -= 1;
    },
    ended: ({ name }) => this.#names.delete(name),
    nextUse: () => ++this.#uses,
  };

  constructor(directory: StoreDirectory, awakeMax: number) {
    this.#directory = directory;
    this.#awakeMax = awakeMax;
  }

  get onDamaged(): StoreDirectory['onDamaged'] {
    return this.#directory.onDamaged;
  }

  set onDamaged(listener: StoreDirectory['onDamaged']) {
    this.#directory.onDamaged = listener;
  }

  list(): Promise<string[]> {
    return this.#directory.list();
  }

  async open(name: string, options: { create: boolean }): Promise<RestingStore> {
    this.#assertClosed(name);
    this.#names.add(name);
    const store = new RestingStore(name, this.#opener);
    try {
      await store.open(options);
    } catch (error) {
      this.#names.delete(name);
      throw error;
    }
    return store;
  }

  async rename(from: string, to: string): Promise<void> {
    this.#assertClosed(from);
    this.#assertClosed(to);
    await this.#directory.rename(from, to);
  }

  async remove(name: string): Promise<void> {
    this.#assertClosed(name);
    await this.#directory.remove(name);
  }

  /** Asserts that a store is closed for good, since the directory cannot see that one at rest is not. */
  #assertClosed(name: string): void {
    assert(!this.#names.has(name), `store ${name} is open`);
  }

  #wake(store: RestingStore, options: { create: boolean }): Promise<OrderedStore> {
    if (this.#openCount < this.#awakeMax) return this.#open(store, options);
    const lane = this.#turns++ % LANES;
    const turn = this.#lanes[lane]!.then(async () => {
      await this.#makeRoom();
      return await this.#open(store, options);
    });
    // The caller that waits for the store gets the error.
    this.#lanes[lane] = turn.catch(() => undefined);
    return turn;
  }

  async #open(store: RestingStore, options: { create: boolean }): Promise<OrderedStore> {
    this.#openCount += 1;
    try {
      const opened = await this.#directory.open(store.name, options);
      this.#awake.add(store);
      return opened;
    } catch (error) {
      this.#openCount -= 1;
      throw error;
    }
  }

  async #makeRoom(): Promise<void> {
    while (this.#openCount >= this.#awakeMax) {
      let idlest: RestingStore | undefined;
      for (const store of this.#awake) {
        if (store.canRest && (idlest === undefined || store.lastUse < idlest.lastUse)) idlest = store;
      }
      if (idlest === undefined) return;
      await idlest.rest();
    }
  }
}
