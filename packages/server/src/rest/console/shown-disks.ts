import type { DiskSection } from '@coxswain/console';
import { describeShortage, type NodeStatus } from '@coxswain/node';
import type { DiskUse } from '../../metrics/disk-metrics.js';

/** Milliseconds between two looks at the disks while somebody has the page open. */
const LOOK_INTERVAL_MS = 5_000;

/** The disks that hold the node's data, as the page shows them. */
export class ShownDisks {
  readonly #use: DiskUse;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(use: DiskUse) {
    this.#use = use;
  }

  /** Returns the section as of the last look. */
  section({ isDiskFull, diskShortage }: Pick<NodeStatus, 'isDiskFull' | 'diskShortage'>): DiskSection {
    return {
      isFull: isDiskFull,
      shortage: diskShortage === undefined ? '' : describeShortage(diskShortage),
      disks: this.#use.latest.map(({ disk, directory, holds, freeBytes, sizeBytes }) => {
        return { disk, directory, holds: [...holds], freeBytes, totalBytes: sizeBytes };
      }),
    };
  }

  /** The free bytes of the disk that has the least left; -1 before the first look. */
  get leastFreeBytes(): number {
    const { latest } = this.#use;
    return latest.length === 0 ? -1 : Math.min(...latest.map(({ freeBytes }) => freeBytes));
  }

  /** Looks at the disks, unless that was done a moment ago. */
  refresh(nowMs: number): void {
    if (nowMs - this.#lookedMs < LOOK_INTERVAL_MS) return;
    this.#lookedMs = nowMs;
    void this.#use.refresh();
  }
}
