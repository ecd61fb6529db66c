import type { ClusterClone } from '../meta/cluster-clone.js';
import type { Call } from './call.js';
import type { ShardLoad } from './shard-load.js';

/** What backups, restores and the archive ask of the node. Proposals' errors are those of `KvApi.propose`. */
export interface MaintenanceControl {
  /**
   * Makes an empty shard that takes over the table's name when it is switched to (T2), or makes the table then, where
   * there is none. Until then the old shard serves, also writes, which are not in the new one. Its loads stamp every
   * key anew (T3). An earlier load of that name is forgotten, unless it is being switched to already: then it comes
   * first. Leader clusters only. While a clone has not succeeded it alone may, and says who it is by `cloneId`. Errors:
   * nameNotSet, nameInvalid, tooManyTables, notReady, loadReplaced, cloning, cloneFailed; the last two also of the switch.
   */
  beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad>;
  /** The clone of another cluster that fills this one, or was meant to. */
  readonly clone: ClusterClone;
  /** What waits on this node to be archived, of all tables, and whether writes are refused until less does. */
  archiveBacklog(): { readonly sizeBytes: number; readonly refusesWrites: boolean };
  /** Up to here the archive has the shard's log, as far as this node knows; 0: nothing. */
  archivedIndex(shardId: number): number;
  /**
   * Makes known to every member, durably, how far the archive has the logs of these shards, by shard id. Never goes
   * back; what the cluster knows already, and shards that no table has, are left out, and when nothing is left nothing
   * is proposed.
   */
  reportArchived(indices: ReadonlyMap<number, number>, call: Call): Promise<void>;
  /**
   * Compacts the logs of this node's tables now. Keeps the entries that members and follower clusters which lag a little
   * may need, those that the archive lacks, and those above what `followedUpTo` says that followers have, by table.
   */
  compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void>;
}
