import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, opendir, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Deadline } from '../deadline.js';
import { ArchiveError, archiveErrors } from '../errors.js';
import {
  checkFolder,
  checkName,
  checkPrefix,
  isName,
  type ObjectStore,
  PIECE_SIZE_BYTES_MAX,
  type PutResult,
  type StoreCall,
  type StoredObject,
} from '../store.js';

/** The folder in which objects are written before they get their names. No object's name begins with a dot. */
const UNFINISHED = '.unfinished';
/**
 * The age in milliseconds from which an unfinished file that nobody writes to counts as left over from a crash. Storing
 * an object ends much sooner, one way or the other.
 */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/**
 * Keeps objects as files below a directory, which may be on a network disk that several nodes write to. It writes each
 * file under a temporary name, syncs and renames it, and then syncs its directory: so an object is there as a whole or
 * not at all.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #nowMs: () => number;

  /**
   * `root` is an absolute path; the directory is made when something is stored. `nowMs` returns the time in
   * milliseconds since 1970.
   */
  constructor(root: string, nowMs: () => number = Date.now) {
    this.#root = root;
    this.url = pathToFileURL(root).href;
    this.#nowMs = nowMs;
  }

  async put(name: string, content: Buffer | AsyncIterable<Buffer>, call: StoreCall): Promise<PutResult> {
    checkName(name);
    const deadline = new Deadline(this.url, `storing ${name}`, call);
    return deadline.race(
      this.#put(name, content, deadline).catch((error: unknown) => {
        throw this.#declared(error, name, `storing ${name}`);
      }),
    );
  }

  async #put(name: string, content: Buffer | AsyncIterable<Buffer>, deadline: Deadline): Promise<PutResult> {
    const unfinished = join(this.#root, UNFINISHED);
    await this.#makeDirectory(unfinished);
    const temporary = join(unfinished, `${randomBytes(16).toString('hex')}.tmp`);
    const file = await open(temporary, 'wx', 0o600);
    try {
      let result: PutResult;
      try {
        result = await write(file, content, deadline);
        await file.sync();
      } finally {
        await file.close();
      }
      deadline.check();
      const path = this.#path(name);
      await this.#makeDirectory(dirname(path));
      await rename(temporary, path);
      await syncDirectory(dirname(path));
      return result;
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      throw error;
    }
  }

  async *get(name: string, call: StoreCall): AsyncGenerator<Buffer, void, undefined> {
    checkName(name);
    const doing = `reading ${name}`;
    const within = async <T>(work: Promise<T>): Promise<T> => {
      try {
        return await new Deadline(this.url, doing, call).race(work);
      } catch (error) {
        throw this.#declared(error, name, doing);
      }
    };
    const file = await within(open(this.#path(name), 'r'));
    try {
      const { size } = await within(file.stat());
      for (let at = 0; at < size; ) {
        const wanted = Math.min(PIECE_SIZE_BYTES_MAX, size - at);
        const { bytesRead, buffer } = await within(file.read(Buffer.allocUnsafe(wanted), 0, wanted, at));
        if (bytesRead === 0) throw archiveErrors.truncated(this.url, name, at, size);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close().catch(() => undefined);
    }
  }

  async *list(prefix: string, call: StoreCall): AsyncGenerator<StoredObject, void, undefined> {
    checkPrefix(prefix);
    const doing = 'listing the objects';
    const deadline = new Deadline(this.url, doing, call);
    try {
      yield* this.#walk('', prefix, deadline);
    } catch (error) {
      throw this.#declared(error, prefix, doing);
    }
  }

  /** Yields the objects below a folder whose names begin with `prefix`. `folder` is empty, or ends with a slash. */
  async *#walk(
    folder: string,
    prefix: string,
    deadline: Deadline,
  ): AsyncGenerator<StoredObject, void, undefined> {
    const children = await deadline.race(childrenOf(join(this.#root, folder)));
    for (const child of children) {
      const name = folder + child;
      if (child.endsWith('/')) {
        if (name.startsWith(prefix) || prefix.startsWith(name)) yield* this.#walk(name, prefix, deadline);
        continue;
      }
      if (!name.startsWith(prefix)) continue;
      const sizeBytes = await deadline.race(sizeOf(this.#path(name)));
      // It was deleted after the directory was read.
      if (sizeBytes === undefined) continue;
      yield { name, sizeBytes };
    }
  }

  async *folders(prefix: string, call: StoreCall): AsyncGenerator<string, void, undefined> {
    checkFolder(prefix);
    const doing = 'listing the objects';
    try {
      const children = await new Deadline(this.url, doing, call).race(childrenOf(join(this.#root, prefix)));
      for (const child of children) if (child.endsWith('/')) yield child.slice(0, -1);
    } catch (error) {
      throw this.#declared(error, prefix, doing);
    }
  }

  async delete(name: string, call: StoreCall): Promise<void> {
    checkName(name);
    const path = this.#path(name);
    const doing = `deleting ${name}`;
    const work = async (): Promise<void> => {
      try {
        await unlink(path);
        await syncDirectory(dirname(path));
      } catch (error) {
        if (!isMissing(error)) throw this.#declared(error, name, doing);
      }
    };
    await new Deadline(this.url, doing, call).race(work());
  }

  async removeLeftovers(call: StoreCall): Promise<number> {
    const doing = 'removing what broken-off stores left behind';
    const deadline = new Deadline(this.url, doing, call);
    const directory = join(this.#root, UNFINISHED);
    let count = 0;
    try {
      for await (const { name } of await opendir(directory)) {
        deadline.check();
        const path = join(directory, name);
        const { mtimeMs } = await stat(path);
        if (this.#nowMs() - mtimeMs < LEFTOVER_AGE_MS) continue;
        await unlink(path);
        count++;
      }
    } catch (error) {
      if (!isMissing(error)) throw this.#declared(error, UNFINISHED, doing);
    }
    return count;
  }

  async close(): Promise<void> {
    // Nothing is held open between operations.
  }

  #path(name: string): string {
    return join(this.#root, name);
  }

  /** Makes a directory and the missing ones above it, durably: each new one is synced into its parent. */
  async #makeDirectory(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    for (let made = path; ; made = dirname(made)) {
      await syncDirectory(dirname(made));
      if (made === first) return;
    }
  }

  /** Returns the declared error for an error of the file system, and any other error as it is. */
  #declared(error: unknown, name: string, doing: string): unknown {
    if (error instanceof ArchiveError) return error;
    const { code } = error as NodeJS.ErrnoException;
    const options = { cause: error };
    switch (code) {
      case undefined:
        // It is not the file system's: the maker of the content threw it.
        return error;
      case 'ENOENT':
        return archiveErrors.objectMissing(this.url, name, options);
      case 'ENOSPC':
      case 'EDQUOT':
        return archiveErrors.storeFull(this.url, options);
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return archiveErrors.directoryDenied(this.url, options);
      default:
        return archiveErrors.storeFailed(this.url, doing, code, options);
    }
  }
}

async function write(
  file: FileHandle,
  content: Buffer | AsyncIterable<Buffer>,
  deadline: Deadline,
): Promise<PutResult> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const piece of Buffer.isBuffer(content) ? pieces(content) : content) {
    deadline.check();
    hash.update(piece);
    for (let at = 0; at < piece.length; ) at += (await file.write(piece, at)).bytesWritten;
    sizeBytes += piece.length;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

function* pieces(content: Buffer): Generator<Buffer, void, undefined> {
  for (let at = 0; at < content.length; at += PIECE_SIZE_BYTES_MAX) {
    yield content.subarray(at, at + PIECE_SIZE_BYTES_MAX);
  }
}

/**
 * Returns the names in a directory, sorted as the names of objects are; those of directories end with a slash. Returns
 * none when there is no such directory.
 */
async function childrenOf(path: string): Promise<string[]> {
  try {
    const children = await readdir(path, { withFileTypes: true });
    return children
      .filter((child) => isName(child.name))
      .map((child) => (child.isDirectory() ? `${child.name}/` : child.name))
      .sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
