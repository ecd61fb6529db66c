import { Command, Option } from 'commander';
import type { ArchiveFlags } from '../archive.js';
import { withExamples } from '../command-line.js';
import { usageError } from '../exit.js';
import type { OutputFormat } from '../output.js';

/** Makes the commands `archive list`, `archive verify` and `archive prune`. Each loads its modules when it runs. */
export function archiveCommand(): Command {
  const command = new Command('archive').description(
    'List, verify and prune the archive in its directory or bucket.',
  );
  command.addHelpText('after', ARCHIVE_HELP);

  const list = withArchiveFlags(
    new Command('list').description('Show which revisions and moments of each table can be restored.'),
  );
  withExamples(list, 'coxswain archive list --config /etc/coxswain/config.yaml');
  list.action(async () => (await import('../archive.js')).listArchive(archiveFlags(list)));

  const verify = withArchiveFlags(
    new Command('verify').description('Read every object. Exits with 1 if anything is wrong.'),
  );
  withExamples(verify, 'coxswain archive verify --archive.target file:///backups/archive --table users');
  verify.action(async () => (await import('../archive.js')).verifyArchive(archiveFlags(verify)));

  const prune = withArchiveFlags(
    new Command('prune').description('Delete what is older than the retention allows.'),
  )
    .option(
      '--archive.retention-age <duration>',
      'Time that the archive reaches back at least, such as 720h.',
    )
    .option(
      '--archive.retention-bases <number>',
      'Newest bases of each table that stay, however old they are.',
    )
    .option('--dry-run', 'Show what would be deleted, and delete nothing.', false);
  withExamples(prune, 'coxswain archive prune --config /etc/coxswain/config.yaml --dry-run');
  prune.action(async () => (await import('../archive.js')).pruneArchive(archiveFlags(prune)));

  return command.addCommand(list).addCommand(verify).addCommand(prune);
}

/** The options of the nodes that name the place of the archive, under the same names. */
const nodeOptions = [
  ['target', '<url>', 'Place of the archive: file:///directory, s3://bucket or s3://bucket/prefix.'],
  ['s3-endpoint', '<url>', "S3 server, http://host:port or https://host:port. (default: Amazon's)"],
  ['s3-region', '<name>', 'Region of the bucket. (default: us-east-1)'],
  ['s3-access-key-id', '<id>', 'Access key of the bucket.'],
  [
    's3-secret-access-key',
    '<secret>',
    'Secret of the access key. Better kept in the environment or the file.',
  ],
] as const;

function withArchiveFlags(command: Command): Command {
  command.option('--config <file>', 'YAML file of a node; its options that begin with archive. are used.');
  for (const [name, value, description] of nodeOptions) {
    command.option(`--archive.${name} ${value}`, description);
  }
  return command
    .option('--table <name>', 'Take this table alone.')
    .option('--cluster <id>', 'Take what this cluster archived alone.')
    .addOption(new Option('--shard <id>', 'Take this shard alone.').argParser(parseShardId))
    .addOption(
      new Option('-o, --output <format>', 'Form of the results.')
        .choices(['simple', 'table', 'json'])
        .default('table'),
    )
    .option('--json', 'Same as -o json.', false);
}

function parseShardId(text: string): number {
  const id = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(id))
    throw usageError(`--shard: must be a number, not ${text}`);
  return id;
}

function archiveFlags(command: Command): ArchiveFlags {
  const nodeFlags: Record<string, string> = {};
  for (const option of command.options) {
    const value = command.getOptionValue(option.attributeName()) as unknown;
    if (option.name().startsWith('archive.') && typeof value === 'string') nodeFlags[option.name()] = value;
  }
  const { config, table, cluster, shard, json, output, dryRun } = command.opts<{
    readonly config?: string;
    readonly table?: string;
    readonly cluster?: string;
    readonly shard?: number;
    readonly json: boolean;
    readonly output: OutputFormat;
    readonly dryRun?: boolean;
  }>();
  return {
    nodeFlags,
    configFile: config,
    filter: { table, clusterId: cluster, shardId: shard },
    output: json ? 'json' : output,
    isDryRun: dryRun ?? false,
  };
}

const ARCHIVE_HELP = `
The nodes of a cluster archive the log of every table if archive.target is set.
These commands need no node. They take the options that begin with archive. as a
node does: from flags, from the environment (COXSWAIN_ARCHIVE_TARGET,
COXSWAIN_ARCHIVE_S3_SECRET_ACCESS_KEY, …) or from a node's configuration file.`;
