import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskRoom, Disks } from '@coxswain/node';
import type { MetricJson } from './grpc-metrics.js';

/** The time in milliseconds that a scrape waits for a disk. One that does not answer must not keep the page away. */
const LOOK_MS = 1_000;

/** The room on the disks that hold a node's data, as of the last look that was answered. */
export class DiskUse {
  readonly #disks: Pick<Disks, 'room'>;
  #look: Promise<void> | undefined;
  #rooms: readonly DiskRoom[] = [];

  constructor(disks: Pick<Disks, 'room'>) {
    this.#disks = disks;
  }

  /** Looks at the disks, one look at a time, and resolves to their room; to an earlier one when a disk hangs. */
  async rooms(): Promise<readonly DiskRoom[]> {
    await Promise.race([this.refresh(), sleep(LOOK_MS, undefined, { ref: false })]);
    return this.#rooms;
  }

  /** The room as of the last look that was answered; empty before the first. */
  get latest(): readonly DiskRoom[] {
    return this.#rooms;
  }

  /** Begins a look at the disks unless one is under way, and resolves when it is answered. Never rejects. */
  refresh(): Promise<void> {
    this.#look ??= this.#lookOnce();
    return this.#look;
  }

  async #lookOnce(): Promise<void> {
    try {
      this.#rooms = await this.#disks.room();
    } catch {
      // A directory that cannot be looked at has no figures; the node itself says what is wrong with it.
      this.#rooms = [];
    } finally {
      this.#look = undefined;
    }
  }
}

/** Describes for Prometheus how full the disks are. */
export function describeDisks(rooms: readonly DiskRoom[]): MetricJson[] {
  const perDisk = (value: (room: DiskRoom) => number): MetricJson['values'] =>
    rooms.map((room) => ({
      labels: { disk: room.disk, holds: [...room.holds].sort().join() },
      value: value(room),
    }));
  return [
    {
      name: 'coxswain_disk_free_bytes',
      help: 'Bytes that may still be written to a disk that holds data of this node, by the place where it is mounted; holds says which data: files, log and tables.',
      type: 'gauge',
      values: perDisk(({ freeBytes }) => freeBytes),
    },
    {
      name: 'coxswain_disk_size_bytes',
      help: 'Bytes that this disk has in all.',
      type: 'gauge',
      values: perDisk(({ sizeBytes }) => sizeBytes),
    },
  ];
}
