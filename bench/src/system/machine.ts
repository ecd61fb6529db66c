import { statfsSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

/** The machine on which figures were measured: without it they mean nothing. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** The file system that holds the data. */
  readonly fileSystem: string;
  readonly date: string;
  /** The load average of the last minute, which shows how busy the machine was when the benchmark began. */
  readonly loadAverage: number;
}

/** The numbers that statfs(2) gives for the kinds of file system worth distinguishing. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs (fsync costs nothing here)',
  2035054128: 'overlayfs',
};

/**
 * Describes the machine. Call it before anything is started.
 *
 * @param directory where data is kept.
 */
export function describeMachine(directory: string): Machine {
  const processors = cpus();
  const { type } = statfsSync(directory);
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    fileSystem: FILE_SYSTEMS[type] ?? `type 0x${type.toString(16)}`,
    date: new Date().toISOString(),
    loadAverage: loadavg()[0]!,
  };
}
