import type { Clock } from '@coxswain/runtime';
import { CommandKind, type Table } from '@coxswain/table';
import { ApiError } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { Replica } from './replica.js';
import type { Replicas } from './replicas.js';

const HISTORY_CHECK_MS_MAX = 5000;
/** A compaction of history that is not applied within this time is proposed again at the next check. */
const COMPACTION_MS = 5000;

/** The parts of a node that HistoryCompaction uses. */
export interface HistoryCompactionOptions {
  readonly options: NodeOptions;
  readonly clock: Clock;
  readonly replicas: Replicas;
  readonly isDiskFull: () => boolean;
  readonly isStopping: () => boolean;
  /** Runs background work. */
  readonly run: (work: Promise<unknown>) => void;
}

/**
 * Removes the history of tables (A5). A table's leader proposes the removal, by entry times, when there is something to
 * remove.
 */
export class HistoryCompaction {
  readonly #options: HistoryCompactionOptions;
  #checkedMs = 0;

  constructor(options: HistoryCompactionOptions) {
    this.#options = options;
  }

  /** Called at each tick of the node. Looks at the tables a few times in a retention period. */
  tick(nowMs: number): void {
    const { replicas, run } = this.#options;
    const { historyRetentionMs, tickMs } = this.#options.options;
    const intervalMs = Math.min(HISTORY_CHECK_MS_MAX, Math.max(historyRetentionMs / 4, tickMs));
    if (nowMs - this.#checkedMs < intervalMs) return;
    this.#checkedMs = nowMs;
    for (const replica of replicas.values()) {
      if (replica.isSuspended) continue;
      run(replicas.tend(replica, (table) => this.#compact(replica, table)));
    }
  }

  async #compact(replica: Replica, table: Table): Promise<void> {
    const { clock, isDiskFull, isStopping } = this.#options;
    replica.revisionAges.note(table.revision, clock.monotonicMs());
    if (replica.isLeader && !isDiskFull() && table.sealedBy === undefined) {
      const { historyRetentionMs } = this.#options.options;
      const cutoffMs = clock.nowMs() - historyRetentionMs;
      const oldRevision = replica.revisionAges.olderThan(historyRetentionMs, clock.monotonicMs());
      const revision = await table.compactableRevision(cutoffMs, oldRevision);
      if (revision !== undefined && replica.isLeader && !isStopping()) {
        const command = Buffer.alloc(8);
        command.writeBigUInt64LE(BigInt(revision));
        const deadlineMs = clock.monotonicMs() + COMPACTION_MS;
        await replica.propose(CommandKind.Compact, command, { deadlineMs }).catch(ignoreApiError);
      }
    }
    await table.removeHistory();
  }
}

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}
