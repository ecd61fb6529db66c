import { ApiError, type Call, errors, type NodeParts, Status } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { type FollowerNodeSighting, FollowerNodes } from './follower-nodes.js';
import { Followers } from './followers.js';
import { LogStream, type StreamCall } from './log-stream.js';
import type { SnapshotSource } from './snapshot-downloads.js';
import type { FollowerSighting } from './status.js';
import { TableSnapshot } from './table-snapshot.js';

/** A chunk of a snapshot is at most this large (docs/protocol.md §3). */
const CHUNK_BYTES_MAX = 1024 * 1024;

/** The path of a table's live snapshot: this prefix and then the table's name, encoded for a URL. */
export const LIVE_SNAPSHOTS_PATH = 'snapshots-live/';

/**
 * The topic under which a node says to the other members that a follower cluster asks it for a table from now on: the
 * table's name, NUL, the cluster's id. Nobody waits for an answer.
 */
const FOLLOWED_HERE_TOPIC = 'followed here';

/** The parts of a call that the handlers need. */
export interface LeaderCall extends StreamCall {
  /** The caller's network address. */
  readonly peer: string;
}

export interface LeaderReplicationOptions {
  readonly clock: Clock;
  /** The size of the largest message of commands, except for a single larger command. */
  readonly messageBytesMax: number;
  /** How many streams of the log are served at a time. Calls above that get tooBusy, and followers ask again. */
  readonly logCallsMax: number;
  /** How many snapshots are served at a time. Calls above that get tooBusy. */
  readonly snapshotCallsMax: number;
}

/**
 * Serves the calls of follower clusters (docs/protocol.md §3): the list of tables, their logs and their snapshots. A
 * follower cluster answers that it does not lead (R5).
 */
export class LeaderReplication implements SnapshotSource {
  readonly #node: Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'members' | 'reports'>;
  readonly #options: LeaderReplicationOptions;
  readonly #followers: Followers;
  readonly #followerNodes: FollowerNodes;
  /** The calls that wait for something new, which are ended when the node leaves. */
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

  /** Returns every table, never fewer: UNAVAILABLE until this node has caught up with the meta group (R4). */
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
   * Sends a table as one framed-snappy stream. It ends with the applied index that it stands for: the log goes on after
   * that index. Errors: notFollowed, UNAVAILABLE for an unknown table, tooBusy, and those of a linearizable read.
   */
  async *snapshot(
    request: replication.SnapshotRequest,
    call: LeaderCall,
  ): AsyncGenerator<replication.SnapshotChunk> {
    this.#checkCluster(request.clusterId);
    // Changes alone cannot be sent: in a snapshot sent as the whole, deletions would be missing for a follower that
    // adds it.
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

  /** Implements `SnapshotSource`. The table is as new as a linearizable read, or newer. */
  async openSnapshot(name: string, call: Call): Promise<TableSnapshot> {
    this.#checkRole();
    this.#checkPaused();
    return new TableSnapshot(name, await this.#node.logs.open(name, call));
  }

  /** Implements `SnapshotSource`. */
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
   * Armada's followers ask where a snapshot is before they download it: each table's is made when it is downloaded,
   * on this address. Errors: tableMustBeSet, cannotBeFollowed, tableNotFound, and those of a linearizable read.
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
   * Yields the log of a table from an index on, as encoded ReplicateResponses. Errors: notFollowed, leaderIndexZero,
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
      // A caller that comes once never reports that it has more: it would count as a follower that lags, until it is
      // forgotten.
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

  /**
   * Prepares for the node's leaving: streams of the log end without an error, after the entries that they have sent.
   */
  drain(): void {
    this.#isDraining = true;
    this.endWaiting();
  }

  /** Ends the streams of the log without an error: followers that go on ask again, and report how far they are. */
  endWaiting(): void {
    for (const aborter of this.#waiting) aborter.abort();
  }

  /** True while a stream of the log, or a snapshot, is under way. */
  get isSending(): boolean {
    return this.#waiting.size > 0 || this.#snapshotCalls > 0;
  }

  /** Implements `SnapshotSource`. */
  get isPaused(): boolean {
    return this.#node.members.isLogPaused;
  }

  /** Returns the nodes of follower clusters that asked this node for its tables lately. */
  followerNodes(): FollowerNodeSighting[] {
    return this.#followerNodes.sightings();
  }

  /** Returns the followers that replicate from this node. */
  followers(): FollowerSighting[] {
    const applied = new Map(
      this.#node.reports.status().tables.map(({ name, appliedIndex }) => [name, appliedIndex]),
    );
    return this.#followers.sightings((table) => applied.get(table));
  }

  /** R5: the data of a follower cluster belongs to another cluster, and might go back when that one is changed. */
  #checkRole(): void {
    const { role } = this.#node.cluster;
    if (role === undefined) throw errors.notReady();
    if (role !== 'leader') throw errors.cannotBeFollowed();
  }

  #checkPaused(): void {
    if (this.isPaused) throw errors.logPaused();
  }

  /** R4: one of our follower clusters names the leader cluster that it means. */
  #checkCluster(expected: string): void {
    const { clusterId } = this.#node.reports.status();
    if (expected !== '' && expected !== clusterId) throw errors.wrongLeaderCluster(clusterId ?? '');
  }
}
