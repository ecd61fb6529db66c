import { statSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { SmallFiles } from '../api/environment.js';

/** Small files in one directory, each of which is replaced as a whole and durably. */
export class NodeSmallFiles implements SmallFiles {
  readonly #directory: string;
  /**
   * The limit of descriptors; undefined until it was read. Node raises the limit of its process before any of our code
   * runs.
   */
  #descriptorsMax: number | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(name: string): Promise<Buffer | undefined> {
    try {
      const content = await readFile(join(this.#directory, name));
      // A process that was killed may have renamed the file without syncing the name.
      await this.#syncNames();
      return content;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async replace(name: string, content: Buffer): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const path = join(this.#directory, name);
    const aside = `${path}.new`;
    // First the file itself, then its name, and then the directory that holds the name.
    await withFile(await open(aside, 'w', 0o600), async (file) => {
      await file.writeFile(content);
      await file.sync();
    });
    await rename(aside, path);
    await this.#syncNames();
  }

  async descriptors(): Promise<{ inUse: number; max: number }> {
    try {
      this.#descriptorsMax ??= await readDescriptorsMax();
      if (this.#descriptorsMax !== undefined)
        return { inUse: await countDescriptors(), max: this.#descriptorsMax };
    } catch (error) {
      // This system has no /proc.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    return { inUse: 0, max: Number.POSITIVE_INFINITY };
  }

  async #syncNames(): Promise<void> {
    await withFile(await open(this.#directory, 'r'), (directory) => directory.sync());
  }
}

async function readDescriptorsMax(): Promise<number | undefined> {
  const max = /^Max open files\s+(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1];
  return max === undefined ? undefined : Number(max);
}

/**
 * Counts the descriptors of this process. From 6.2 on Linux gives the number as the directory's size; before, each must
 * be looked at, which takes a while with thousands.
 */
async function countDescriptors(): Promise<number> {
  // No disk is asked, so this takes a few microseconds: a tenth of a trip to the thread pool.
  const { size } = statSync('/proc/self/fd');
  return size > 0 ? size : (await readdir('/proc/self/fd')).length;
}

async function withFile(file: FileHandle, use: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await use(file);
  } finally {
    await file.close();
  }
}
