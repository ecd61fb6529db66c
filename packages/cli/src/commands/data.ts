import type { Coxswain, RangeOptions } from '@coxswain/client';
import { prefixEnd, toEnd } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import { Command, InvalidArgumentError } from 'commander';
import { deleteLines, putLines } from '../bulk.js';
import {
  type ConnectionFlags,
  connectionFlags,
  withClient,
  withConnectionFlags,
} from '../connection-flags.js';
import { usageError } from '../exit.js';
import { printRange, printResponse } from '../output.js';
import { readAll } from '../stdin.js';
import { parseTxnText } from '../txn-text.js';

interface DataFlags extends ConnectionFlags {
  readonly table: string;
}

interface KeyRangeFlags extends DataFlags {
  readonly prefix: boolean;
  readonly fromKey: boolean;
}

interface ReadFlags extends KeyRangeFlags {
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly linearizable: boolean;
  readonly fromLeader: boolean;
  readonly revision: number;
}

/** `get`, `range`, `put`, `del` and `txn`. */
export function dataCommands(): Command[] {
  return [getCommand(), rangeCommand(), putCommand(), delCommand(), txnCommand()];
}

function getCommand(): Command {
  const command = withReadFlags(
    dataCommand('get')
      .description('show a key, or a range of keys')
      .argument('<key>')
      .argument('[range-end]'),
  );
  return command.action((key: string, rangeEnd: string | undefined) => read(command, key, rangeEnd));
}

function rangeCommand(): Command {
  const command = withReadFlags(
    dataCommand('range')
      .description('show all keys from one to before another; without bounds every key')
      .argument('[key]')
      .argument('[range-end]'),
  );
  return command.action((key: string | undefined, rangeEnd: string | undefined) => {
    const { prefix } = command.opts<ReadFlags>();
    const isOpen = rangeEnd === undefined && !prefix;
    return read(command, key ?? '\0', isOpen ? '\0' : rangeEnd);
  });
}

function putCommand(): Command {
  const command = dataCommand('put')
    .description('store a pair; without a value it is read from stdin')
    .argument('[key]')
    .argument('[value]')
    .option('--prev-kv', 'show the pair that was there before', false)
    .option('--stdin', 'store many pairs, one a line: key<TAB>value', false);
  return command.action(async (key: string | undefined, value: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<DataFlags & { prevKv: boolean; stdin: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('put: give either a key or --stdin');
      await withClient(flags, (client) => putLines(client, flags.table));
      return;
    }
    if (key === undefined) throw usageError('put: give a key and a value, or --stdin');
    const bytes = value ?? (await readAll());
    await withClient(flags, async (client) => {
      const response = await client.put(flags.table, key, bytes, { prevKv: flags.prevKv });
      await printResponse(response, flags.output, flags.hex);
    });
  });
}

function delCommand(): Command {
  const command = withKeyRangeFlags(
    dataCommand('del')
      .description('remove a key, or a range of keys, and show how many there were')
      .argument('[key]')
      .argument('[range-end]')
      .option('--prev-kv', 'show the pairs that were removed', false)
      .option('--stdin', 'remove many keys, one a line', false),
  );
  return command.action(async (key: string | undefined, rangeEnd: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<KeyRangeFlags & { prevKv: boolean; stdin: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('del: give either a key or --stdin');
      await withClient(flags, (client) => deleteLines(client, flags.table));
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
    "run a transaction in etcdctl's text form from stdin: compares, an empty line, what to do when they hold, an empty line, what to do else",
  );
  return command.action(async () => {
    const flags = { ...connectionFlags(command), ...command.opts<DataFlags>() };
    const { compares, success, failure } = parseTxnText((await readAll()).toString());
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

async function read(command: Command, key: string, rangeEnd: string | undefined): Promise<void> {
  const flags = { ...connectionFlags(command), ...command.opts<ReadFlags>() };
  if (flags.keysOnly && flags.countOnly) throw usageError('--keys-only and --count-only cannot be combined');
  const range = keyRange(key, rangeEnd, flags);
  const options: RangeOptions = {
    ...range.options,
    limit: flags.limit,
    keysOnly: flags.keysOnly,
    countOnly: flags.countOnly,
    linearizable: flags.linearizable,
    revision: flags.revision,
    fromLeaderCluster: flags.fromLeader,
  };
  await withClient(flags, async (client) => {
    const pages = isOneKey(options)
      ? onePage(client, flags.table, range.key, options)
      : flags.fromLeader
        ? pagesFromLeader(client, flags.table, range.key, options)
        : client.iteratePages(flags.table, range.key, options);
    await printRange(pages, {
      format: flags.output,
      isHex: flags.hex,
      keysOnly: flags.keysOnly,
      countOnly: flags.countOnly,
    });
  });
}

function isOneKey({ prefix, rangeEnd }: RangeOptions): boolean {
  return !prefix && rangeEnd === undefined;
}

async function* onePage(
  client: Coxswain,
  table: string,
  key: string,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  yield await client.range(table, key, options);
}

/** The leader cluster answers single pages only: all of them as of the first one's revision. */
async function* pagesFromLeader(
  client: Coxswain,
  table: string,
  key: string,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  let from: string | Uint8Array = key;
  const rangeEnd = options.prefix ? prefixEnd(key) : options.rangeEnd;
  let { revision = 0 } = options;
  let left = Number(options.limit ?? 0);
  for (;;) {
    const { prefix: _, ...rest } = options;
    const page = await client.range(table, from, {
      ...rest,
      ...(rangeEnd !== undefined && { rangeEnd }),
      limit: left,
      revision,
    });
    yield page;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined || (left > 0 && page.kvs.length >= left)) return;
    if (left > 0) left -= page.kvs.length;
    revision = page.header?.revision ?? 0n;
    from = Buffer.concat([last.key, Buffer.from([0])]);
  }
}

function keyRange(
  key: string,
  rangeEnd: string | undefined,
  { prefix, fromKey }: KeyRangeFlags,
): { key: string; options: { prefix?: boolean; rangeEnd?: string | Uint8Array } } {
  if ([prefix, fromKey, rangeEnd !== undefined].filter(Boolean).length > 1) {
    throw usageError('give one of a range end, --prefix and --from-key');
  }
  // An empty key is no key: every key begins with the empty prefix, and comes after it.
  if (key === '' && (prefix || fromKey)) return { key: '\0', options: { rangeEnd: toEnd } };
  if (prefix) return { key, options: { prefix } };
  if (fromKey) return { key, options: { rangeEnd: toEnd } };
  return { key, options: rangeEnd === undefined ? {} : { rangeEnd } };
}

function dataCommand(name: string): Command {
  return withConnectionFlags(new Command(name)).option('--table <name>', 'the table', 'default');
}

function withKeyRangeFlags(command: Command): Command {
  return command
    .option('--prefix', 'all keys that begin with the key', false)
    .option('--from-key', 'all keys from the key on', false);
}

function withReadFlags(command: Command): Command {
  return withKeyRangeFlags(command)
    .option('--limit <number>', 'show at most so many keys; 0: all', parseCount, 0)
    .option('--keys-only', 'show no values', false)
    .option('--count-only', 'show only how many keys there are', false)
    .option('--linearizable', 'reflect every write that was acknowledged before (the default)', true)
    .option('--no-linearizable', 'answer from what the node has, which may be stale')
    .option('--from-leader', 'on a follower cluster: let the leader cluster answer', false)
    .option('--revision <number>', 'as the table was at this revision', parseCount, 0);
}

/** A whole number of 0 or more. */
export function parseCount(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number))
    throw new InvalidArgumentError('it must be a whole number.');
  return number;
}
