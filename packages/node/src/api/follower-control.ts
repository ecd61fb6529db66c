import type { ApplyResult } from '@coxswain/table';
import type { Call } from './call.js';
import type { ShardLoad } from './shard-load.js';

/** A marshalled command of the leader cluster, together with the cursor that it was built on (R1). */
export interface ReplicatedCommand {
  readonly cursor: number;
  readonly command: Buffer;
}

/**
 * What a node offers to the replication of a follower cluster. A method that proposes rejects with the errors of
 * `KvApi.propose` as well.
 */
export interface FollowerControl {
  /**
   * Binds this cluster to a leader cluster. Resolves to the id that it is bound to, which is another one when that
   * was bound first.
   */
  bindLeaderCluster(id: string, call: Call): Promise<string>;
  /**
   * Gives the last index of the leader cluster that the shard has applied here: 0 when it has applied none, undefined
   * when this node does not host the shard or does not serve it.
   */
  cursor(shardId: number): number | undefined;
  /**
   * Proposes a marshalled command of the leader cluster. It has an effect only if the shard's cursor still equals
   * `cursor` when it is applied (R1); otherwise `ApplyResult.hasStaleCursor` is set.
   */
  replicate(shardId: number, proposal: ReplicatedCommand, call: Call): Promise<ApplyResult>;
  /**
   * Makes an empty table that follows the leader cluster's table of that name. Errors: those of `TablesApi.create`.
   */
  createTable(name: string, call: Call): Promise<void>;
  /**
   * Takes a table out of service that the leader cluster no longer has, if the name still belongs to that shard. Its
   * data stays readable as table `quarantine/<shard id>/<name>` for 24 h (R4).
   */
  quarantine(name: string, shardId: number, call: Call): Promise<void>;
  /** Stops a table's replication, with a reason for the operator. It stays stopped until the table is reset. */
  stopReplication(name: string, reason: string, call: Call): Promise<void>;
  /**
   * Requests that a table, or every table when `name` is undefined, is fetched from the leader cluster anew. The
   * latter also forgets the leader cluster's id. Errors: tableNotFound.
   */
  requestReset(name: string | undefined, call: Call): Promise<void>;
  /**
   * Makes an empty shard beside the table's own; its keys arrive with their revisions and versions. A table has one
   * such shard at a time: a new one replaces an earlier one. The switch to it ends a requested reset. Errors:
   * tableNotFound, notReady.
   */
  beginLoad(name: string, call: Call): Promise<ShardLoad>;
  /**
   * Begins to turn a follower cluster into a leader cluster, for good (R5). Resolves when that is decided. A repeated
   * call has no further effect.
   */
  beginPromotion(call: Call): Promise<void>;
  /**
   * Lists the tables that still have their shard of the follower cluster while the cluster is promoted, with that
   * shard.
   */
  unpromotedTables(): { readonly name: string; readonly shardId: number }[];
  /**
   * Ends the promotion: makes the cluster a leader cluster. Called when `unpromotedTables` is empty; rejects with
   * `notReady` before.
   */
  finishPromotion(call: Call): Promise<void>;
}
