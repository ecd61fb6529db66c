import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { StartError } from './start-error.js';

/** The kernel counts a process's start from a boot time in whole seconds. */
const CLOCK_SLACK_MS = 2000;

/** Where the parts of a node's data are. */
export interface DataPaths {
  readonly root: string;
  readonly wal: string;
  readonly tables: string;
}

/**
 * A node's data directory, held by this process: `coxswain.pid`, `wal/`, `tables/`, `node.json`
 * (interfaces.md).
 */
export class DataDirectory {
  readonly #pidFile: string;

  private constructor(
    readonly paths: DataPaths,
    pidFile: string,
  ) {
    this.#pidFile = pidFile;
  }

  /** Makes what is missing and takes the directory. Throws when it cannot be written or another process has it. */
  static take(paths: DataPaths): DataDirectory {
    for (const path of [paths.root, paths.wal, paths.tables]) {
      // The parent is synced by those who need it: the wal and the store directory.
      makeDirectory(path);
    }
    const pidFile = join(paths.root, 'coxswain.pid');
    if (!tryWritePidFile(pidFile)) {
      const holder = readHolder(pidFile);
      if (holder !== undefined) {
        throw new StartError(
          `the data directory ${paths.root} is in use by process ${holder}: stop that process, or choose another --data-dir`,
        );
      }
      // Left behind by a process that was killed. Two processes that come here at once are told apart by
      // LevelDB's own lock on the tables.
      unlinkSync(pidFile);
      tryWritePidFile(pidFile);
    }
    return new DataDirectory(paths, pidFile);
  }

  /** Lets the directory go. */
  release(): void {
    try {
      unlinkSync(this.#pidFile);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
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
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && dirname(path) !== path && !existsSync(dirname(path))) {
      makeDirectory(dirname(path));
      mkdirSync(path);
    } else if (code !== 'EEXIST' || !statSync(path).isDirectory()) {
      throw error;
    }
  }
}

/** False when the file exists. */
function tryWritePidFile(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    // Nothing but the id: scripts say `kill $(cat coxswain.pid)`.
    writeSync(file, `${process.pid}\n`);
  } finally {
    closeSync(file);
  }
  return true;
}

/** The process that holds the directory, or undefined when it is gone. */
function readHolder(pidFile: string): number | undefined {
  const pid = Number(readFileSync(pidFile, 'utf8'));
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  // Process ids come again, after a reboot or in a new container even the same one: a process that began
  // after the file was written is not its author.
  const startedMs = startTimeMs(pid);
  if (startedMs !== undefined && startedMs > statSync(pidFile).mtimeMs + CLOCK_SLACK_MS) return undefined;
  return pid;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process started, milliseconds since 1970; undefined where /proc is missing. */
function startTimeMs(pid: number): number | undefined {
  try {
    const bootSeconds = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold spaces and parentheses; fields are counted from the last one.
    const startedTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    // A tick is 10 ms in every Linux that shows its processes' times.
    return Number(bootSeconds) * 1000 + Number(startedTicks) * 10;
  } catch {
    return undefined;
  }
}
