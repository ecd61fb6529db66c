import { homedir } from 'node:os';
import { Command } from 'commander';
import { prepare } from '../command-line.js';
import { addressedFlags, withAddressFlag, withClient, withConnectionFlags } from '../connection-flags.js';

/** Milliseconds for which a shell waits for names after a press of the key: longer than that looks like a hang. */
const PATIENCE_MS = 1_000;

/**
 * Prints the names of the tables, one a line, of the cluster that the words of an unfinished command line name, or of the
 * default one. Prints nothing where the cluster does not answer in time, refuses, or the words make no sense: the shell
 * then completes nothing, and a message would stand in the line that is being typed.
 */
export async function printTableNames(words: readonly string[]): Promise<void> {
  const waiting = new Promise<string[]>((resolve) => setTimeout(resolve, PATIENCE_MS, []).unref());
  const names = await Promise.race([tableNames(words).catch(() => []), waiting]);
  process.stdout.write(names.map((name) => `${name}\n`).join(''));
}

async function tableNames(words: readonly string[]): Promise<string[]> {
  const command = prepare(withAddressFlag(withConnectionFlags(new Command('tables'))))
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => undefined);
  // The shell gives words as they are typed.
  const expanded = words.map((word) => word.replace(/^~(?=\/)/, homedir()));
  await command.parseAsync(expanded, { from: 'user' });
  const flags = addressedFlags<{ readonly address?: string }>(command);
  const timeout = Math.min(flags.timeout, PATIENCE_MS);
  const { tables } = await withClient({ ...flags, timeout }, (client) => client.tables.list());
  // A line holds one name.
  return tables.map(({ name }) => name).filter((name) => !/\p{Cc}/u.test(name));
}
