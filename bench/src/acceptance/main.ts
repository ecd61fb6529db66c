import Table from 'cli-table3';
import type { AcceptanceCheck, Measurement } from './check.js';
import { idleTables } from './idle-tables.js';
import { leaderKills } from './leader-kills.js';
import { millionKeys } from './million-keys.js';
import { processFaults } from './process-faults.js';

const checks: readonly AcceptanceCheck[] = [millionKeys, idleTables, leaderKills, processFaults];

/** Runs the checks of those names, or all; gives the exit code. */
async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(
      `no check is called ${unknown.join(', ')}; there are ${checks.map(({ name }) => name).join(', ')}`,
    );
    return 2;
  }
  const measurements: Measurement[] = [];
  for (const check of checks) {
    if (names.length > 0 && !names.includes(check.name)) continue;
    console.error(`${check.name} …`);
    measurements.push(...(await runCheck(check)));
  }
  const table = new Table({ head: ['what', 'target', 'measured', ''], style: { head: [], border: [] } });
  for (const { what, target, measured, isMet } of measurements) {
    table.push([what, target, measured, isMet ? 'met' : 'MISSED']);
  }
  console.log(table.toString());
  return measurements.every(({ isMet }) => isMet) ? 0 : 1;
}

/** A check that cannot be carried out is missed; the others still run. */
async function runCheck(check: AcceptanceCheck): Promise<Measurement[]> {
  try {
    return await check.run();
  } catch (error) {
    return [{ what: check.name, target: 'can be measured', measured: String(error), isMet: false }];
  }
}

process.exitCode = await main(process.argv.slice(2));
