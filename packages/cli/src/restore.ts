import { setTimeout as sleep } from 'node:timers/promises';
import type { BinlogBackupReader, LogStart } from '@coxswain/agents';
import { type BackedUpTable, BackupReader } from '@coxswain/backup';
import { type Coxswain, CoxswainError, OutcomeUnknownError, StatusCode } from '@coxswain/client';
import { STREAM_IDENTIFIER } from '@coxswain/stream';
import type { BinlogBackupFlags } from './binlog-backups.js';
import { confirmLoss, REPLACING } from './confirm.js';
import { withClient } from './connection-flags.js';
import { counted } from './counted.js';
import { CommandError, failure, usageError } from './exit.js';
import { formatSize, printRows } from './output.js';
import { Pace } from './pace.js';
import { inParallel } from './parallel.js';
import { adviceOf } from './transfer-advice.js';
import { TransferBars } from './transfer-bars.js';
import { directoryOf, selectTables, type TransferFlags } from './transfer-flags.js';

/** Milliseconds that a restore may take: a week, so that no restore is cut off. */
const DURATION_MS = 7 * 24 * 3_600_000;
/** The most times that a table is sent to a stock server which refuses it for another change of its tables. */
const CONFLICTS_MAX = 8;
/** Milliseconds before the table is sent again; doubled each time. */
const CONFLICT_PAUSE_MS = 50;

export interface RestoreFlags extends TransferFlags, BinlogBackupFlags {
  readonly into?: string;
  readonly incremental: readonly string[];
  /** True replaces tables that exist without asking. */
  readonly yes: boolean;
}

/**
 * The files of one table to restore: parts of one stream, of which the first is a full backup or the beginning of a
 * log.
 */
interface Restorable {
  readonly name: string;
  readonly parts: readonly Part[];
}

/** The part of a table that one backup holds. */
interface Part {
  /** The place that the part comes from, for people. */
  readonly source: string;
  /** The manifest's record of the table, if the part has one. */
  readonly table?: BackedUpTable;
  /**
   * Reads the whole part, and resolves with its size in bytes. `onProgress` gets the part of 1 that was read, and the
   * bytes. Rejects for a damaged part.
   */
  check(onProgress: (part: number, bytes: number) => void): Promise<number>;
  read(): AsyncIterable<Buffer>;
}

/** A table that was restored. */
interface Restored {
  readonly name: string;
  readonly from: string;
  /** The number of keys; undefined when the server, a stock one, does not say. */
  readonly keys?: number;
  readonly revision?: number;
  /** Seconds from the first byte until the table served. */
  readonly seconds: number;
}

/**
 * Runs `coxswain restore`: replaces tables by those of a backup directory, of backups of FlushAndBackupBinlog, or of
 * both.
 */
export async function restore(flags: RestoreFlags): Promise<void> {
  if (flags.fromBinlogBackup === undefined) {
    await restoreAll(select(await findFiles(flags), flags), flags);
    return;
  }
  if (flags.dir === undefined && flags.incremental.length > 0) directoryOf(flags);
  // This command alone loads the module that reads the configuration of nodes.
  const { withBinlogBackups } = await import('./binlog-backups.js');
  await withBinlogBackups(flags, async (backups) => {
    const files = flags.dir === undefined ? new Map<string, Restorable>() : await findFiles(flags);
    await restoreAll(withLogs(select(files, flags, backups.tables), backups), flags);
  });
}

async function findFiles(flags: RestoreFlags): Promise<Map<string, Restorable>> {
  const directory = directoryOf(flags);
  const reader = await BackupReader.open(directory);
  const byName = new Map<string, Restorable>();
  for (const table of reader.manifest.tables) {
    if (isIncremental(table)) {
      throw failure(
        `${directory} holds an incremental backup of table '${table.name}': give the full one before it as --dir, and this one as --incremental`,
      );
    }
    byName.set(table.name, { name: table.name, parts: [fileOf(reader, table)] });
  }
  for (const directory of flags.incremental) await addIncremental(byName, directory, flags.tables);
  return byName;
}

/**
 * Selects the tables that the flags ask for. `others` are tables that are not in the directory. Throws usage errors and
 * failures.
 */
function select(
  byName: ReadonlyMap<string, Restorable>,
  flags: RestoreFlags,
  others: readonly string[] = [],
): Restorable[] {
  const names = selectTables([...new Set([...byName.keys(), ...others])], flags.tables, (name) =>
    flags.fromBinlogBackup === undefined
      ? `the backup in ${flags.dir} has no table ${name}`
      : `the backups have no table ${name}`,
  );
  if (flags.into !== undefined && names.length !== 1) {
    throw usageError('--into is for one table: name it with --tables');
  }
  return names.map((name) => byName.get(name) ?? { name, parts: [] });
}

function fileOf(reader: BackupReader, table: BackedUpTable): Part {
  return {
    source: table.file_name,
    table,
    check: (onProgress) => reader.check(table, onProgress),
    read: () => reader.read(table),
  };
}

/** Adds the log after each table's files; a table without files is made from its log alone. */
function withLogs(restorables: readonly Restorable[], backups: BinlogBackupReader): Restorable[] {
  return restorables.map((restorable) => {
    const { name, parts } = restorable;
    const log = backups.log(name, momentOf(parts.at(-1)?.table));
    if (log === undefined) return restorable;
    const read = async function* (): AsyncGenerator<Buffer> {
      if (log.isWhole) yield STREAM_IDENTIFIER;
      yield* backups.stream(log);
    };
    const part: Part = {
      source: `revisions ${log.first} to ${log.last}`,
      read,
      check: async (onProgress) => {
        let sizeBytes = 0;
        for await (const bytes of read()) {
          sizeBytes += bytes.length;
          onProgress(0, sizeBytes);
        }
        return sizeBytes;
      },
    };
    // A log that begins with the table's first write makes the whole table.
    return { name, parts: log.isWhole ? [part] : [...parts, part] };
  });
}

/** Returns the moment of a backup; undefined for a stock server's, which names none. */
function momentOf(table: BackedUpTable | undefined): LogStart | undefined {
  const { shard_id: shardId, revision } = table ?? {};
  return shardId === undefined || revision === undefined ? undefined : { shardId, revision };
}

/**
 * Adds the tables of a later backup. A backup of changes goes after the earlier parts of a table, and a full one takes
 * their place. A backup of changes lists every table that existed, so a table that it lacks had been deleted. Looks
 * only at the tables in `wanted`; undefined means all.
 */
async function addIncremental(
  byName: Map<string, Restorable>,
  directory: string,
  wanted: readonly string[] | undefined,
): Promise<void> {
  const reader = await BackupReader.open(directory);
  const { tables } = reader.manifest;
  if (tables.some(isIncremental)) {
    const held = new Set(tables.map(({ name }) => name));
    for (const name of [...byName.keys()]) if (!held.has(name)) byName.delete(name);
  }
  for (const table of tables) {
    const { name } = table;
    if (wanted?.includes(name) === false) continue;
    const earlier = byName.get(name);
    if (!isIncremental(table)) {
      byName.set(name, { name, parts: [fileOf(reader, table)] });
      continue;
    }
    const before = earlier?.parts.at(-1)?.table;
    if (
      earlier === undefined ||
      before?.shard_id !== table.shard_id ||
      before?.revision !== table.base_revision
    ) {
      throw failure(
        `the backup in ${directory} does not follow the one before it: of table '${name}' it begins after revision ${table.base_revision}`,
      );
    }
    byName.set(name, { name, parts: [...earlier.parts, fileOf(reader, table)] });
  }
}

function isIncremental({ type }: BackedUpTable): boolean {
  return type === 'INCREMENTAL';
}

async function restoreAll(restorables: readonly Restorable[], flags: RestoreFlags): Promise<void> {
  // Everything is checked before any table is replaced: half of an old state and half of a new one helps nobody.
  const sizes = await checkAll(restorables, flags);
  if (flags.dryRun) {
    printPlan(flags, restorables, sizes);
    return;
  }
  const restored: Restored[] = [];
  const pace = new Pace(flags.rate);
  await withClient(flags, async (client) => {
    const targets = restorables.map(({ name }) => flags.into ?? name);
    if (!flags.yes) await confirmLoss(client, targets, REPLACING);
    const bars = new TransferBars();
    try {
      const places = restorables.map((table, place) => ({ table, sizeBytes: sizes[place]! }));
      // On a stock server, restores at the same time overtake each other in its list of tables, and most of them fail.
      const parallel = (await isStock(client)) ? 1 : flags.parallel;
      await inParallel(places, parallel, async ({ table, sizeBytes }, signal) => {
        try {
          restored.push(await send(client, table, { sizeBytes, flags, pace, bars, signal }));
        } catch (error) {
          if (error instanceof CommandError || !(error instanceof Error)) throw error;
          const done = restored.map((one) => one.name).join(', ') || 'none';
          throw failure(
            `restore of table '${table.name}' failed: ${describeFailedRestore(error)}; tables restored: ${done}`,
          );
        }
      });
    } finally {
      bars.stop();
    }
  });
  printRestored(flags, restored);
}

/** Whether the server is Regatta's or Armada's: those have neither a role nor a cluster id, or no such service. */
async function isStock(client: Coxswain): Promise<boolean> {
  try {
    const { role, clusterId } = await client.cluster.status();
    return role === '' && clusterId === '';
  } catch (error) {
    if (error instanceof CoxswainError && error.code === StatusCode.UNIMPLEMENTED) return true;
    throw error;
  }
}

/** Reads and checks all files, and resolves with the size of each table in bytes. */
async function checkAll(restorables: readonly Restorable[], { parallel }: RestoreFlags): Promise<number[]> {
  const bars = new TransferBars();
  try {
    return await inParallel(restorables, parallel, (table) => check(table, bars));
  } finally {
    bars.stop();
  }
}

/** The codes of errors whose own texts say that nothing was changed. */
const saysNothingWasChanged: ReadonlySet<string> = new Set([
  'archiveFailed',
  'archiveIncomplete',
  'leaderUnreachable',
  'replicationPaused',
  'requestBrokenOff',
  'restoreDamaged',
  'restoreInterrupted',
]);

/** Describes the error of a restore, and its meaning for the table. */
export function describeFailedRestore(error: Error): string {
  const advice = adviceOf(error);
  const message = advice === undefined ? error.message : `${error.message}: ${advice}`;
  if (error instanceof OutcomeUnknownError)
    return `${message}: nobody knows whether the table was replaced: look at it before you repeat this`;
  const saysSo = error instanceof CoxswainError && saysNothingWasChanged.has(error.errorCode);
  return saysSo ? message : `${message}: the table is as it was`;
}

/** Reads and checks the files of one table, and resolves with their size in bytes. */
async function check({ name, parts }: Restorable, bars: TransferBars): Promise<number> {
  const bar = bars.add('check', name);
  let sizeBytes = 0;
  for (const part of parts) {
    sizeBytes += await part.check((done, bytes) => bar.update(done, bytes));
  }
  bar.stop();
  return sizeBytes;
}

async function send(
  client: Coxswain,
  { name, parts }: Restorable,
  {
    sizeBytes,
    flags,
    pace,
    bars,
    signal,
  }: {
    readonly sizeBytes: number;
    readonly flags: RestoreFlags;
    readonly pace: Pace;
    readonly bars: TransferBars;
    readonly signal: AbortSignal;
  },
): Promise<Restored> {
  const bar = bars.add('restore', name);
  const target = flags.into ?? name;
  const stream = async function* (): AsyncGenerator<Buffer> {
    let sentBytes = 0;
    for (const part of parts) {
      for await (const bytes of part.read()) {
        if (signal.aborted) throw new Error('another table failed');
        await pace.pay(bytes.length);
        yield bytes;
        sentBytes += bytes.length;
        bar.update(sentBytes / sizeBytes, sentBytes);
      }
    }
    // Regatta leaves an empty file for an empty table. A restore that sends nothing would be refused.
    if (sizeBytes === 0 && sentBytes === 0) yield STREAM_IDENTIFIER;
  };
  const beganAtMs = performance.now();
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const { keyCount, revision } = await client.maintenance.restore(target, stream(), {
          sizeBytes,
          durationMs: DURATION_MS,
        });
        const seconds = (performance.now() - beganAtMs) / 1000;
        const isKnown = revision !== 0n;
        return {
          name: target,
          from: name,
          ...(isKnown && { keys: Number(keyCount), revision: Number(revision) }),
          seconds,
        };
      } catch (error) {
        if (!isConflict(error) || attempt === CONFLICTS_MAX || signal.aborted) throw error;
        await sleep(CONFLICT_PAUSE_MS * 2 ** (attempt - 1));
      }
    }
  } finally {
    bar.stop();
  }
}

/**
 * Whether a stock server has refused the restore for another change of its tables. It has changed nothing then, so the
 * table may be sent again.
 */
function isConflict(error: unknown): boolean {
  return error instanceof CoxswainError && error.code === StatusCode.ABORTED && error.errorCode === '';
}

// ---- what is printed

function printPlan(flags: RestoreFlags, tables: readonly Restorable[], sizes: readonly number[]): void {
  const plan = tables.map(({ name, parts }, place) => ({
    name: flags.into ?? name,
    from: name,
    sizeBytes: sizes[place]!,
    files: parts.map(({ source }) => source),
  }));
  const rows = plan.map(({ name, sizeBytes, files }) => [name, formatSize(sizeBytes), files.join(' ')]);
  printRows(flags.output, { dryRun: true, tables: plan }, ['TABLE', 'SIZE', 'FROM'], rows);
}

function printRestored({ output }: RestoreFlags, tables: readonly Restored[]): void {
  const sorted = [...tables].sort((a, b) => (a.name < b.name ? -1 : 1));
  const rows = sorted.map(({ name, keys, revision }) => [
    name,
    keys === undefined ? 'unknown keys' : counted(keys, 'key'),
    revision === undefined ? 'unknown revision' : `revision ${revision}`,
  ]);
  printRows(output, { tables: sorted }, ['TABLE', 'KEYS', 'REVISION'], rows);
}
