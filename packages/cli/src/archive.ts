import {
  type ArchivedShard,
  type ArchiveProblem,
  describeShard,
  findShards,
  type ObjectStore,
  openArchiveStore,
  type PrunedShard,
  prune,
  type Run,
  type ShardFilter,
  type ShardOverview,
  showShard,
  type VerifiedShard,
  verifyShard,
} from '@coxswain/archive';
import { counted } from './counted.js';
import { failure, usageError } from './exit.js';
import { loadNodeConfig } from './node-config.js';
import { formatSize, type OutputFormat, printRows } from './output.js';

/** The flags that the commands of `archive` have in common. */
export interface ArchiveFlags {
  /** Options of the nodes, by name. */
  readonly nodeFlags: Readonly<Record<string, string>>;
  /** The configuration file of a node; undefined for the one that a node reads by default. */
  readonly configFile: string | undefined;
  readonly filter: ShardFilter;
  readonly output: OutputFormat;
  readonly isDryRun: boolean;
}

type Config = ReturnType<typeof loadNodeConfig>['config'];

/** Runs `coxswain archive list`: prints the archived parts of each shard. */
export async function listArchive(flags: ArchiveFlags): Promise<void> {
  await withStore(flags, async (store) => {
    const overviews: ShardOverview[] = [];
    for (const shard of await findShards(store, flags.filter, {})) {
      overviews.push(await describeShard(store, shard, {}));
    }
    if (overviews.length === 0 && flags.output !== 'json') {
      process.stdout.write(`nothing is archived in ${store.url}\n`);
      return;
    }
    printRows(
      flags.output,
      {
        url: store.url,
        shards: overviews.map((overview) => ({ ...overview.shard, ...overview, shard: undefined })),
      },
      ['TABLE', 'CLUSTER', 'SHARD', 'REVISIONS', 'FROM', 'TO', 'BASES', 'LOGS', 'SIZE', 'GAPS'],
      overviews.map(
        ({ shard, baseCount, logCount, sizeBytes, restorable, firstTimeMs, lastTimeMs, gaps }) => [
          ...shardColumns(shard),
          showRuns(restorable),
          showTime(firstTimeMs),
          showTime(lastTimeMs),
          String(baseCount),
          String(logCount),
          formatSize(sizeBytes),
          showRuns(gaps),
        ],
      ),
    );
  });
}

/** Runs `coxswain archive verify`: reads all objects, and fails when something is wrong with them. */
export async function verifyArchive(flags: ArchiveFlags): Promise<void> {
  await withStore(flags, async (store) => {
    const shards = await findShards(store, flags.filter, {});
    // A table that is not there at all cannot be restored, whatever was meant.
    if (shards.length === 0)
      throw failure(`nothing is archived of that in ${store.url}: see coxswain archive list`);
    const verified: VerifiedShard[] = [];
    for (const shard of shards) {
      verified.push(await verifyShard(store, shard, { onProgress: progressOf(shard) }, {}));
    }
    printVerified(flags, store, verified);
    const count = verified.reduce(
      (sum, { problems, problemsOmitted }) => sum + problems.length + problemsOmitted,
      0,
    );
    if (count > 0) {
      throw failure(
        `${counted(count, 'problem')} in ${store.url}: what cannot be read cannot be restored; put the objects back, or wait for the next base: what comes after it can be restored`,
      );
    }
  });
}

function printVerified(flags: ArchiveFlags, store: ObjectStore, verified: readonly VerifiedShard[]): void {
  printRows(
    flags.output,
    { url: store.url, shards: verified.map((shard) => ({ ...shard.shard, ...shard, shard: undefined })) },
    ['TABLE', 'CLUSTER', 'SHARD', 'REVISIONS', 'BASES', 'LOGS', 'SIZE', 'GAPS', 'RESULT'],
    verified.map(({ shard, restorable, baseCount, logCount, sizeBytes, gaps, problems, problemsOmitted }) => [
      ...shardColumns(shard),
      showRuns(restorable),
      String(baseCount),
      String(logCount),
      formatSize(sizeBytes),
      showRuns(gaps),
      problems.length === 0 ? 'ok' : `${problems.length + problemsOmitted} wrong`,
    ]),
  );
  if (flags.output === 'json') return;
  for (const { shard, problems, problemsOmitted } of verified) {
    for (const problem of problems) process.stdout.write(`${showShard(shard)}: ${showProblem(problem)}\n`);
    if (problemsOmitted > 0) process.stdout.write(`${showShard(shard)}: and ${problemsOmitted} more\n`);
  }
}

function showProblem({ kind, detail }: ArchiveProblem): string {
  return `${kind}: ${detail}`;
}

/** Runs `coxswain archive prune`: removes what the configured retention does not keep. */
export async function pruneArchive(flags: ArchiveFlags): Promise<void> {
  await withStore(flags, async (store, config) => {
    const retention = { ageMs: config['archive.retention-age'], basesMin: config['archive.retention-bases'] };
    if (retention.ageMs === 0) {
      throw usageError(
        'archive.retention-age is 0, so nothing is ever removed: give --archive.retention-age 720h',
      );
    }
    const { isDryRun, filter } = flags;
    const pruned: PrunedShard[] = [];
    for await (const shard of prune(store, filter, { retention, nowMs: Date.now(), isDryRun }, {})) {
      pruned.push(shard);
    }
    const leftovers = isDryRun ? 0 : await store.removeLeftovers({});
    printRows(
      flags.output,
      {
        url: store.url,
        dryRun: isDryRun,
        leftovers,
        shards: pruned.map((shard) => ({ ...shard.shard, ...shard, shard: undefined })),
      },
      [
        'TABLE',
        'CLUSTER',
        'SHARD',
        isDryRun ? 'WOULD FREE' : 'FREED',
        'BASES',
        'LOGS',
        'GAPS',
        'BEGINS WITH',
      ],
      pruned.map(({ shard, sizeBytes, baseCount, logCount, gapCount, oldest }) => [
        ...shardColumns(shard),
        formatSize(sizeBytes),
        String(baseCount),
        String(logCount),
        String(gapCount),
        oldest === undefined ? '' : `revision ${oldest.revision}, ${showTime(oldest.timeMs)}`,
      ]),
    );
    for (const { shard, unbacked } of pruned) {
      if (unbacked.length === 0) continue;
      const text = `coxswain: ${showShard(shard)}: no backup by FlushAndBackupBinlog holds revisions ${showRuns(unbacked)}`;
      process.stderr.write(`${text}, which ${isDryRun ? 'would be' : 'were'} removed\n`);
    }
  });
}

async function withStore(
  { nodeFlags, configFile }: ArchiveFlags,
  work: (store: ObjectStore, config: Config) => Promise<void>,
): Promise<void> {
  const { config } = loadNodeConfig('leader', nodeFlags, configFile, process.env);
  if (config['archive.target'] === '') {
    throw usageError(
      'archive.target is not set: give --archive.target, or the --config of a node that has it',
    );
  }
  const store = openArchiveStore({
    target: config['archive.target'],
    endpoint: config['archive.s3-endpoint'],
    region: config['archive.s3-region'],
    accessKeyId: config['archive.s3-access-key-id'],
    secretAccessKey: config['archive.s3-secret-access-key'],
  });
  try {
    await work(store, config);
  } finally {
    await store.close();
  }
}

/**
 * Returns a callback that shows the progress of a shard on stderr, as one line that is written again and again; on a
 * terminal only.
 */
function progressOf(shard: ArchivedShard): (objectsRead: number, objectsInAll: number) => void {
  return (objectsRead, objectsInAll) => {
    if (!process.stderr.isTTY) return;
    const isLast = objectsRead === objectsInAll;
    process.stderr.write(
      `\r${showShard(shard)}: ${objectsRead} of ${counted(objectsInAll, 'object')}${isLast ? '\n' : ''}`,
    );
  };
}

function shardColumns({ table, clusterId, shardId }: ArchivedShard): string[] {
  return [table, clusterId, String(shardId)];
}

function showRuns(runs: readonly Run[]): string {
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}–${last}`)).join(' ');
}

function showTime(timeMs: number | undefined): string {
  return timeMs === undefined ? '' : new Date(timeMs).toISOString();
}
