import type { Bytes, Coxswain, RangeOptions } from '@coxswain/client';
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
  readonly printValueOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
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
  withBulkFlags(command);
  return command.action(async (key: string | undefined, value: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<DataFlags & BulkFlags & { prevKv: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('put: give either a key or --stdin');
      if (flags.hex) throw usageError('put: lines of --stdin are bytes as they are, without --hex');
      await withClient(flags, (client) =>
        putLines(client, flags.table, { fromLine: flags.fromLine, skipBad: flags.skipBad }),
      );
      return;
    }
    if (key === undefined) throw usageError('put: give a key and a value, or --stdin');
    const bytes = value === undefined ? await readAll() : toBytes(value, flags.hex);
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
      .description('remove a key, or a range of keys, and show how many there were')
      .argument('[key]')
      .argument('[range-end]')
      .option('--prev-kv', 'show the pairs that were removed', false)
      .option('--stdin', 'remove many keys, one a line', false),
  );
  withBulkFlags(command);
  return command.action(async (key: string | undefined, rangeEnd: string | undefined) => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<KeyRangeFlags & BulkFlags & { prevKv: boolean }>(),
    };
    if (flags.stdin) {
      if (key !== undefined) throw usageError('del: give either a key or --stdin');
      if (flags.hex) throw usageError('del: lines of --stdin are bytes as they are, without --hex');
      await withClient(flags, (client) =>
        deleteLines(client, flags.table, { fromLine: flags.fromLine, skipBad: flags.skipBad }),
      );
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
  if (flags.printValueOnly && (flags.keysOnly || flags.countOnly))
    throw usageError('--print-value-only cannot be combined with --keys-only or --count-only');
  const range = keyRange(key, rangeEnd, flags);
  const options: RangeOptions = {
    ...range.options,
    limit: flags.limit,
    keysOnly: flags.keysOnly,
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
      valueOnly: flags.printValueOnly,
    });
  });
}

function isOneKey({ prefix, rangeEnd }: RangeOptions): boolean {
  return !prefix && rangeEnd === undefined;
}

async function* onePage(
  client: Coxswain,
  table: string,
  key: Bytes,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  yield await client.range(table, key, options);
}

/** The leader cluster answers single pages only: all of them as of the first one's revision. */
async function* pagesFromLeader(
  client: Coxswain,
  table: string,
  key: Bytes,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  let from: Bytes = key;
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
  { prefix, fromKey, hex }: KeyRangeFlags,
): { key: Bytes; options: { prefix?: boolean; rangeEnd?: Bytes } } {
  if ([prefix, fromKey, rangeEnd !== undefined].filter(Boolean).length > 1) {
    throw usageError('give one of a range end, --prefix and --from-key');
  }
  // An empty key is no key: every key begins with the empty prefix, and comes after it.
  if (key === '' && (prefix || fromKey)) return { key: '\0', options: { rangeEnd: toEnd } };
  const from = toBytes(key, hex);
  if (prefix) return { key: from, options: { prefix } };
  if (fromKey) return { key: from, options: { rangeEnd: toEnd } };
  return { key: from, options: rangeEnd === undefined ? {} : { rangeEnd: toBytes(rangeEnd, hex) } };
}

/** A key or value of the command line: with --hex pairs of hexadecimal digits, also as `\\x00\\xff`, which --hex shows. */
function toBytes(text: string, isHex: boolean): Bytes {
  // The bound of an open range is a zero byte already.
  if (!isHex || text === '\0') return text;
  const digits = text.replaceAll('\\x', '');
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits))
    throw usageError('--hex: keys and values must be pairs of hexadecimal digits, such as 00ff');
  return Buffer.from(digits, 'hex');
}

function dataCommand(name: string): Command {
  return withConnectionFlags(new Command(name)).option('--table <name>', 'the table', 'default');
}

interface BulkFlags {
  readonly stdin: boolean;
  readonly fromLine: number;
  readonly skipBad?: string;
}

function withBulkFlags(command: Command): Command {
  return command
    .option(
      '--from-line <number>',
      'with --stdin: pass over the lines before this one; later ones may be done a second time',
      parseCount,
      1,
    )
    .option(
      '--skip-bad <file>',
      'with --stdin: append lines that are malformed or refused to a file, and go on',
    );
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
    .option('--print-value-only', 'show no keys (simple output)', false)
    .option('--count-only', 'show only how many keys there are', false)
    .option('--linearizable', 'reflect every write that was acknowledged before (the default)', true)
    .option('--no-linearizable', 'answer from what the node has, which may be stale')
    .option('--from-leader', 'on a follower cluster: let the leader cluster answer', false)
    .option('--revision <number>', 'as the table was at this revision', parseCount, 0)
    .option('--min-mod-revision <number>', 'only keys last changed at this revision or later', parseCount, 0)
    .option('--max-mod-revision <number>', 'only keys last changed at this revision or before', parseCount, 0)
    .option('--min-create-revision <number>', 'only keys made at this revision or later', parseCount, 0)
    .option('--max-create-revision <number>', 'only keys made at this revision or before', parseCount, 0);
}

/** A whole number of 0 or more. */
export function parseCount(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number))
    throw new InvalidArgumentError('it must be a whole number.');
  return number;
}
