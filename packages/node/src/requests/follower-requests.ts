import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { FollowerControl, ReplicatedCommand } from '../api/follower-control.js';
import type { ShardLoad } from '../api/shard-load.js';
import type { Replicas } from '../group/replicas.js';
import type { Meta } from '../meta/meta.js';
import type { ShardRequests } from './shard-requests.js';
import type { WriteGate } from './write-gate.js';

/** Brings what a leader cluster sends into the tables of a follower cluster. */
export class FollowerRequests implements FollowerControl {
  readonly #meta: Meta;
  readonly #replicas: Replicas;
  readonly #shards: ShardRequests;
  readonly #gate: WriteGate;

  constructor(meta: Meta, replicas: Replicas, shards: ShardRequests, gate: WriteGate) {
    this.#meta = meta;
    this.#replicas = replicas;
    this.#shards = shards;
    this.#gate = gate;
  }

  cursor(shardId: number): number | undefined {
    const replica = this.#replicas.get(shardId);
    return replica?.isServing ? replica.table.leaderIndex : undefined;
  }

  async replicate(shardId: number, { cursor, command }: ReplicatedCommand, call: Call): Promise<ApplyResult> {
    this.#gate.checkCommand();
    const replica = this.#replicas.get(shardId);
    if (replica === undefined || !replica.isServing) throw errors.notReady();
    const result = await this.#shards.propose(replica, CommandKind.Command, command, call, cursor);
    // T2: the command had no effect, and another shard goes on from a cursor of its own.
    if (result.sealedBy !== undefined) throw errors.notReady();
    return result;
  }

  async createTable(name: string, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.lifecycle.create(name, { isReplicated: true }, call);
  }

  async quarantine(name: string, shardId: number, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.lifecycle.quarantine(name, shardId, call);
  }

  async bindLeaderCluster(id: string, call: Call): Promise<string> {
    return await this.#meta.settings.bindLeaderCluster(id, call);
  }

  async stopReplication(name: string, reason: string, call: Call): Promise<void> {
    await this.#meta.settings.stopReplication(name, reason, call);
  }

  async requestReset(name: string | undefined, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.settings.requestReset(name, call);
  }

  async beginLoad(name: string, call: Call): Promise<ShardLoad> {
    this.#gate.checkWrite();
    return await this.#meta.takeovers.beginLoad(name, call);
  }

  async beginPromotion(call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.settings.beginPromotion(call);
  }

  unpromotedTables(): { name: string; shardId: number }[] {
    return this.#meta.settings.unpromotedTables();
  }

  async finishPromotion(call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.settings.finishPromotion(call);
  }
}
