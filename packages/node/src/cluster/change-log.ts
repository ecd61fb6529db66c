import type { NodeId } from '@coxswain/raft';
import type { EventKind, Log } from '@coxswain/runtime';
import { nodeEvents } from '../events.js';

/** The number of changes of one kind up to which each gets a log line; more of them share one line with their count. */
const LINES_PER_LOOK_MAX = 5;
/** The shortest interval between two log lines about slow syncs; a line counts the slow syncs since the last one. */
const SLOW_LINE_INTERVAL_MS = 10_000;
/** The duration from which on a sync of the write-ahead log is logged. */
const SLOW_SYNC_MS = 1_000;

/** The state of this node's surroundings, as the node sees them now. */
export interface Surroundings {
  /** Whether each other member is heard, by node id. */
  readonly peers: ReadonlyMap<NodeId, boolean>;
  /** The tables by name; undefined while this node has not read the registry. */
  readonly tables: ReadonlyMap<string, WatchedTable> | undefined;
}

/** The part of a table's replica whose changes are logged. */
export interface WatchedTable {
  /** The id of the table's shard. */
  readonly group: number;
  /** The table's leader, by the number that operators know; undefined when there is none. */
  readonly leaderNumber: number | undefined;
  readonly raft: { readonly term: number };
}

/** A table as the last look saw it. */
interface SeenTable {
  readonly shardId: number;
  readonly leader: number | undefined;
}

/**
 * Logs what changes around this node: peers, the quorum, tables and their leaders. It compares what it sees at steady
 * intervals, so the log stays bounded however often something changes in between, and a thousand tables that lose their
 * leader at once make one line with a count. It logs the names of tables, but no keys and values.
 */
export class ChangeLog {
  readonly #log: Log;
  readonly #peers = new Map<NodeId, boolean>();
  /**
   * The tables of the last look; undefined until tables are looked at. Changed in place, since hardly one of a thousand
   * tables changes within half a second.
   */
  #tables: Map<string, SeenTable> | undefined;
  #hasQuorum: boolean | undefined;
  #slowSyncs = 0;
  #slowestSyncMs = 0;
  #slowSyncLoggedMs = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Logs the differences from the last look. Tables that the first look finds are not logged as made. */
  look({ peers, tables }: Surroundings): void {
    this.#lookAtPeers(peers);
    if (tables === undefined) return;
    const isFirst = this.#tables === undefined;
    this.#tables ??= new Map();
    this.#lookAtTables(this.#tables, tables, isFirst);
  }

  /** Called after each sync of the write-ahead log, with its duration in milliseconds. */
  synced(durationMs: number, nowMs: number): void {
    if (durationMs < SLOW_SYNC_MS) return;
    this.#slowSyncs++;
    this.#slowestSyncMs = Math.max(this.#slowestSyncMs, durationMs);
    if (nowMs - this.#slowSyncLoggedMs < SLOW_LINE_INTERVAL_MS) return;
    this.#slowSyncLoggedMs = nowMs;
    this.#log(nodeEvents.logSyncSlow, {
      slowestMs: Math.round(this.#slowestSyncMs),
      times: this.#slowSyncs,
    });
    this.#slowSyncs = 0;
    this.#slowestSyncMs = 0;
  }

  #lookAtPeers(peers: ReadonlyMap<NodeId, boolean>): void {
    let reached = 1;
    for (const [peer, isUp] of peers) {
      if (isUp) reached++;
      // A peer that has not been up yet is not down: the transport logs why it cannot be reached.
      if (isUp !== (this.#peers.get(peer) ?? false)) {
        if (isUp) this.#log(nodeEvents.peerUp, { peer });
        else this.#log(nodeEvents.peerDown, { peer });
      }
      this.#peers.set(peer, isUp);
    }
    const members = peers.size + 1;
    const hasQuorum = reached > members / 2;
    if (hasQuorum !== (this.#hasQuorum ?? hasQuorum)) {
      if (hasQuorum) this.#log(nodeEvents.quorumReached, { reached, members });
      else this.#log(nodeEvents.quorumLost, { reached, members });
    }
    this.#hasQuorum = hasQuorum;
  }

  #lookAtTables(
    seen: Map<string, SeenTable>,
    now: ReadonlyMap<string, WatchedTable>,
    isFirst: boolean,
  ): void {
    const made: Change[] = [];
    const replaced: Change[] = [];
    const lost: Change[] = [];
    const gained: Change[] = [];
    for (const [table, { group: shardId, leaderNumber: leader, raft }] of now) {
      const old = seen.get(table);
      if (old?.shardId === shardId && old.leader === leader) continue;
      seen.set(table, { shardId, leader });
      if (old === undefined) {
        if (!isFirst) made.push({ table, shardId });
      } else if (old.shardId !== shardId) replaced.push({ table, shardId });
      const was = old?.shardId === shardId ? old.leader : undefined;
      if (leader === was) continue;
      if (leader === undefined) lost.push({ table, was });
      else gained.push({ table, leader, term: raft.term, ...(was !== undefined && { was }) });
    }
    const deleted: Change[] = [];
    // Every table that exists is in `seen` by now.
    if (seen.size > now.size) {
      for (const [table, { shardId }] of seen) {
        if (now.has(table)) continue;
        deleted.push({ table, shardId });
        seen.delete(table);
      }
    }
    this.#logAll(nodeEvents.tableMade, made);
    this.#logAll(nodeEvents.tableReplaced, replaced);
    this.#logAll(nodeEvents.tableDeleted, deleted);
    this.#logAll(nodeEvents.tableLeaderLost, lost);
    this.#logAll(nodeEvents.tableHasLeader, gained);
  }

  #logAll(kind: EventKind<keyof Change | 'tables' | 'first'>, changes: readonly Change[]): void {
    if (changes.length > LINES_PER_LOOK_MAX) {
      this.#log(kind, { tables: changes.length, first: changes[0]!.table });
      return;
    }
    for (const change of changes) this.#log(kind, { ...change });
  }
}

interface Change {
  readonly table: string;
  readonly shardId?: number;
  readonly leader?: number | undefined;
  readonly was?: number | undefined;
  readonly term?: number;
}
