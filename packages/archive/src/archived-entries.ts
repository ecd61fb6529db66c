import type { LogEntry, TableLog } from '@coxswain/node';
import { toStockCommand } from '@coxswain/replication';
import { CommandKind } from '@coxswain/table';
import { END_OF_SHARD, type LogObjectWriter } from './log-object.js';

/** Bytes of the log that are read and compressed at a time: about a millisecond of the event loop. */
export const READ_BYTES_MAX = 256 * 1024;
const NOTHING = Buffer.alloc(0);

/** The limits for filling a log object. */
export interface FillOptions {
  /** Compressed bytes from which on the object is complete: it ends with the entry that makes it as large. */
  readonly objectSizeBytes: number;
  readonly signal: AbortSignal;
  /** Resolves when other work on the event loop has had its turn. */
  readonly giveWay: () => Promise<void>;
}

/**
 * Adds applied entries of a log to an object (R6), from the entry `first` on, until the object is large enough, no more
 * entries are applied, or the signal aborts. Resolves with the index of the next entry when that entry cannot be
 * archived, and otherwise with undefined.
 */
export async function addEntries(
  log: TableLog,
  first: number,
  object: LogObjectWriter,
  { objectSizeBytes, signal, giveWay }: FillOptions,
): Promise<number | undefined> {
  let next = first;
  while (next >= log.firstIndex && next <= log.appliedIndex && !signal.aborted) {
    for (const entry of log.entries(next, READ_BYTES_MAX)) {
      const command = await toArchived(entry, log);
      if (command === undefined) return entry.index;
      object.add({ index: entry.index, term: entry.term, timeMs: entry.timeMs, command });
      next = entry.index + 1;
      if (object.sizeBytes >= objectSizeBytes) return undefined;
    }
    await giveWay();
  }
  return undefined;
}

/**
 * Whether an entry changes nothing that a restore would bring back. A seal changes nothing either, but is not internal:
 * it says that no entry comes after it (T2).
 */
export function isInternal(kind: CommandKind): boolean {
  return kind === CommandKind.None || kind === CommandKind.Compact;
}

/**
 * Returns the command of an entry as it is archived, empty for an internal entry. Resolves with undefined for an entry
 * that cannot be run again, because its outcome was not kept or it holds the records of a load.
 */
async function toArchived({ kind, index, command }: LogEntry, log: TableLog): Promise<Buffer | undefined> {
  if (isInternal(kind)) return NOTHING;
  if (kind === CommandKind.Seal) return END_OF_SHARD;
  return kind === CommandKind.Command ? await toStockCommand(command, index, log.table) : undefined;
}
