import { type Entry, EntryType } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { envelopeTimeMs, type Table } from '@coxswain/table';
import type { GroupLog } from '@coxswain/wal';

/** The times with which a leader stamps entries: they never go back within a group (A7). */
export class EntryStamps {
  readonly #clock: Clock;
  #newestMs: number;

  /** `clock`: its wall time is what this node believes of its clock. */
  constructor(clock: Clock, log: GroupLog, table: Table | undefined) {
    this.#clock = clock;
    this.#newestMs = newestOf(log, table);
  }

  /** Gives the time of entries that are appended now, milliseconds since 1970: never before the last one, whatever the clock does. */
  next(): number {
    this.#newestMs = Math.max(this.#newestMs, this.#clock.nowMs());
    return this.#newestMs;
  }

  /** Takes note of entries that another leader has stamped. */
  saw(entries: readonly Entry[]): void {
    this.#newestMs = Math.max(this.#newestMs, newestIn(entries) ?? 0);
  }

  /** Takes note of a table that was put in place, and of the log beside it. */
  restart(log: GroupLog, table: Table | undefined): void {
    this.#newestMs = Math.max(this.#newestMs, newestOf(log, table));
  }

  /** Takes note of a table that came as a snapshot. */
  sawTable(table: Table): void {
    this.#newestMs = Math.max(this.#newestMs, table.lastTimeMs);
  }
}

/** The newest time stamp in a log and its table. */
function newestOf(log: GroupLog, table: Table | undefined): number {
  const applied = table?.appliedIndex ?? 0;
  for (let index = log.lastIndex(); index > applied && index >= log.firstIndex(); index--) {
    const timeMs = newestIn(log.entries(index, index + 1, 1));
    if (timeMs !== undefined) return timeMs;
  }
  return table?.lastTimeMs ?? 0;
}

/** The stamp of the last entry that has one: a new leader's empty one has none. */
function newestIn(entries: readonly Entry[]): number | undefined {
  for (let i = entries.length - 1; i >= 0; i--) {
    const { type, data } = entries[i]!;
    // 0: nobody stamped it. It came over wolf.raft from a member that knows no stamps.
    const timeMs = type === EntryType.Empty ? 0 : envelopeTimeMs(data);
    if (timeMs > 0) return timeMs;
  }
  return undefined;
}
