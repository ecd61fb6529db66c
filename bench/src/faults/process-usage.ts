import { readFileSync } from 'node:fs';

/** Linux counts CPU time for /proc in units of 1/100 s on every architecture that Node supports. */
const TICK_MS = 10;

/** The resources of a process, from /proc. Linux only. */
export interface ProcessUsage {
  readonly residentBytes: number;
  /**
   * Resident bytes that are not pages of mapped files: LevelDB maps its files, whose pages the system takes back at
   * will.
   */
  readonly anonymousBytes: number;
  /** The most bytes that were ever resident. */
  readonly residentPeakBytes: number;
  /** User and system time of all threads since the process began, in milliseconds. */
  readonly cpuMs: number;
}

/**
 * Reads the resources of a process.
 *
 * @throws Error when there is no such process
 */
export function readProcessUsage(pid: number): ProcessUsage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  // The command's name, in parentheses, may hold spaces, so fields are counted from after it.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    residentBytes: readKilobytes(status, 'VmRSS'),
    anonymousBytes: readKilobytes(status, 'RssAnon'),
    residentPeakBytes: readKilobytes(status, 'VmHWM'),
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
  };
}

function readKilobytes(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status);
  if (!match) throw new Error(`/proc has no ${name}`);
  return Number(match[1]) * 1024;
}
