import {
  ApiError,
  errors,
  type MemberInfo,
  type MemberState,
  type NodeParts,
  type NodeStatus,
  type TableLog,
} from '@coxswain/node';
import { type Follower, type FollowerNodeSighting, LinkError } from '@coxswain/replication';
import { type Clock, type Log, pause } from '@coxswain/runtime';
import { agentEvents } from '../events.js';
import { type ActionAnswer, judgeAction, refused, succeeded } from './action.js';
import { describeEntry } from './entry-text.js';
import type { Json } from './go-json.js';
import type { FollowedTable, MemberReport } from './member-report.js';
import { leastFollowed, Members, type MembersOptions, mergeFollowed, mergeFollowerNodes } from './members.js';
import { NodeStates, type StatefulNode } from './node-states.js';
import { findEntry, findReplicated, positionOf, replicaPositionOf, timeAt } from './positions.js';
import { parseTs, tsoOf } from './tso.js';

/** Milliseconds within which the meta group or a table must answer. */
const CALL_MS = 5_000;
/** Milliseconds within which the leader cluster must say when it appended an entry. */
const LEADER_MS = 1_000;
/** Milliseconds for which PUT /state waits until the node has paused. */
const PAUSING_MS = 5_000;
const LOOK_MS = 20;
/** Logs that are searched for an entry at the same time. */
const SEARCHES_MAX = 4;
/** Milliseconds that followers get to report their positions, and the least time between two such requests. */
const HEARING_MS = 100;
const HEARING_INTERVAL_MS = 1_000;
/** A node that was silent for this long is reported as not alive. Nodes of follower clusters ask every 30 s. */
const ALIVE_MS = 90_000;

/** The parts of the node that the HTTP API uses. */
export type TidbBinlogNode = StatefulNode & Pick<NodeParts, 'maintenance'>;

/** The parts of the process that the HTTP API uses. */
export interface TidbBinlogOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The role that the process was started with. It stands until the node knows its cluster. */
  readonly startedAs: 'leader' | 'follower';
  /** The leader's side of replication: which followers asked this node, and how far they are. */
  readonly leader: MembersOptions['leader'];
  /** The follower's side of replication; undefined on a node that was started as a leader. */
  readonly follower:
    | Pick<Follower, 'status' | 'statusEverywhere' | 'leaderNodes' | 'isTaking' | 'timeOf' | 'tellState'>
    | undefined;
  /** Stops the node; called once the node was closed. */
  readonly stop: () => void;
}

/** The status of one node, in the same form for Pumps and Drainers. */
interface NodeObject {
  readonly [key: string]: Json;
  readonly nodeId: string;
  readonly host: string;
  readonly state: string;
  readonly isAlive: boolean;
  readonly score: number;
  readonly label: null;
  readonly maxCommitTS: bigint;
  readonly updateTS: bigint;
}

/**
 * Answers the HTTP API of TiDB-Binlog (docs/operations-protocols.md §3) for this cluster's own data: a node of a leader
 * cluster is a Pump, a node of a follower cluster a Drainer. Methods return values; the REST listener writes them as
 * JSON or text. Where a method takes a table, undefined means the first one.
 */
export class TidbBinlog {
  readonly #node: TidbBinlogNode;
  readonly #options: TidbBinlogOptions;
  readonly #members: Members;
  readonly #states: NodeStates;
  #searches = 0;
  /** The monotonic time at which followers were last made to report their positions. */
  #hearingMs = Number.NEGATIVE_INFINITY;
  #isCollecting = false;

  constructor(node: TidbBinlogNode, options: TidbBinlogOptions) {
    this.#node = node;
    this.#options = options;
    const { clock, log, leader, follower, stop } = options;
    const hasStoppedTaking = (): boolean =>
      node.members.isReplicationPaused && !(follower?.isTaking ?? false);
    this.#members = new Members(node, { clock, leader, hasStoppedTaking });
    const tellState = async (deadlineMs: number): Promise<void> => {
      if (this.isPump) return;
      try {
        await follower?.tellState(deadlineMs);
      } catch (error) {
        // The leader cluster forgets a silent node after a while.
        if (!(error instanceof LinkError)) throw error;
      }
    };
    this.#states = new NodeStates(node, { clock, log, members: this.#members, tellState, stop });
  }

  /**
   * Starts to carry out the state that the meta group holds for this node. `fatal` gets the error of a broken
   * invariant.
   */
  start(fatal: (error: unknown) => void): void {
    this.#states.start(fatal);
  }

  /** Stops carrying out changes of this node's state. */
  stop(): void {
    this.#states.stop();
  }

  /** True for a node of a leader cluster, which is a Pump; a node of a follower cluster is a Drainer. */
  get isPump(): boolean {
    return (this.#node.cluster.role ?? this.#options.startedAs) === 'leader';
  }

  /** Describes, one line each, what an operator must know about this node's state. */
  problems(): string[] {
    const state = this.#node.members.state(this.#node.cluster.nodeId);
    if (state === 'online' || state === 'offline') return [];
    if (state === 'closing') return ['this node is being closed: it takes no writes, and then stops'];
    return this.isPump
      ? [
          'this node is paused: follower clusters get nothing from it until "PUT /state/NAME/resume" of its REST listener',
        ]
      : [];
  }

  // ---- reading

  /** GET /status of a Pump: the status of every Pump, and the position of the table. */
  async pumpStatus(table: string | undefined): Promise<Json> {
    try {
      const states = await this.#node.members.states(this.#call());
      const name = table ?? this.#firstTable();
      const reports = await this.#members.ask({ table: name, endsWaiting: false });
      const cluster = this.#node.reports.status();
      const pumps = cluster.members.map((member) => this.#pump(member, { cluster, states, reports }));
      pumps.sort(byNodeId);
      // Read after the members have answered, so that no member is ahead of it.
      const commitTs =
        name === undefined ? 0n : tsoOf(positionOf(await this.#node.logs.open(name, this.#call())));
      const status = Object.fromEntries(pumps.map((pump) => [pump.nodeId, pump]));
      return { status, CommitTS: commitTs, Checkpoint: {}, ErrMsg: '' };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { status: null, CommitTS: 0n, Checkpoint: {}, ErrMsg: error.message };
    }
  }

  /** GET /drainers of a Pump: every node of the follower clusters that were heard lately. */
  async drainers(table: string | undefined): Promise<Json> {
    const name = table ?? this.#firstTable();
    await this.#hearFollowers(name);
    const reports = await this.#members.ask({ table: name, endsWaiting: false });
    const log = name === undefined ? undefined : this.#node.logs.local(name);
    const followed = mergeFollowed(reports.values());
    const nodes = mergeFollowerNodes(reports.values());
    const known = new Set(nodes.map(({ clusterId }) => clusterId));
    const drainers = nodes.map((node) => {
      const position = followed.find(({ clusterId }) => clusterId === node.clusterId);
      return this.#drainer(node, position, log);
    });
    // Stock followers and those of earlier releases report a table's position, but not their nodes.
    for (const each of followed.filter(({ clusterId }) => !known.has(clusterId))) {
      const { clusterId, follower: name, lastSeenMsAgo } = each;
      const node = { clusterId, name, address: name, state: 'online', lastSeenMsAgo };
      drainers.push(this.#drainer(node, each, log));
    }
    return drainers.sort(byNodeId);
  }

  /** GET /status of a Drainer: how far it has replicated the table. Throws tableNotFound. */
  async drainerStatus(table: string | undefined): Promise<Json> {
    const follower = this.#options.follower!;
    const name = table ?? this.#firstTable();
    const position = name === undefined ? 0n : await this.#latest(name);
    const { tables, leaderAddress, isReached } = await follower.statusEverywhere();
    const status = tables.find((each) => each.name === name);
    const { leaderNodes } = follower;
    const pumps = leaderNodes?.length === 0 ? [leaderAddress] : leaderNodes?.toSorted(compareText);
    const isSynced =
      isReached &&
      (status === undefined
        ? name === undefined
        : status.state === 'replicating' && status.leaderAppliedIndex > 0 && status.lagEntries === 0);
    return {
      PumpPos: pumps === undefined ? null : Object.fromEntries(pumps.map((pump) => [pump, position])),
      Synced: isSynced,
      LastTS: position,
      TsMap: '',
    };
  }

  /**
   * GET /commit_ts: the TSO up to which this node has the table. An error of the node becomes a refusal in the answer.
   */
  async commitTs(table: string | undefined): Promise<Json> {
    try {
      const name = table ?? this.#firstTable();
      const ts = name === undefined ? 0n : await this.#latest(name);
      return { message: "get drainer's latest ts success!", code: 200, data: { ts } };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return refused(error.message);
    }
  }

  // ---- actions

  /**
   * PUT /state: changes a node's state in the meta group, whichever node is asked; the node named by `nodeId` carries
   * the change out. For a pause this waits up to 5 s until that node has paused.
   */
  async applyAction(nodeId: string, action: string): Promise<ActionAnswer> {
    const call = this.#call();
    const { members, peers } = this.#node.reports.status();
    const member = members.find((each) => idOf(each, members) === nodeId);
    const own = members.find(({ id }) => id === this.#node.cluster.nodeId)!;
    this.#options.log(agentEvents.binlogActionAsked, {
      nodeId: nodeId.slice(0, 200),
      action: action.slice(0, 200),
    });
    try {
      for (;;) {
        const states = await this.#node.members.states(call);
        const state = member && (states.get(member.id) ?? 'online');
        const judged = judgeAction({ nodeId, action, ownId: idOf(own, members), state });
        if ('code' in judged) return judged;
        const { id } = member!;
        const isReached = id === own.id || peers.some((peer) => peer.id === id && peer.isConnected);
        // A node that is down would carry out the change at its next start, when nobody expects it any more.
        if (!isReached && action !== 'resume')
          return refused(`${nodeId} does not answer: start it, or ask again when it can be reached`);
        if (id === own.id) await this.#states.begun;
        if ((await this.#node.members.changeState(id, judged, call)) !== undefined) continue;
        if (judged.to === 'pausing') await this.#untilPaused(id);
        return succeeded(action);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return refused(error.message);
    }
  }

  async #untilPaused(id: number): Promise<void> {
    const { clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + PAUSING_MS;
    while (this.#node.members.state(id) === 'pausing' && clock.monotonicMs() < deadlineMs) {
      await pause(clock, LOOK_MS, new AbortController().signal);
    }
  }

  /** GET /debug/binlog: the entry of the table's log that a TSO stands for, as text. Failures are text, too. */
  async entryAt(text: string, table: string | undefined, hasValues: boolean): Promise<string> {
    const ts = parseTs(text);
    if (ts === undefined) return `invalid parameter ts: ${text}`;
    const failed = (reason: string): string => `fail read binlog by ts: ${ts}: ${reason}`;
    if (this.#searches >= SEARCHES_MAX) return failed(errors.tooBusy().message);
    this.#searches++;
    try {
      const name = table ?? this.#firstTable();
      if (name === undefined) return failed('there is no table');
      const log = await this.#node.logs.open(name, this.#call());
      const { clock } = this.#options;
      const found = this.isPump
        ? findEntry(log, ts)
        : await findReplicated(log, ts, () => new Promise((resolve) => clock.defer(resolve)));
      if (found === undefined) return failed(`not found in the log of table ${JSON.stringify(name)}`);
      return describeEntry(found, { table: name, hasValues });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return failed(error.message);
    } finally {
      this.#searches--;
    }
  }

  /**
   * POST /debug/gc/trigger: drops this node's logs up to the entries that members, followers and the archive may still
   * need.
   */
  async collectGarbage(): Promise<string> {
    if (this.#isCollecting) return 'gc is working\n';
    this.#isCollecting = true;
    try {
      const before = this.#logSizes();
      await this.#node.maintenance.compactLogs(await this.followedUpTo());
      const freed = [...this.#logSizes()].map(
        ([name, size]) => [name, (before.get(name) ?? size) - size] as const,
      );
      const lines = freed.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name}: ${bytes} bytes`);
      const total = freed.reduce((sum, [, bytes]) => sum + Math.max(0, bytes), 0);
      return ['trigger gc success', `${total} bytes of logs were freed`, ...lines, ''].join('\n');
    } finally {
      this.#isCollecting = false;
    }
  }

  /**
   * Returns, by table, the least index that any member lately heard a follower to have applied: that follower may ask
   * another member next. A member that does not answer within a second is left out.
   */
  async followedUpTo(): Promise<ReadonlyMap<string, number>> {
    return leastFollowed((await this.#members.ask({ table: undefined, endsWaiting: false })).values());
  }

  // ----

  /** Makes followers report their positions again. Those of an idle table may have reported half a minute ago. */
  async #hearFollowers(table: string | undefined): Promise<void> {
    const { clock } = this.#options;
    if (clock.monotonicMs() - this.#hearingMs < HEARING_INTERVAL_MS) return;
    this.#hearingMs = clock.monotonicMs();
    await this.#members.ask({ table, endsWaiting: true });
    await pause(clock, HEARING_MS, new AbortController().signal);
  }

  #logSizes(): Map<string, number> {
    return new Map(this.#node.reports.status().tables.map(({ name, logSizeBytes }) => [name, logSizeBytes]));
  }

  #call(): { deadlineMs: number } {
    return { deadlineMs: this.#options.clock.monotonicMs() + CALL_MS };
  }

  /** The name of the first table; undefined when there is none. */
  #firstTable(): string | undefined {
    return this.#node.reports.status().tables[0]?.name;
  }

  #pump(
    member: MemberInfo,
    {
      cluster,
      states,
      reports,
    }: {
      readonly cluster: NodeStatus;
      readonly states: ReadonlyMap<number, MemberState>;
      readonly reports: ReadonlyMap<number, MemberReport>;
    },
  ): NodeObject {
    const { clock } = this.#options;
    const report = reports.get(member.id);
    // The position of a member that does not answer is unknown: only some nodes may have heard it.
    const position = report?.position;
    const peer = cluster.peers.find(({ id }) => id === member.id);
    const heardMs = report?.nowMs ?? Math.floor(clock.nowMs() - (peer?.silentMs ?? 0));
    return {
      nodeId: idOf(member, cluster.members),
      host: member.restAddress ?? '',
      state: states.get(member.id) ?? 'online',
      isAlive: report !== undefined,
      score: 0,
      label: null,
      maxCommitTS: position === undefined ? 0n : tsoOf(position),
      updateTS: tsoOf({ index: 0, timeMs: heardMs }),
    };
  }

  #drainer(
    { name, address, state, lastSeenMsAgo }: FollowerNodeSighting,
    followed: FollowedTable | undefined,
    log: TableLog | undefined,
  ): NodeObject {
    const index = followed?.appliedIndex ?? 0;
    const timeMs = log === undefined || index === 0 ? undefined : timeAt(log, index);
    const heardMs = Math.floor(this.#options.clock.nowMs() - lastSeenMsAgo);
    return {
      nodeId: name,
      host: address,
      state,
      isAlive: state !== 'offline' && lastSeenMsAgo < ALIVE_MS,
      score: 0,
      label: null,
      maxCommitTS: timeMs === undefined ? 0n : tsoOf({ index, timeMs }),
      updateTS: tsoOf({ index: 0, timeMs: heardMs }),
    };
  }

  /** The TSO up to which this node has the table. Throws tableNotFound. */
  async #latest(name: string): Promise<bigint> {
    if (this.isPump) return tsoOf(positionOf(await this.#node.logs.open(name, this.#call())));
    const log = this.#node.logs.local(name) ?? (await this.#node.logs.open(name, this.#call()));
    const { index, timeMs } = replicaPositionOf(log);
    if (timeMs !== undefined) return tsoOf({ index, timeMs });
    // A stock leader cluster sends no times, so the time at which the entry arrived here stands in.
    const isStock = this.#node.cluster.leaderClusterId === '';
    const timeMsOfEntry = isStock ? log.table.lastTimeMs : await this.#timeOf(name, index);
    // 0 when the time is unknown: with a later one, a client would take entries for applied that are not.
    return timeMsOfEntry === undefined ? 0n : tsoOf({ index, timeMs: timeMsOfEntry });
  }

  async #timeOf(table: string, index: number): Promise<number | undefined> {
    const { clock, follower } = this.#options;
    try {
      return await follower!.timeOf(table, index, clock.monotonicMs() + LEADER_MS);
    } catch (error) {
      if (error instanceof LinkError) return undefined;
      throw error;
    }
  }
}

/** A member's name, with its number appended when another member has the same name. */
function idOf({ id, name }: MemberInfo, members: readonly MemberInfo[]): string {
  const isAlone = members.every((other) => other.id === id || other.name !== name);
  return isAlone ? name : `${name}-${id}`;
}

function byNodeId(a: { readonly nodeId: string }, b: { readonly nodeId: string }): number {
  return compareText(a.nodeId, b.nodeId);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
