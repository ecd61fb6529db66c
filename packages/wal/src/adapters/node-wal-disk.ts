import { closeSync, fdatasync, fstatSync, openSync, readSync, writev, writevSync } from 'node:fs';
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { WalDisk, WalFile } from '../types.js';

/**
 * The step in bytes in which space is allocated, each made durable: the log's own fdatasync continues meanwhile, and
 * waits for everything queued at the disk.
 */
const FILL_BYTES = 256 * 1024;
/**
 * The largest write that is made on the calling thread. Into the page cache it takes microseconds, much less than a
 * trip to the thread pool, which only the sync has to make.
 */
const SYNCHRONOUS_BYTES_MAX = 256 * 1024;

/** The directory of a node's log on a real disk. The only place of this package that knows node:fs. */
export class NodeWalDisk implements WalDisk {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Opens the directory, and makes it when it is missing; its name is durable when this resolves. */
  static async open(directory: string): Promise<NodeWalDisk> {
    const made = await mkdir(directory, { recursive: true });
    if (made !== undefined) {
      const parentOfFirst = dirname(made);
      let parent = resolve(directory);
      do {
        parent = dirname(parent);
        await syncDirectory(parent);
      } while (parent !== parentOfFirst);
    }
    return new NodeWalDisk(directory);
  }

  async list(): Promise<string[]> {
    await syncDirectory(this.#directory);
    return await readdir(this.#directory);
  }

  /**
   * Makes a file and fills it with zeros: in space that was merely reserved, each first write would change metadata,
   * which fdatasync would have to write, too.
   */
  async create(name: string, sizeBytes: number): Promise<WalFile> {
    const path = join(this.#directory, name);
    const handle = await open(path, 'wx');
    try {
      const zeros = Buffer.alloc(Math.min(FILL_BYTES, sizeBytes));
      for (let offset = 0; offset < sizeBytes; ) {
        const length = Math.min(zeros.length, sizeBytes - offset);
        const { bytesWritten } = await handle.write(zeros, 0, length, offset);
        offset += bytesWritten;
        await handle.datasync();
      }
      await handle.sync();
      await handle.close();
      await syncDirectory(this.#directory);
    } catch (error) {
      await handle.close();
      await unlink(path);
      throw error;
    }
    return this.open(name);
  }

  async open(name: string): Promise<WalFile> {
    return new NodeWalFile(name, openSync(join(this.#directory, name), 'r+'));
  }

  async rename(from: string, to: string): Promise<void> {
    await rename(join(this.#directory, from), join(this.#directory, to));
    await syncDirectory(this.#directory);
  }

  async remove(name: string): Promise<void> {
    await unlink(join(this.#directory, name));
    await syncDirectory(this.#directory);
  }
}

class NodeWalFile implements WalFile {
  readonly sizeBytes: number;
  readonly #descriptor: number;

  constructor(
    readonly name: string,
    descriptor: number,
  ) {
    this.#descriptor = descriptor;
    this.sizeBytes = fstatSync(descriptor).size;
  }

  async write(buffers: readonly Buffer[], offset: number): Promise<void> {
    const sizeBytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    let rest = buffers;
    let position = offset;
    while (position < offset + sizeBytes) {
      const written =
        sizeBytes <= SYNCHRONOUS_BYTES_MAX
          ? writevSync(this.#descriptor, rest, position)
          : await this.#writeLarge(rest, position);
      position += written;
      rest = skip(rest, written);
    }
  }

  sync(): Promise<void> {
    return new Promise((done, reject) => {
      fdatasync(this.#descriptor, (error) => (error === null ? done() : reject(error)));
    });
  }

  readSync(offset: number, lengthBytes: number, memory?: Buffer): Buffer {
    const size = Math.max(0, Math.min(lengthBytes, this.sizeBytes - offset));
    const fits = memory !== undefined && memory.length >= size;
    const buffer = fits ? memory.subarray(0, size) : Buffer.allocUnsafeSlow(size);
    let filled = 0;
    while (filled < buffer.length) {
      const read = readSync(this.#descriptor, buffer, filled, buffer.length - filled, offset + filled);
      if (read === 0) break;
      filled += read;
    }
    return buffer.subarray(0, filled);
  }

  async close(): Promise<void> {
    closeSync(this.#descriptor);
  }

  #writeLarge(buffers: readonly Buffer[], offset: number): Promise<number> {
    return new Promise((done, reject) => {
      writev(this.#descriptor, buffers, offset, (error, written) =>
        error === null ? done(written) : reject(error),
      );
    });
  }
}

/** Returns the rest of `buffers` after their first `bytes`: the system may take less than it was given. */
function skip(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes;
  let first = 0;
  while (first < buffers.length && left >= buffers[first]!.length) left -= buffers[first++]!.length;
  const rest = buffers.slice(first);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}

/** Syncs a directory: a file's name is durable only when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
