import type { ClusterClone } from '../meta/cluster-clone.js';
import type { Call } from './call.js';
import type { ShardLoad } from './shard-load.js';

/**
 * What a node offers to backups, restores, clones and the archive. A method that proposes rejects with the errors of
 * `KvApi.propose` as well.
 */
export interface MaintenanceControl {
  /**
   * Makes an empty shard that takes over the table's name when it is switched to (T2); the switch makes the table
   * where there is none. Until then the old shard serves and takes writes, which the new one does not get. Loads
   * stamp every key anew (T3). An earlier load of that name is forgotten, unless the switch to it has begun: then it
   * comes first. For leader clusters only.
   *
   * While a clone has not succeeded, only the clone itself may call this, and identifies itself by `cloneId`. Errors:
   * nameNotSet, nameInvalid, tooManyTables, notReady, loadReplaced, cloning, cloneFailed; the switch rejects with the
   * last two as well.
   */
  beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad>;
  /** The clone of another cluster that fills this one, or that began to and did not succeed. */
  readonly clone: ClusterClone;
  /**
   * Gives the size, in bytes, of what waits on this node to be archived, over all tables, and whether writes are
   * refused until it is less.
   */
  archiveBacklog(): { readonly sizeBytes: number; readonly refusesWrites: boolean };
  /**
   * Gives the index up to which the archive has the shard's log, as far as this node knows; 0 when it has nothing.
   */
  archivedIndex(shardId: number): number;
  /**
   * Makes known to every member, durably, up to which index the archive has the logs of these shards, by shard id. An
   * index never goes back. Indices that the cluster knows already, and shards that no table has, are left out; when
   * nothing is left, nothing is proposed.
   */
  reportArchived(indices: ReadonlyMap<number, number>, call: Call): Promise<void>;
  /**
   * Compacts the logs of this node's tables now. Keeps the entries that members or follower clusters which lag a
   * little may need, the entries that the archive lacks, and all entries above the index that followers have, which
   * `followedUpTo` gives by table.
   */
  compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void>;
}
