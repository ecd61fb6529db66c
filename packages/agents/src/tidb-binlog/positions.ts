import type { LogEntry, TableLog } from '@coxswain/node';
import { type ReplicatedCommand, readReplicatedEntry } from '@coxswain/replication';
import { CommandKind } from '@coxswain/table';
import { indicesOf, isOfIndex, type Position, timeMsOf, tsoOf } from './tso.js';

/** Entries that are searched, one after the other, for one that has a time: those of elections have none. */
const LOOKED_AT_MAX = 1_000;
/** Bytes of a log that are read between two turns of the event loop. */
const READ_BYTES_MAX = 256 * 1024;

/** A command of a table's log, with its position in the leader cluster's log. */
export interface FoundCommand {
  readonly position: Position;
  /** The position of the command before it. */
  readonly before: Position;
  readonly term: number;
  readonly kind: CommandKind;
  /** The marshalled mvcc.v1.Command when `kind` is Command. */
  readonly command: Buffer;
}

/** Returns the position up to which this node has applied a table of its leader cluster. */
export function positionOf({ table }: TableLog): Position {
  return { index: table.revision, timeMs: table.lastTimeMs };
}

/**
 * Returns the position of a follower cluster's table, by the leader cluster's index and time. The time is undefined
 * when the log here does not have it: the table came by a snapshot or from an earlier release, or the leader cluster
 * sends no times.
 */
export function replicaPositionOf(log: TableLog): {
  readonly index: number;
  readonly timeMs: number | undefined;
} {
  const index = log.table.leaderIndex ?? 0;
  if (index === 0) return { index, timeMs: 0 };
  let isFound = false;
  for (const entry of backwards(log, log.appliedIndex)) {
    if (entry.kind === CommandKind.Load || entry.kind === CommandKind.Loaded) break;
    const commands = commandsOf(entry).filter(({ leaderIndex }) => leaderIndex <= index);
    // An entry that came too late for its cursor had no effect (R1); its commands came again in a later one.
    isFound ||= commands.at(-1)?.leaderIndex === index;
    const stamped = isFound ? commands.findLast(({ timeMs }) => timeMs > 0) : undefined;
    if (stamped !== undefined) return { index, timeMs: stamped.timeMs };
  }
  return { index, timeMs: undefined };
}

/**
 * Returns when an entry of a leader cluster's log was appended, in milliseconds since 1970; for an entry without a
 * time, when the last one before it that has a time was. Returns undefined when that entry is gone.
 */
export function timeAt(log: TableLog, index: number): number | undefined {
  if (index >= log.table.revision) return log.table.lastTimeMs;
  for (const { timeMs } of backwards(log, index)) if (timeMs > 0) return timeMs;
  return undefined;
}

/**
 * Finds the entry of a leader cluster's log that a TSO stands for; undefined when there is none. A TSO of 0, from
 * before the first write, stands for no entry.
 */
export function findEntry(log: TableLog, ts: bigint): FoundCommand | undefined {
  if (timeMsOf(ts) === 0) return undefined;
  const last = Math.min(log.appliedIndex, log.table.revision);
  for (const index of indicesOf(ts, log.firstIndex, last)) {
    if (timeAt(log, index) !== timeMsOf(ts)) continue;
    const [entry] = log.entries(index, 1);
    if (entry === undefined) continue;
    return {
      position: { index, timeMs: timeMsOf(ts) },
      before: { index: index - 1, timeMs: timeAt(log, index - 1) ?? timeMsOf(ts) },
      term: entry.term,
      kind: entry.kind,
      command: entry.command,
    };
  }
  return undefined;
}

/**
 * Finds the command in a follower cluster's log that a TSO stands for; undefined when there is none. That log wraps the
 * leader cluster's commands in entries of its own, so it is read from its beginning; `pause` lets other work run in
 * between.
 */
export async function findReplicated(
  log: TableLog,
  ts: bigint,
  pause: () => Promise<void>,
): Promise<FoundCommand | undefined> {
  if (timeMsOf(ts) === 0) return undefined;
  let before: Position = { index: 0, timeMs: 0 };
  for (let from = log.firstIndex; from <= log.appliedIndex && log.isServing; ) {
    const entries = log.entries(Math.max(from, log.firstIndex), READ_BYTES_MAX);
    for (const entry of entries) {
      for (const { leaderIndex: index, timeMs, command } of commandsOf(entry)) {
        const position = { index, timeMs: timeMs || before.timeMs };
        if (isOfIndex(ts, index) && tsoOf(position) === ts && index <= (log.table.leaderIndex ?? 0))
          return { position, before, term: entry.term, kind: entry.kind, command };
        before = position;
      }
    }
    if (entries.length === 0) return undefined;
    from = entries.at(-1)!.index + 1;
    await pause();
  }
  return undefined;
}

function commandsOf({ kind, command }: LogEntry): ReplicatedCommand[] {
  return kind === CommandKind.Command ? readReplicatedEntry(command) : [];
}

/** Yields the entry at an index and those before it, as far as the log has them, and `LOOKED_AT_MAX` at most. */
function* backwards(log: TableLog, from: number): Generator<LogEntry> {
  const last = Math.max(log.firstIndex, from - LOOKED_AT_MAX + 1);
  for (let index = Math.min(from, log.appliedIndex); index >= last; index--) {
    const [entry] = log.entries(index, 1);
    if (entry !== undefined) yield entry;
  }
}
