import type { Call, LogEntry, TableLog } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import {
  encodeCommands,
  encodeError,
  encodeTerminal,
  type MarshalledCommand,
  MESSAGE_OVERHEAD_BYTES,
  sizeInMessage,
} from './replicate-message.js';
import { toStockCommand } from './stock-command.js';

/** How many bytes are read from the log at a time: a fraction of a millisecond of the event loop. */
const READ_BYTES_MAX = 1024 * 1024;
/** A stream ends so long before its deadline, so that it ends well and not as a late one. */
const DEADLINE_MARGIN_MS = 100;
/**
 * A long poll that has something to send gathers the following entries, for so long or up to so many: each answer, with
 * the next request and the entry that the follower makes of it, costs more than the commands that it holds.
 */
const GATHER_MS = 2;
const GATHER_ENTRIES_MAX = 256;
/** ReplicateRequest.capabilities: compares on revisions and versions are understood. */
export const UNDERSTANDS_REVISION_COMPARES = 1n;
/**
 * ReplicateRequest.capabilities: the stream of a long poll may go on after a terminal message, with entries that came
 * meanwhile.
 */
export const TAKES_MORE_ANSWERS = 2n;
/**
 * How long a long poll goes on with such a follower: another request, with its linearizable read, costs both sides more
 * than a batch of commands, and a write that comes in between waits for it. It is not longer because each request
 * reports how far the follower is.
 */
const GOING_ON_MS = 250;
/** A stream ends when nothing came for so long, for the same reason. */
const PAUSE_MS = 20;

const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;

/** The parts of a call that a stream needs. */
export interface StreamCall extends Call {
  /** Aborted when nobody waits for the rest. */
  readonly signal: AbortSignal;
}

/** Thrown within this file where a follower must take a snapshot to go on. */
class SnapshotNeededError extends Error {}

export interface LogStreamOptions {
  readonly clock: Clock;
  readonly messageBytesMax: number;
}

/**
 * Answers one Log.Replicate: sends the committed and applied entries (R2, R6) from an index on, once; to a long poll of
 * a follower that takes more, it also sends those that are applied soon after.
 */
export class LogStream {
  readonly #log: TableLog;
  readonly #options: LogStreamOptions;

  constructor(log: TableLog, options: LogStreamOptions) {
    this.#log = log;
    this.#options = options;
  }

  async *messages(request: replication.ReplicateRequest, call: StreamCall): AsyncGenerator<Buffer> {
    const log = this.#log;
    const from = Number(request.leaderIndex);
    // T1: the follower has read another shard of that name, whose indices mean something else.
    if (request.shardId !== 0n && Number(request.shardId) !== log.shardId) {
      yield encodeError(USE_SNAPSHOT, log.appliedIndex, this.#timeMs);
      return;
    }
    if (from > log.appliedIndex + 1) {
      yield encodeError(LEADER_BEHIND, log.appliedIndex, this.#timeMs);
      return;
    }
    if (from > log.appliedIndex && request.waitMs > 0) await this.#waitFrom(from, request.waitMs, call);
    const { clock } = this.#options;
    const goesOn = request.waitMs > 0 && (request.capabilities & TAKES_MORE_ANSWERS) !== 0n;
    const endMs = clock.monotonicMs() + (goesOn ? GOING_ON_MS : 0);
    for (let next = from; ; ) {
      const { appliedIndex } = log;
      const timeMs = this.#timeMs;
      try {
        next = yield* this.#commands(request, next, appliedIndex, call);
      } catch (error) {
        if (!(error instanceof SnapshotNeededError)) throw error;
        yield encodeError(USE_SNAPSHOT, log.appliedIndex, this.#timeMs);
        return;
      }
      yield encodeTerminal(appliedIndex, timeMs);
      if (next <= appliedIndex || clock.monotonicMs() >= endMs) return;
      if (log.appliedIndex < next) await this.#waitFrom(next, PAUSE_MS, call);
      if (log.appliedIndex < next || call.signal.aborted) return;
    }
  }

  /** Returns the time of the last applied entry; 0 where the table is not at that index at this moment. */
  get #timeMs(): number {
    const { appliedIndex, table } = this.#log;
    return table.revision === appliedIndex ? table.lastTimeMs : 0;
  }

  async #waitFrom(from: number, waitMs: number, call: StreamCall): Promise<void> {
    await this.#wait(from, waitMs, call);
    if (this.#log.appliedIndex >= from) await this.#wait(from + GATHER_ENTRIES_MAX - 1, GATHER_MS, call);
  }

  /** Waits until an entry is applied, and never past the call's deadline. */
  #wait(index: number, waitMs: number, call: StreamCall): Promise<void> {
    const leftMs = call.deadlineMs - this.#options.clock.monotonicMs() - DEADLINE_MARGIN_MS;
    return this.#log.appliedAbove(index - 1, Math.min(waitMs, leftMs), call.signal);
  }

  /** Yields messages of commands. Returns the index after the last one that was sent. */
  async *#commands(
    request: replication.ReplicateRequest,
    from: number,
    appliedIndex: number,
    call: StreamCall,
  ): AsyncGenerator<Buffer, number> {
    const { clock, messageBytesMax } = this.#options;
    let batch: MarshalledCommand[] = [];
    let batchBytes = MESSAGE_OVERHEAD_BYTES;
    let next = from;
    while (next <= appliedIndex) {
      if (call.signal.aborted || clock.monotonicMs() >= call.deadlineMs - DEADLINE_MARGIN_MS) break;
      for (const entry of this.#read(next, appliedIndex)) {
        const command = await this.#toCommand(request, entry);
        const size = sizeInMessage(command);
        if (batch.length > 0 && batchBytes + size > messageBytesMax) {
          yield encodeCommands(batch, appliedIndex);
          batch = [];
          batchBytes = MESSAGE_OVERHEAD_BYTES;
        }
        batch.push(command);
        batchBytes += size;
        next = entry.index + 1;
      }
      // All other work that waits for the event loop comes first.
      await new Promise<void>((resolve) => clock.defer(resolve));
    }
    if (batch.length > 0) yield encodeCommands(batch, appliedIndex);
    return next;
  }

  /** Entries applied before a seal stay true after it, but the log may be gone, or be compacted meanwhile. */
  #read(from: number, appliedIndex: number): LogEntry[] {
    const log = this.#log;
    if (!log.isServing || from < log.firstIndex) throw new SnapshotNeededError();
    return log.entries(from, READ_BYTES_MAX).filter(({ index }) => index <= appliedIndex);
  }

  async #toCommand(request: replication.ReplicateRequest, entry: LogEntry): Promise<MarshalledCommand> {
    const { index: leaderIndex, timeMs, kind } = entry;
    switch (kind) {
      case CommandKind.Command:
        return { leaderIndex, timeMs, command: await this.#forAsker(request, entry) };
      case CommandKind.Load:
      case CommandKind.Loaded:
        // The records of these entries have revisions of other moments, which only a snapshot can bring.
        throw new SnapshotNeededError();
      default: {
        const dummy = mvcc.Command.fromPartial({
          table: request.table,
          type: mvcc.Command_CommandType.DUMMY,
        });
        return { leaderIndex, timeMs, command: Buffer.from(mvcc.Command.encode(dummy).finish()) };
      }
    }
  }

  /**
   * Prepares entries for the follower that asks: stock followers get commands that they can run again with the result
   * that they had here (R3).
   */
  async #forAsker(request: replication.ReplicateRequest, { index, command }: LogEntry): Promise<Buffer> {
    if ((request.capabilities & UNDERSTANDS_REVISION_COMPARES) !== 0n) return command;
    const stock = await toStockCommand(command, index, this.#log.table);
    if (stock === undefined) throw new SnapshotNeededError();
    return stock;
  }
}
