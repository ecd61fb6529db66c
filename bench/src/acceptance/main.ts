import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { backupSpeed } from './backup-speed.js';
import type { AcceptanceCheck, AcceptanceSizes, Measurement } from './check.js';
import { consoleCost } from './console-cost.js';
import { counts } from './counts.js';
import { dumpLoad } from './dump-load.js';
import { followerCluster } from './follower-cluster.js';
import { fuzz } from './fuzz.js';
import { gracefulStops } from './graceful-stops.js';
import { idleTables } from './idle-tables.js';
import { leaderKills } from './leader-kills.js';
import { millionKeys } from './million-keys.js';
import { processFaults } from './process-faults.js';
import { rangeDeletion } from './range-deletion.js';
import { replicationSpeed } from './replication-speed.js';
import { simulation } from './simulation.js';
import { transactionRanges } from './transaction-ranges.js';
import { unreadAnswers } from './unread-answers.js';
import { wolf } from './wolf.js';

const checks: readonly AcceptanceCheck[] = [
  millionKeys,
  counts,
  idleTables,
  consoleCost,
  leaderKills,
  gracefulStops,
  processFaults,
  followerCluster,
  replicationSpeed,
  backupSpeed,
  transactionRanges,
  dumpLoad,
  unreadAnswers,
  rangeDeletion,
  wolf,
  fuzz,
  simulation,
];

const USAGE = `npm run acceptance -- [options] [check …]

  --keys N      keys of counts, follower-cluster, replication-speed and dump-load (1000000), range-deletion (1000001),
                unread-answers (300000), backup-speed (7400000: 2 GB)
  --seconds N   how long their load lasts (60, 10, 10), and each half of console-cost (60)
  --tables N    tables of idle-tables and console-cost (1000)
  --rounds N    rounds of graceful-stops (9), counts (5), replication-speed and backup-speed (3)

Checks: ${checks.map(({ name }) => name).join(', ')}; default: all`;

interface Arguments {
  readonly names: readonly string[];
  readonly sizes: AcceptanceSizes;
}

/**
 * Parses the command line.
 *
 * @throws Error for wrong usage
 */
function parseArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      keys: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      tables: { type: 'string' },
    },
  });
  const unknown = positionals.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) throw new Error(`no check is called ${unknown.join(', ')}`);
  const size = (name: keyof typeof values): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name}: ${text} is not a whole number above 0`);
    return Number(text);
  };
  return {
    names: positionals,
    sizes: {
      keyCount: size('keys'),
      seconds: size('seconds'),
      rounds: size('rounds'),
      tableCount: size('tables'),
    },
  };
}

/** Runs the named checks, or all of them, and returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  let parsed: Arguments;
  try {
    parsed = parseArguments(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  const { names, sizes } = parsed;
  const measurements: Measurement[] = [];
  for (const check of checks) {
    if (names.length > 0 && !names.includes(check.name)) continue;
    console.error(`${check.name} …`);
    measurements.push(...(await runCheck(check, sizes)));
  }
  const table = new Table({ head: ['what', 'target', 'measured', ''], style: { head: [], border: [] } });
  for (const { what, target, measured, isMet } of measurements) {
    table.push([what, target, measured, isMet ? 'met' : 'MISSED']);
  }
  console.log(table.toString());
  return measurements.every(({ isMet }) => isMet) ? 0 : 1;
}

/** Runs one check. One that fails with an error counts as not met, so that the others still run. */
async function runCheck(check: AcceptanceCheck, sizes: AcceptanceSizes): Promise<Measurement[]> {
  try {
    return await check.run(sizes);
  } catch (error) {
    return [{ what: check.name, target: 'can be measured', measured: String(error), isMet: false }];
  }
}

process.exitCode = await main(process.argv.slice(2));
