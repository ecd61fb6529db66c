import type { NodeParts } from '@coxswain/node';
import type { FollowerNodeSighting, LeaderReplication } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import {
  decodeQuestion,
  decodeReport,
  encodeQuestion,
  encodeReport,
  type FollowedTable,
  type MemberReport,
  REPORT_TOPIC,
  type ReportQuestion,
} from './member-report.js';
import { positionOf } from './positions.js';

/** Milliseconds within which the other members must answer. */
const ASK_MS = 1_000;

/** The parts of the node that reports use. */
export type ReportingNode = Pick<NodeParts, 'cluster' | 'logs' | 'members'>;

/** The parts of the process whose state the reports describe. */
export interface MembersOptions {
  readonly clock: Clock;
  readonly leader: Pick<LeaderReplication, 'followers' | 'followerNodes' | 'endWaiting' | 'isSending'>;
  /**
   * On a follower cluster: true when this node has stopped taking entries from the leader cluster because a member is
   * to be paused.
   */
  readonly hasStoppedTaking: () => boolean;
}

/**
 * Exchanges reports among the members of this cluster: about themselves and about the followers that each has heard.
 */
export class Members {
  readonly #node: ReportingNode;
  readonly #options: MembersOptions;

  constructor(node: ReportingNode, options: MembersOptions) {
    this.#node = node;
    this.#options = options;
    node.cluster.answerMembers(REPORT_TOPIC, (bytes) => {
      const question = decodeQuestion(bytes);
      return question === undefined ? Buffer.alloc(0) : encodeReport(this.#report(question));
    });
  }

  /** Returns by node id the reports of this node and of every other one that answers within a second. */
  async ask(question: ReportQuestion): Promise<ReadonlyMap<number, MemberReport>> {
    const answers = await this.#node.cluster.askMembers(REPORT_TOPIC, encodeQuestion(question), ASK_MS);
    const reports = new Map([[this.#node.cluster.nodeId, this.#report(question)]]);
    for (const [id, answer] of answers) {
      const report = decodeReport(answer);
      if (report !== undefined) reports.set(id, report);
    }
    return reports;
  }

  #report({ table, endsWaiting }: ReportQuestion): MemberReport {
    const { clock, leader, hasStoppedTaking } = this.#options;
    const isLeaderCluster = this.#node.cluster.role === 'leader';
    if (endsWaiting) leader.endWaiting();
    const log = table === undefined ? undefined : this.#node.logs.local(table);
    const followed = leader.followers().filter((each) => table === undefined || each.table === table);
    return {
      isQuiet: isLeaderCluster ? this.#node.members.isLogPaused && !leader.isSending : hasStoppedTaking(),
      nowMs: Math.floor(clock.nowMs()),
      position: isLeaderCluster && log !== undefined ? positionOf(log) : undefined,
      followed: followed.map(({ table, follower, clusterId, appliedIndex, lastSeenMsAgo }) => ({
        ...{ table, follower, clusterId, appliedIndex, lastSeenMsAgo },
      })),
      followerNodes: leader.followerNodes(),
    };
  }
}

/** Returns for each node of a follower cluster the latest sighting that any member reported. */
export function mergeFollowerNodes(reports: Iterable<MemberReport>): FollowerNodeSighting[] {
  return latest(reports, 'followerNodes', ({ clusterId, name }) => `${clusterId}\0${name}`);
}

/**
 * Returns, for each table, the position of each follower cluster and of each follower that names no cluster: the latest
 * that any member heard.
 */
export function mergeFollowed(reports: Iterable<MemberReport>): FollowedTable[] {
  return latest(reports, 'followed', ({ table, clusterId, follower }) =>
    clusterId === '' ? `${table}\0\0${follower}` : `${table}\0${clusterId}`,
  );
}

/**
 * Returns by table the least index that any member reports for any follower. An older report counts even when another
 * member has heard the same follower further on.
 */
export function leastFollowed(reports: Iterable<MemberReport>): ReadonlyMap<string, number> {
  const least = new Map<string, number>();
  for (const { followed } of reports) {
    for (const { table, appliedIndex } of followed) {
      least.set(table, Math.min(appliedIndex, least.get(table) ?? appliedIndex));
    }
  }
  return least;
}

function latest<Kind extends 'followed' | 'followerNodes'>(
  reports: Iterable<MemberReport>,
  kind: Kind,
  keyOf: (sighting: MemberReport[Kind][number]) => string,
): MemberReport[Kind][number][] {
  const found = new Map<string, MemberReport[Kind][number]>();
  for (const report of reports) {
    for (const sighting of report[kind]) {
      const key = keyOf(sighting);
      const known = found.get(key);
      if (known === undefined || sighting.lastSeenMsAgo < known.lastSeenMsAgo) found.set(key, sighting);
    }
  }
  return [...found.values()];
}
