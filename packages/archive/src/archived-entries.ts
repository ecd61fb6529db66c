import type { LogEntry, TableLog } from '@coxswain/node';
import { toStockCommand } from '@coxswain/replication';
import { CommandKind } from '@coxswain/table';
import { END_OF_SHARD, type LogObjectWriter } from './log-object.js';

/** What is read from the log and compressed at a time: about a millisecond of the event loop. */
export const READ_BYTES_MAX = 256 * 1024;
const NOTHING = Buffer.alloc(0);

/** How a log object is filled. */
export interface FillOptions {
  /** The object ends with the entry that makes it as large, compressed. */
  readonly objectSizeBytes: number;
  readonly signal: AbortSignal;
  /** Resolves when whoever else waits for the event loop has had it. */
  readonly giveWay: () => Promise<void>;
}

/**
 * Adds what is applied of a log to an object, from the entry `first` on (R6). Gives the index of an entry that cannot be
 * archived, where one comes next.
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

/** Changes nothing that a restore would bring back. A seal does not either, but says that nothing comes behind it (T2). */
export function isInternal(kind: CommandKind): boolean {
  return kind === CommandKind.None || kind === CommandKind.Compact;
}

/** Undefined: it cannot be run again, because its outcome was not kept, or it holds what a load brought. */
async function toArchived({ kind, index, command }: LogEntry, log: TableLog): Promise<Buffer | undefined> {
  if (isInternal(kind)) return NOTHING;
  if (kind === CommandKind.Seal) return END_OF_SHARD;
  return kind === CommandKind.Command ? await toStockCommand(command, index, log.table) : undefined;
}
