import type { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import type { ApplyResult, CommandKind, Table } from '@coxswain/table';
import type { Call, ClusterRole, Header } from './api.js';

/** A committed and applied entry of a table's log, its command as it was marshalled (R6). */
export interface LogEntry {
  readonly index: number;
  /** Of the leader that appended it. */
  readonly term: number;
  /** The leader's stamp (A7); 0 for an internal entry. */
  readonly timeMs: number;
  readonly kind: CommandKind;
  /** The bytes that the client's node marshalled, where `kind` is Command. */
  readonly command: Buffer;
}

/** The log of a table on this node, as those who follow it from outside may see it (R2, R6). It stays current. */
export interface TableLog {
  readonly shardId: number;
  /** For Txn outcomes (R3) and views. */
  readonly table: Table;
  /** Nothing below it can be read: it was compacted, or belongs to another shard of the table's name (T1). */
  readonly firstIndex: number;
  /** The index before the shard's very first entry (T1), whether it is still there or not. */
  readonly baseIndex: number;
  /** The entry that ended the shard's load: what came before is no part of the table's story. 0: it was not loaded (T2). */
  readonly loadedIndex: number;
  readonly appliedIndex: number;
  /** What the entries above `index` take on disk, with those that are not applied yet. */
  sizeBytesAbove(index: number): number;
  /** False once the table was sealed or taken away here: what is asked for from then on belongs to another log. */
  readonly isServing: boolean;
  /** Entries from `from` on, at most `maxBytes` of commands but at least one. `from` is at least `firstIndex` and at most `appliedIndex`. */
  entries(from: number, maxBytes: number): LogEntry[];
  /**
   * Keeps the shard, and so its log, on this node when another one has taken its name or the table was deleted (T2),
   * until what it gives is called or the node stops.
   */
  hold(): () => void;
  /** Resolves when an entry above `index` is applied, when the log stops serving, after `waitMs`, or when aborted. */
  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void>;
}

/** A table whose group this node leads: it is this node that replicates it, or archives it. */
export interface LedTable {
  readonly name: string;
  readonly shardId: number;
  /** The term that it leads in. A later one is another leadership. */
  readonly term: number;
  /** Why its replication was stopped, until it is reset; undefined: it goes on. Durable. */
  readonly stopped: string | undefined;
  /** It is to be fetched from the leader cluster anew. Durable. */
  readonly isResetWanted: boolean;
}

/**
 * A shard that is being filled, and then takes over a table's name (T2): some `load`s, `finish`, some `replay`s, `switch`.
 * Errors of each: those of `NodeApi.propose`, and `loadReplaced` when another load of the name, or the table's
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

/** What a follower cluster's replication asks of the node. `Node` implements it. Proposals' errors are those of `NodeApi.propose`. */
export interface FollowerControl {
  /** Undefined until the node knows its cluster's first entry. */
  readonly role: ClusterRole | undefined;
  /**
   * Called after the leadership of a group, the registry of tables, or whether a replica can serve has changed on this
   * node. Gives what ends it.
   */
  onChange(listener: () => void): () => void;
  /** This node leads the meta group: it reconciles the tables with the leader cluster's. */
  readonly leadsMeta: boolean;
  /**
   * An operator has paused a member, as far as this node knows: no member takes anything from the leader cluster, since
   * what one takes is applied on all (operations-protocols.md §3).
   */
  readonly isReplicationPaused: boolean;
  /** Every table that follows the leader cluster's and that this node leads, sorted by name. */
  ledTables(): LedTable[];
  /** This cluster's own id; undefined until it has formed. */
  readonly clusterId: string | undefined;
  /**
   * The leader cluster that this cluster belongs to, as it named itself: empty for one that tells no id, undefined
   * while none was met (R4).
   */
  readonly leaderClusterId: string | undefined;
  /** Binds the cluster to a leader cluster, unless another one was named first: resolves to the one that counts. */
  bindLeaderCluster(id: string, call: Call): Promise<string>;
  /** The last index of the leader cluster that the shard has applied here; 0: none. Undefined: not here, or not serving. */
  cursor(shardId: number): number | undefined;
  /**
   * Proposes a marshalled command of the leader cluster, which has an effect only where the shard's cursor is `cursor`
   * by then (R1): see `ApplyResult.hasStaleCursor`.
   */
  replicate(
    shardId: number,
    proposal: { readonly cursor: number; readonly command: Buffer },
    call: Call,
  ): Promise<ApplyResult>;
  /** Makes a table that follows the leader cluster's from nothing. Errors: those of `NodeApi.createTable`. */
  createReplicated(name: string, call: Call): Promise<void>;
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

/** What services ask of a node for replication, in either role. `Node` implements it. */
export interface ReplicationApi {
  /** Answers what members ask about a topic with `askMembers`, at most 1 MiB; an empty answer says nothing. */
  answerMembers(topic: string, answerer: (question: Buffer) => Buffer): void;
  /**
   * Asks the members that this node is connected to, and resolves with what they say within `waitMs`. For people and
   * figures: questions and answers may be lost, and nothing that is decided may rest on them.
   */
  askMembers(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>>;
  readonly role: ClusterRole | undefined;
  /** An operator has paused this node: it gives follower clusters neither log nor snapshots. */
  readonly isLogPaused: boolean;
  /** Called as `FollowerControl.onChange` is. */
  onChange(listener: () => void): () => void;
  /** R2: the table's log, after a ReadIndex and when what was committed by then is applied. Errors: tableNotFound, notReady, timeout, shuttingDown. */
  openLog(table: string, call: Call): Promise<TableLog>;
  /** The table's log as this node has it, without a word to anyone; undefined: it is not here, or does not serve. */
  localLog(table: string): TableLog | undefined;
  /**
   * Resolves when the table, by whatever shard, has applied `revision` here. Errors: tableNotFound, timeout, shuttingDown.
   */
  whenRevision(table: string, revision: number, call: Call): Promise<Header>;
}
