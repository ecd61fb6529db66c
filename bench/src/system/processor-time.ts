import { readdirSync, readFileSync } from 'node:fs';

/** What /proc counts in; Linux has shown 100 per second on every architecture for decades. */
const TICK_MS = 10;

/**
 * The CPU time that the living processes of these groups have used so far, or undefined where there is no
 * /proc to tell.
 */
export function processorTimeMs(processGroupIds: readonly number[]): number | undefined {
  if (process.platform !== 'linux' || processGroupIds.length === 0) return undefined;
  let ticks = 0;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const fields = readStatFields(entry);
    if (fields === undefined || !processGroupIds.includes(Number(fields[2]))) continue;
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}

/** The fields after the command's name, which may itself hold spaces: state, parent, process group, … */
function readStatFields(processId: string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    // The process has ended since the directory was read.
    return undefined;
  }
}
