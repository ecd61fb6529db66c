import { createInterface } from 'node:readline/promises';
import { type Coxswain, CoxswainError, toEnd } from '@coxswain/client';
import { counted } from './counted.js';
import { failure, usageError } from './exit.js';

/** The most tables whose content is counted and named. */
const DESCRIBED_MAX = 20;

/**
 * Asks on the terminal whether to go on. `question` is a whole sentence; `whyYes` says, without a full stop, why
 * nothing was done. Rejects with a usage error when nobody can be asked, and with a failure unless the answer is yes.
 */
export async function confirm(question: string, whyYes: string): Promise<void> {
  if (!process.stdin.isTTY) throw usageError(`${whyYes}: give --yes where nobody can be asked`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
    const answer = await Promise.race([terminal.question(`${question} Go on? [y/N] `), closed]);
    if (!/^y(es)?$/i.test(answer.trim())) throw failure('nothing was changed');
  } finally {
    terminal.close();
  }
}

/** The words with which a restore asks for confirmation. */
export const REPLACING = {
  doing: 'replaces what is there',
  instead: '; --into NAME restores beside it',
};

/**
 * Asks whether existing tables may be replaced or removed, and says how much each of them holds. Does not ask when none
 * of the tables exists.
 */
export async function confirmLoss(
  client: Coxswain,
  tables: readonly string[],
  { doing, instead = '' }: { readonly doing: string; readonly instead?: string },
): Promise<void> {
  const there = (await client.cluster.status()).tables;
  const lost = tables.filter((name) => there.has(name));
  if (lost.length === 0) return;
  const losses: string[] = [];
  for (const name of lost.slice(0, DESCRIBED_MAX)) losses.push(await describeLoss(client, name));
  if (lost.length > DESCRIBED_MAX) losses.push(`and ${counted(lost.length - DESCRIBED_MAX, 'more table')}`);
  const loss = `${doing}, which loses ${losses.join(', ')}`;
  await confirm(`This ${loss}.`, `nothing was changed: this ${loss}${instead}`);
}

async function describeLoss(client: Coxswain, table: string): Promise<string> {
  try {
    const { count, header } = await client.range(table, toEnd, { rangeEnd: toEnd, countOnly: true });
    return `table '${table}' (${counted(count, 'key')}, revision ${header?.revision ?? 'unknown'})`;
  } catch (error) {
    if (!(error instanceof CoxswainError)) throw error;
    return `table '${table}' (how much it holds cannot be read: ${error.message})`;
  }
}
