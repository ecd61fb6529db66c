import type { Node, Readiness } from '@coxswain/node';
import type { Follower } from '@coxswain/replication';
import type { Method } from '../grpc/call.js';

/** Says whether a node serves its clients from what it has, and if not, why. */
export function readinessOf(node: Node, follower: Follower | undefined): Readiness {
  const { isReady, conditions } = withArchive(
    withReplication(node.reports.readiness(), node, follower),
    node,
  );
  const isUnderCloning = node.maintenance.clone.unfinished !== undefined;
  return { isReady: isReady && !isUnderCloning, conditions: { ...conditions, isUnderCloning } };
}

/**
 * Adds what moco-agent's health asks of a follower cluster (docs/operations-protocols.md §2). A table that cannot be applied
 * does not serve either; a leader cluster that is away leaves the node ready, since local reads go on.
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

/** Ready where the node is, and on a follower cluster also reaches its leader cluster and replicates every table of its own. */
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

/** Who refuses writes is not ready, whatever the reason (docs/operations-protocols.md §2). */
function withArchive({ isReady, conditions }: Readiness, node: Node): Readiness {
  const isArchiveFull = node.maintenance.archiveBacklog().refusesWrites;
  return { isReady: isReady && !isArchiveFull, conditions: { ...conditions, isArchiveFull } };
}

/** Until a clone has succeeded or was forgotten the cluster serves nobody, whatever else is well. */
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

/** Gives the services of these methods, by name, and whether each can answer only when the node is ready. */
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
