import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { StartError } from './start-error.js';

/** Where the parts of a node's data are. */
export interface DataPaths {
  readonly root: string;
  readonly wal: string;
  readonly tables: string;
}

/**
 * A node's data directory, held by this process: `coxswain.lock`, `coxswain.pid`, `wal/`, `tables/`, `node.json`
 * (interfaces.md).
 *
 * The holder has a lock of the system on `coxswain.lock` (fcntl, of the open file description), which ends with the
 * process however it ends. Process ids, which come again, and times decide nothing; containers that share a volume see
 * each other's lock. The file itself stays, and its content, like `coxswain.pid`, is information for people.
 */
export class DataDirectory {
  readonly #pidFile: string;
  readonly #lock: number;

  private constructor(
    readonly paths: DataPaths,
    lock: number,
  ) {
    this.#pidFile = join(paths.root, 'coxswain.pid');
    this.#lock = lock;
  }

  /** Makes what is missing and takes the directory. Throws when it cannot be written or another process has it. */
  static take(paths: DataPaths): DataDirectory {
    makeDirectory(paths.root);
    const directory = new DataDirectory(paths, lockFile(paths.root));
    try {
      // The parent is synced by those who need it: the wal and the store directory.
      for (const path of [paths.wal, paths.tables]) makeDirectory(path);
      // Nothing but the id: scripts say `kill $(cat coxswain.pid)`.
      ignoreNoRoom(() => writeFileSync(directory.#pidFile, `${process.pid}\n`, { mode: 0o600 }));
    } catch (error) {
      closeSync(directory.#lock);
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

  /** Lets the directory go. */
  release(): void {
    try {
      unlinkSync(this.#pidFile);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    } finally {
      closeSync(this.#lock);
    }
  }
}

/** The paths of a data directory, where the wal or the tables may be kept elsewhere. */
export function dataPaths(root: string, walDirectory: string, tablesDirectory: string): DataPaths {
  const absolute = resolve(root);
  return {
    root: absolute,
    wal: walDirectory === '' ? join(absolute, 'wal') : resolve(walDirectory),
    tables: tablesDirectory === '' ? join(absolute, 'tables') : resolve(tablesDirectory),
  };
}

/**
 * Makes a directory and those above it that are missing. `mkdirSync` with `recursive` says ENOENT of a read-only
 * file system, and never comes back from /proc (Node 20).
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

/** Locks a data directory and gives the open file whose end ends the lock. Throws when another has it. */
function lockFile(root: string): number {
  const path = join(root, 'coxswain.lock');
  const file = openSync(path, 'a+', 0o600);
  try {
    if (!isLocked(file, path)) {
      throw new StartError(
        `the data directory ${root} is in use by ${holder(path)}: stop that process, or choose another --data-dir`,
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

/** What the holder wrote into its lock file, as far as it had room for it. */
function holder(lockFilePath: string): string {
  return readFileSync(lockFilePath, 'utf8').trim() || 'another process';
}

/** What is only information does not keep a node from starting on a full disk (D6). */
function ignoreNoRoom(write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  }
}
