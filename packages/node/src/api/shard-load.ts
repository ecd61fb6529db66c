import type { mvcc } from '@coxswain/protocol';
import type { Call, Header } from './call.js';

/**
 * A shard that is being filled, and then takes over a table's name (T2): some `load`s, `finish`, some `replay`s, `switch`.
 * Errors of each: those of `KvApi.propose`, and `loadReplaced` when another load of the name, or the table's
 * deletion or creation, came first: then the shard is gone.
 */
export interface ShardLoad {
  readonly shardId: number;
  /**
   * Proposes records of a snapshot stream, each a u64 little-endian length and a marshalled mvcc.v1.Command PUT, in
   * key order, in parts that are cut anywhere and are copied before this returns. Resolves when they are applied. Some calls may be under way at once.
   * The keys keep the revisions and versions that they come with, for replication; a restore stamps each with the
   * index of its entry and version 1 (T3).
   * The caller has checked the records: apply refuses nothing (A3). At most 1 MiB, or one record, and 2000 records.
   */
  load(records: readonly Buffer[], call: Call): Promise<void>;
  /**
   * Ends the load. `leaderIndex` becomes the shard's cursor where it is a replica of a leader cluster's.
   * `hasUnstamped`: some keys came without revisions, and take it; a restore has stamped every one. Throws
   * `loadIncomplete` when the shard does not hold `keyCount` keys then: something went missing.
   */
  finish(
    end: { readonly leaderIndex: number; readonly keyCount: number; readonly hasUnstamped: boolean },
    call: Call,
  ): Promise<void>;
  /**
   * Runs commands of a log again, in order, as one SEQUENCE, all at one revision. None of them is a SEQUENCE; a
   * leader_index that one has is dropped. At most 512 KiB when they are marshalled, or one command. Resolves when they are
   * applied. One call at a time. After `outcomeUnknown` nobody knows whether they were run: the shard is good for nothing.
   * The caller has checked the commands: apply refuses nothing (A3).
   */
  replay(commands: readonly mvcc.Command[], call: Call): Promise<void>;
  /** The shard's state by the last `finish` or `replay`: no other write comes before the switch. */
  header(): Header;
  /** Live keys by the last `finish` or `replay`. */
  readonly keyCount: number;
  /**
   * Seals the old shard, where there is one, and gives the name to this one (T2). With `ifCursor`, only when the old
   * shard is still at that cursor: resolves to false otherwise, and nothing has changed. Only after `finish`.
   */
  switch(options: { readonly ifCursor?: number }, call: Call): Promise<boolean>;
  /** Forgets the shard: its data goes. Nothing happens when it has the name, or is being switched to. */
  abandon(call: Call): Promise<void>;
}
