import type { MemoryStoreHooks, StoreDirectory, StoresCopy } from '@coxswain/table';
import { MemoryStoreDirectory, RestingStores } from '@coxswain/table';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

export interface StoreOptions {
  /** Means of exponential distributions. */
  readonly writeMeanUs: number;
  readonly flushMeanUs: number;
  readonly scanMeanUs: number;
  /** Stores that are awake at most; with few they come and go all the time. Absent: each machine draws it. */
  readonly awakeMax?: number;
}

/** The ordered stores of one machine: the table package's store in memory, with time and loss added. */
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

  /** The stores as the machine's present process sees them. */
  attach(process: SimulatedProcess): StoreDirectory {
    this.#process = process;
    return new RestingStores(this.#whileAlive(process), this.#awakeMax);
  }

  /** What a process that is gone was about to wake stays closed: its successor opens it. */
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

  /** The process is gone, its machine runs on: the page cache keeps what was written. */
  processDied(): void {
    this.#directory.crash(() => true);
  }

  copy(): StoresCopy {
    return this.#directory.copy();
  }

  putBack(copy: StoresCopy): void {
    this.#directory.putBack(copy);
  }

  /** What a flush has not made durable is gone, or is not (D4). */
  losePower(): void {
    this.#directory.crash(() => this.#random.chance(0.5));
  }

  /** Of some of the stores a batch in the middle is lost, as after a flipped bit (D4): each must notice, and is rebuilt from peers. */
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

/** Takes the last batch record but one out of a store: later ones show that it is missing. */
export function loseBatch(copy: StoresCopy, name: string): void {
  const recordsOfBatches = 'N';
  const store = copy.get(name)!;
  const batches = [...store.keys()].filter((key) => key.startsWith(recordsOfBatches));
  if (batches.length > 1) store.delete(batches.at(-2)!);
}
