import { readdirSync, readFileSync } from 'node:fs';

/** The unit of CPU time in /proc: Linux has shown 100 per second on every architecture for decades. */
const TICK_MS = 10;

/** One living process, from /proc. */
export interface ProcessEntry {
  readonly processId: number;
  readonly parentId: number;
  /** CPU time used so far, in user and kernel mode, in milliseconds. */
  readonly processorTimeMs: number;
  /** The start of the process, in ticks since boot, which distinguishes it from a later process with the same id. */
  readonly startTicks: number;
}

/**
 * Returns the processes with these ids and all their descendants. A program's children may have process groups of their
 * own, so only their parents show to whom they belong. Empty where there is no /proc.
 */
export function listProcessTree(rootIds: readonly number[]): ProcessEntry[] {
  if (process.platform !== 'linux') return [];
  const entries = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readEntry(Number(name)))
    .filter((entry) => entry !== undefined);
  const tree = entries.filter(({ processId }) => rootIds.includes(processId));
  // The list grows while it is walked, so that children of children are found, too.
  for (const { processId } of tree) tree.push(...entries.filter(({ parentId }) => parentId === processId));
  return tree;
}

/** Returns the present state of a process, or undefined when it has ended. */
export function readEntry(processId: number): ProcessEntry | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
  } catch {
    // Processes come and go while their list is read.
    return undefined;
  }
  // The command's name in parentheses may hold anything. Counted from after it, the fields of proc(5) are: 0 state, 1
  // parent, 11 user time, 12 kernel time, 19 start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    processId,
    parentId: Number(fields[1]),
    processorTimeMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    startTicks: Number(fields[19]),
  };
}
