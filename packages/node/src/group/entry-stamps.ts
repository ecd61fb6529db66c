import { type Entry, EntryType } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { envelopeTimeMs, type Table } from '@coxswain/table';
import type { GroupLog } from '@coxswain/wal';

/** Gives the times with which a leader stamps entries. They never go back within a group (A7). */
export class EntryStamps {
  readonly #clock: Clock;
  #newestMs: number;

  /** The wall time of `clock` is as much of the system's as this node believes. */
  constructor(clock: Clock, log: GroupLog, table: Table | undefined) {
    this.#clock = clock;
    this.#newestMs = newestOf(log, table);
  }

  /**
   * Gives the time for entries that are appended now, in milliseconds since 1970. It is never earlier than the last
   * one, whatever the clock does.
   */
  next(): number {
    this.#newestMs = Math.max(this.#newestMs, this.#clock.nowMs());
    return this.#newestMs;
  }

  /** Notes the stamps of entries that another leader has appended. */
  saw(entries: readonly Entry[]): void {
    this.#newestMs = Math.max(this.#newestMs, newestIn(entries) ?? 0);
  }

  /** Notes the stamps of a table that was put in place, and of the log beside it. */
  restart(log: GroupLog, table: Table | undefined): void {
    this.#newestMs = Math.max(this.#newestMs, newestOf(log, table));
  }

  /** Notes the stamps of a table that arrived as a snapshot. */
  sawTable(table: Table): void {
    this.#newestMs = Math.max(this.#newestMs, table.lastTimeMs);
  }
}

/** Gives the newest stamp in a log and its table; 0 when there is none. */
function newestOf(log: GroupLog, table: Table | undefined): number {
  const applied = table?.appliedIndex ?? 0;
  for (let index = log.lastIndex(); index > applied && index >= log.firstIndex(); index--) {
    const timeMs = newestIn(log.entries(index, index + 1, 1));
    if (timeMs !== undefined) return timeMs;
  }
  return table?.lastTimeMs ?? 0;
}

/** Gives the stamp of the last entry that has one; the empty entry of a new leader has none. */
function newestIn(entries: readonly Entry[]): number | undefined {
  for (let i = entries.length - 1; i >= 0; i--) {
    const { type, data } = entries[i]!;
    // A stamp of 0 means none: the entry came over wolf.raft from a member that knows no stamps.
    const timeMs = type === EntryType.Empty ? 0 : envelopeTimeMs(data);
    if (timeMs > 0) return timeMs;
  }
  return undefined;
}
