import type { ApplyResult } from '@coxswain/table';
import type { Call } from './call.js';
import type { ShardLoad } from './shard-load.js';

/** A marshalled command of the leader cluster, with the cursor that it was built on (R1). */
export interface ReplicatedCommand {
  readonly cursor: number;
  readonly command: Buffer;
}

/** What a follower cluster's replication asks of the node. Proposals' errors are those of `KvApi.propose`. */
export interface FollowerControl {
  /** Binds the cluster to a leader cluster, unless another one was named first: resolves to the one that counts. */
  bindLeaderCluster(id: string, call: Call): Promise<string>;
  /** The last index of the leader cluster that the shard has applied here; 0: none. Undefined: not here, or not serving. */
  cursor(shardId: number): number | undefined;
  /**
   * Proposes a marshalled command of the leader cluster, which has an effect only where the shard's cursor is `cursor`
   * by then (R1): see `ApplyResult.hasStaleCursor`.
   */
  replicate(shardId: number, proposal: ReplicatedCommand, call: Call): Promise<ApplyResult>;
  /** Makes a table that follows the leader cluster's from nothing. Errors: those of `TablesApi.create`. */
  createTable(name: string, call: Call): Promise<void>;
  /**
   * Takes a table out of service that the leader cluster has no more, when it still is that shard. Its data stays
   * readable as table `quarantine/<shard id>/<name>` for 24 h (R4).
   */
  quarantine(name: string, shardId: number, call: Call): Promise<void>;
  /** Stops a table's replication for good, with a reason for the operator, until it is reset. */
  stopReplication(name: string, reason: string, call: Call): Promise<void>;
  /** Asks for one table, or for every table with `undefined`, which also forgets the leader cluster's id. Errors: tableNotFound. */
  requestReset(name: string | undefined, call: Call): Promise<void>;
  /**
   * Makes an empty shard beside the table's, whose keys come with revisions and versions. One at a time per table: an
   * earlier one is forgotten. A switch ends a wanted reset. Errors: tableNotFound, notReady.
   */
  beginLoad(name: string, call: Call): Promise<ShardLoad>;
  /** Begins to turn a follower cluster into a leader cluster, for good (R5). Resolves when that is decided. Done twice, it is one. */
  beginPromotion(call: Call): Promise<void>;
  /** Tables that still have the shard of the follower cluster while it is promoted, with their shard. */
  unpromotedTables(): { readonly name: string; readonly shardId: number }[];
  /** The last step, when `unpromotedTables` is empty. */
  finishPromotion(call: Call): Promise<void>;
}
