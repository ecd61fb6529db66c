import type { FollowedTable, MemberReport } from './member-report.js';
import { mergeFollowed, mergeFollowerNodes } from './members.js';

/** A follower that lacks something of what a node that is closed must have given. */
export interface Missing {
  readonly follower: string;
  readonly table: string;
}

/**
 * What followers lack of `targets`, the index by table that each of them must have. Every follower cluster that was heard
 * lately takes every table; one of which all nodes are offline takes nothing any more. A follower that names no cluster
 * takes the tables that it asked for.
 */
export function missingOf(
  targets: ReadonlyMap<string, number>,
  reports: Iterable<MemberReport>,
): Missing | undefined {
  const all = [...reports];
  const followed = mergeFollowed(all);
  for (const { table, follower, clusterId, appliedIndex } of followed) {
    if (clusterId === '' && appliedIndex < (targets.get(table) ?? 0)) return { follower, table };
  }
  for (const [clusterId, follower] of livingClusters(all, followed)) {
    const has = new Map(
      followed.filter((each) => each.clusterId === clusterId).map((each) => [each.table, each.appliedIndex]),
    );
    for (const [table, target] of targets) {
      if ((has.get(table) ?? -1) < target) return { follower, table };
    }
  }
  return undefined;
}

/** The ids of follower clusters that are there, with the name of a node of each. */
function livingClusters(
  reports: readonly MemberReport[],
  followed: readonly FollowedTable[],
): ReadonlyMap<string, string> {
  const nodes = mergeFollowerNodes(reports);
  const living = new Map<string, string>();
  for (const { clusterId, follower } of followed) if (clusterId !== '') living.set(clusterId, follower);
  const offline = new Set(nodes.filter(({ state }) => state === 'offline').map(({ clusterId }) => clusterId));
  for (const clusterId of offline) living.delete(clusterId);
  for (const { clusterId, name, state } of nodes) if (state !== 'offline') living.set(clusterId, name);
  return living;
}
