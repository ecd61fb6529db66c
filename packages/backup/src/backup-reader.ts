import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type BackedUpTable,
  BackupDirectoryError,
  isBeside,
  type Manifest,
  manifestPath,
  readManifest,
} from './backup-manifest.js';

const READ_BYTES = 1024 * 1024;

/** Reads a complete backup that Regatta, Coxswain or the backup agent made. */
export class BackupReader {
  readonly manifest: Manifest;
  readonly #path: string;

  private constructor(path: string, manifest: Manifest) {
    this.#path = path;
    this.manifest = manifest;
  }

  /**
   * Reads the manifest. Throws BackupDirectoryError when there is no complete backup. A table's file is checked only
   * when it is read.
   */
  static async open(path: string): Promise<BackupReader> {
    return new BackupReader(path, await readManifest(path));
  }

  /**
   * Reads a table's file and returns its size in bytes. Throws BackupDirectoryError when its hash is not the
   * manifest's. `onProgress` gets the part of 1 that was read, and the bytes.
   */
  async check(
    table: BackedUpTable,
    onProgress: (part: number, bytes: number) => void = () => undefined,
  ): Promise<number> {
    const path = this.#pathOf(table);
    const corrupted = `table '${table.name}' file '${table.file_name}' corrupted`;
    const hash = createHash('md5');
    let sizeBytes = 0;
    try {
      const totalBytes = (await stat(path)).size;
      for await (const bytes of this.read(table)) {
        hash.update(bytes);
        sizeBytes += bytes.length;
        onProgress(sizeBytes / totalBytes, sizeBytes);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new BackupDirectoryError(`${corrupted} (it is not there): restore from another copy`, {
        cause: error,
      });
    }
    if (hash.digest('hex') !== table.md5.toLowerCase()) {
      throw new BackupDirectoryError(`${corrupted} (checksum mismatch): restore from another copy`);
    }
    return sizeBytes;
  }

  async *read(table: BackedUpTable): AsyncGenerator<Buffer> {
    const options = { highWaterMark: READ_BYTES };
    yield* createReadStream(this.#pathOf(table), options) as AsyncIterable<Buffer>;
  }

  /**
   * Returns the path of a table's file. Throws BackupDirectoryError for a manifest that is wrong about this table,
   * which does not affect the others.
   */
  #pathOf({ name, file_name: fileName }: BackedUpTable): string {
    const fail = (what: string): never => {
      throw new BackupDirectoryError(
        `${manifestPath(this.#path)} ${what}: restore from another copy, or name the other tables with --tables`,
      );
    };
    if (!isBeside(fileName)) return fail(`names a file of table '${name}' that is not beside it`);
    if (this.manifest.tables.filter((table) => table.name === name).length > 1) {
      return fail(`lists table '${name}' twice`);
    }
    return join(this.#path, fileName);
  }
}
