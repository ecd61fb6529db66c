import type { Call, LogEntry, TableLog } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import { type Clock, formatTraceparent, type Tracer } from '@coxswain/runtime';
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

/** Bytes that are read from the log at a time; reading them takes a fraction of a millisecond of the event loop. */
const READ_BYTES_MAX = 1024 * 1024;
/** Milliseconds by which a stream ends before its deadline, so that it ends without an error. */
const DEADLINE_MARGIN_MS = 100;
/**
 * When something comes for a long poll, it waits this long, or for this many entries, to gather more: each answer, with
 * the next request and the follower's entry, costs more than the commands in it.
 */
const GATHER_MS = 2;
const GATHER_ENTRIES_MAX = 256;
/** Bit of ReplicateRequest.capabilities: the follower understands compares on revisions and versions. */
export const UNDERSTANDS_REVISION_COMPARES = 1n;
/**
 * Bit of ReplicateRequest.capabilities: the stream of a long poll may continue after a last message, with entries that
 * came meanwhile.
 */
export const TAKES_MORE_ANSWERS = 2n;
/**
 * Milliseconds for which a long poll continues with such a follower. Another request, with its linearizable read, costs
 * both sides more than a batch of commands, and a write that comes in between waits for it. It is not longer, since
 * each request reports how far the follower is.
 */
const GOING_ON_MS = 250;
/** Milliseconds without a new entry after which the stream ends, since each request reports how far the follower is. */
const PAUSE_MS = 20;

const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;

/** A streaming call, as its handler sees it. */
export interface StreamCall extends Call {
  /** Aborted when nobody waits for the rest. */
  readonly signal: AbortSignal;
}

/** Thrown within this file when the follower can continue only from a snapshot. */
class SnapshotNeededError extends Error {}

export interface LogStreamOptions {
  readonly clock: Clock;
  readonly messageBytesMax: number;
  /** Knows the spans that wrote entries; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
}

/**
 * Answers one Log.Replicate: streams the entries from an index on that are committed and applied (R2, R6), once. For a
 * long poll of a follower that takes more answers, it also streams those that are applied soon after.
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
    // T1: the follower has read another shard under that name, whose indices are unrelated.
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

  /** The time of the applied entry, in milliseconds since 1970; 0 when the table is at another index at this moment. */
  get #timeMs(): number {
    const { appliedIndex, table } = this.#log;
    return table.revision === appliedIndex ? table.lastTimeMs : 0;
  }

  async #waitFrom(from: number, waitMs: number, call: StreamCall): Promise<void> {
    await this.#wait(from, waitMs, call);
    if (this.#log.appliedIndex >= from) await this.#wait(from + GATHER_ENTRIES_MAX - 1, GATHER_MS, call);
  }

  /** Waits until an entry is applied, but never past the call's deadline. */
  #wait(index: number, waitMs: number, call: StreamCall): Promise<void> {
    const leftMs = call.deadlineMs - this.#options.clock.monotonicMs() - DEADLINE_MARGIN_MS;
    return this.#log.appliedAbove(index - 1, Math.min(waitMs, leftMs), call.signal);
  }

  /** Streams the commands up to `appliedIndex`, and returns the index after the last one sent. */
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
      // Lets other work on the event loop run between two reads.
      await new Promise<void>((resolve) => clock.defer(resolve));
    }
    if (batch.length > 0) yield encodeCommands(batch, appliedIndex);
    return next;
  }

  /**
   * Reads entries that are applied. Those before a seal stay valid after it, but the log may be gone, or compacted
   * meanwhile.
   */
  #read(from: number, appliedIndex: number): LogEntry[] {
    const log = this.#log;
    if (!log.isServing || from < log.firstIndex) throw new SnapshotNeededError();
    return log.entries(from, READ_BYTES_MAX).filter(({ index }) => index <= appliedIndex);
  }

  async #toCommand(request: replication.ReplicateRequest, entry: LogEntry): Promise<MarshalledCommand> {
    const { index: leaderIndex, timeMs, kind } = entry;
    switch (kind) {
      case CommandKind.Command:
        return {
          leaderIndex,
          timeMs,
          command: await this.#forAsker(request, entry),
          traceparent: this.#traceparent(leaderIndex),
        };
      case CommandKind.Load:
      case CommandKind.Loaded:
        // Their records have revisions of other moments, which only a snapshot can bring.
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

  /** Returns the span that wrote an entry, when this node proposed the entry or led the table then. */
  #traceparent(index: number): string | undefined {
    const context = this.#options.tracer?.writerOf(this.#log.shardId, index);
    return context && formatTraceparent(context);
  }

  /**
   * Returns the command in the form for this follower: a stock one needs a form that has the same effect there as here
   * (R3).
   */
  async #forAsker(request: replication.ReplicateRequest, { index, command }: LogEntry): Promise<Buffer> {
    if ((request.capabilities & UNDERSTANDS_REVISION_COMPARES) !== 0n) return command;
    const stock = await toStockCommand(command, index, this.#log.table);
    if (stock === undefined) throw new SnapshotNeededError();
    return stock;
  }
}
