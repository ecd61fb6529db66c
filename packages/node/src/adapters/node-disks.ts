import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Disks } from '../api/environment.js';
import type { DataPart, DiskRoom } from '../disk/disk-room.js';

const RESERVE_NAME = 'reserve';
/**
 * The reserve is made in small steps, since the log's own fdatasync waits for everything that is queued at the disk.
 */
const STEP_BYTES = 256 * 1024;
/** The size of the reserve on a disk that holds small files but no tables. */
const SMALL_RESERVE_BYTES = 1024 * 1024;

type Disk = Omit<DiskRoom, 'freeBytes' | 'sizeBytes'>;

/** The disks that hold a node's data, each once, and a reserve file on those that hold small files or tables. */
export class NodeDisks implements Disks {
  readonly #directories: Readonly<Record<DataPart, string>>;
  readonly #reserveBytes: number;
  /** The disks, once all directories exist: from then on a look asks a disk for nothing but its room. */
  #disks: readonly Disk[] | undefined;

  /**
   * Takes the directory of each part, which need not exist yet. `reserveBytes` is the size of the reserve on the disk
   * that holds the tables.
   */
  constructor(directories: Readonly<Record<DataPart, string>>, reserveBytes: number) {
    this.#directories = directories;
    this.#reserveBytes = reserveBytes;
  }

  async room(): Promise<readonly DiskRoom[]> {
    const rooms: DiskRoom[] = [];
    for (const disk of await this.#find()) rooms.push({ ...disk, ...(await roomAt(disk.directory)) });
    return rooms;
  }

  async releaseReserve(): Promise<void> {
    for (const { directory } of await this.#find()) await rm(join(directory, RESERVE_NAME), { force: true });
  }

  async holdReserve(leftBytes: number): Promise<void> {
    for (const { directory, holds } of await this.#find()) {
      // The log has a reserve of its own.
      if (!holds.has('files') && !holds.has('tables')) continue;
      const wantedBytes = holds.has('tables') ? this.#reserveBytes : SMALL_RESERVE_BYTES;
      const path = join(directory, RESERVE_NAME);
      const heldBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      const missingBytes = wantedBytes - heldBytes;
      if (missingBytes <= 0) continue;
      const addedBytes = Math.min(missingBytes, (await roomAt(directory)).freeBytes - leftBytes);
      if (addedBytes > 0 && (addedBytes >= STEP_BYTES || addedBytes === missingBytes)) {
        await extend(path, heldBytes, addedBytes);
      }
    }
  }

  async #find(): Promise<readonly Disk[]> {
    if (this.#disks !== undefined) return this.#disks;
    const disks = new Map<number, { disk: string; directory: string; holds: Set<DataPart> }>();
    for (const part of ['files', 'log', 'tables'] as const) {
      const directory = this.#directories[part];
      const place = existing(directory);
      const { dev } = await stat(place);
      const known = disks.get(dev);
      if (known === undefined) {
        disks.set(dev, { disk: await mountPoint(place, dev), directory, holds: new Set([part]) });
      } else known.holds.add(part);
    }
    const found = [...disks.values()];
    // A directory that is made later may be on a disk of its own.
    if (Object.values(this.#directories).every((directory) => existsSync(directory))) this.#disks = found;
    return found;
  }
}

async function roomAt(directory: string): Promise<Pick<DiskRoom, 'freeBytes' | 'sizeBytes'>> {
  const { bavail, blocks, bsize } = await statfs(existing(directory));
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
}

/** Appends random bytes, which no file system can make smaller, until there is no room. */
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
    // The room that was taken so far stays held.
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  } finally {
    await file.close();
  }
}

/** Gives the directory, or the nearest one above it that exists. */
function existing(directory: string): string {
  return existsSync(directory) || dirname(directory) === directory ? directory : existing(dirname(directory));
}

async function mountPoint(directory: string, device: number): Promise<string> {
  const above = dirname(directory);
  if (above === directory || (await stat(above)).dev !== device) return directory;
  return mountPoint(above, device);
}
