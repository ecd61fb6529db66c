import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { backupFileNames } from './backup-file-names.js';

/*
 * A backup directory holds `<table>.bak` for each table, and `manifest.json`, which is written last: a directory that has
 * it is complete (docs/protocol.md §4). While a table is being written, its file is `<table>.bak.part`, and
 * `<table>.bak.json` records how many bytes of that are valid and where an interrupted backup continues.
 */

const MANIFEST = 'manifest.json';
/** The most bytes of a file that must be fetched again after a crash. */
const PROGRESS_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;
const EXTENSION = '.bak';
/** Bytes of the largest manifest that is read: enough for as many tables as a cluster may hold. */
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

/** A directory is not a backup directory, or cannot be used as one; the text says what to do. */
export class BackupDirectoryError extends Error {
  override readonly name = 'BackupDirectoryError';
}

/** A table in a manifest: the fields that Regatta writes, then our own. */
export interface BackedUpTable {
  readonly name: string;
  readonly file_name: string;
  /** The MD5 of the file, in hex. */
  readonly md5: string;
  /** INCREMENTAL files hold commands to replay after a full backup; files of every other type hold the table. */
  readonly type?: string;
  readonly cluster_id?: string;
  readonly shard_id?: number;
  /** The revision of the table that the file holds. */
  readonly revision?: number;
  /** The time of that revision, in RFC 3339. */
  readonly time?: string;
  readonly key_count?: number;
  /** For an INCREMENTAL file: the shard's revision after which its commands begin. */
  readonly base_revision?: number;
}

export interface Manifest {
  /** The time at which the backup began, in RFC 3339. */
  readonly started: string;
  readonly finished: string;
  readonly tables: readonly BackedUpTable[];
}

/** The state of a table that a backup holds. */
export interface BackupMoment {
  readonly clusterId: string;
  readonly shardId: number;
  readonly revision: number;
  /** Milliseconds since 1970; 0 when unknown. */
  readonly timeMs: number;
  /** Keys of the whole table; 0 when unknown. */
  readonly keyCount: number;
}

/** A place between two chunks, at which an interrupted backup can continue. */
export interface BackupPlace {
  readonly lastKey: Buffer;
  /** The chunk's `record_bytes`, which the request for the rest sends back: replication.v1.SnapshotChunk. */
  readonly recordBytes: number;
  /** The number of keys up to `lastKey`. */
  readonly keyCount: number;
}

/** The content of `<table>.bak.json`. */
interface Progress {
  readonly format: 1;
  readonly name: string;
  readonly started: string;
  /** The state of the table that the file holds; absent when a stock server sent the table, since it names none. */
  readonly moment?: BackupMoment | undefined;
  /** The bytes of the file that are valid. */
  readonly sizeBytes: number;
  /** The MD5 of those bytes, in hex. */
  readonly md5: string;
  readonly isWhole: boolean;
  /** The last key in those bytes, in base64; empty when the backup has to start over. */
  readonly lastKey: string;
  readonly recordBytes: number;
  readonly keyCount: number;
}

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
    if (await exists(join(path, MANIFEST))) {
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
    await syncDirectory(this.#path);
    await writeWhole(join(this.#path, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await syncDirectory(this.#path);
    for (const file of this.#files) await file.forget();
    return manifest;
  }
}

/** One table's file while it is being written. */
export class TableFile {
  readonly #directory: string;
  readonly #fileName: string;
  readonly #name: string;
  #started: string;
  #file: FileHandle | undefined;
  #written: Written = nothingWritten();
  /** The state at the last place. Bytes after it do not count until another place follows them. */
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

  /** The file's entry for the manifest; undefined until the file is complete. */
  get whole(): BackedUpTable | undefined {
    return this.#whole;
  }

  get sizeBytes(): number {
    return this.#written.sizeBytes;
  }

  /** The state of the table that the file holds, once it is known. */
  get moment(): BackupMoment | undefined {
    return this.#moment;
  }

  /** The place at which to continue; undefined means at the beginning. */
  get place(): BackupPlace | undefined {
    return this.#kept.place;
  }

  /** Starts over: drops the part that an earlier attempt wrote. */
  async restart(): Promise<void> {
    await rm(this.#progressPath, { force: true });
    this.#written = nothingWritten();
    this.#kept = nothingWritten();
    this.#savedBytes = 0;
    this.#moment = undefined;
  }

  /** Goes back to `place` after the stream broke off; the next stream continues there. */
  async rewind(): Promise<void> {
    this.#written = copyOf(this.#kept);
    if (this.#file !== undefined && this.#kept.place !== undefined) await this.#save();
  }

  /**
   * Appends a chunk. `moment` comes with the first chunk of a stream, and `place` when another stream could continue
   * after this chunk.
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
   * Completes the file once all of the table has come. A stock server names no moment and sends nothing at all for an
   * empty table: for its tables the revision and the number of keys stay unknown, and an empty file is the whole backup
   * of an empty table.
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

  /** Closes the file and keeps the part that a later attempt can continue. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Removes the progress file, once the manifest describes the table. */
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

  /** Saves the progress so that it survives a power failure: first the file's bytes, then the record of them. */
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

  /** Continues the part that an earlier attempt wrote, if the bytes on the disk still match its record. */
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

/** The part of a file that was written. */
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
  // Regatta writes null when there are no tables.
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

/** Whether a manifest names a file of its own directory, by this system's rules for names. */
function isBeside(fileName: string): boolean {
  return !['', '.', '..'].includes(fileName) && basename(fileName) === fileName && !fileName.includes('\0');
}

async function readProgress(path: string, name: string): Promise<Progress | undefined> {
  try {
    const progress = JSON.parse(await readFile(path, 'utf8')) as Progress;
    return progress.format === 1 && progress.name === name ? progress : undefined;
  } catch {
    // Without a readable record of progress the table starts over.
    return undefined;
  }
}

/** Hashes the first `sizeBytes` bytes of a file; undefined when the file is shorter or cannot be read. */
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

/** Replaces a file in one step: after a crash it has its old or its new content. */
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
