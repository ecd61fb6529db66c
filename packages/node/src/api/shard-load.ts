import type { mvcc } from '@coxswain/protocol';
import type { Call, Header } from './call.js';

/**
 * A shard that is filled and then takes over a table's name (T2). The caller loads records with `load`, ends that
 * with `finish`, may run logged commands again with `replay`, and gives the shard the name with `switch`. Each method
 * rejects with the errors of `KvApi.propose`, and with `loadReplaced` when another load of the name, or the table's
 * deletion or creation, came first: then the shard is gone.
 */
export interface ShardLoad {
  readonly shardId: number;
  /**
   * Proposes records of a snapshot stream, and resolves when they are applied. Each record is a u64 little-endian
   * length and a marshalled mvcc.v1.Command PUT; records come in key order, in parts that may be cut anywhere and are
   * copied before this returns. One call takes at most 2000 records, and 1 MiB or one record. Some calls may be under
   * way at once.
   *
   * In a load for replication the keys keep the revisions and versions that they come with; a restore stamps each key
   * with the index of its entry and version 1 (T3). The caller has checked the records: apply refuses nothing (A3).
   */
  load(records: readonly Buffer[], call: Call): Promise<void>;
  /**
   * Ends the load. `leaderIndex` becomes the shard's cursor when the shard follows a leader cluster's. With
   * `hasUnstamped`, keys that came without revisions take `leaderIndex`, or the index of the entry when that is 0, as
   * their revision; a restore has stamped every key already. Throws `loadIncomplete` when the shard does not hold
   * `keyCount` keys afterwards: something went missing.
   */
  finish(
    end: { readonly leaderIndex: number; readonly keyCount: number; readonly hasUnstamped: boolean },
    call: Call,
  ): Promise<void>;
  /**
   * Runs commands of a log again, in order, as one SEQUENCE at one revision, and resolves when they are applied. None
   * of them may be a SEQUENCE; a `leader_index` in one is dropped. One call takes at most 512 KiB of marshalled
   * commands, or one command, and one call is made at a time. After `outcomeUnknown` nobody knows whether the
   * commands were run, so the shard must not be used. The caller has checked the commands: apply refuses nothing
   * (A3).
   */
  replay(commands: readonly mvcc.Command[], call: Call): Promise<void>;
  /**
   * Gives the header for the shard's state after the last `finish` or `replay`. No other write reaches the shard
   * before the switch.
   */
  header(): Header;
  /** The number of live keys after the last `finish` or `replay`. */
  readonly keyCount: number;
  /**
   * Seals the old shard, if there is one, and gives its name to this shard (T2). Called after `finish`. With
   * `ifCursor` it does so only if the old shard is still at that cursor, and otherwise resolves to false and changes
   * nothing.
   */
  switch(options: { readonly ifCursor?: number }, call: Call): Promise<boolean>;
  /**
   * Drops the shard and its data. Does nothing when the shard has the name already, or when the switch to it has
   * begun.
   */
  abandon(call: Call): Promise<void>;
}
