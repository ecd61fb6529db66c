import { SECTOR_BYTES } from '../src/record.js';
import type { WalDisk, WalFile } from '../src/types.js';

/** What a disk operation may be told to do. */
export type Operation = 'create' | 'write' | 'sync' | 'rename' | 'remove';

/** Decides what fails; undefined: nothing does. A write that fails has still written the first half of its bytes. */
export type Fault = (operation: Operation, name: string, sizeBytes: number) => Error | undefined;

export function diskError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

interface StoredFile {
  /** As a reader sees it. */
  content: Buffer;
  /** The sectors of `content` that no sync covers, and what the disk holds there. */
  unsynced: Map<number, Buffer>;
}

/**
 * A disk in memory that fails on purpose. A crash keeps any subset of the sectors that were written but not synced;
 * a sector is kept or lost as a whole. Names are durable at once, as `WalDisk` wants it.
 */
export class FaultyDisk implements WalDisk {
  fault: Fault = () => undefined;
  /** Awaited before each sync; lets a test hold one back. */
  beforeSync: () => Promise<void> = async () => undefined;
  syncs = 0;
  #files = new Map<string, StoredFile>();
  #isDead = false;

  /**
   * The machine stops; gives the disk as the next start finds it. `keeps` decides for each unsynced sector whether
   * it was written. The process that used this one cannot do anything to it any more.
   */
  crash(keeps: () => boolean): FaultyDisk {
    for (const file of this.#files.values()) {
      for (const [sector, before] of file.unsynced) {
        if (!keeps()) before.copy(file.content, sector * SECTOR_BYTES);
      }
      file.unsynced.clear();
    }
    return this.kill();
  }

  /** The process stops, but not the machine: the page cache survives, and is as unsynced as before. */
  kill(): FaultyDisk {
    this.#isDead = true;
    const next = new FaultyDisk();
    next.#files = this.#files;
    return next;
  }

  /** Another disk with the same content, all of it durable. */
  copy(): FaultyDisk {
    const copy = new FaultyDisk();
    for (const [name, file] of this.#files) {
      copy.#files.set(name, { content: Buffer.from(file.content), unsynced: new Map() });
    }
    return copy;
  }

  /** The content of a file, to be read or damaged. */
  content(name: string): Buffer {
    return this.#file(name).content;
  }

  names(): string[] {
    return [...this.#files.keys()].sort();
  }

  async list(): Promise<string[]> {
    return this.names();
  }

  async create(name: string, sizeBytes: number): Promise<WalFile> {
    this.#check('create', name, sizeBytes);
    if (this.#files.has(name)) throw diskError('EEXIST');
    this.#files.set(name, { content: Buffer.alloc(sizeBytes), unsynced: new Map() });
    return this.open(name);
  }

  async open(name: string): Promise<WalFile> {
    return this.#handle(name, this.#file(name));
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check('rename', from, 0);
    this.#files.set(to, this.#file(from));
    this.#files.delete(from);
  }

  async remove(name: string): Promise<void> {
    this.#check('remove', name, 0);
    this.#file(name);
    this.#files.delete(name);
  }

  #handle(name: string, file: StoredFile): WalFile {
    let isOpen = true;
    const checkUsable = (): void => {
      this.#checkAlive();
      if (!isOpen) throw diskError('EBADF');
    };
    return {
      name,
      sizeBytes: file.content.length,
      write: async (buffers, offset) => {
        checkUsable();
        const bytes = Buffer.concat(buffers);
        if (offset + bytes.length > file.content.length) throw new Error('a write past the end of the file');
        const error = this.fault('write', name, bytes.length);
        this.#write(file, error === undefined ? bytes : bytes.subarray(0, bytes.length >> 1), offset);
        if (error !== undefined) throw error;
      },
      sync: async () => {
        checkUsable();
        const covered = [...file.unsynced.keys()];
        await this.beforeSync();
        checkUsable();
        this.#check('sync', name, 0);
        for (const sector of covered) file.unsynced.delete(sector);
        this.syncs++;
      },
      readSync: (offset, lengthBytes, memory) => {
        checkUsable();
        const content = file.content.subarray(offset, offset + lengthBytes);
        if (memory === undefined || memory.length < content.length) return Buffer.from(content);
        // What a reader still holds of an earlier read must not be what it relies on.
        memory.fill(0xa5);
        content.copy(memory);
        return memory.subarray(0, content.length);
      },
      close: async () => {
        checkUsable();
        isOpen = false;
      },
    };
  }

  #write(file: StoredFile, bytes: Buffer, offset: number): void {
    const last = Math.ceil((offset + bytes.length) / SECTOR_BYTES);
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector < last; sector++) {
      if (file.unsynced.has(sector)) continue;
      const start = sector * SECTOR_BYTES;
      file.unsynced.set(sector, Buffer.from(file.content.subarray(start, start + SECTOR_BYTES)));
    }
    bytes.copy(file.content, offset);
  }

  #checkAlive(): void {
    if (this.#isDead) throw new Error('the process that used the disk is gone');
  }

  #check(operation: Operation, name: string, sizeBytes: number): void {
    this.#checkAlive();
    const error = this.fault(operation, name, sizeBytes);
    if (error !== undefined) throw error;
  }

  #file(name: string): StoredFile {
    this.#checkAlive();
    const file = this.#files.get(name);
    if (file === undefined) throw diskError('ENOENT');
    return file;
  }
}
