import type { Clock } from '@coxswain/runtime';
import type { Call, Header } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { LedTable, LogsApi, TableLog } from '../api/logs-api.js';
import { ReplicaLog } from '../group/replica-log.js';
import type { Meta } from '../meta/meta.js';
import type { ShardRequests } from './shard-requests.js';
import type { WriteGate } from './write-gate.js';

/** Opens the logs of tables for replication, backups and the archive. */
export class LogRequests implements LogsApi {
  readonly #meta: Meta;
  readonly #shards: ShardRequests;
  readonly #gate: WriteGate;
  readonly #clock: Clock;

  constructor(meta: Meta, shards: ShardRequests, gate: WriteGate, clock: Clock) {
    this.#meta = meta;
    this.#shards = shards;
    this.#gate = gate;
    this.#clock = clock;
  }

  async open(table: string, call: Call): Promise<TableLog> {
    return await this.#shards.onShard(table, call, async (replica) => {
      // R2: everything that was committed at the time of the request is applied here before the log is served.
      await replica.confirmRead(call.deadlineMs);
      if (replica.isServing) return new ReplicaLog(replica);
      if (replica.table.sealedBy === undefined) throw errors.notReady();
      return undefined;
    });
  }

  local(table: string): TableLog | undefined {
    const replica = this.#meta.directory.get(table);
    return replica?.isServing ? new ReplicaLog(replica) : undefined;
  }

  async whenRevision(table: string, revision: number, call: Call): Promise<Header> {
    const follows = this.#meta.settings.role === 'follower';
    for (;;) {
      if (this.#gate.isStopping) throw errors.shuttingDown();
      const waitMs = call.deadlineMs - this.#clock.monotonicMs();
      const replica = this.#meta.directory.get(table);
      if (replica === undefined) {
        // On a follower cluster the table may appear at the next look at the leader cluster's tables.
        const isKnown = () => this.#meta.directory.get(table) !== undefined || this.#gate.isStopping;
        if (!follows) await this.#meta.directory.find(table, call);
        else if (!(await this.#meta.directory.changes.until(isKnown, waitMs))) throw errors.timeout();
        continue;
      }
      // R5: the table was promoted with the data that it had. Its revisions are higher now, and say nothing about the
      // write.
      if (follows && !this.#meta.settings.isReplicated(table)) throw errors.outcomeUnknown();
      const isThere = () => replica.isServing && replica.table.revision >= revision;
      if (isThere()) return replica.header(replica.table.revision);
      const sealedBy = replica.hasTable ? replica.table.sealedBy : undefined;
      if (sealedBy !== undefined) await this.#meta.directory.moved(table, replica, call);
      else {
        const isSealed = () => replica.hasTable && replica.table.sealedBy !== undefined;
        const isOver = () =>
          isThere() || isSealed() || this.#meta.directory.get(table) !== replica || this.#gate.isStopping;
        if (!(await replica.changes.until(isOver, waitMs))) throw errors.timeout();
      }
    }
  }

  led(): LedTable[] {
    // A promoted table takes writes of its own, which no replication may overwrite (R5).
    const isOfThisRole = (name: string) =>
      this.#meta.settings.role === 'leader' || this.#meta.settings.isReplicated(name);
    const led = this.#meta.directory
      .replicas()
      // A table over wolf.raft belongs to no single cluster: its next leader may be a node of another one.
      .filter(
        ({ name, isLeader, isServing, speaksFrames }) =>
          isLeader && isServing && speaksFrames && isOfThisRole(name!),
      );
    return led.map(({ name, group, raft }) => ({
      name: name!,
      shardId: group,
      term: raft.term,
      ...this.#meta.settings.holdOf(name!),
    }));
  }
}
