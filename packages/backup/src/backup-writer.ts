import { mkdir } from 'node:fs/promises';
import { backupFileNames } from './backup-file-names.js';
import { BackupDirectoryError, hasManifest, type Manifest, writeManifest } from './backup-manifest.js';
import { TableFile } from './table-file.js';

const EXTENSION = '.bak';

/** Makes a backup directory, or continues one that was left unfinished. */
export class BackupWriter {
  readonly #path: string;
  readonly #files: TableFile[] = [];
  readonly #fileNames: ReadonlyMap<string, string>;
  readonly #startedMs: number;

  private constructor(path: string, fileNames: ReadonlyMap<string, string>, startedMs: number) {
    this.#path = path;
    this.#fileNames = fileNames;
    this.#startedMs = startedMs;
  }

  /**
   * Opens a backup of `tables`. Throws BackupDirectoryError when the directory holds a complete backup already, and the
   * system's errors.
   */
  static async open(path: string, tables: readonly string[], nowMs: number): Promise<BackupWriter> {
    await mkdir(path, { recursive: true });
    if (await hasManifest(path)) {
      throw new BackupDirectoryError(`${path} holds a backup already: name another directory`);
    }
    return new BackupWriter(path, backupFileNames(tables, EXTENSION), nowMs);
  }

  /**
   * Opens the file of a table that the backup was opened for, with the part that an earlier attempt wrote. The caller
   * closes it. Throws TypeError for another table.
   */
  async table(name: string): Promise<TableFile> {
    const fileName = this.#fileNames.get(name);
    if (fileName === undefined) throw new TypeError(`the backup was not opened for table '${name}'`);
    const file = await TableFile.open(this.#path, name, `${fileName}${EXTENSION}`, this.#startedMs);
    this.#files.push(file);
    return file;
  }

  /** Completes the backup once every table is complete: writes the manifest and removes the progress files. */
  async finish(nowMs: number): Promise<Manifest> {
    const tables = this.#files
      .flatMap(({ whole }) => whole ?? [])
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    const [started = new Date(this.#startedMs).toISOString()] = this.#files
      .map((file) => file.started)
      .sort();
    const manifest = { started, finished: new Date(nowMs).toISOString(), tables };
    await writeManifest(this.#path, manifest);
    for (const file of this.#files) await file.forget();
    return manifest;
  }
}
