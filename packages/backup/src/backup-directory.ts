import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { backupFileNames } from './backup-file-names.js';

/**
 * A backup directory is `<table>.bak` per table and `manifest.json`, which comes last: a directory that has it is whole
 * (docs/protocol.md §4). While a table is on its way it is `<table>.bak.part`, and `<table>.bak.json` records how much
 * of that counts and where a backup that broke off goes on.
 */

const MANIFEST = 'manifest.json';
/** How much of a file may have to be fetched again after a crash. */
const PROGRESS_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const EXTENSION = '.bak';
/** No manifest of as many tables as a cluster may hold is larger. */
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

/** A directory does not have the required form; the text says how to mend that. */
export class BackupDirectoryError extends Error {
  override readonly name = 'BackupDirectoryError';
}

/** A table in a manifest: the fields that Regatta writes, and those that only Coxswain writes. */
export interface BackedUpTable {
  readonly name: string;
  readonly file_name: string;
  /** The MD5 of the file, in hex. */
  readonly md5: string;
  /** INCREMENTAL files hold commands that are run again after a full backup; all others hold the table. */
  readonly type?: string;
  readonly cluster_id?: string;
  readonly shard_id?: number;
  /** The moment of the table that the file holds. */
  readonly revision?: number;
  /** The time of that moment, in RFC 3339. */
  readonly time?: string;
  readonly key_count?: number;
  /** The revision of the shard after which the commands of an INCREMENTAL file begin. */
  readonly base_revision?: number;
}

export interface Manifest {
  /** When the backup was started, in RFC 3339. */
  readonly started: string;
  readonly finished: string;
  readonly tables: readonly BackedUpTable[];
}

/** The moment of a table that a backup holds. */
export interface BackupMoment {
  readonly clusterId: string;
  readonly shardId: number;
  readonly revision: number;
  /** Milliseconds since 1970; 0: not known. */
  readonly timeMs: number;
  /** The number of keys in the whole table; 0: not known. */
  readonly keyCount: number;
}

/** A place between two chunks, where a backup can go on. */
export interface BackupPlace {
  readonly lastKey: Buffer;
  /** See `replication.v1.SnapshotChunk.record_bytes`. */
  readonly recordBytes: number;
  /** The number of keys up to that place. */
  readonly keyCount: number;
}

/** The content of `<table>.bak.json`. */
interface Progress {
  readonly format: 1;
  readonly name: string;
  readonly started: string;
  /** The moment that the file holds. Absent for a stock server, which names none. */
  readonly moment?: BackupMoment | undefined;
  /** The number of bytes of the file that count. */
  readonly sizeBytes: number;
  /** The MD5 of those bytes. */
  readonly md5: string;
  readonly isWhole: boolean;
  /** The last key, in base64. */
  readonly lastKey: string;
  readonly recordBytes: number;
  readonly keyCount: number;
}

/** Makes a backup directory, or goes on with one that was left unfinished. */
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
   * Opens a backup of `tables`. Throws BackupDirectoryError where there is a whole backup already, and the system's
   * errors.
   */
  static async open(path: string, tables: readonly string[], nowMs: number): Promise<BackupWriter> {
    await mkdir(path, { recursive: true });
    if (await exists(join(path, MANIFEST))) {
      throw new BackupDirectoryError(`${path} holds a backup already: name another directory`);
    }
    return new BackupWriter(path, backupFileNames(tables, EXTENSION), nowMs);
  }

  /**
   * Opens the file of a table that the backup was opened for, with the part that an earlier attempt left of it. The
   * caller must close it.
   */
  async table(name: string): Promise<TableFile> {
    const fileName = this.#fileNames.get(name);
    if (fileName === undefined) throw new TypeError(`the backup was not opened for table '${name}'`);
    const file = await TableFile.open(this.#path, name, `${fileName}${EXTENSION}`, this.#startedMs);
    this.#files.push(file);
    return file;
  }

  /**
   * Ends the backup when every table that was asked for is whole: writes the manifest, and removes the files that were
   * needed to go on.
   */
  async finish(nowMs: number): Promise<Manifest> {
    const tables = this.#files
      .flatMap(({ whole }) => whole ?? [])
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    const [started = new Date(this.#startedMs).toISOString()] = this.#files
      .map((file) => file.started)
      .sort();
    const manifest = { started, finished: new Date(nowMs).toISOString(), tables };
    await syncDirectory(this.#path);
    await writeWhole(join(this.#path, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await syncDirectory(this.#path);
    for (const file of this.#files) await file.forget();
    return manifest;
  }
}

/** One table's file while it is written. */
export class TableFile {
  readonly #directory: string;
  readonly #fileName: string;
  readonly #name: string;
  #started: string;
  #file: FileHandle | undefined;
  #written: Written = nothingWritten();
  /** The state at the last place: bytes after it do not count until there is a place after them. */
  #kept: Written = nothingWritten();
  #savedBytes = 0;
  #moment: BackupMoment | undefined;
  #whole: BackedUpTable | undefined;

  private constructor(directory: string, name: string, fileName: string, startedMs: number) {
    this.#directory = directory;
    this.#name = name;
    this.#fileName = fileName;
    this.#started = new Date(startedMs).toISOString();
  }

  static async open(
    directory: string,
    name: string,
    fileName: string,
    startedMs: number,
  ): Promise<TableFile> {
    const table = new TableFile(directory, name, fileName, startedMs);
    await table.#takeUp();
    return table;
  }

  get started(): string {
    return this.#started;
  }

  /** Set when nothing is left to do. */
  get whole(): BackedUpTable | undefined {
    return this.#whole;
  }

  get sizeBytes(): number {
    return this.#written.sizeBytes;
  }

  /** The moment that the file holds, once that is known. */
  get moment(): BackupMoment | undefined {
    return this.#moment;
  }

  /** The place where the backup goes on; undefined: at the beginning. */
  get place(): BackupPlace | undefined {
    return this.#kept.place;
  }

  /** Discards the bytes written so far. */
  async restart(): Promise<void> {
    await rm(this.#progressPath, { force: true });
    this.#written = nothingWritten();
    this.#kept = nothingWritten();
    this.#savedBytes = 0;
    this.#moment = undefined;
  }

  /** Goes back to `place` after the stream broke off: the next stream goes on there. */
  async rewind(): Promise<void> {
    this.#written = copyOf(this.#kept);
    if (this.#file !== undefined && this.#kept.place !== undefined) await this.#save();
  }

  /**
   * Writes a chunk. `moment` comes with the first chunk of a stream, and `place` where another stream can go on after
   * the chunk.
   */
  async write(data: Buffer, moment: BackupMoment | undefined, place: BackupPlace | undefined): Promise<void> {
    this.#moment ??= moment;
    this.#file ??= await open(this.#partPath, constants.O_RDWR | constants.O_CREAT);
    const file = this.#file;
    const written = this.#written;
    for (let at = 0; at < data.length; ) {
      const { bytesWritten } = await file.write(data, at, data.length - at, written.sizeBytes + at);
      at += bytesWritten;
    }
    written.hash.update(data);
    written.sizeBytes += data.length;
    if (place === undefined) return;
    written.place = place;
    this.#kept = copyOf(written);
    if (written.sizeBytes - this.#savedBytes >= PROGRESS_BYTES) await this.#save();
  }

  /**
   * Ends the file when all of it has come. A stock server names no moment, and sends nothing at all of an empty table:
   * of its tables the revision and the number of keys stay unknown, and an empty file is the whole backup of an empty
   * table.
   */
  async end(): Promise<BackedUpTable> {
    this.#file ??= await open(this.#partPath, constants.O_RDWR | constants.O_CREAT);
    this.#kept = copyOf(this.#written);
    await this.#file.truncate(this.#kept.sizeBytes);
    await this.#save(true);
    await this.close();
    await rename(this.#partPath, this.#wholePath);
    return this.#describe(this.#moment);
  }

  /** Closes the file, and keeps the part that a later attempt can go on with. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Removes the progress file, once there is a manifest that records everything. */
  async forget(): Promise<void> {
    await rm(this.#progressPath, { force: true });
  }

  get #wholePath(): string {
    return join(this.#directory, this.#fileName);
  }

  get #partPath(): string {
    return `${this.#wholePath}.part`;
  }

  get #progressPath(): string {
    return `${this.#wholePath}.json`;
  }

  #describe(moment: BackupMoment | undefined): BackedUpTable {
    this.#whole = {
      name: this.#name,
      file_name: this.#fileName,
      md5: this.#kept.hash.copy().digest('hex'),
      type: 'FULL',
      ...(moment && {
        cluster_id: moment.clusterId,
        shard_id: moment.shardId,
        revision: moment.revision,
        ...(moment.timeMs !== 0 && { time: new Date(moment.timeMs).toISOString() }),
        key_count: this.#kept.place?.keyCount ?? 0,
      }),
    };
    return this.#whole;
  }

  /** Saves the progress on the disk, where it survives a loss of power. */
  async #save(isWhole = false): Promise<void> {
    const { sizeBytes, hash, place } = this.#kept;
    await this.#file!.datasync();
    const progress: Progress = {
      format: 1,
      name: this.#name,
      started: this.#started,
      moment: this.#moment,
      sizeBytes,
      md5: hash.copy().digest('hex'),
      isWhole,
      lastKey: place?.lastKey.toString('base64') ?? '',
      recordBytes: place?.recordBytes ?? 0,
      keyCount: place?.keyCount ?? 0,
    };
    await writeWhole(this.#progressPath, JSON.stringify(progress));
    this.#savedBytes = sizeBytes;
  }

  /** Goes on with the part that an earlier attempt left, where all of it is unchanged. */
  async #takeUp(): Promise<void> {
    const progress = await readProgress(this.#progressPath, this.#name);
    if (progress === undefined) return;
    const { sizeBytes, md5, isWhole, lastKey, recordBytes, keyCount } = progress;
    const isRenamed = isWhole && (await exists(this.#wholePath));
    const path = isRenamed ? this.#wholePath : this.#partPath;
    const hash = await hashOf(path, sizeBytes);
    if (hash === undefined || hash.copy().digest('hex') !== md5) return;
    this.#started = progress.started;
    this.#moment = progress.moment;
    this.#savedBytes = sizeBytes;
    const place = { lastKey: Buffer.from(lastKey, 'base64'), recordBytes, keyCount };
    this.#kept = { sizeBytes, hash, place: place.lastKey.length === 0 ? undefined : place };
    this.#written = copyOf(this.#kept);
    if (!isWhole) return;
    if (!isRenamed) await rename(this.#partPath, this.#wholePath);
    this.#describe(progress.moment);
  }
}

/** How much of a file has been written. */
interface Written {
  sizeBytes: number;
  hash: Hash;
  place: BackupPlace | undefined;
}

function nothingWritten(): Written {
  return { sizeBytes: 0, hash: createHash('md5'), place: undefined };
}

function copyOf({ sizeBytes, hash, place }: Written): Written {
  return { sizeBytes, hash: hash.copy(), place };
}

/** A whole backup, as Regatta, Coxswain or the backup agent made it. */
export class BackupReader {
  readonly manifest: Manifest;
  readonly #path: string;

  private constructor(path: string, manifest: Manifest) {
    this.#path = path;
    this.manifest = manifest;
  }

  /**
   * Opens a backup. Throws BackupDirectoryError for a directory that is no whole backup. Whether a table's file is
   * right is checked when it is read.
   */
  static async open(path: string): Promise<BackupReader> {
    const manifestPath = join(path, MANIFEST);
    let text: string;
    try {
      if ((await stat(manifestPath)).size > MANIFEST_BYTES_MAX) {
        throw new BackupDirectoryError(`${manifestPath} is larger than any manifest: it is another file`);
      }
      text = await readFile(manifestPath, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new BackupDirectoryError(await whyNoManifest(path), { cause: error });
    }
    return new BackupReader(path, parseManifest(text, manifestPath));
  }

  /**
   * Returns the file's size in bytes, when it is the one that was backed up; else throws BackupDirectoryError.
   * `onProgress` gets the part of 1 that was read, and the bytes.
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
   * Returns the path of a table's file. Refuses a wrong entry of the manifest for this table alone, which is no reason
   * to refuse the others.
   */
  #pathOf({ name, file_name: fileName }: BackedUpTable): string {
    const fail = (what: string): never => {
      throw new BackupDirectoryError(
        `${join(this.#path, MANIFEST)} ${what}: restore from another copy, or name the other tables with --tables`,
      );
    };
    if (!isBeside(fileName)) return fail(`names a file of table '${name}' that is not beside it`);
    if (this.manifest.tables.filter((table) => table.name === name).length > 1) {
      return fail(`lists table '${name}' twice`);
    }
    return join(this.#path, fileName);
  }
}

async function whyNoManifest(path: string): Promise<string> {
  const names = await readdir(path).catch(() => undefined);
  if (names === undefined) return `there is no directory ${path}`;
  return names.some((name) => name.endsWith('.bak.json') || name.endsWith('.bak.part'))
    ? `the backup in ${path} is not whole: run the same coxswain backup again, which goes on with it`
    : `${path} has no ${MANIFEST}: it is no backup`;
}

function parseManifest(text: string, path: string): Manifest {
  const fail = (what: string): never => {
    throw new BackupDirectoryError(`${path} ${what}: restore from another copy`);
  };
  let manifest: Partial<Manifest> | null = null;
  try {
    manifest = JSON.parse(text) as Partial<Manifest> | null;
  } catch {
    fail('is no JSON');
  }
  if (manifest === null || typeof manifest !== 'object') return fail('is no manifest');
  const { started = '', finished = '' } = manifest;
  // Regatta writes null where there is no table.
  const tables = manifest.tables ?? [];
  if (!Array.isArray(tables)) return fail('has no list of tables');
  for (const table of tables as Partial<BackedUpTable>[]) {
    const { name, file_name: fileName, md5 } = table ?? {};
    if (typeof name !== 'string' || name === '' || typeof fileName !== 'string' || typeof md5 !== 'string') {
      return fail('lists a table without name, file_name or md5');
    }
  }
  return { started, finished, tables };
}

/** Returns whether a manifest names a file of its own directory, as this system reads names. */
function isBeside(fileName: string): boolean {
  return !['', '.', '..'].includes(fileName) && basename(fileName) === fileName && !fileName.includes('\0');
}

async function readProgress(path: string, name: string): Promise<Progress | undefined> {
  try {
    const progress = JSON.parse(await readFile(path, 'utf8')) as Progress;
    return progress.format === 1 && progress.name === name ? progress : undefined;
  } catch {
    // A file that cannot be continued is begun anew.
    return undefined;
  }
}

/** Returns the hash of the first bytes of a file; undefined: the file is shorter. */
async function hashOf(path: string, sizeBytes: number): Promise<Hash | undefined> {
  const hash = createHash('md5');
  if (sizeBytes === 0) return hash;
  let readBytes = 0;
  try {
    const stream = createReadStream(path, { highWaterMark: READ_BYTES, end: sizeBytes - 1 });
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      hash.update(bytes);
      readBytes += bytes.length;
    }
  } catch {
    return undefined;
  }
  return readBytes === sizeBytes ? hash : undefined;
}

/** Writes a file so that it is there as a whole, or as it was before. */
async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w');
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
