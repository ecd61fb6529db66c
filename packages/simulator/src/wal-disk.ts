import type { WalDisk, WalFile } from '@coxswain/wal';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

/** The bytes that a disk writes as a whole or not at all. */
const SECTOR_SIZE_BYTES = 512;

export interface DiskOptions {
  /** Means of exponential distributions, in microseconds. */
  readonly writeMeanUs: number;
  readonly syncMeanUs: number;
  /** The probability that a sync takes `slowSyncUs`. */
  readonly slowSyncProbability: number;
  readonly slowSyncUs: number;
}

/** The kernel's error when there is no room, with the code by which Node reports it. */
class NoSpace extends Error {
  readonly code = 'ENOSPC';
  constructor() {
    super('ENOSPC: no space left on device');
  }
}

class InputOutputError extends Error {
  readonly code = 'EIO';
  constructor() {
    super('EIO: i/o error, fdatasync');
  }
}

interface PendingWrite {
  readonly offset: number;
  readonly data: Buffer;
}

/**
 * A file's content: the bytes on the disk, and those written since that are only in the page cache. It copies as late
 * as possible: most files of most runs are never written again once they were copied or their process died.
 */
class Content {
  /** Writes in the order of the calls. */
  #pending: PendingWrite[] = [];
  /** The number of writes since the file was made, and how many of them are durable or given up. */
  writtenCount = 0;
  #settledCount = 0;
  #durable: Buffer;
  /** True when a copy of the disk holds the same memory as `#durable`. */
  #isShared: boolean;
  /** The bytes that readers see; the same memory as `#durable` until something is written. */
  #cached: Buffer;
  /** The range outside of which `#cached` holds the same bytes as `#durable`. */
  #writtenFrom = Number.POSITIVE_INFINITY;
  #writtenTo = 0;

  constructor(durable: Buffer, isShared = false) {
    this.#durable = durable;
    this.#cached = durable;
    this.#isShared = isShared;
  }

  /** The bytes that readers see, which must not be changed. */
  get cached(): Buffer {
    return this.#cached;
  }

  /** Returns the bytes on the disk as a copy that does not change later and must not be changed. */
  copy(): Buffer {
    this.#isShared = true;
    return this.#durable;
  }

  write(offset: number, data: Buffer): void {
    if (this.#cached === this.#durable) this.#cached = Buffer.from(this.#durable);
    data.copy(this.#cached, offset);
    this.#writtenFrom = Math.min(this.#writtenFrom, offset);
    this.#writtenTo = Math.max(this.#writtenTo, offset + data.length);
    this.#pending.push({ offset, data });
    this.writtenCount += 1;
  }

  /** Makes the first `count` writes durable. */
  settle(count: number): void {
    for (const write of this.#take(count)) write.data.copy(this.#ownDurable(), write.offset);
  }

  /**
   * Forgets the first `count` writes: after a failed sync the kernel takes them for clean, and no later sync writes
   * them (D6).
   */
  giveUp(count: number): void {
    this.#take(count);
  }

  #take(count: number): PendingWrite[] {
    const taken = this.#pending.splice(0, Math.max(0, count - this.#settledCount));
    this.#settledCount += taken.length;
    return taken;
  }

  /** Returns the bytes on the disk for a change, which no copy sees. */
  #ownDurable(): Buffer {
    if (this.#isShared) {
      this.#isShared = false;
      const isRead = this.#cached === this.#durable;
      this.#durable = Buffer.from(this.#durable);
      if (isRead) this.#cached = this.#durable;
    }
    return this.#durable;
  }

  /**
   * Simulates a loss of power. The kernel may have written back any dirty page at any time, so each sector gets its
   * content after any number of the writes that touched it, independently of all others.
   */
  loseUnsynced(random: SeededRandom, style: 'none' | 'all' | 'torn'): void {
    if (style === 'none') this.settle(this.writtenCount);
    if (style === 'torn') {
      const writesBySector = new Map<number, PendingWrite[]>();
      for (const write of this.#pending) {
        const last = Math.floor((write.offset + write.data.length - 1) / SECTOR_SIZE_BYTES);
        for (let sector = Math.floor(write.offset / SECTOR_SIZE_BYTES); sector <= last; sector++) {
          const writes = writesBySector.get(sector);
          if (writes === undefined) writesBySector.set(sector, [write]);
          else writes.push(write);
        }
      }
      for (const [sector, writes] of writesBySector) {
        const kept = random.integer(0, writes.length);
        for (const write of writes.slice(0, kept)) {
          const from = Math.max(write.offset, sector * SECTOR_SIZE_BYTES);
          const to = Math.min(write.offset + write.data.length, (sector + 1) * SECTOR_SIZE_BYTES);
          write.data.copy(this.#ownDurable(), from, from - write.offset, to - write.offset);
        }
      }
    }
    this.#take(this.writtenCount);
    if (this.#writtenFrom >= this.#writtenTo) return;
    this.#durable.copy(this.#cached, this.#writtenFrom, this.#writtenFrom, this.#writtenTo);
    this.#writtenFrom = Number.POSITIVE_INFINITY;
    this.#writtenTo = 0;
  }

  /** Flips one bit, for tests of corruption. */
  flipBit(offset: number): void {
    this.#ownDurable()[offset]! ^= 1 << (offset & 7);
    this.#durable.copy(this.#cached);
  }
}

/** A change of the directory that is in force but would not survive a loss of power yet. */
interface PendingChange {
  undo(): void;
}

/**
 * The directory of segments on one machine, which outlives processes. A loss of power loses unsynced data: any subset
 * of the sectors of unsynced writes, and changes of the directory that had not resolved. A killed process loses nothing
 * that it wrote, since that is in the page cache.
 */
export class SimulatedWalDisk {
  readonly #files = new Map<string, Content>();
  readonly #changes: PendingChange[] = [];
  #isFull = false;
  #failsNextSync = false;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #options: DiskOptions;

  constructor(loop: EventLoop, random: SeededRandom, options: DiskOptions) {
    this.#loop = loop;
    this.#random = random;
    this.#options = options;
  }

  /** While this is true, changes that would take more space are refused with ENOSPC. */
  set isFull(value: boolean) {
    this.#isFull = value;
  }

  /** Makes the next fdatasync report EIO. The data that it should have made durable is as lost as without it (D6). */
  failNextSync(): void {
    this.#failsNextSync = true;
  }

  /** Ends all faults of the disk. */
  heal(): void {
    this.#isFull = false;
    this.#failsNextSync = false;
  }

  /** Simulates a loss of power. No process of the machine may be alive. */
  losePower(): void {
    // The file system's journal is ordered: a change survives only if all earlier ones do.
    const survive = this.#random.integer(0, this.#changes.length);
    for (const change of this.#changes.splice(0).slice(survive).reverse()) change.undo();
    const style = this.#random.pick(['none', 'all', 'torn', 'torn'] as const);
    for (const content of this.#files.values()) content.loseUnsynced(this.#random, style);
    this.#failsNextSync = false;
  }

  /**
   * Returns the content of every file on the disk itself: a copy of the volume, without the page cache that a process
   * sees.
   */
  copy(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#files].map(([name, content]) => [name, content.copy()]));
  }

  /** Replaces all files by an earlier copy. No process may be alive. */
  putBack(copy: ReadonlyMap<string, Buffer>): void {
    this.#changes.splice(0);
    this.#files.clear();
    for (const [name, durable] of copy) this.#files.set(name, new Content(durable, true));
  }

  /** Flips one bit of the durable content, for tests of corruption. */
  flipBit(name: string, offset: number): void {
    this.#content(name).flipBit(offset);
  }

  /** Returns the disk as one process sees it. */
  attach(process: SimulatedProcess): WalDisk {
    return {
      list: () =>
        this.#later(process, this.#options.syncMeanUs, () => {
          this.#changes.splice(0);
          return [...this.#files.keys()].sort();
        }),
      create: async (name, sizeBytes) => {
        if (this.#isFull) {
          await this.#later(process, this.#options.writeMeanUs, () => undefined);
          throw new NoSpace();
        }
        if (this.#files.has(name)) throw new Error(`EEXIST: ${name}`);
        // Until it resolves, the file may be missing after a crash, or have too few zeros.
        const content = new Content(Buffer.alloc(sizeBytes));
        this.#files.set(name, content);
        await this.#durably(process, () => {
          this.#files.delete(name);
          if (this.#random.chance(0.5)) {
            const shorter = this.#random.chance(0.5) ? 0 : this.#random.integer(0, sizeBytes);
            this.#files.set(name, new Content(Buffer.alloc(shorter)));
          }
        });
        return this.#file(process, name, content);
      },
      open: (name) =>
        this.#later(process, this.#options.writeMeanUs, () => this.#file(process, name, this.#content(name))),
      rename: async (from, to) => {
        const content = this.#content(from);
        const replaced = this.#files.get(to);
        this.#files.delete(from);
        this.#files.set(to, content);
        await this.#durably(process, () => {
          this.#files.set(from, content);
          if (replaced === undefined) this.#files.delete(to);
          else this.#files.set(to, replaced);
        });
      },
      remove: async (name) => {
        const content = this.#content(name);
        this.#files.delete(name);
        await this.#durably(process, () => this.#files.set(name, content));
      },
    };
  }

  #file(process: SimulatedProcess, name: string, content: Content): WalFile {
    return {
      name,
      sizeBytes: content.cached.length,
      write: async (buffers, offset) => {
        const data = Buffer.concat(buffers);
        if (offset < 0 || offset + data.length > content.cached.length) {
          throw new Error(`write of ${data.length} bytes at ${offset} passes the end of ${name}`);
        }
        if (this.#isFull && this.#random.chance(0.5)) {
          // Copy-on-write file systems do this: preallocation promises nothing there. A part may be written.
          content.write(offset, data.subarray(0, this.#random.integer(0, data.length)));
          await this.#later(process, this.#options.writeMeanUs, () => undefined);
          throw new NoSpace();
        }
        content.write(offset, data);
        await this.#later(process, this.#options.writeMeanUs, () => undefined);
      },
      sync: async () => {
        const covered = content.writtenCount;
        const isSlow = this.#random.chance(this.#options.slowSyncProbability);
        const fails = this.#failsNextSync;
        this.#failsNextSync = false;
        await this.#later(process, isSlow ? this.#options.slowSyncUs : this.#options.syncMeanUs, () => {
          if (fails) {
            content.giveUp(covered);
            throw new InputOutputError();
          }
          content.settle(covered);
        });
      },
      readSync: (offset, lengthBytes, memory) => {
        const bytes = content.cached.subarray(offset, offset + lengthBytes);
        if (memory === undefined || memory.length < bytes.length) return Buffer.from(bytes);
        return memory.subarray(0, bytes.copy(memory));
      },
      close: () => this.#later(process, 0, () => undefined),
    };
  }

  /** Resolves when the change that was just made can no longer be lost; `undo` reverts it. */
  #durably(process: SimulatedProcess, undo: () => void): Promise<void> {
    const change = { undo };
    this.#changes.push(change);
    return this.#later(process, this.#options.syncMeanUs, () => {
      // One fsync of the directory covers every change before it.
      this.#changes.splice(0, this.#changes.indexOf(change) + 1);
    });
  }

  /** Settles after a while with the result of `act`. A process that dies meanwhile never hears of it. */
  #later<T>(process: SimulatedProcess, meanUs: number, act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#loop.schedule(this.#random.exponential(meanUs), EventKind.Disk, process, () => {
        try {
          resolve(act());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #content(name: string): Content {
    const content = this.#files.get(name);
    if (content === undefined) throw Object.assign(new Error(`ENOENT: ${name}`), { code: 'ENOENT' });
    return content;
  }
}
