import { Command, Option } from 'commander';
import { usageError } from '../exit.js';
import type { RestoreFlags } from '../restore.js';
import type { ArchiveRestoreFlags } from '../restore-archive.js';
import { transferFlags, withTransferFlags } from '../transfer-flags.js';

/** Makes the command `restore`, which loads its modules when it runs. */
export function restoreCommand(): Command {
  const command = withTransferFlags(
    new Command('restore').description(
      'Replace tables of a leader cluster by those of a backup, of backups of the log, or of the archive.',
    ),
  )
    .option('--into <name>', 'Restore the one table that is chosen under this name.')
    .option('--yes', 'Replace tables that exist without asking.', false)
    .option('--incremental <directory...>', 'Incremental backups that follow the one in --dir, in order.', [])
    .option('--from-archive', "Instead of --dir: take the table from the cluster's archive.", false)
    .addOption(
      new Option('--to-revision <revision>', 'From the archive, up to this revision.').argParser(
        parseRevision,
      ),
    )
    .addOption(
      new Option(
        '--to-time <time>',
        'From the archive, up to this moment, such as 2026-03-01T12:00:00Z.',
      ).argParser(parseTimeMs),
    )
    .option('--from-cluster <id>', 'From the archive of this other cluster in the same place.')
    .addOption(new Option('--shard <id>', 'From the archive, this shard of the table.').argParser(parseShard))
    .option(
      '--from-binlog-backup <urls...>',
      'Instead of --dir or after it: backups of FlushAndBackupBinlog, each s3://bucket/ID, in the order in which they were made.',
    )
    .option(
      '--s3-endpoint <url>',
      "S3 server of --from-binlog-backup, http://host:port or https://host:port. (default: Amazon's)",
    )
    .option('--s3-region <name>', 'Region of the bucket of --from-binlog-backup. (default: us-east-1)');
  command.addHelpText('after', RESTORE_HELP);
  return command.action(async () => {
    const flags = transferFlags<RestoreFlags & ArchiveRestoreFlags>(command);
    const { fromBinlogBackup, s3Endpoint, s3Region } = flags;
    if (fromBinlogBackup === undefined && (s3Endpoint !== undefined || s3Region !== undefined)) {
      throw usageError(
        '--s3-endpoint and --s3-region say where --from-binlog-backup reads: give that too, or neither',
      );
    }
    if (!isFromArchive(flags)) {
      const { restore } = await import('../restore.js');
      await restore(flags);
      return;
    }
    if (flags.dir !== undefined || flags.fromBinlogBackup !== undefined) {
      throw usageError(
        'give --dir or --from-binlog-backup, or what is wanted from the archive, but not both',
      );
    }
    const { restoreArchive } = await import('../restore-archive.js');
    await restoreArchive(flags);
  });
}

function isFromArchive({
  fromArchive,
  toRevision,
  toTime,
  fromCluster,
  shard,
}: ArchiveRestoreFlags): boolean {
  return fromArchive || [toRevision, toTime, fromCluster, shard].some((flag) => flag !== undefined);
}

function parseRevision(text: string): bigint {
  return parseId('--to-revision', text);
}

function parseShard(text: string): bigint {
  return parseId('--shard', text);
}

function parseId(flag: string, text: string): bigint {
  if (!/^\d{1,16}$/.test(text)) throw usageError(`${flag}: must be a number, not ${text}`);
  return BigInt(text);
}

/** Parses a moment that means the same everywhere (RFC 3339), into milliseconds since 1970. */
function parseTimeMs(text: string): number {
  const timeMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(timeMs)) {
    throw usageError(`--to-time: must be a moment such as 2026-03-01T12:00:00Z, not ${text}`);
  }
  return timeMs;
}

const RESTORE_HELP = `
Every file is checked before anything is sent. A table that exists is replaced
in one step when all of it has arrived; one that does not exist is created then.
Until then the old data serves, and a restore that fails leaves nothing. What was
written to a table since the backup is lost: --into restores beside it instead.
Before a table is replaced, its keys and revision are shown and a question is
asked; where nobody can be asked, give --yes. The revisions of a restored table
are above all that it ever had, and every key has version 1. Into a stock server
tables go one after another, whatever --parallel says, and a table that it
refuses because another one is being changed is sent again.

  coxswain restore --dir /backups/monday --yes
  coxswain restore --dir /backups/monday --tables users --into users-of-monday

With an archive (archive.target) a table comes back as it was at any revision or
moment, even after it was deleted. The command shows which revision and time it
reached. --dry-run reads and checks all that would be used.

  coxswain restore --tables users --to-time 2026-03-01T12:00:00Z --into users-at-noon
  coxswain restore --tables users --from-archive

Backups of FlushAndBackupBinlog (moco-agent) hold the logs of tables, as MySQL's
binlogs do. They are enough to make a table if they reach back to its first
write; otherwise they go on after a full backup in --dir. Give all of them, in
order. The keys of the bucket come from the environment:
COXSWAIN_ARCHIVE_S3_ACCESS_KEY_ID and COXSWAIN_ARCHIVE_S3_SECRET_ACCESS_KEY.
COXSWAIN_ARCHIVE_S3_ENDPOINT and COXSWAIN_ARCHIVE_S3_REGION can stand in for
--s3-endpoint and --s3-region; messages call these archive.s3-endpoint and
archive.s3-region, as the options of a node.

  coxswain restore --from-binlog-backup s3://backups/monday s3://backups/tuesday \\
    --s3-endpoint http://minio:9000
  coxswain restore --dir /backups/sunday --from-binlog-backup s3://backups/monday \\
    --s3-endpoint http://minio:9000`;
