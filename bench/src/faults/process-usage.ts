import { readFileSync } from 'node:fs';

/** Linux counts CPU time for /proc in units of 1/100 s on every architecture that Node supports. */
const TICK_MS = 10;

/** What a process uses, as /proc tells it. Linux only. */
export interface ProcessUsage {
  readonly residentBytes: number;
  /** Of that, what is no page of a mapped file: LevelDB maps its files, whose pages the system takes back as it likes. */
  readonly anonymousBytes: number;
  /** The most that was ever resident. */
  readonly residentPeakBytes: number;
  /** User and system time of all threads since the process began. */
  readonly cpuMs: number;
}

/** @throws Error when there is no such process. */
export function readProcessUsage(pid: number): ProcessUsage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  // The command's name, in parentheses, may hold spaces: fields are counted from behind it.
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
