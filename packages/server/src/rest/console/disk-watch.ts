import { statfs } from 'node:fs/promises';
import type { DiskSection } from '@coxswain/console';
import { type Disks, describeShortage, type NodeStatus } from '@coxswain/node';

/** Disks are looked at so often, while somebody looks. */
const LOOK_INTERVAL_MS = 5_000;

/** What is left of the disks that hold the node's data. */
export class DiskWatch {
  readonly #disks: Pick<Disks, 'room'>;
  #found: DiskSection['disks'] = [];
  #lookedMs = Number.NEGATIVE_INFINITY;
  #isLooking = false;

  constructor(disks: Pick<Disks, 'room'>) {
    this.#disks = disks;
  }

  /** As of the last look. */
  section({ isDiskFull, diskShortage }: Pick<NodeStatus, 'isDiskFull' | 'diskShortage'>): DiskSection {
    return {
      isFull: isDiskFull,
      shortage: diskShortage === undefined ? '' : describeShortage(diskShortage),
      disks: this.#found,
    };
  }

  /** Of the disk that has the least left, in bytes; -1 before the first look. */
  get leastFreeBytes(): number {
    return this.#found.length === 0 ? -1 : Math.min(...this.#found.map(({ freeBytes }) => freeBytes));
  }

  /** Looks at the disks, unless that was done a moment ago. */
  refresh(nowMs: number): void {
    if (this.#isLooking || nowMs - this.#lookedMs < LOOK_INTERVAL_MS) return;
    this.#lookedMs = nowMs;
    this.#isLooking = true;
    void this.#look().finally(() => {
      this.#isLooking = false;
    });
  }

  async #look(): Promise<void> {
    try {
      const rooms = await this.#disks.room();
      this.#found = await Promise.all(
        rooms.map(async ({ disk, directory, holds, freeBytes }) => {
          const { blocks, bsize } = await statfs(disk);
          return { disk, directory, holds: [...holds], freeBytes, totalBytes: blocks * bsize };
        }),
      );
    } catch {
      // A disk that does not answer has the node's own errors; here it is shown as not known.
      this.#found = [];
    }
  }
}
