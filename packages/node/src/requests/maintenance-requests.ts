import type { Call } from '../api/call.js';
import type { MaintenanceControl } from '../api/maintenance-control.js';
import type { ShardLoad } from '../api/shard-load.js';
import type { ArchiveBacklog } from '../group/archive-backlog.js';
import type { LogCompaction } from '../group/log-compaction.js';
import type { ClusterClone } from '../meta/cluster-clone.js';
import type { Meta } from '../meta/meta.js';
import type { WriteGate } from './write-gate.js';

/** Serves the requests of backups, restores, clones and the archive to a node. */
export class MaintenanceRequests implements MaintenanceControl {
  readonly #meta: Meta;
  readonly #gate: WriteGate;
  readonly #logCompaction: LogCompaction;
  readonly #backlog: ArchiveBacklog | undefined;

  constructor(
    meta: Meta,
    gate: WriteGate,
    logCompaction: LogCompaction,
    backlog: ArchiveBacklog | undefined,
  ) {
    this.#meta = meta;
    this.#gate = gate;
    this.#logCompaction = logCompaction;
    this.#backlog = backlog;
  }

  async beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad> {
    this.#gate.checkWrite();
    return await this.#meta.takeovers.beginRestore(name, call, cloneId);
  }

  get clone(): ClusterClone {
    return this.#meta.clone;
  }

  archiveBacklog(): { sizeBytes: number; refusesWrites: boolean } {
    return { sizeBytes: this.#backlog?.sizeBytes ?? 0, refusesWrites: this.#backlog?.refusesWrites ?? false };
  }

  archivedIndex(shardId: number): number {
    return this.#meta.archived.of(shardId);
  }

  async reportArchived(indices: ReadonlyMap<number, number>, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.archived.report(indices, call);
  }

  async compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void> {
    await this.#logCompaction.compactNow(this.#meta.directory.replicas(), followedUpTo);
  }
}
