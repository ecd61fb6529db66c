import type { Bytes, RangeOptions } from '@coxswain/client';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { withExamples } from '../command-line.js';
import { connectionFlags, withClient } from '../connection-flags.js';
import { usageError } from '../exit.js';
import {
  type DataFlags,
  dataCommand,
  type KeyRangeFlags,
  keyRange,
  openKeyRange,
  parseCount,
  readPages,
  toBytes,
  withKeyRangeFlags,
} from '../key-range.js';
import { printRange, printResponse } from '../output.js';
import { type SortOrder, type SortTarget, sortedPage, sortOrders, sortTargets } from '../sorted-pages.js';
import { readAll } from '../stdin.js';
import { parseTxnText } from '../txn-text.js';

interface ReadFlags extends KeyRangeFlags {
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly linearizable: boolean;
  readonly fromLeader: boolean;
  readonly revision: number;
  readonly printValueOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
  readonly sortBy?: SortTarget;
  readonly order?: SortOrder;
}

/** Makes the commands `get`, `range`, `put`, `del` and `txn`. */
export function dataCommands(): Command[] {
  return [getCommand(), rangeCommand(), putCommand(), delCommand(), txnCommand()];
}

function getCommand(): Command {
  const command = withReadFlags(
    dataCommand('get')
      .description('Show a key or a range of keys.')
      .argument('<key>')
      .argument('[range-end]'),
  );
  withExamples(
    command,
    'coxswain get greeting',
    'coxswain get user/ --prefix --keys-only --limit 10',
    'coxswain get greeting --revision 2 --print-value-only',
    'coxswain get user/ --prefix --sort-by modify --order descend -o json',
  );
  return command.action((key: string, rangeEnd: string | undefined) =>
    read(command, (flags) => keyRange(key, rangeEnd, flags)),
  );
}

function rangeCommand(): Command {
  const command = withReadFlags(
    dataCommand('range')
      .description('Show the keys from one up to, but without, another. Without bounds: every key.')
      .argument('[key]')
      .argument('[range-end]'),
  );
  withExamples(
    command,
    'coxswain range',
    'coxswain range user/a user/m',
    'coxswain range --count-only --min-mod-revision 1000',
  );
  return command.action((key: string | undefined, rangeEnd: string | undefined) =>
    read(command, (flags) => openKeyRange(key, rangeEnd, flags)),
  );
}

function putCommand(): Command {
  const command = dataCommand('put')
    .description('Store a pair. Without a value, read it from stdin.')
    .argument('[key]')
    .argument('[value]')
    .option('--prev-kv', 'Show the pair that the key had before.', false)
    .option('--stdin', 'Read pairs from stdin, one a line: key<TAB>value.', false);
  withBulkFlags(command);
  withExamples(
    command,
    'coxswain put greeting hello',
    'coxswain put --hex 00ff 0a0d',
    'coxswain put photo < photo.jpg',
    'coxswain put --stdin --table words < words.tsv',
  );
  return command.action(async (key: string | undefined, value: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<DataFlags & BulkFlags & { prevKv: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('put: give either a key or --stdin');
      if (flags.hex) throw usageError('put: lines of --stdin are bytes as they are, without --hex');
      const { putLines } = await import('../bulk.js');
      await withClient(flags, (client) => putLines(client, flags.table, flags));
      return;
    }
    if (key === undefined) throw usageError('put: give a key and a value, or --stdin');
    const bytes = value === undefined ? await readValue(flags.hex) : toBytes(value, flags.hex);
    await withClient(flags, async (client) => {
      const response = await client.put(flags.table, toBytes(key, flags.hex), bytes, {
        prevKv: flags.prevKv,
      });
      await printResponse(response, flags.output, flags.hex);
    });
  });
}

function delCommand(): Command {
  const command = withKeyRangeFlags(
    dataCommand('del')
      .description('Delete a key or a range of keys, and show how many there were.')
      .argument('[key]')
      .argument('[range-end]')
      .option('--prev-kv', 'Show the pairs that were deleted.', false)
      .option('--stdin', 'Read the keys to delete from stdin, one a line.', false),
  );
  withBulkFlags(command);
  withExamples(
    command,
    'coxswain del greeting --prev-kv',
    'coxswain del user/ --prefix',
    'coxswain range user/a user/m --keys-only | coxswain del --stdin',
  );
  return command.action(async (key: string | undefined, rangeEnd: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<KeyRangeFlags & BulkFlags & { prevKv: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('del: give either a key or --stdin');
      if (flags.hex) throw usageError('del: lines of --stdin are bytes as they are, without --hex');
      const { deleteLines } = await import('../bulk.js');
      await withClient(flags, (client) => deleteLines(client, flags.table, flags));
      return;
    }
    if (key === undefined) throw usageError('del: give a key, or --stdin');
    await withClient(flags, async (client) => {
      const range = keyRange(key, rangeEnd, flags);
      const response = await client.deleteRange(flags.table, range.key, {
        ...range.options,
        prevKv: flags.prevKv,
      });
      await printResponse(response, flags.output, flags.hex);
    });
  });
}

function txnCommand(): Command {
  const command = dataCommand('txn').description(
    "Run a transaction that is read from stdin in etcdctl's form: compares, an empty line, the operations if they hold, an empty line, the operations if not.",
  );
  withExamples(
    command,
    `printf 'mod("greeting") = "3"\\n\\nput greeting bye\\n\\nget greeting\\n\\n' | coxswain txn`,
    'coxswain txn --hex -o json < transaction.txt',
  );
  return command.action(async () => {
    const flags = { ...connectionFlags(command), ...command.opts<DataFlags>() };
    const { compares, success, failure } = parseTxnText((await readAll()).toString(), flags.hex);
    await withClient(flags, async (client) => {
      const response = await client
        .txn(flags.table)
        .when(...compares)
        .do(...success)
        .otherwise(...failure)
        .commit();
      await printResponse(response, flags.output, flags.hex);
    });
  });
}

async function read(
  command: Command,
  rangeOf: (flags: KeyRangeFlags) => ReturnType<typeof keyRange>,
): Promise<void> {
  const flags = { ...connectionFlags(command), ...command.opts<ReadFlags>() };
  if (flags.keysOnly && flags.countOnly) throw usageError('--keys-only and --count-only cannot be combined');
  if (flags.printValueOnly && (flags.keysOnly || flags.countOnly))
    throw usageError('--print-value-only cannot be combined with --keys-only or --count-only');
  const range = rangeOf(flags);
  const { sortBy = 'KEY', order = 'ASCEND' } = flags;
  // Servers answer in the order of keys, so that order needs no sorting.
  const isSorted = sortBy !== 'KEY' || order !== 'ASCEND';
  const options: RangeOptions = {
    ...range.options,
    // The first pairs in another order may be anywhere in the range, and values can decide the order only when they are
    // there.
    limit: isSorted && !flags.countOnly ? 0 : flags.limit,
    keysOnly: flags.keysOnly && sortBy !== 'VALUE',
    countOnly: flags.countOnly,
    linearizable: flags.linearizable,
    revision: flags.revision,
    minModRevision: flags.minModRevision,
    maxModRevision: flags.maxModRevision,
    minCreateRevision: flags.minCreateRevision,
    maxCreateRevision: flags.maxCreateRevision,
    fromLeaderCluster: flags.fromLeader,
  };
  await withClient(flags, async (client) => {
    const inKeyOrder = readPages(client, flags.table, range.key, options);
    const pages =
      isSorted && !flags.countOnly
        ? sortedPage(inKeyOrder, { by: sortBy, order, limit: flags.limit, keysOnly: flags.keysOnly })
        : inKeyOrder;
    await printRange(pages, {
      format: flags.output,
      isHex: flags.hex,
      keysOnly: flags.keysOnly,
      countOnly: flags.countOnly,
      valueOnly: flags.printValueOnly,
    });
  });
}

/** Reads a value from stdin: as it is, or, with --hex, as digits that may be broken into lines. */
async function readValue(isHex: boolean): Promise<Bytes> {
  const bytes = await readAll();
  return isHex ? toBytes(bytes.toString('latin1').replace(/\s+/g, ''), isHex) : bytes;
}

/** The flags of a command that reads lines from stdin. */
export interface BulkFlags {
  readonly stdin: boolean;
  readonly fromLine: number;
  readonly skipBad: string | undefined;
}

/** Adds `--from-line` and `--skip-bad`; `which` says in their help which lines they are about. */
export function withBulkFlags(command: Command, which = ' of --stdin'): Command {
  return command
    .option(
      '--from-line <number>',
      `Skip the lines${which} before this one. Later ones may be done a second time.`,
      parseCount,
      1,
    )
    .option('--skip-bad <file>', `Append malformed and refused lines${which} to this file, and go on.`);
}

function withReadFlags(command: Command): Command {
  return withKeyRangeFlags(command)
    .option('--limit <number>', 'Show at most this many keys; 0: all.', parseCount, 0)
    .option('--keys-only', 'Show keys without their values.', false)
    .option('--print-value-only', 'Show values without their keys (in simple output).', false)
    .option('--count-only', 'Show the number of keys alone.', false)
    .option('--linearizable', 'Reflect every write that was acknowledged before.', true)
    .option('--no-linearizable', 'Answer from what the node has, which may be stale.')
    .option('--from-leader', 'Have the leader cluster answer, when asking a follower cluster.', false)
    .option('--revision <number>', 'Show the table as it was at this revision; 0: now.', parseCount, 0)
    .option(
      '--min-mod-revision <number>',
      'Show keys last changed at this revision or later; 0: any.',
      parseCount,
      0,
    )
    .option(
      '--max-mod-revision <number>',
      'Show keys last changed at this revision or before; 0: any.',
      parseCount,
      0,
    )
    .option(
      '--min-create-revision <number>',
      'Show keys created at this revision or later; 0: any.',
      parseCount,
      0,
    )
    .option(
      '--max-create-revision <number>',
      'Show keys created at this revision or before; 0: any.',
      parseCount,
      0,
    )
    .addOption(
      new Option('--sort-by <what>', 'Sort by this, up to 256 MiB of pairs; --limit counts after sorting.')
        .choices(sortTargets)
        .argParser(parseChoice(sortTargets)),
    )
    .addOption(
      new Option('--order <order>', 'Sort in this order; by key unless --sort-by says otherwise.')
        .choices(sortOrders)
        .argParser(parseChoice(sortOrders)),
    );
}

/** Parses one of some choices, in capitals or small letters, as etcdctl does. */
function parseChoice<Choice extends string>(choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const choice = choices.find((known) => known === text.toUpperCase());
    if (choice === undefined) throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
    return choice;
  };
}
