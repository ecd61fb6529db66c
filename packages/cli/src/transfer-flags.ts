import { type Command, Option } from 'commander';
import {
  addressedFlags,
  type ConnectionFlags,
  withAddressFlag,
  withConnectionFlags,
} from './connection-flags.js';
import { failure, usageError } from './exit.js';
import { parseNames } from './name-list.js';

/** The tables that are transferred at the same time: by default, and at most. A node takes and sends eight. */
const PARALLEL_DEFAULT = 4;
const PARALLEL_MAX = 8;
const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
};

/** The flags that backup and restore have in common. */
export interface TransferFlags extends ConnectionFlags {
  /** The directory of the backup; undefined only for a restore from the archive. */
  readonly dir?: string;
  /** The names of the tables; undefined for all. */
  readonly tables?: readonly string[];
  readonly parallel: number;
  /** Bytes a second, of all tables together; 0 for no limit. */
  readonly rate: number;
  readonly dryRun: boolean;
}

/** Adds the flags of Regatta's commands, and ours. */
export function withTransferFlags(command: Command): Command {
  return withAddressFlag(withConnectionFlags(command))
    .option('--dir <directory>', 'Directory of the backup.')
    .addOption(
      new Option(
        '--tables <names>',
        'Tables, separated by commas, a name with a comma in double quotes. May be repeated. (default: all)',
      ).argParser(collectNames),
    )
    .addOption(
      new Option('--parallel <number>', `Tables at a time, from 1 to ${PARALLEL_MAX}.`)
        .default(PARALLEL_DEFAULT)
        .argParser(parseParallel),
    )
    .addOption(
      new Option('--rate <bytes>', 'Bytes a second at most, such as 20MiB; 0: no limit.')
        .default(0, '0')
        .argParser(parseSizeBytes),
    )
    .option('--dry-run', 'Show what would be done, and change nothing.', false)
    .option('--json', 'Same as -o json.', false)
    .addOption(new Option('--ca <file>', 'Same as --cacert; the name that Regatta has for it.').hideHelp());
}

export function transferFlags<Flags extends TransferFlags>(command: Command): Flags {
  const flags = addressedFlags<
    Flags & { readonly address?: string; readonly json: boolean; readonly ca?: string }
  >(command);
  return {
    ...flags,
    ...(flags.json && { output: 'json' as const }),
    ...(flags.ca !== undefined && { cacert: flags.ca }),
  };
}

/** Returns the directory of a command that needs one. Throws a usage error without it. */
export function directoryOf({ dir }: TransferFlags): string {
  if (dir === undefined) throw usageError('--dir: name the directory of the backup');
  return dir;
}

/**
 * Returns the tables that were asked for, in the order of `known`; all of them when none was named. Throws a failure
 * for a table that is not known, with the text of `missing`.
 */
export function selectTables(
  known: readonly string[],
  wanted: readonly string[] | undefined,
  missing: (name: string) => string,
): string[] {
  const unknown = wanted?.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const isPart = known.some((name) => name.includes(',') && name.split(',').includes(unknown));
    throw failure(`${missing(unknown)}${isPart ? ': a name with a comma is written in double quotes' : ''}`);
  }
  return known.filter((name) => wanted?.includes(name) ?? true);
}

/** Adds the names of one `--tables` to `earlier`, those of the same flag before. */
function collectNames(text: string, earlier: readonly string[] = []): string[] {
  return [...earlier, ...parseNames('--tables', text)];
}

function parseParallel(text: string): number {
  const parallel = Number(text);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > PARALLEL_MAX) {
    throw usageError(`--parallel: must be a number from 1 to ${PARALLEL_MAX}, not ${text}`);
  }
  return parallel;
}

function parseSizeBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
  const unit = units[match?.[2]?.toLowerCase() ?? 'none'];
  if (!match || unit === undefined) throw usageError(`--rate: must be a size such as 20MiB, not ${text}`);
  return Number(match[1]) * unit;
}
