import type { NodeParts } from '@coxswain/node';
import type { Follower, LeaderReplication, TableReplication } from '@coxswain/replication';
import type { MetricJson } from './grpc-metrics.js';

/**
 * The most pairs of table and follower that are shown, so that callers cannot make metrics without end by their names.
 */
const FOLLOWERS_MAX = 1_000;

/** Describes replication between clusters for Prometheus, with Regatta's own names where there are any. */
export function describeReplication(
  node: Pick<NodeParts, 'cluster' | 'reports'>,
  leader: LeaderReplication,
  follower: Follower | undefined,
): MetricJson[] {
  return node.cluster.role === 'follower' && follower !== undefined
    ? describeFollower(follower)
    : describeLeader(node, leader);
}

function describeFollower(follower: Follower): MetricJson[] {
  const { tables, isBroken, isReached, commandsApplied, bytesReceived, snapshotsTaken } = follower.status();
  const isHere = ({ state }: TableReplication): boolean => state !== 'elsewhere' && state !== 'paused';
  const replicated = tables.filter(isHere);
  const perTable = (
    name: string,
    help: string,
    value: (table: (typeof tables)[number]) => number,
  ): MetricJson => ({
    name,
    help,
    type: 'gauge',
    values: replicated.map((table) => ({ labels: { table: table.name }, value: value(table) })),
  });
  const counter = (name: string, help: string, value: number): MetricJson => ({
    name,
    help,
    type: 'counter',
    values: [{ labels: {}, value }],
  });
  return [
    {
      name: 'regatta_replication_index',
      help: 'Index of the last entry of the leader cluster that is applied there (role leader) and here (role follower).',
      type: 'gauge',
      values: [
        ...replicated.map((table) => ({
          labels: { role: 'leader', table: table.name },
          value: table.leaderAppliedIndex,
        })),
        ...tables.map((table) => ({
          labels: { role: 'follower', table: table.name },
          value: table.leaderIndex,
        })),
      ],
    },
    {
      name: 'regatta_replication_leased',
      help: '1 while this node replicates the table from the leader cluster, else 0.',
      type: 'gauge',
      values: tables.map((table) => ({ labels: { table: table.name }, value: Number(isHere(table)) })),
    },
    perTable(
      'coxswain_replication_lag_entries',
      'Entries of the leader cluster that this node knows to be missing here, of a table that it replicates.',
      (table) => table.lagEntries,
    ),
    perTable(
      'coxswain_replication_lag_seconds',
      'Seconds by which the table may be out of date here, also while the leader cluster is out of reach or gives nothing of it; 0 when nothing is known to be missing.',
      (table) => table.lagMs / 1000,
    ),
    perTable(
      'coxswain_replication_stopped',
      '1 while the replication of the table is stopped until a reset, else 0.',
      (table) => Number(table.state === 'stopped'),
    ),
    {
      name: 'coxswain_replication_broken',
      help: '1 while somebody must act, or while nothing has come from the leader cluster, or of a table, for too long (replication.log-rpc-timeout); else 0.',
      type: 'gauge',
      values: [{ labels: {}, value: Number(isBroken) }],
    },
    {
      name: 'coxswain_replication_leader_reached',
      help: '1 if the last attempt to reach the leader cluster succeeded, else 0.',
      type: 'gauge',
      values: [{ labels: {}, value: Number(isReached) }],
    },
    counter(
      'coxswain_replication_commands_total',
      'Commands of the leader cluster that this node applied.',
      commandsApplied,
    ),
    counter(
      'coxswain_replication_received_bytes_total',
      'Bytes that this node received from the leader cluster.',
      bytesReceived,
    ),
    counter(
      'coxswain_replication_snapshots_total',
      'Tables that this node copied anew from the leader cluster.',
      snapshotsTaken,
    ),
  ];
}

function describeLeader(node: Pick<NodeParts, 'reports'>, leader: LeaderReplication): MetricJson[] {
  return [
    {
      name: 'regatta_replication_index',
      help: 'Index of the last entry that this node has applied to the table.',
      type: 'gauge',
      values: node.reports.status().tables.map(({ name, appliedIndex }) => ({
        labels: { role: 'leader', table: name },
        value: appliedIndex,
      })),
    },
    {
      name: 'coxswain_follower_lag_entries',
      help: 'Entries of the table that a follower cluster lacked when it asked this node last.',
      type: 'gauge',
      values: leader
        .followers()
        .slice(0, FOLLOWERS_MAX)
        .map(({ table, follower, lagEntries }) => ({ labels: { table, follower }, value: lagEntries })),
    },
  ];
}
