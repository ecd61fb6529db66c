import type { LogEntry, TableLog } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { toStockCommand } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { CommandKind } from '@coxswain/table';

/** Bytes that are read from the log at a time; reading them takes a fraction of a millisecond of the event loop. */
const READ_BYTES_MAX = 1024 * 1024;
/** Bytes of uncompressed records that are gathered before they are compressed together. */
const SLAB_BYTES = 256 * 1024;
const LENGTH_BYTES = 8;

/** The log does not hold the entries that were asked for. A full backup holds their effects. */
export class LogGoneError extends Error {
  override readonly name = 'LogGoneError';
}

/** The entries of a log after index `after` up to index `upTo`. */
export interface LogSpan {
  readonly after: number;
  readonly upTo: number;
}

/**
 * Streams what a table's clients wrote in a span of its log, to be replayed in order: framed snappy of records, each a
 * little-endian u64 length and a marshalled mvcc.v1.Command in the form that has the same effect anywhere (R3). The
 * first record is a DUMMY, so that the stream can be appended to a backup. Every call streams the same bytes. Throws
 * LogGoneError when the log no longer has an entry, or no longer the outcome of a transaction.
 */
export async function* logRecords(
  log: TableLog,
  { after, upTo }: LogSpan,
  clock: Clock,
): AsyncGenerator<Buffer> {
  yield STREAM_IDENTIFIER;
  let slab: Buffer[] = [];
  let slabBytes = 0;
  const add = (command: Buffer): void => {
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeBigUInt64LE(BigInt(command.length));
    slab.push(length, command);
    slabBytes += LENGTH_BYTES + command.length;
  };
  add(DUMMY);
  for (let next = after + 1; next <= upTo; ) {
    if (!reaches(log, next - 1) || log.appliedIndex < upTo) {
      throw new LogGoneError('the log was compacted meanwhile');
    }
    for (const entry of log.entries(next, READ_BYTES_MAX)) {
      if (entry.index > upTo) break;
      const command = await commandOf(entry, log);
      if (command !== undefined) add(command);
      next = entry.index + 1;
      if (slabBytes < SLAB_BYTES) continue;
      yield compressToFrames(Buffer.concat(slab));
      slab = [];
      slabBytes = 0;
    }
    // Lets other work on the event loop run between two reads.
    await new Promise<void>((resolve) => clock.defer(resolve));
  }
  yield compressToFrames(Buffer.concat(slab));
}

/** Whether the log holds every entry that changed the table after index `after`. */
export function reaches(log: TableLog, after: number): boolean {
  // A load brings keys with revisions of other moments, in an order that cannot be replayed.
  return log.firstIndex <= after + 1 && log.loadedIndex <= after;
}

async function commandOf(entry: LogEntry, log: TableLog): Promise<Buffer | undefined> {
  if (entry.kind !== CommandKind.Command) return undefined;
  const command = await toStockCommand(entry.command, entry.index, log.table);
  if (command === undefined) throw new LogGoneError('the outcome of a transaction is not recorded any more');
  return command;
}

const DUMMY = Buffer.from(
  mvcc.Command.encode(mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.DUMMY })).finish(),
);
