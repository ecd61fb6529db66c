import type { MemoryStoreHooks, StoreDirectory, StoresCopy, UnflushedWrite } from '@coxswain/table';
import { MemoryStoreDirectory } from '@coxswain/table';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

export interface StoreOptions {
  /** Means of exponential distributions. */
  readonly writeMeanUs: number;
  readonly flushMeanUs: number;
  readonly scanMeanUs: number;
}

/**
 * What a loss of power does to the writes that no flush has made immutable (D4).
 *
 * - `suffix`: some of the newest unsynced ones are gone, in every store.
 * - `hole`: a run of unsynced ones in the middle is gone, as when the log file that held them was closed
 *   without fsync. The replica has to notice, and is rebuilt from its peers.
 * - `damaged`: as `hole`, but synced ones go too, as after a flipped bit in the log.
 */
export type StoreLoss = 'suffix' | 'hole' | 'damaged';

/** The ordered stores of one machine: the table package's store in memory, with time and loss added. */
export class SimulatedStores {
  readonly #directory: MemoryStoreDirectory;
  #process: SimulatedProcess | undefined;

  constructor(
    private readonly loop: EventLoop,
    private readonly random: SeededRandom,
    options: StoreOptions,
  ) {
    const hooks: MemoryStoreHooks = {
      beforeWrite: () => this.#wait(options.writeMeanUs),
      afterWrite: () => this.#wait(options.writeMeanUs),
      beforeFlush: () => this.#wait(options.flushMeanUs),
      beforeScan: () => this.#wait(options.scanMeanUs),
    };
    this.#directory = new MemoryStoreDirectory(hooks);
  }

  /** The stores as the machine's present process sees them. */
  attach(process: SimulatedProcess): StoreDirectory {
    this.#process = process;
    return this.#directory;
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

  /** Stores for which `isFragile` does not hold lose a suffix alone. */
  losePower(loss: StoreLoss, isFragile: (store: string) => boolean = () => true): void {
    // Two draws per store say which of its writes go; the numbers of a store's writes are consecutive.
    const lostByStore = new Map<string, { from: number; to: number; isSafe: boolean }>();
    this.#directory.crash((write: UnflushedWrite) => {
      let lost = lostByStore.get(write.store);
      if (lost === undefined) {
        const from = write.number + this.random.integer(0, 40);
        const lossHere = isFragile(write.store) ? loss : 'suffix';
        const to = lossHere === 'suffix' ? Number.POSITIVE_INFINITY : from + this.random.integer(0, 10);
        lost = { from, to, isSafe: lossHere !== 'damaged' };
        lostByStore.set(write.store, lost);
      }
      if (write.synced && lost.isSafe) return true;
      return write.number < lost.from || write.number > lost.to;
    });
  }

  #wait(meanUs: number): Promise<void> {
    return new Promise((resolve) => {
      this.loop.schedule(this.random.exponential(meanUs), EventKind.Store, this.#process, resolve);
    });
  }
}
