import type { Disks, SmallFiles } from '@coxswain/node';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

/** The small files of one machine. A replacement that was under way when the process died has happened or has not. */
export class SimulatedFiles {
  /** The free bytes of the disk. */
  freeBytes = Number.MAX_SAFE_INTEGER;
  /** The descriptors in use, and the most that a process here may have. */
  descriptors = { inUse: 0, max: Number.POSITIVE_INFINITY };
  readonly #files = new Map<string, Buffer>();

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;

  constructor(loop: EventLoop, random: SeededRandom) {
    this.#loop = loop;
    this.#random = random;
  }

  copy(): ReadonlyMap<string, Buffer> {
    return new Map(this.#files);
  }

  putBack(copy: ReadonlyMap<string, Buffer>): void {
    this.#files.clear();
    for (const [name, content] of copy) this.#files.set(name, content);
  }

  /** Returns the one disk of the machine, as one process sees it. */
  disks(process: SimulatedProcess): Disks {
    const holds = new Set(['files', 'log', 'tables'] as const);
    return {
      room: () =>
        new Promise((resolve) => {
          this.#loop.schedule(this.#random.exponential(500), EventKind.File, process, () =>
            resolve([
              {
                disk: '/',
                directory: 'data',
                holds,
                freeBytes: this.freeBytes,
                sizeBytes: Number.MAX_SAFE_INTEGER,
              },
            ]),
          );
        }),
      releaseReserve: async () => undefined,
      holdReserve: async () => undefined,
    };
  }

  /** Returns the files as one process sees them. */
  attach(process: SimulatedProcess): SmallFiles {
    const later = <T>(act: () => T) =>
      new Promise<T>((resolve) => {
        this.#loop.schedule(this.#random.exponential(500), EventKind.File, process, () => resolve(act()));
      });
    return {
      descriptors: async () => this.descriptors,
      read: (name) => later(() => this.#files.get(name)),
      replace: async (name, content) => {
        const copy = Buffer.from(content);
        // Half of the time the rename is in force long before its sync is over and the caller hears of it.
        const isEarly = this.#random.chance(0.5);
        if (isEarly) this.#files.set(name, copy);
        await later(() => this.#files.set(name, copy));
      },
    };
  }
}
