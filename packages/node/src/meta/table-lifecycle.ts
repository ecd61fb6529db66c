import { NO_NODE } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { QuarantinedTable } from '../api/reports-api.js';
import type { TableInfo } from '../api/tables-api.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { afterEffect } from './after-effect.js';
import type { ClusterClone } from './cluster-clone.js';
import type { ClusterSettings } from './cluster-settings.js';
import type { MemberRecords } from './member-records.js';
import type { MetaGroup, Propose } from './meta-group.js';
import { OWN_PROPOSAL_MS } from './own-proposals.js';
import type { RegisteredTable } from './registry.js';
import { sealedBy } from './seal.js';
import type { TableDirectory } from './table-directory.js';
import { checkTableName } from './table-errors.js';

/** The parts of a node that TableLifecycle uses. */
export interface TableLifecycleOptions {
  readonly options: NodeOptions;
  readonly clock: Clock;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly directory: TableDirectory;
  readonly settings: ClusterSettings;
  readonly members: MemberRecords;
  readonly clone: ClusterClone;
}

/** Makes tables, deletes them, and keeps tables in quarantine that a leader cluster no longer has (R4). */
export class TableLifecycle {
  readonly #meta: MetaGroup;
  readonly #options: NodeOptions;
  readonly #clock: Clock;
  readonly #replicas: Replicas;
  readonly #propose: Propose;
  readonly #directory: TableDirectory;
  readonly #settings: ClusterSettings;
  readonly #members: MemberRecords;
  readonly #clone: ClusterClone;

  constructor(meta: MetaGroup, options: TableLifecycleOptions) {
    this.#meta = meta;
    this.#options = options.options;
    this.#clock = options.clock;
    this.#replicas = options.replicas;
    this.#propose = options.propose;
    this.#directory = options.directory;
    this.#settings = options.settings;
    this.#members = options.members;
    this.#clone = options.clone;
  }

  async create(
    name: string,
    { config, isReplicated }: { config?: Record<string, unknown> | undefined; isReplicated: boolean },
    call: Call,
  ): Promise<TableInfo> {
    checkTableName(name);
    if (name === this.#options.wolf?.table) throw errors.tableExists();
    for (;;) {
      await this.#meta.confirmRead(call.deadlineMs);
      // The genesis takes the first shard ids for the tables that exist from the start.
      if (!this.#meta.registry.hasGenesis) throw errors.notReady();
      this.#settings.checkRole(isReplicated ? 'follower' : 'leader');
      this.#clone.checkWrite();
      if (this.#meta.registry.table(name) !== undefined) throw errors.tableExists();
      const { tablesMax } = this.#options;
      if (this.#meta.registry.tableCount >= tablesMax) throw errors.tooManyTables(tablesMax);
      await this.#members.checkDescriptors();
      // Another creation may have taken the name or the shard id meanwhile; then this one had no effect.
      if (
        await this.#meta.propose(this.#meta.commands.createTable(name, config, isReplicated), call.deadlineMs)
      )
        break;
    }
    const table = this.#meta.registry.table(name);
    const replica = this.#directory.get(name);
    if (table === undefined || replica === undefined) throw errors.tableNotFound();
    if (replica.raft.leader === NO_NODE) replica.campaign(0);
    // Only a quorum that hosts the group and has a leader confirms a read (T5).
    await afterEffect(replica.confirmRead(call.deadlineMs));
    return { name, shardId: table.shardId, config: table.config };
  }

  async delete(name: string, call: Call): Promise<void> {
    if (name === '') throw errors.nameNotSet();
    this.#directory.checkRegistered(name);
    await this.#meta.confirmRead(call.deadlineMs);
    this.#settings.checkRole('leader');
    this.#clone.checkDelete();
    const table = this.#meta.registry.table(name);
    if (table === undefined) throw errors.tableToDeleteNotFound();
    const replica = this.#replicas.get(table.shardId);
    if (replica === undefined) throw errors.notReady();
    await this.#seal(table, replica, call.deadlineMs);
  }

  /**
   * Takes a table out of service that the leader cluster no longer has; does nothing when the name belongs to another
   * shard by now. The table's data stays readable as `quarantine/<shard id>/<name>` for a while (R4).
   */
  async quarantine(name: string, shardId: number, call: Call): Promise<void> {
    await this.#meta.confirmRead(call.deadlineMs);
    this.#settings.checkRole('follower');
    const table = this.#meta.registry.table(name);
    if (table?.shardId !== shardId || !table.isReplicated) return;
    const replica = this.#replicas.get(shardId);
    if (replica === undefined) throw errors.notReady();
    await this.#seal(table, replica, call.deadlineMs);
  }

  async list(call: Call): Promise<TableInfo[]> {
    await this.#meta.confirmRead(call.deadlineMs);
    return this.#directory.named().map(({ name, shardId, config }) => ({ name, shardId, config }));
  }

  quarantinedTables(): QuarantinedTable[] {
    return [...this.#meta.registry.quarantined()].map(({ name, shardId, untilMs }) => ({
      name,
      shardId,
      readableAs: `quarantine/${shardId}/${name}`,
      untilMs,
    }));
  }

  /**
   * Seals a table's shard, so that no node acknowledges a write that vanishes, and then takes the table out of the
   * registry (T2). `replica` is the shard's own, and not the one to which requests for the name go: that one follows
   * the registry a little later.
   */
  async #seal(table: RegisteredTable, replica: Replica, deadlineMs: number): Promise<void> {
    const { index } = await this.#propose(replica, CommandKind.Seal, sealedBy(0), deadlineMs);
    // A switch came first. Another shard is to be deleted now, which the caller finds by asking again.
    if (replica.hasTable && replica.table.sealedBy !== 0) throw errors.outcomeUnknown();
    const keptUntilMs = this.#clock.nowMs() + this.#options.quarantineMs;
    // T1: the revisions of a table that follows a leader cluster's are that cluster's, and may be far above its own
    // indices.
    const lastIndex = Math.max(index, replica.hasTable ? (replica.table.leaderIndex ?? 0) : 0);
    await afterEffect(
      this.#meta.propose(this.#meta.commands.deleteTable(table, lastIndex, keptUntilMs), deadlineMs),
    );
  }

  /** Completes deletions: a table that was sealed and is still registered is deleted by its leader. */
  async finishDeletions(): Promise<void> {
    for (const name of this.#directory.names()) {
      // The name may have changed in any way while the one before it was deleted.
      const table = this.#meta.registry.table(name);
      const replica = table && this.#replicas.get(table.shardId);
      if (replica === undefined || !replica.isLeader || !replica.hasTable) continue;
      if (replica.table.sealedBy !== 0) continue;
      await this.#seal(table!, replica, this.#clock.monotonicMs() + OWN_PROPOSAL_MS);
    }
  }

  /** Ends the quarantines whose time is over, on the leader of the meta group. */
  async endQuarantines(): Promise<void> {
    const clock = this.#clock;
    if (!this.#meta.isLed) return;
    for (const table of this.#meta.registry.quarantined()) {
      if (table.untilMs > clock.nowMs()) continue;
      await this.#meta.propose(
        this.#meta.commands.endQuarantine(table),
        clock.monotonicMs() + OWN_PROPOSAL_MS,
      );
    }
  }
}
