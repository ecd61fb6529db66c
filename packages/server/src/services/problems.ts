import { type ArchiveStatus, type TableArchiveStatus, tableWarnings } from '@coxswain/archive';
import { describeShortage, errors, type NodeStatus, type TableStatus } from '@coxswain/node';
import type { ReplicationStatus, TableReplication } from '@coxswain/replication';

/** What problems are read from. */
interface ProblemSources {
  readonly status: NodeStatus;
  /** Undefined on a leader cluster. */
  readonly replication: ReplicationStatus | undefined;
  /** Undefined where no archive is configured. */
  readonly archive: ArchiveStatus | undefined;
  /** Further ones, as they are. */
  readonly others: readonly string[];
}

/** What is wrong with a node apart from its tables, in whole sentences for operators. */
export function nodeProblems({ status, replication, archive, others }: ProblemSources): string[] {
  const problems: string[] = [];
  const { isDiskFull, diskShortage } = status;
  if (isDiskFull) {
    const which = diskShortage === undefined ? 'the disk is full' : describeShortage(diskShortage);
    problems.push(`${which}: writes are refused until there is room`);
  }
  problems.push(...clusterProblems(status));
  if (replication?.error !== undefined) problems.push(`replication: ${replication.error}`);
  for (const warning of archive?.warnings ?? []) problems.push(`archive: ${warning}`);
  problems.push(...others);
  return problems;
}

/** Why the node knows no cluster, or why its cluster makes no tables. */
function clusterProblems({ clusterId, role, meta, members, peers }: NodeStatus): string[] {
  if (clusterId === undefined) {
    const answering = 1 + peers.filter(({ isConnected }) => isConnected).length;
    return [errors.notFormed(answering, members.length).message];
  }
  const problems = meta ? replicaProblems(meta) : [];
  if (role === undefined && problems.length === 0) problems.push('nothing of it is applied here yet');
  return problems.map((problem) => `the meta group: ${problem}`);
}

/** Why a replica does not serve, or why its group takes no writes. */
function replicaProblems({ error, leaderless }: TableStatus): string[] {
  const problems = error === undefined ? [] : [error];
  if (leaderless !== undefined) problems.push(`no leader: ${leaderless.reason}`);
  return problems;
}

/** All that is wrong with a table on this node; each text names it. */
export function tableProblems(
  table: TableStatus,
  replication: TableReplication | undefined,
  archive: TableArchiveStatus | undefined,
): string[] {
  const problems = replicaProblems(table).map((problem) => `table '${table.name}': ${problem}`);
  if (replication?.error !== undefined) {
    problems.push(`replication of table '${table.name}': ${replication.error}`);
  }
  for (const warning of archive ? tableWarnings(archive) : []) problems.push(`archive: ${warning}`);
  return problems;
}
