import type { Coxswain } from '@coxswain/client';
import type { maintenance } from '@coxswain/protocol';
import { confirmLoss, REPLACING } from './confirm.js';
import { withClient } from './connection-flags.js';
import { counted } from './counted.js';
import { failure, usageError } from './exit.js';
import { printRows } from './output.js';
import { TransferBars } from './transfer-bars.js';
import type { TransferFlags } from './transfer-flags.js';

/** Milliseconds that a restore may take: a week, so that no restore is cut off. */
const DURATION_MS = 7 * 24 * 3_600_000;

export interface ArchiveRestoreFlags extends TransferFlags {
  readonly into?: string;
  readonly fromArchive: boolean;
  readonly toRevision?: bigint;
  /** The last moment to restore, in milliseconds since 1970. */
  readonly toTime?: number;
  readonly fromCluster?: string;
  readonly shard?: bigint;
  /** True replaces a table that exists without asking. */
  readonly yes: boolean;
}

/** Runs `coxswain restore` from the archive: the nodes read it, and report what was reached. */
export async function restoreArchive(flags: ArchiveRestoreFlags): Promise<void> {
  const [table, ...others] = flags.tables ?? [];
  if (table === undefined || others.length > 0) {
    throw usageError('from the archive one table is restored at a time: name it with --tables');
  }
  if (flags.toRevision !== undefined && flags.toTime !== undefined) {
    throw usageError('give --to-revision or --to-time, but not both');
  }
  const point = await withClient(flags, async (client) => {
    if (!flags.yes && !flags.dryRun) await confirmLoss(client, [flags.into ?? table], REPLACING);
    return run(client, table, flags);
  });
  printPoint(flags, table, point);
}

async function run(
  client: Coxswain,
  table: string,
  { into, toRevision, toTime, fromCluster, shard, dryRun }: ArchiveRestoreFlags,
): Promise<maintenance.RestoredPoint> {
  const bars = new TransferBars();
  const bar = bars.add(dryRun ? 'check' : 'restore', into ?? table);
  try {
    const progress = client.maintenance.restoreArchive(table, {
      dryRun,
      durationMs: DURATION_MS,
      ...(into !== undefined && { into }),
      ...(toRevision !== undefined && { toRevision }),
      ...(toTime !== undefined && { toTimeMs: toTime }),
      ...(fromCluster !== undefined && { clusterId: fromCluster }),
      ...(shard !== undefined && { shardId: shard }),
    });
    for await (const { bytes, bytesTotal, done } of progress) {
      bar.update(Number(bytes) / (Number(bytesTotal) || 1), Number(bytes));
      if (done !== undefined) return done;
    }
  } finally {
    bar.stop();
    bars.stop();
  }
  throw failure(`the node did not tell what it has restored: look at table '${into ?? table}'`);
}

function printPoint(
  { output, into, dryRun }: ArchiveRestoreFlags,
  from: string,
  { revision, timeMs, fromShardId, keyCount, leftOutRevision, leftOutTimeMs }: maintenance.RestoredPoint,
): void {
  const table = into ?? from;
  const time = timeMs === 0n ? undefined : new Date(Number(timeMs)).toISOString();
  const leftOut =
    leftOutRevision === 0n
      ? undefined
      : { revision: leftOutRevision, time: new Date(Number(leftOutTimeMs)).toISOString() };
  const json = {
    table,
    from,
    revision,
    ...(time !== undefined && { time }),
    shard: fromShardId,
    ...(dryRun ? { dryRun: true } : { keys: keyCount }),
    ...(leftOut !== undefined && { leftOut }),
  };
  const row = [
    table,
    dryRun ? 'not restored' : counted(keyCount, 'key'),
    `as of revision ${revision}`,
    time ?? 'before its first write',
    `shard ${fromShardId}`,
    ...(leftOut === undefined
      ? []
      : [`without revision ${leftOut.revision}, of ${leftOut.time}, and what followed`]),
  ];
  const head = ['TABLE', 'KEYS', 'REVISION', 'TIME', 'FROM', ...(leftOut === undefined ? [] : ['LEFT OUT'])];
  printRows(output, json, head, [row]);
}
