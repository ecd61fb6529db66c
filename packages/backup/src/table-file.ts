import { createHash, type Hash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackedUpTable } from './backup-manifest.js';
import { exists, writeWhole } from './durable-files.js';

/** The most bytes of a file that must be fetched again after a crash. */
const PROGRESS_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

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
