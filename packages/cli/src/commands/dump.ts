import type { Command } from 'commander';
import { withExamples } from '../command-line.js';
import { connectionFlags, withClient } from '../connection-flags.js';
import { DUMP_HEADER, dumpEnd, formatPair } from '../dump-format.js';
import { usageError } from '../exit.js';
import {
  type DataFlags,
  dataCommand,
  type KeyRangeFlags,
  openKeyRange,
  parseCount,
  readPages,
  withKeyRangeFlags,
} from '../key-range.js';
import { Writer } from '../writer.js';
import { type BulkFlags, withBulkFlags } from './data.js';

/** Output is gathered until it has this many bytes. */
const FLUSH_SIZE_BYTES = 64 * 1024;

interface DumpFlags extends KeyRangeFlags {
  readonly linearizable: boolean;
  readonly fromLeader: boolean;
  readonly revision: number;
}

/** Makes the commands `dump` and `load`: the pairs of a table as lines of text, whatever bytes they hold. */
export function dumpCommands(): Command[] {
  return [dumpCommand(), loadCommand()];
}

function dumpCommand(): Command {
  const command = withKeyRangeFlags(
    dataCommand('dump')
      .description(
        'Write the pairs of a table, or of a range of its keys, to stdout in the form that load reads.',
      )
      .argument('[key]')
      .argument('[range-end]'),
  )
    .option('--no-linearizable', 'Answer from what the node has, which may be stale.')
    .option('--from-leader', 'Have the leader cluster answer, when asking a follower cluster.', false)
    .option('--revision <number>', 'Write the table as it was at this revision; 0: now.', parseCount, 0)
    .addHelpText('after', FORMAT_HELP);
  withExamples(
    command,
    'coxswain dump --table users > users.dump',
    'coxswain dump --prefix eu/ | coxswain load --table eu',
  );
  return command.action(async (key: string | undefined, rangeEnd: string | undefined) => {
    const flags = { ...connectionFlags(command), ...command.opts<DumpFlags>() };
    if (flags.output !== 'simple') throw usageError('dump: has one format, without --output');
    const range = openKeyRange(key, rangeEnd, flags);
    await withClient(flags, async (client) => {
      const pages = readPages(client, flags.table, range.key, {
        ...range.options,
        linearizable: flags.linearizable,
        revision: flags.revision,
        fromLeaderCluster: flags.fromLeader,
      });
      const writer = new Writer();
      let pairCount = 0;
      writer.write(`${DUMP_HEADER}\n`);
      for await (const { kvs } of pages) {
        for (const pair of kvs) {
          writer.write(`${formatPair(pair.key, pair.value)}\n`);
          await writer.flush(FLUSH_SIZE_BYTES);
        }
        pairCount += kvs.length;
      }
      writer.write(`${dumpEnd(pairCount)}\n`);
      await writer.flush();
    });
  });
}

function loadCommand(): Command {
  const command = withBulkFlags(
    dataCommand('load').description(
      'Store the pairs of a dump that is read from stdin. Other keys of the table stay.',
    ),
    '',
  )
    .option(
      '--partial',
      'Accept input that is not a whole dump: without its end line, or some lines of it.',
      false,
    )
    .addHelpText('after', FORMAT_HELP);
  withExamples(
    command,
    'coxswain load --table users-again < users.dump',
    'coxswain load --from-line 5001 --skip-bad refused.dump < users.dump',
  );
  return command.action(async () => {
    const flags = {
      ...connectionFlags(command),
      ...command.opts<DataFlags & BulkFlags & { readonly partial: boolean }>(),
    };
    if (flags.hex || flags.output !== 'simple')
      throw usageError('load: reads one format, without --hex and --output');
    const { loadLines } = await import('../bulk.js');
    await withClient(flags, (client) =>
      loadLines(client, flags.table, {
        fromLine: flags.fromLine,
        skipBad: flags.skipBad,
        output: flags.output,
        isPartial: flags.partial,
      }),
    );
  });
}

const FORMAT_HELP = `
A line is key<TAB>value. In both, \\\\ is a backslash, \\t, \\n and \\r are those
characters, and \\xNN is any other byte. Lines that begin with # are comments; the
last one holds the number of pairs, by which load notices a file that was cut
short. Revisions and versions are not part of a dump: for those, see coxswain
backup.`;
