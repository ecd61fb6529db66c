import { ApiError, type Call, errors, type NodeParts, Status } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import type { Clock, Tracer } from '@coxswain/runtime';
import { type FollowerNodeSighting, FollowerNodes } from './follower-nodes.js';
import { Followers } from './followers.js';
import { LogStream, type StreamCall } from './log-stream.js';
import type { SnapshotSource } from './snapshot-downloads.js';
import type { FollowerSighting } from './status.js';
import { TableSnapshot } from './table-snapshot.js';

/** The most bytes of one chunk of a snapshot (docs/protocol.md §3). */
const CHUNK_BYTES_MAX = 1024 * 1024;

/** The path under which a table's live snapshot is downloaded; the table's name follows, encoded for a URL. */
export const LIVE_SNAPSHOTS_PATH = 'snapshots-live/';

/**
 * The topic under which a node announces to the other members that a follower cluster now asks it for a table. The
 * message holds the table's name, NUL, and the cluster's id; nobody answers.
 */
const FOLLOWED_HERE_TOPIC = 'followed here';

/** A call, as its handler sees it. */
export interface LeaderCall extends StreamCall {
  /** The caller's network address. */
  readonly peer: string;
}

export interface LeaderReplicationOptions {
  readonly clock: Clock;
  /** The most bytes of a message of commands; a single larger command gets its own. */
  readonly messageBytesMax: number;
  /** Knows the spans that wrote entries; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
  /** Streams of the log at the same time; further ones are refused with tooBusy, and their followers come again. */
  readonly logCallsMax: number;
  /** Snapshots at the same time; further ones are refused with tooBusy, and their followers come again. */
  readonly snapshotCallsMax: number;
}

/**
 * Serves follower clusters (docs/protocol.md §3): the list of tables, their logs and their snapshots. On a follower
 * cluster it refuses all calls (R5).
 */
export class LeaderReplication implements SnapshotSource {
  readonly #node: Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'members' | 'reports'>;
  readonly #options: LeaderReplicationOptions;
  readonly #followers: Followers;
  readonly #followerNodes: FollowerNodes;
  /** The streams of the log under way, to be ended when the node leaves. */
  readonly #waiting = new Set<AbortController>();
  #isDraining = false;
  #snapshotCalls = 0;

  constructor(
    node: Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'members' | 'reports'>,
    options: LeaderReplicationOptions,
  ) {
    this.#node = node;
    this.#options = options;
    this.#followers = new Followers(options.clock);
    this.#followerNodes = new FollowerNodes(options.clock);
    node.cluster.onChange(() => {
      if (node.members.isLogPaused) this.endWaiting();
    });
    node.cluster.answerMembers(FOLLOWED_HERE_TOPIC, (message) => {
      const [table = '', clusterId = ''] = message.toString().split('\0');
      this.#followers.left(table, clusterId);
      return Buffer.alloc(0);
    });
  }

  /**
   * Lists every table, never fewer: rejects with UNAVAILABLE until this node has caught up with the meta group (R4).
   */
  async metadata(
    { follower }: replication.MetadataRequest,
    call: LeaderCall,
  ): Promise<replication.MetadataResponse> {
    this.#checkRole();
    if (follower !== undefined) this.#followerNodes.saw(follower);
    const tables = await this.#node.tables.list(call);
    const { clusterId, members } = this.#node.reports.status();
    return {
      tables: tables.map(({ name, shardId }) => ({
        name,
        type: replication.Table_Type.REPLICATED,
        shardId: BigInt(shardId),
      })),
      clusterId: clusterId ?? '',
      nodes: members.map(({ name }) => name),
    };
  }

  /**
   * Streams a table as framed snappy. The stream ends with the applied index of the snapshot, after which the log
   * continues. Errors: notFollowed, UNAVAILABLE for an unknown table, tooBusy, and those of a linearizable read.
   */
  async *snapshot(
    request: replication.SnapshotRequest,
    call: LeaderCall,
  ): AsyncGenerator<replication.SnapshotChunk> {
    this.#checkCluster(request.clusterId);
    // Changes alone cannot be sent: a snapshot has no deletions, so they would be missing in the follower's table.
    if (request.incremental) throw errors.noIncrementalSnapshot();
    const name = request.table.toString();
    const leave = this.enterSnapshot();
    let snapshot: TableSnapshot | undefined;
    try {
      snapshot = await this.openSnapshot(name, call).catch((error: unknown) => {
        if (error instanceof ApiError && error.status === Status.NotFound) throw errors.cannotStream(name);
        throw error;
      });
      for await (const bytes of snapshot.stream()) {
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
          if (call.signal.aborted) return;
          this.#checkPaused();
          const data = bytes.subarray(at, at + CHUNK_BYTES_MAX);
          yield replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) });
        }
      }
    } finally {
      leave();
      snapshot?.close();
    }
  }

  /** Takes a snapshot of a table, at least as new as a linearizable read, see `SnapshotSource`. */
  async openSnapshot(name: string, call: Call): Promise<TableSnapshot> {
    this.#checkRole();
    this.#checkPaused();
    return new TableSnapshot(name, await this.#node.logs.open(name, call));
  }

  /** Takes one of the places for snapshots, and returns a function that frees it, see `SnapshotSource`. */
  enterSnapshot(): () => void {
    this.#checkRole();
    this.#checkPaused();
    if (this.#isDraining) throw errors.shuttingDown();
    if (this.#snapshotCalls >= this.#options.snapshotCallsMax) throw errors.tooBusy();
    this.#snapshotCalls++;
    return () => {
      this.#snapshotCalls--;
    };
  }

  /**
   * Answers where a table's snapshot can be downloaded, which Armada's followers ask first: on this address, where it
   * is made during the download. Errors: tableMustBeSet, cannotBeFollowed, tableNotFound, and those of a linearizable
   * read.
   */
  async querySnapshot(
    { table }: replication.SnapshotQueryRequest,
    call: LeaderCall,
  ): Promise<replication.SnapshotQueryResponse> {
    if (table === '') throw errors.tableRequired();
    this.#checkRole();
    this.#checkPaused();
    const { appliedIndex } = await this.#node.logs.open(table, call);
    return replication.SnapshotQueryResponse.fromPartial({
      type: replication.SnapshotQueryResponse_SnapshotType.FULL,
      tipIndex: BigInt(appliedIndex),
      objectKey: `${LIVE_SNAPSHOTS_PATH}${encodeURIComponent(table)}`,
    });
  }

  /**
   * Streams the log of a table from an index on, as encoded ReplicateResponses. Errors: notFollowed, leaderIndexZero,
   * tableNotFound, wrongLeaderCluster, tooBusy, and those of a linearizable read.
   */
  async *replicate(request: replication.ReplicateRequest, call: LeaderCall): AsyncGenerator<Buffer> {
    this.#checkRole();
    if (request.leaderIndex === 0n) throw errors.leaderIndexZero();
    this.#checkCluster(request.clusterId);
    this.#checkPaused();
    if (this.#isDraining) throw errors.shuttingDown();
    if (this.#waiting.size >= this.#options.logCallsMax) throw errors.tooBusy();
    const aborter = new AbortController();
    const abort = (): void => aborter.abort();
    this.#waiting.add(aborter);
    call.signal.addEventListener('abort', abort);
    if (call.signal.aborted) abort();
    try {
      const name = request.table.toString();
      const log = await this.#node.logs.open(name, call);
      const stream = new LogStream(log, this.#options);
      // A caller that comes only once would look like a follower with a growing lag, until it is forgotten.
      if (!request.once) this.#saw(name, request, call);
      yield* stream.messages(request, { deadlineMs: call.deadlineMs, signal: aborter.signal });
    } finally {
      call.signal.removeEventListener('abort', abort);
      this.#waiting.delete(aborter);
    }
  }

  #saw(
    table: string,
    { follower, followerClusterId, leaderIndex, appliedIndex }: replication.ReplicateRequest,
    { peer }: LeaderCall,
  ): void {
    const asker = { name: follower || peer, clusterId: followerClusterId };
    const taken = Number(leaderIndex) - 1;
    const isNew = this.#followers.saw(table, asker, taken, Number(appliedIndex ?? taken));
    if (isNew && followerClusterId !== '')
      void this.#node.cluster.askMembers(
        FOLLOWED_HERE_TOPIC,
        Buffer.from(`${table}\0${followerClusterId}`),
        0,
      );
  }

  /** Prepares for the node's stop: streams of the log end without an error after the messages already sent. */
  drain(): void {
    this.#isDraining = true;
    this.endWaiting();
  }

  /**
   * Ends the streams of the log without an error, so that followers which continue ask again and thereby report how far
   * they are.
   */
  endWaiting(): void {
    for (const aborter of this.#waiting) aborter.abort();
  }

  /** True while a stream of the log or a snapshot is under way. */
  get isSending(): boolean {
    return this.#waiting.size > 0 || this.#snapshotCalls > 0;
  }

  /** True while an operator has paused this node, see `SnapshotSource`. */
  get isPaused(): boolean {
    return this.#node.members.isLogPaused;
  }

  /** The nodes of follower clusters that asked this node for its tables lately. */
  followerNodes(): FollowerNodeSighting[] {
    return this.#followerNodes.sightings();
  }

  /** The followers that replicate from this node. */
  followers(): FollowerSighting[] {
    const applied = new Map(
      this.#node.reports.status().tables.map(({ name, appliedIndex }) => [name, appliedIndex]),
    );
    return this.#followers.sightings((table) => applied.get(table));
  }

  /** R5: the data of a follower cluster is another cluster's, and might go back when that cluster is replaced. */
  #checkRole(): void {
    const { role } = this.#node.cluster;
    if (role === undefined) throw errors.notReady();
    if (role !== 'leader') throw errors.cannotBeFollowed();
  }

  #checkPaused(): void {
    if (this.isPaused) throw errors.logPaused();
  }

  /** R4: a follower cluster of ours names the leader cluster that it means. */
  #checkCluster(expected: string): void {
    const { clusterId } = this.#node.reports.status();
    if (expected !== '' && expected !== clusterId) throw errors.wrongLeaderCluster(clusterId ?? '');
  }
}
