import type { Log } from '@coxswain/runtime';
import type { Call } from '../api/call.js';
import type { ClusterRole } from '../api/cluster-api.js';
import { errors } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import { DataDirectoryError } from '../cluster/identity.js';
import { nodeEvents } from '../events.js';
import type { MetaGroup } from './meta-group.js';
import type { ReplicationHold } from './registry.js';

/** The parts of a node that ClusterSettings uses. */
export interface ClusterSettingsOptions {
  readonly options: NodeOptions;
  readonly log: Log;
  /** Called when this data must not be used in the role in which the node was started. */
  readonly onRefused: (error: DataDirectoryError) => void;
}

/**
 * Keeps the cluster's relation to other clusters (R4, R5): its role, its leader cluster, and the reasons for which
 * replication is held up.
 */
export class ClusterSettings {
  readonly #meta: MetaGroup;
  readonly #options: NodeOptions;
  readonly #log: Log;
  readonly #onRefused: (error: DataDirectoryError) => void;
  #hasCheckedStart = false;

  constructor(meta: MetaGroup, { options, log, onRefused }: ClusterSettingsOptions) {
    this.#meta = meta;
    this.#options = options;
    this.#log = log;
    this.#onRefused = onRefused;
  }

  get role(): ClusterRole | undefined {
    return this.#meta.registry.hasGenesis ? this.#meta.registry.role : undefined;
  }

  get leaderClusterId(): string | undefined {
    return this.#meta.registry.leaderClusterId;
  }

  holdOf(name: string): ReplicationHold {
    return this.#meta.registry.holdOf(name);
  }

  isReplicated(name: string): boolean {
    return this.#meta.registry.table(name)?.isReplicated ?? false;
  }

  /**
   * Throws `promoting` or `notReady` unless the cluster has the role `needed` (R5). A follower cluster takes its tables
   * from its leader cluster, and a leader cluster from nobody; one that is being promoted keeps the tables that it has,
   * and each becomes its own.
   */
  checkRole(needed: ClusterRole): void {
    const { role } = this.#meta.registry;
    if (role === 'promoting') throw errors.promoting();
    if (role !== needed) throw errors.notReady();
  }

  async bindLeaderCluster(id: string, call: Call): Promise<string> {
    const { registry } = this.#meta;
    await this.#meta.change(
      () => registry.leaderClusterId !== undefined || registry.role !== 'follower',
      () => this.#meta.commands.writeCluster({ leaderClusterId: id }),
      call,
    );
    return registry.leaderClusterId ?? id;
  }

  async stopReplication(name: string, reason: string, call: Call): Promise<void> {
    const { registry } = this.#meta;
    await this.#meta.confirmRead(call.deadlineMs);
    for (;;) {
      const table = registry.table(name);
      const { stopped, isResetWanted } = registry.holdOf(name);
      // A reset that was requested meanwhile makes replication go on, whatever was wrong before.
      if (table === undefined || stopped !== undefined || isResetWanted) return;
      const command = this.#meta.commands.writeHolds([table], { stopped: reason, isResetWanted: false });
      if (await this.#meta.propose(command, call.deadlineMs)) return;
    }
  }

  async requestReset(name: string | undefined, call: Call): Promise<void> {
    const { registry } = this.#meta;
    const hold = { stopped: undefined, isResetWanted: true };
    await this.#meta.confirmRead(call.deadlineMs);
    for (;;) {
      const tables = name === undefined ? registry.tables() : [registry.table(name)];
      const known = tables.filter((table) => table !== undefined);
      if (known.length < tables.length) throw errors.tableNotFound();
      const command =
        name === undefined
          ? this.#meta.commands.writeHolds(known, hold, { leaderClusterId: null })
          : this.#meta.commands.writeHolds(known, hold);
      if (await this.#meta.propose(command, call.deadlineMs)) return;
    }
  }

  async beginPromotion(call: Call): Promise<void> {
    const { registry } = this.#meta;
    const isDecided = () => registry.role !== 'follower';
    await this.#meta.change(
      isDecided,
      () => this.#meta.commands.writeCluster({ role: 'promoting', wasPromoted: true }),
      call,
    );
  }

  unpromotedTables(): { name: string; shardId: number }[] {
    return this.#meta.registry.tables().filter(({ isReplicated }) => isReplicated);
  }

  async finishPromotion(call: Call): Promise<void> {
    const { registry } = this.#meta;
    const isDone = () => registry.role !== 'promoting';
    await this.#meta.change(
      isDone,
      () => {
        if (this.unpromotedTables().length > 0) throw errors.notReady();
        return this.#meta.commands.writeCluster({ role: 'leader' });
      },
      call,
    );
  }

  /**
   * Checks, before anything is written over, that the role in the data and the role in which the node was started agree
   * (R5).
   */
  checkStartedAs(): void {
    if (!this.#meta.registry.hasGenesis || this.#hasCheckedStart) return;
    const { role, wasPromoted } = this.#meta.registry;
    const startedAs = this.#options.role;
    this.#hasCheckedStart = true;
    if (startedAs === 'leader' && role !== 'leader') {
      this.#onRefused(
        new DataDirectoryError(
          'the data belongs to a follower cluster: start the node with "coxswain follower", or turn its cluster into a leader cluster with "coxswain promote"',
        ),
      );
    } else if (startedAs === 'follower' && role === 'leader' && !wasPromoted) {
      this.#onRefused(
        new DataDirectoryError(
          'the data belongs to a leader cluster, and a follower cluster would replace it: start the node with "coxswain leader", or give it an empty data directory',
        ),
      );
    } else if (startedAs === 'follower' && role === 'leader') {
      this.#log(nodeEvents.promotedEarlier);
    }
  }
}
