import type { FollowedTable, MemberReport } from './member-report.js';
import { mergeFollowed, mergeFollowerNodes } from './members.js';

/** A follower, and a table of which it lacks entries that the node must hand over before it closes. */
export interface Missing {
  readonly follower: string;
  readonly table: string;
}

/**
 * Finds a follower that has not applied all of `targets`, which holds by table the index that each must reach;
 * undefined when none is missing anything. Every follower cluster that was heard lately must take every table. A
 * cluster of which all nodes are offline is left out. A follower that names no cluster must take only the tables that
 * it asked for.
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

/** Returns the ids of the follower clusters that are not offline, each with the name of one of its nodes. */
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
