import type { TidbBinlog } from '@coxswain/agents';
import type { FollowerRow } from '@coxswain/console';
import type { NodeParts } from '@coxswain/node';

/** What members have heard of follower clusters is asked for so often, while somebody looks. */
const ASK_INTERVAL_MS = 2_000;
const SECOND_MS = 1_000;
/** Pairs of follower and table that are shown at most, so that no caller's name makes rows without end. */
const ROWS_MAX = 5_000;

/** How far follower clusters are, by what all members of this cluster have heard of them. */
export class FollowerWatch {
  readonly #node: Pick<NodeParts, 'reports'>;
  readonly #binlog: Pick<TidbBinlog, 'isPump' | 'followed'>;
  #rows: readonly FollowerRow[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;
  #isAsking = false;

  constructor(node: Pick<NodeParts, 'reports'>, binlog: Pick<TidbBinlog, 'isPump' | 'followed'>) {
    this.#node = node;
    this.#binlog = binlog;
  }

  /** Every table of every follower cluster, sorted by cluster and table, as of the last answers. */
  get rows(): readonly FollowerRow[] {
    return this.#rows;
  }

  /** Entries that each follower cluster lacks of the table of which it lacks most. */
  lag(): Readonly<Record<string, number>> | undefined {
    if (!this.#binlog.isPump) return undefined;
    const most: Record<string, number> = {};
    for (const { follower, clusterId, lagEntries } of this.#rows) {
      const name = clusterId || follower;
      most[name] = Math.max(most[name] ?? 0, lagEntries);
    }
    return most;
  }

  /** Asks the members, unless that was done a moment ago. */
  refresh(nowMs: number): void {
    if (this.#isAsking || nowMs - this.#askedMs < ASK_INTERVAL_MS || !this.#binlog.isPump) return;
    this.#askedMs = nowMs;
    this.#isAsking = true;
    void this.#ask().finally(() => {
      this.#isAsking = false;
    });
  }

  async #ask(): Promise<void> {
    const followed = await this.#binlog.followed();
    if (followed.length === 0) {
      this.#rows = [];
      return;
    }
    const applied = new Map(
      this.#node.reports.status().tables.map(({ name, appliedIndex }) => [name, appliedIndex]),
    );
    this.#rows = followed
      .slice(0, ROWS_MAX)
      .map(({ table, follower, clusterId, appliedIndex, lastSeenMsAgo }) => ({
        table,
        follower,
        clusterId,
        appliedIndex,
        lagEntries: Math.max(0, (applied.get(table) ?? appliedIndex) - appliedIndex),
        lastSeenMsAgo: Math.floor(lastSeenMsAgo / SECOND_MS) * SECOND_MS,
      }))
      .sort((a, b) => compareText(a.clusterId, b.clusterId) || compareText(a.table, b.table));
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
