import { closeSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StartError } from './start-error.js';

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
      mkdirSync(path, { recursive: true });
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
    writeSync(file, `${process.pid} ${startTime(process.pid) ?? ''}\n`);
  } finally {
    closeSync(file);
  }
  return true;
}

/** The process that holds the directory, or undefined when it is gone. */
function readHolder(pidFile: string): number | undefined {
  const [pidText, startedAt] = readFileSync(pidFile, 'utf8').trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  // Process ids come again, after a reboot or in a new container even the same one. The start time tells.
  if (startedAt && startTime(pid) !== undefined && startTime(pid) !== startedAt) return undefined;
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

/** When a process started, in a form that only equality means anything of; undefined where /proc is missing. */
function startTime(pid: number): string | undefined {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name may hold spaces and parentheses; fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return `${bootId}:${fields[19]}`;
  } catch {
    return undefined;
  }
}
