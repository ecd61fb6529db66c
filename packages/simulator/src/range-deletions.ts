import type { Replica } from '@coxswain/node';
import type { Table } from '@coxswain/table';

/** Counts how often a run came across range deletions whose keys are not removed yet (A4). */
export interface RangeDeletionCounts {
  /** Sweeps that were seen under way, one on each replica. */
  readonly swept: number;
  /** Tables of a process that died while a sweep was under way. */
  readonly interrupted: number;
  /** Tables that were opened with deletions under way: after a crash, or from a Raft snapshot. */
  readonly resumed: number;
  /** Those of the resumed tables that came with a Raft snapshot into a running process. */
  readonly installed: number;
  /** Tables that were opened in the middle of an entry. */
  readonly halfApplied: number;
  /** Reads and backups of tables with deletions under way, by the way in which they read. */
  readonly read: Readonly<Record<'latest' | 'past' | 'backup', number>>;
}

/** Counts the situations that a run comes across, so that nobody believes that a checker saw what never happened. */
export class RangeDeletions {
  readonly #seen = new Set<string>();
  /** The table of each replica at the last observation. */
  readonly #tables = new WeakMap<Replica, Table>();
  /** The groups that each node was sweeping at the last observation. */
  readonly #sweeping = new Map<string, ReadonlySet<number>>();
  readonly #read = { latest: 0, past: 0, backup: 0 };
  #interrupted = 0;
  #resumed = 0;
  #installed = 0;
  #halfApplied = 0;

  get counts(): RangeDeletionCounts {
    return {
      swept: this.#seen.size,
      interrupted: this.#interrupted,
      resumed: this.#resumed,
      installed: this.#installed,
      halfApplied: this.#halfApplied,
      read: { ...this.#read },
    };
  }

  /** Counts after an event of a node, whose name is unique in the run. */
  observe(name: string, groups: Iterable<Replica>): void {
    let sweeping: Set<number> | undefined;
    for (const replica of groups) {
      if (!replica.hasTable) continue;
      const { table, group } = replica;
      const { isSweeping } = table;
      const before = this.#tables.get(replica);
      if (before !== table) {
        this.#tables.set(replica, table);
        if (table.isHalfApplied) this.#halfApplied++;
        if (isSweeping) this.#resumed++;
        if (isSweeping && before !== undefined) this.#installed++;
      }
      if (!isSweeping) continue;
      sweeping ??= new Set();
      sweeping.add(group);
      for (const { revision, lane } of table.state.deletions)
        this.#seen.add(`${name} ${group} ${revision} ${lane}`);
    }
    if (sweeping !== undefined) this.#sweeping.set(name, sweeping);
    else if (this.#sweeping.size > 0) this.#sweeping.delete(name);
  }

  nodeDied(name: string): void {
    this.#interrupted += this.#sweeping.get(name)?.size ?? 0;
    this.#sweeping.delete(name);
  }

  /** Counts a read or backup of a table that is about to begin. */
  reads(table: Table, how: keyof RangeDeletionCounts['read']): void {
    if (table.isSweeping) this.#read[how]++;
  }
}
