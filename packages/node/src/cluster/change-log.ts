import type { NodeId } from '@coxswain/raft';
import type { EventKind, Log } from '@coxswain/runtime';
import { nodeEvents } from '../events.js';

/** Changes of one kind that a look finds get a line each up to this number; more share one line with their count. */
const LINES_PER_LOOK_MAX = 5;
/** A slow sync is logged at most once in this time; the line counts the ones since the last. */
const SLOW_LINE_INTERVAL_MS = 10_000;
/** A sync of the write-ahead log that takes this long or longer is logged. */
const SLOW_SYNC_MS = 1_000;

/** The state of this node's surroundings, as it sees them now. */
export interface Surroundings {
  /** Each other member, and whether it is heard. */
  readonly peers: ReadonlyMap<NodeId, boolean>;
  /** By name; undefined: the registry of tables is not known yet. */
  readonly tables: ReadonlyMap<string, WatchedTable> | undefined;
}

/** The part of a table's replica whose changes are logged. */
export interface WatchedTable {
  /** Its shard. */
  readonly group: number;
  /** The leader by the number that operators know it by; undefined: nobody. */
  readonly leaderNumber: number | undefined;
  readonly raft: { readonly term: number };
}

/** What a look has seen. */
interface SeenTable {
  readonly shardId: number;
  readonly leader: number | undefined;
}

/**
 * Says in the log what changes around this node: peers, the quorum, tables and their leaders. It compares what it
 * sees at steady intervals, so the log stays bounded however often something flaps in between, and a thousand
 * tables that lose their leader at once make one line with a count. Table names are logged, keys and values are not.
 */
export class ChangeLog {
  readonly #log: Log;
  readonly #peers = new Map<NodeId, boolean>();
  /** Undefined until tables are looked at. Changed in place: of a thousand tables hardly one is another than half a second ago. */
  #tables: Map<string, SeenTable> | undefined;
  #hasQuorum: boolean | undefined;
  #slowSyncs = 0;
  #slowestSyncMs = 0;
  #slowSyncLoggedMs = Number.NEGATIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Logs the differences from the last look. Tables that the first look finds were not made just now. */
  look({ peers, tables }: Surroundings): void {
    this.#lookAtPeers(peers);
    if (tables === undefined) return;
    const isFirst = this.#tables === undefined;
    this.#tables ??= new Map();
    this.#lookAtTables(this.#tables, tables, isFirst);
  }

  /** Called with the duration of each sync of the write-ahead log. */
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
      // A peer that has not been up yet is not down: the transport says why it cannot be reached.
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
    // By now all that are there are in it.
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
