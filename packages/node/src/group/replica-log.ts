import { type Entry, EntryType } from '@coxswain/raft';
import { CommandKind, openEnvelope, type Table } from '@coxswain/table';
import type { LogEntry, TableLog } from '../api/logs-api.js';
import type { Replica } from './replica.js';

/** Shows a replica's log to readers outside of its group: only entries that are applied here (R6). */
export class ReplicaLog implements TableLog {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  get shardId(): number {
    return this.#replica.group;
  }

  get table(): Table {
    return this.#replica.table;
  }

  get firstIndex(): number {
    // The log holds a load as entries that say nothing to readers outside.
    return Math.max(this.#replica.log.firstIndex(), this.#replica.loadedIndex + 1);
  }

  get baseIndex(): number {
    return this.#replica.baseIndex;
  }

  get loadedIndex(): number {
    return this.#replica.loadedIndex;
  }

  get appliedIndex(): number {
    return this.#replica.hasTable ? this.#replica.table.appliedIndex : 0;
  }

  sizeBytesAbove(index: number): number {
    return this.#replica.log.sizeBytesFrom(index + 1);
  }

  get isServing(): boolean {
    return this.#replica.isServing;
  }

  entries(from: number, maxBytes: number): LogEntry[] {
    const { firstIndex, appliedIndex } = this;
    if (from < firstIndex || from > appliedIndex) {
      throw new RangeError(`entry ${from} is not among ${firstIndex} to ${appliedIndex}`);
    }
    return this.#replica.log.entries(from, appliedIndex + 1, maxBytes).map(toLogEntry);
  }

  hold(): () => void {
    const { holders } = this.#replica;
    const holder = {};
    holders.add(holder);
    return () => holders.delete(holder);
  }

  async appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    const isOver = () => this.appliedIndex > index || !this.isServing;
    await this.#replica.changes.until(isOver, waitMs, signal);
  }
}

const NOTHING = Buffer.alloc(0);

function toLogEntry({ index, term, type, data }: Entry): LogEntry {
  if (type === EntryType.Empty) return { index, term, timeMs: 0, kind: CommandKind.None, command: NOTHING };
  const { kind, timeMs, command } = openEnvelope(data, index);
  return { index, term, timeMs, kind, command };
}
