import type { Node, Readiness } from '@coxswain/node';
import type { Follower } from '@coxswain/replication';
import type { Method } from '../grpc/call.js';

/** Returns whether a node can serve its clients from its own data, and the conditions that keep it from that. */
export function readinessOf(node: Node, follower: Follower | undefined): Readiness {
  const { isReady, conditions } = withArchive(
    withReplication(node.reports.readiness(), node, follower),
    node,
  );
  const isUnderCloning = node.maintenance.clone.unfinished !== undefined;
  return { isReady: isReady && !isUnderCloning, conditions: { ...conditions, isUnderCloning } };
}

/**
 * Adds the conditions that moco-agent's health has for a follower cluster (docs/operations-protocols.md §2). A table
 * that cannot be applied makes the node not ready; a leader cluster that is away does not, since local reads continue.
 */
function withReplication(readiness: Readiness, node: Node, follower: Follower | undefined): Readiness {
  if (follower === undefined || node.cluster.role !== 'follower') return readiness;
  const hasIOThreadError = follower.status().isBroken;
  const hasSQLThreadError = node.reports.status().tables.some(({ error }) => error !== undefined);
  return {
    isReady: readiness.isReady && !hasSQLThreadError,
    conditions: { ...readiness.conditions, hasIOThreadError, hasSQLThreadError },
  };
}

/**
 * Returns ready when the node is, and on a follower cluster only if it also reaches its leader cluster and replicates
 * all of its own tables.
 */
export function keepingUp(readiness: Readiness, node: Node, follower: Follower | undefined): Readiness {
  if (follower === undefined || node.cluster.role !== 'follower') return readiness;
  const { isBroken, isReached, isFailing } = follower.status();
  const isReplicationPaused = node.members.isReplicationPaused;
  return {
    isReady: readiness.isReady && !isBroken && isReached && !isFailing && !isReplicationPaused,
    conditions: {
      ...readiness.conditions,
      isLeaderClusterOutOfReach: !isReached,
      isReplicationFailing: isFailing,
      isReplicationPaused,
    },
  };
}

/**
 * Adds the archive's condition. A node that refuses writes is not ready, whatever the reason
 * (docs/operations-protocols.md §2).
 */
function withArchive({ isReady, conditions }: Readiness, node: Node): Readiness {
  const isArchiveFull = node.maintenance.archiveBacklog().refusesWrites;
  return { isReady: isReady && !isArchiveFull, conditions: { ...conditions, isArchiveFull } };
}

/**
 * Returns the problems of a clone. Until it has succeeded or was forgotten, the cluster serves nobody, whatever else is
 * well.
 */
export function cloneProblems({
  maintenance: {
    clone: { unfinished, isRunning },
  },
}: Node): string[] {
  if (unfinished === undefined) return [];
  const { donor, error } = unfinished;
  if (error === null && isRunning) {
    return [
      `the clone of ${donor} is under way: no node is ready, and writes are refused, until all tables have come`,
    ];
  }
  return [`the clone of ${donor} has failed: ${error ?? 'its node is gone'}`];
}

/** Returns the services of some methods, by name, and whether each can only answer when the node is ready. */
export function servicesOf(
  needReadiness: readonly Method[],
  always: readonly Method[],
): Map<string, { needsReadiness: boolean }> {
  const services = new Map<string, { needsReadiness: boolean }>();
  const add = (methods: readonly Method[], needsReadiness: boolean): void => {
    for (const { definition } of methods) services.set(definition.path.split('/')[1]!, { needsReadiness });
  };
  add(needReadiness, true);
  add(always, false);
  return services;
}
