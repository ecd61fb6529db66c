import {
  BackupDirectoryError,
  type BackupMoment,
  type BackupPlace,
  BackupWriter,
  type Manifest,
  type TableFile,
} from '@coxswain/backup';
import { type Coxswain, CoxswainError, StatusCode } from '@coxswain/client';
import type { replication } from '@coxswain/protocol';
import { withClient } from './connection-flags.js';
import { counted } from './counted.js';
import { failure } from './exit.js';
import { describeFileError } from './file-error.js';
import { formatSize, printRows } from './output.js';
import { Pace } from './pace.js';
import { inParallel } from './parallel.js';
import { adviceOf } from './transfer-advice.js';
import { type TransferBar, TransferBars } from './transfer-bars.js';
import { directoryOf, selectTables, type TransferFlags } from './transfer-flags.js';

/**
 * The most attempts in a row that may bring no progress: after so many, the reason is one that repeating does not mend.
 */
const FUTILE_ATTEMPTS_MAX = 5;
/** Milliseconds that a backup may take: a week, so that no backup is cut off. */
const DURATION_MS = 7 * 24 * 3_600_000;

/** Runs `coxswain backup`: makes a backup directory, or continues one. */
export async function backUp(flags: TransferFlags): Promise<void> {
  await withClient(flags, async (client) => {
    const status = await client.cluster.status();
    // The status names tables in quarantine as well.
    const names = [...status.tables.keys()].filter((name) => !name.startsWith('quarantine/')).sort();
    const tables = selectTables(names, flags.tables, (name) => `there is no table ${name}`);
    if (flags.dryRun) {
      printPlan(
        flags,
        tables.map((name) => ({ name, sizeBytes: Number(status.tables.get(name)?.dbSize ?? 0) })),
      );
      return;
    }
    await copyTables(client, tables, flags);
  });
}

async function copyTables(client: Coxswain, tables: readonly string[], flags: TransferFlags): Promise<void> {
  const writer = await BackupWriter.open(directoryOf(flags), tables, Date.now());
  const bars = new TransferBars();
  const pace = new Pace(flags.rate);
  const beganAtMs = performance.now();
  try {
    const sizes = new Map<string, number>();
    await inParallel(tables, flags.parallel, async (name, signal) => {
      const file = await writer.table(name);
      const bar = bars.add('backup', name);
      try {
        await backUpTable(client, name, { file, bar, pace, signal });
        sizes.set(name, file.sizeBytes);
      } catch (error) {
        if (error instanceof BackupDirectoryError || !(error instanceof Error)) throw error;
        throw failure(
          `backup of table '${name}' failed: ${describeFileError(error) ?? error.message}: ${adviceOf(error) ?? 'run the same command again, which goes on where this one ended'}`,
        );
      } finally {
        bar.stop();
        await file.close();
      }
    });
    const manifest = await writer.finish(Date.now());
    bars.stop();
    printBackup(flags, { manifest, sizes, seconds: (performance.now() - beganAtMs) / 1000 });
  } finally {
    bars.stop();
  }
}

interface Transfer {
  readonly file: TableFile;
  readonly bar: TransferBar;
  readonly pace: Pace;
  /** Aborted when another table has failed. */
  readonly signal: AbortSignal;
}

/**
 * Backs a table up, in attempts that each continue where the one before broke off, until too many in a row get no
 * further (`FUTILE_ATTEMPTS_MAX`). Begins again when the state that the file holds the beginning of is no longer
 * available.
 */
async function backUpTable(client: Coxswain, name: string, transfer: Transfer): Promise<void> {
  const { file, signal } = transfer;
  let futile = 0;
  while (file.whole === undefined) {
    const before = file.place?.keyCount ?? 0;
    try {
      await copy(client, name, transfer);
      await file.end();
    } catch (error) {
      await file.rewind();
      if (signal.aborted || !(error instanceof CoxswainError)) throw error;
      if (isGone(error) && file.place !== undefined) {
        await file.restart();
      } else {
        futile = (file.place?.keyCount ?? 0) > before ? 0 : futile + 1;
        if (!isContactLost(error) || futile > FUTILE_ATTEMPTS_MAX) throw error;
      }
    }
  }
}

async function copy(client: Coxswain, name: string, { file, bar, pace, signal }: Transfer): Promise<void> {
  const { moment, place } = file;
  const rest = moment &&
    place && {
      shardId: moment.shardId,
      revision: moment.revision,
      afterKey: place.lastKey,
      recordBytes: place.recordBytes,
    };
  const before = place?.keyCount ?? 0;
  const chunks = client.maintenance.backup(name, { durationMs: DURATION_MS, ...(rest && { rest }) });
  for await (const chunk of chunks) {
    if (signal.aborted) throw new Error('another table failed');
    await pace.pay(chunk.data.length);
    const reached = placeOf(chunk, before);
    await file.write(chunk.data, momentOf(chunk), reached);
    if (reached !== undefined) bar.update(reached.keyCount / (file.moment?.keyCount || 1), file.sizeBytes);
  }
}

function momentOf({ point }: replication.SnapshotChunk): BackupMoment | undefined {
  return (
    point && {
      clusterId: point.clusterId,
      shardId: Number(point.shardId),
      revision: Number(point.revision),
      timeMs: Number(point.timeMs),
      keyCount: Number(point.keyCount),
    }
  );
}

function placeOf(chunk: replication.SnapshotChunk, keysBefore: number): BackupPlace | undefined {
  if (chunk.lastKey.length === 0) return undefined;
  return {
    lastKey: chunk.lastKey,
    recordBytes: Number(chunk.recordBytes),
    keyCount: keysBefore + Number(chunk.keyCount),
  };
}

/** Whether the state that the file holds the beginning of is no longer available. */
function isGone({ code }: CoxswainError): boolean {
  return code === StatusCode.OUT_OF_RANGE || code === StatusCode.FAILED_PRECONDITION;
}

/**
 * Whether contact to the node was lost, so that another attempt may do better. A node that waited for a leader in vain
 * has waited long enough.
 */
function isContactLost({ code, errorCode }: CoxswainError): boolean {
  return code === StatusCode.UNAVAILABLE && errorCode !== 'noLeader' && errorCode !== 'leaderless';
}

// ---- what is printed

/** Returns a part of a manifest with its fields named as JSON of protobuf names them, such as fileName for file_name. */
function camelNamed(part: object): object {
  const entries = Object.entries(part);
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as object;
}

function printPlan(
  flags: TransferFlags,
  tables: readonly { readonly name: string; readonly sizeBytes: number }[],
): void {
  const rows = tables.map(({ name, sizeBytes }) => [name, `about ${formatSize(sizeBytes)}`]);
  printRows(flags.output, { dryRun: true, directory: directoryOf(flags), tables }, ['TABLE', 'SIZE'], rows);
}

function printBackup(
  flags: TransferFlags,
  {
    manifest,
    sizes,
    seconds,
  }: { readonly manifest: Manifest; readonly sizes: ReadonlyMap<string, number>; readonly seconds: number },
): void {
  const rows = manifest.tables.map(({ name, key_count: keys, revision, file_name: file }) => [
    name,
    // A stock server says neither the keys nor the revision.
    keys === undefined ? 'unknown keys' : counted(keys, 'key'),
    revision === undefined ? 'unknown revision' : `revision ${revision}`,
    formatSize(sizes.get(name) ?? 0),
    file,
  ]);
  const sizeBytes = [...sizes.values()].reduce((sum, one) => sum + one, 0);
  const report = {
    directory: directoryOf(flags),
    ...camelNamed(manifest),
    tables: manifest.tables.map(camelNamed),
    sizeBytes,
    seconds,
  };
  printRows(flags.output, report, ['TABLE', 'KEYS', 'REVISION', 'SIZE', 'FILE'], rows);
}
