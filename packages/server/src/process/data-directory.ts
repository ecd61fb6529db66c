import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { StartError } from './start-error.js';

/** The paths of the parts of a node's data. */
export interface DataPaths {
  readonly root: string;
  readonly wal: string;
  readonly tables: string;
}

/**
 * A node's data directory, held by this process: `coxswain.lock`, `coxswain.pid`, `wal/`, `tables/`, `node.json`
 * (docs/compatibility.md, "What scripts may rely on").
 *
 * The holder has a lock of the system on `coxswain.lock` (fcntl, of the open file description), which ends with the
 * process, however that ends. Process ids, which are used again, and times decide nothing; containers that share a
 * volume see each other's lock. The file itself stays; its content, like `coxswain.pid`, is information for people. The
 * directories of the log and of the tables have such a file each, since another node may be given the same one for
 * either.
 */
export class DataDirectory {
  readonly #pidFile: string;
  readonly #locks: number[] = [];
  readonly #locked = new Set<string>();

  private constructor(readonly paths: DataPaths) {
    this.#pidFile = join(paths.root, 'coxswain.pid');
  }

  /**
   * Makes missing folders, and takes the directory for this process. Throws when it cannot be written or another
   * process has it.
   */
  static take(paths: DataPaths): DataDirectory {
    const directory = new DataDirectory(paths);
    try {
      // The parent directory is synced by those who need it: the wal and the store directory.
      directory.#lock(paths.root, 'the data directory', '--data-dir');
      directory.#lock(paths.wal, "the log's directory", '--raft.wal-dir');
      directory.#lock(paths.tables, "the tables' directory", '--raft.state-machine-dir');
      // The file holds the id alone, since scripts say `kill $(cat coxswain.pid)`.
      ignoreNoRoom(() => writeFileSync(directory.#pidFile, `${process.pid}\n`, { mode: 0o600 }));
    } catch (error) {
      directory.#unlock();
      throw error;
    }
    return directory;
  }

  /** The outermost directories of the data that users other than the owner may enter. */
  get openToOthers(): string[] {
    const { root, wal, tables } = this.paths;
    const outermost = [root, ...[wal, tables].filter((path) => dirname(path) !== root)];
    return outermost.filter((path) => (statSync(path).mode & 0o077) !== 0);
  }

  /** Releases the directory: removes `coxswain.pid`, and ends the locks. */
  release(): void {
    try {
      unlinkSync(this.#pidFile);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      this.#unlock();
    }
  }

  /** Makes a directory when it is missing, and locks it. Two parts of the data may be in the same directory. */
  #lock(path: string, what: string, option: string): void {
    makeDirectory(path);
    const real = realpathSync(path);
    if (this.#locked.has(real)) return;
    this.#locks.push(lockFile(path, what, option));
    this.#locked.add(real);
  }

  #unlock(): void {
    for (const lock of this.#locks.splice(0)) closeSync(lock);
  }
}

/**
 * Returns the paths of a data directory. The wal or the tables may be kept elsewhere; an empty text means within the
 * data directory.
 */
export function dataPaths(root: string, walDirectory: string, tablesDirectory: string): DataPaths {
  const absolute = resolve(root);
  return {
    root: absolute,
    wal: walDirectory === '' ? join(absolute, 'wal') : resolve(walDirectory),
    tables: tablesDirectory === '' ? join(absolute, 'tables') : resolve(tablesDirectory),
  };
}

/**
 * Makes a directory and its missing parents. `mkdirSync` with `recursive` reports ENOENT for a read-only file system,
 * and never returns for a path in /proc (Node 20).
 */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && dirname(path) !== path && !existsSync(dirname(path))) {
      makeDirectory(dirname(path));
      mkdirSync(path, 0o700);
    } else if (code !== 'EEXIST' || !statSync(path).isDirectory()) {
      throw error;
    }
  }
}

/**
 * Locks a directory, and returns the open file; closing that ends the lock. Throws StartError when another process has
 * the lock.
 */
function lockFile(directory: string, what: string, option: string): number {
  const path = join(directory, 'coxswain.lock');
  const file = openSync(path, 'a+', 0o600);
  try {
    if (!isLocked(file, path)) {
      throw new StartError(
        `${what} ${directory} is in use by ${holder(path)}: stop that process, or choose another ${option}`,
      );
    }
    ignoreNoRoom(() => {
      ftruncateSync(file);
      writeSync(file, `process ${process.pid} of host ${hostname()}\n`);
    });
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return file;
}

function isLocked(file: number, path: string): boolean {
  try {
    return tryLock(file);
  } catch (error) {
    throw new StartError(
      `cannot lock ${path} (${(error as Error).message}): use a file system that has locks (fcntl)`,
      { cause: error },
    );
  }
}

/** Returns the text that the holder wrote into its lock file, if it had room for it. */
function holder(lockFilePath: string): string {
  return readFileSync(lockFilePath, 'utf8').trim() || 'another process';
}

/**
 * Writes a file that only informs people. Lack of room for it must not keep a node from starting on a full disk (D6).
 */
function ignoreNoRoom(write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  }
}
