import type { NodeMetrics, NodeStatus, TableStatus } from '@coxswain/node';
import type { MetricJson, MetricValue } from './grpc-metrics.js';
import { histogram } from './histogram.js';

/**
 * Describes figures of the node under the names that etcd and Regatta have for them, so that their dashboards and
 * alerts work here. A name is here only where the figure means the same. etcd has one Raft group, and these are of all
 * groups of the node together: has_leader is 1 when every group has one, and is_leader is of the meta group.
 */
export function describeCompatible(
  { tables, meta }: NodeStatus,
  { proposals, leaderChanges, walSyncSeconds }: NodeMetrics,
  version: string,
): MetricJson[] {
  const groups = meta ? [meta, ...tables] : tables;
  const total = (of: readonly TableStatus[], value: (group: TableStatus) => number): number =>
    of.reduce((sum, group) => sum + value(group), 0);
  const gauge = (
    name: string,
    help: string,
    value: number,
    labels: MetricValue['labels'] = {},
  ): MetricJson => ({
    name,
    help,
    type: 'gauge',
    values: [{ labels, value }],
  });
  const counter = (name: string, help: string, value: number): MetricJson => ({
    name,
    help,
    type: 'counter',
    values: [{ labels: {}, value }],
  });
  const hasLeader = meta !== undefined && groups.every(({ leader }) => leader !== 0);
  return [
    gauge(
      'etcd_server_has_leader',
      '1 while this node knows a leader of every Raft group that it has, else 0.',
      Number(hasLeader),
    ),
    gauge(
      'etcd_server_is_leader',
      '1 while this node leads the meta group, else 0.',
      Number(meta?.role === 'leader'),
    ),
    counter('etcd_server_leader_changes_seen_total', 'As coxswain_leader_changes_total.', leaderChanges),
    gauge(
      'etcd_server_proposals_committed_total',
      'Sum of coxswain_commit_index over all groups. A gauge, as in etcd: it falls when a table is deleted.',
      total(groups, ({ commitIndex }) => commitIndex),
    ),
    gauge(
      'etcd_server_proposals_applied_total',
      'Sum of regatta_applied_index over all groups. A gauge, as in etcd: it falls when a table is deleted.',
      total(groups, ({ appliedIndex }) => appliedIndex),
    ),
    gauge('etcd_server_proposals_pending', 'As coxswain_proposals_pending.', proposals.pending),
    counter(
      'etcd_server_proposals_failed_total',
      'Sum of coxswain_proposals_refused_total and coxswain_proposals_outcome_unknown_total.',
      proposals.refused + proposals.outcomeUnknown,
    ),
    gauge('etcd_server_version', 'As coxswain_build_info.', 1, { server_version: version }),
    histogram('etcd_disk_wal_fsync_duration_seconds', 'As coxswain_wal_sync_seconds.', [
      { labels: {}, histogram: walSyncSeconds },
    ]),
    gauge(
      'etcd_mvcc_db_total_size_in_bytes',
      'Sum of coxswain_table_size_bytes over all groups.',
      total(groups, ({ dbSizeBytes }) => dbSizeBytes),
    ),
  ];
}
