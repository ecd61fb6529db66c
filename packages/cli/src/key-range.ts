import { type Bytes, type Coxswain, prefixEnd, type RangeOptions, toEnd } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import { Command, InvalidArgumentError } from 'commander';
import { type ConnectionFlags, withConnectionFlags } from './connection-flags.js';
import { usageError } from './exit.js';

/** The flags of a command that reads or writes one table. */
export interface DataFlags extends ConnectionFlags {
  readonly table: string;
}

/** The flags of a command that takes a range of keys. */
export interface KeyRangeFlags extends DataFlags {
  readonly prefix: boolean;
  readonly fromKey: boolean;
}

/** Makes a command with the common flags and `--table`. */
export function dataCommand(name: string): Command {
  return withConnectionFlags(new Command(name)).option('--table <name>', 'Table to use.', 'default');
}

/** Adds `--prefix` and `--from-key`. */
export function withKeyRangeFlags(command: Command): Command {
  return command
    .option('--prefix', 'Take all keys that begin with the key.', false)
    .option('--from-key', 'Take all keys from the key on.', false);
}

/**
 * Returns the key and the end of a range, from arguments and flags. Throws a usage error for more than one kind of end.
 */
export function keyRange(
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

/**
 * Returns a range as `keyRange` does. Without a key it holds every key, and without an end all keys from the key on.
 */
export function openKeyRange(
  key: string | undefined,
  rangeEnd: string | undefined,
  flags: KeyRangeFlags,
): ReturnType<typeof keyRange> {
  // Without a key, --prefix and --from-key apply to the empty one.
  if (flags.prefix || flags.fromKey) return keyRange(key ?? '', rangeEnd, flags);
  return keyRange(key ?? '\0', rangeEnd ?? '\0', flags);
}

/**
 * Returns a key or value of the command line as bytes. With --hex it must be pairs of hexadecimal digits, or have the
 * form `\x00\xff` in which --hex shows them. Throws a usage error.
 */
export function toBytes(text: string, isHex: boolean): Bytes {
  // The bound of an open range is a zero byte already.
  if (!isHex || text === '\0') return text;
  const digits = text.replaceAll('\\x', '');
  if (!/^(?:[0-9a-f]{2})*$/i.test(digits))
    throw usageError('--hex: keys and values must be pairs of hexadecimal digits, such as 00ff');
  return Buffer.from(digits, 'hex');
}

/** Yields the pairs of a range of any size, page by page, from one point in time. */
export function readPages(
  client: Coxswain,
  table: string,
  key: Bytes,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  if (!options.prefix && options.rangeEnd === undefined) return onePage(client, table, key, options);
  return options.fromLeaderCluster
    ? pagesFromLeader(client, table, key, options)
    : client.iteratePages(table, key, options);
}

async function* onePage(
  client: Coxswain,
  table: string,
  key: Bytes,
  options: RangeOptions,
): AsyncGenerator<regatta.RangeResponse> {
  yield await client.range(table, key, options);
}

/** Yields pages of the leader cluster, which answers single pages only: all as of the revision of the first one. */
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

/** Parses a whole number of 0 or more. Throws InvalidArgumentError. */
export function parseCount(text: string): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(number))
    throw new InvalidArgumentError('it must be a whole number.');
  return number;
}
