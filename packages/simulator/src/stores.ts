import type { MemoryStoreHooks, StoreDirectory, StoresCopy } from '@coxswain/table';
import { MemoryStoreDirectory, RestingStores } from '@coxswain/table';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

export interface StoreOptions {
  /** Means of exponential distributions, in microseconds. */
  readonly writeMeanUs: number;
  readonly flushMeanUs: number;
  readonly scanMeanUs: number;
  /**
   * The most stores that are awake; with few, they fall asleep and wake all the time. When absent, each machine draws
   * the number.
   */
  readonly awakeMax?: number;
}

/** The ordered stores of one machine: the table package's store in memory, with delays and losses added. */
export class SimulatedStores {
  readonly #directory: MemoryStoreDirectory;
  readonly #awakeMax: number;
  #process: SimulatedProcess | undefined;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;

  constructor(loop: EventLoop, random: SeededRandom, options: StoreOptions) {
    this.#loop = loop;
    this.#random = random;
    const hooks: MemoryStoreHooks = {
      beforeOpen: () => this.#wait(options.scanMeanUs),
      beforeWrite: () => this.#wait(options.writeMeanUs),
      afterWrite: () => this.#wait(options.writeMeanUs),
      beforeFlush: () => this.#wait(options.flushMeanUs),
      beforeScan: () => this.#wait(options.scanMeanUs),
    };
    this.#directory = new MemoryStoreDirectory(hooks);
    this.#awakeMax = options.awakeMax ?? random.pick([1, 2, 1_000]);
  }

  /** Returns the stores as the machine's present process sees them. */
  attach(process: SimulatedProcess): StoreDirectory {
    this.#process = process;
    return new RestingStores(this.#whileAlive(process), this.#awakeMax);
  }

  /** Keeps a store closed that a dead process was about to wake: its successor opens it. */
  #whileAlive(process: SimulatedProcess): StoreDirectory {
    const directory = this.#directory;
    return {
      list: () => directory.list(),
      open: (name, options) =>
        process.isAlive ? directory.open(name, options) : new Promise(() => undefined),
      rename: (from, to) => directory.rename(from, to),
      remove: (name) => directory.remove(name),
    };
  }

  /** Handles the death of the process: its machine runs on, so the page cache keeps everything written. */
  processDied(): void {
    this.#directory.crash(() => true);
  }

  copy(): StoresCopy {
    return this.#directory.copy();
  }

  putBack(copy: StoresCopy): void {
    this.#directory.putBack(copy);
  }

  /** Simulates a loss of power: data that no flush has made durable may be gone (D4). */
  losePower(): void {
    this.#directory.crash(() => this.#random.chance(0.5));
  }

  /**
   * Loses a batch in the middle of some of the stores, as after a flipped bit (D4): each must notice, and is rebuilt
   * from peers.
   */
  loseBatches(isFragile: (store: string) => boolean): void {
    const copy = this.#directory.copy();
    for (const name of [...copy.keys()].filter(isFragile))
      if (this.#random.chance(0.3)) loseBatch(copy, name);
    this.#directory.putBack(copy);
  }

  #wait(meanUs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#loop.schedule(this.#random.exponential(meanUs), EventKind.Store, this.#process, resolve);
    });
  }
}

/** Removes the last batch record but one from a store; later records show that it is missing. */
export function loseBatch(copy: StoresCopy, name: string): void {
  const recordsOfBatches = 'N';
  const store = copy.get(name)!;
  const batches = [...store.keys()].filter((key) => key.startsWith(recordsOfBatches));
  if (batches.length > 1) store.delete(batches.at(-2)!);
}
