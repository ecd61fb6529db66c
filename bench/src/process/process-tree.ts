import { readdirSync, readFileSync } from 'node:fs';

/** What /proc counts CPU time in; Linux has shown 100 per second on every architecture for decades. */
const TICK_MS = 10;

/** One living process, as /proc shows it. */
export interface ProcessEntry {
  readonly processId: number;
  readonly parentId: number;
  /** CPU time used so far, in user and kernel mode. */
  readonly processorTimeMs: number;
  /** When it began, in ticks since boot: tells it from a later process with the same id. */
  readonly startTicks: number;
}

/**
 * The processes with these ids and all their descendants; a program's children may have process groups of
 * their own, so only their parents tell whose they are. Empty where there is no /proc.
 */
export function listProcessTree(rootIds: readonly number[]): ProcessEntry[] {
  if (process.platform !== 'linux') return [];
  const entries = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readEntry(Number(name)))
    .filter((entry) => entry !== undefined);
  const tree = entries.filter(({ processId }) => rootIds.includes(processId));
  // The list grows while it is walked: children of children are found too.
  for (const { processId } of tree) tree.push(...entries.filter(({ parentId }) => parentId === processId));
  return tree;
}

/** The process as it is now, or undefined when it has ended. */
export function readEntry(processId: number): ProcessEntry | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
  } catch {
    // Processes come and go while their list is read.
    return undefined;
  }
  // The command's name in parentheses may hold anything; counted from behind it, the fields of proc(5) are:
  // 0 state, 1 parent, 11 user time, 12 kernel time, 19 start time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    processId,
    parentId: Number(fields[1]),
    processorTimeMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    startTicks: Number(fields[19]),
  };
}
