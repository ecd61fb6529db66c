import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DataPart, DiskRoom } from '../disk-room.js';
import type { Disks } from '../environment.js';

const RESERVE_NAME = 'reserve';
/** The log's own fdatasync waits for whatever is queued at the disk, so the reserve is made in small steps. */
const STEP_BYTES = 256 * 1024;
/** Where only small files are. */
const SMALL_RESERVE_BYTES = 1024 * 1024;

/** The disks that hold a node's data, each once, and a reserve file on those that hold small files or tables. */
export class NodeDisks implements Disks {
  readonly #directories: Readonly<Record<DataPart, string>>;
  readonly #reserveBytes: number;
  /** By device. The room is looked at once a second, and a disk's name is for people. */
  readonly #mountPoints = new Map<number, string>();

  /** `reserveBytes` is held back on the disk that has the tables; a part's directory may be missing as yet. */
  constructor(directories: Readonly<Record<DataPart, string>>, reserveBytes: number) {
    this.#directories = directories;
    this.#reserveBytes = reserveBytes;
  }

  async room(): Promise<readonly DiskRoom[]> {
    const rooms = new Map<
      number,
      { disk: string; directory: string; holds: Set<DataPart>; freeBytes: number }
    >();
    for (const part of ['files', 'log', 'tables'] as const) {
      const directory = this.#directories[part];
      const place = existing(directory);
      const { dev } = await stat(place);
      const known = rooms.get(dev);
      if (known !== undefined) {
        known.holds.add(part);
        continue;
      }
      const { bavail, bsize } = await statfs(place);
      const disk = this.#mountPoints.get(dev) ?? (await mountPoint(place, dev));
      this.#mountPoints.set(dev, disk);
      rooms.set(dev, {
        disk,
        directory,
        holds: new Set([part]),
        freeBytes: bavail * bsize,
      });
    }
    return [...rooms.values()];
  }

  async releaseReserve(): Promise<void> {
    for (const { directory } of await this.room()) await rm(join(directory, RESERVE_NAME), { force: true });
  }

  async holdReserve(leftBytes: number): Promise<void> {
    for (const { directory, holds, freeBytes } of await this.room()) {
      // The log has a reserve of its own.
      if (!holds.has('files') && !holds.has('tables')) continue;
      const wantedBytes = holds.has('tables') ? this.#reserveBytes : SMALL_RESERVE_BYTES;
      const path = join(directory, RESERVE_NAME);
      const heldBytes = existsSync(path) ? (await stat(path)).size : 0;
      const addedBytes = Math.min(wantedBytes - heldBytes, freeBytes - leftBytes);
      if (addedBytes > 0 && (addedBytes >= STEP_BYTES || addedBytes === wantedBytes - heldBytes)) {
        await extend(path, heldBytes, addedBytes);
      }
    }
  }
}

/** Appends what no file system can make smaller, until there is no room. */
async function extend(path: string, sizeBytes: number, addedBytes: number): Promise<void> {
  const file = await open(path, 'a', 0o600);
  try {
    const step = randomBytes(Math.min(STEP_BYTES, addedBytes));
    for (let added = 0; added < addedBytes; ) {
      const { bytesWritten } = await file.write(
        step,
        0,
        Math.min(step.length, addedBytes - added),
        sizeBytes + added,
      );
      added += bytesWritten;
      await file.datasync();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // What was taken so far is held.
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  } finally {
    await file.close();
  }
}

/** The directory, or the next one above it that exists. */
function existing(directory: string): string {
  return existsSync(directory) || dirname(directory) === directory ? directory : existing(dirname(directory));
}

async function mountPoint(directory: string, device: number): Promise<string> {
  const above = dirname(directory);
  if (above === directory || (await stat(above)).dev !== device) return directory;
  return mountPoint(above, device);
}
