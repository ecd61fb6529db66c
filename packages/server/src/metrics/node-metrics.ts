import type { NodeParts, Readiness, TableStatus } from '@coxswain/node';
import type { Histogram } from '@coxswain/runtime';
import type { MetricJson, MetricValue } from './grpc-metrics.js';
import { histogram } from './histogram.js';

type Values = MetricJson['values'];
type Labels = MetricValue['labels'];

/** A sync of the write-ahead log is slow, and logged, when it takes longer than this. It is a bound of the histogram. */
const SLOW_SYNC_SECONDS = 1;

/**
 * Describes a node's metrics for Prometheus: `coxswain_*`, and Regatta's own names that dashboards read. `readiness` is
 * the answer of /readyz.
 */
export function describeNodeMetrics(
  node: Pick<NodeParts, 'reports'>,
  version: string,
  { isReady }: Readiness,
): MetricJson[] {
  const { proposals, reads, ...metrics } = node.reports.metrics();
  const { tables, meta, isDiskFull, peers } = node.reports.status();
  const groups = (meta ? [meta, ...tables] : tables).map((group) => ({
    group,
    labels: { shard_id: group.shardId, table: group.name },
  }));
  const perGroup = (value: (group: TableStatus) => number): Values => ({
    *[Symbol.iterator]() {
      for (const { group, labels } of groups) yield { labels, value: value(group) };
    },
  });
  const one = (value: number, labels: Labels = {}): Values => [{ labels, value }];
  const counter = (name: string, help: string, values: Values): MetricJson => ({
    name,
    help,
    type: 'counter',
    values,
  });
  const gauge = (name: string, help: string, values: Values): MetricJson => ({
    name,
    help,
    type: 'gauge',
    values,
  });

  return [
    gauge('coxswain_build_info', 'Always 1; the label has the version that runs.', one(1, { version })),
    gauge('coxswain_ready', '1 while the node is ready, as /readyz says, else 0.', one(Number(isReady))),
    gauge(
      'coxswain_disk_full',
      '1 while the node refuses writes because a disk is full, or nearly, else 0.',
      one(Number(isDiskFull)),
    ),
    gauge(
      'coxswain_peer_connected',
      '1 while the connection to the other member is up, else 0.',
      peers.map(({ id, isConnected }) => ({ labels: { peer: id }, value: Number(isConnected) })),
    ),
    gauge('coxswain_members', 'Members of the cluster, this node included.', one(peers.length + 1)),
    gauge(
      'coxswain_members_heard',
      'Members that this node heard within an election timeout, itself included. It reaches a quorum while these are more than half of coxswain_members.',
      one(1 + peers.filter(({ isHeard }) => isHeard).length),
    ),
    gauge(
      'coxswain_has_leader',
      '1 while this node knows a leader of the Raft group, else 0.',
      perGroup((group) => Number(group.leader !== 0)),
    ),
    gauge(
      'coxswain_is_leader',
      '1 while this node leads the Raft group, else 0.',
      perGroup((group) => Number(group.role === 'leader')),
    ),
    gauge(
      'coxswain_raft_term',
      'Term of the Raft group, as this node knows it.',
      perGroup((group) => group.term),
    ),
    gauge(
      'coxswain_last_index',
      "Index of the last entry in this node's log of the Raft group.",
      perGroup((group) => group.lastIndex),
    ),
    gauge(
      'coxswain_commit_index',
      'Index of the last entry of the Raft group that this node knows as committed.',
      perGroup((group) => group.commitIndex),
    ),
    gauge(
      'regatta_applied_index',
      'Index of the last entry that this node has applied to the table.',
      perGroup((group) => group.appliedIndex),
    ),
    gauge(
      'coxswain_revision',
      'Revision of the last write that this node has applied to the table.',
      perGroup((group) => group.revision),
    ),
    gauge(
      'coxswain_log_size_bytes',
      'Bytes that the entries of the Raft group take in the write-ahead log.',
      perGroup((group) => group.logSizeBytes),
    ),
    gauge(
      'coxswain_table_size_bytes',
      'Bytes that the table takes on disk, about.',
      perGroup((group) => group.dbSizeBytes),
    ),
    gauge(
      'regatta_table_storage_disk_usage_bytes',
      'As coxswain_table_size_bytes.',
      perGroup((group) => group.dbSizeBytes),
    ),
    gauge(
      'coxswain_group_failed',
      '1 after this replica has stopped serving because of an error, else 0.',
      perGroup((group) => Number(group.error !== undefined)),
    ),
    counter(
      'coxswain_leader_changes_total',
      'Changes of the leader of a Raft group that this node saw.',
      one(metrics.leaderChanges),
    ),
    counter(
      'coxswain_proposals_appended_total',
      'Proposals of this node that were appended to a log.',
      one(proposals.appended),
    ),
    counter(
      'coxswain_proposals_applied_total',
      'Proposals of this node that were applied.',
      one(proposals.applied),
    ),
    counter(
      'coxswain_proposals_refused_total',
      'Proposals of this node that were certainly not appended.',
      one(proposals.refused),
    ),
    counter(
      'coxswain_proposals_outcome_unknown_total',
      'Proposals of this node that may or may not have been applied.',
      one(proposals.outcomeUnknown),
    ),
    gauge(
      'coxswain_proposals_pending',
      'Proposals of this node that wait for their outcome now.',
      one(proposals.pending),
    ),
    counter(
      'coxswain_reads_total',
      'Reads that this node was asked for, by kind: linearizable or serializable.',
      [
        { labels: { kind: 'linearizable' }, value: reads.linearizable },
        { labels: { kind: 'serializable' }, value: reads.serializable },
      ],
    ),
    counter(
      'coxswain_read_index_rounds_total',
      'Rounds of messages with a quorum that this node made for linearizable reads.',
      one(reads.readIndexRounds),
    ),
    counter('coxswain_wal_syncs_total', 'Syncs of the write-ahead log to disk.', one(metrics.walSyncs)),
    counter(
      'coxswain_wal_written_bytes_total',
      'Bytes that were written to the write-ahead log.',
      one(metrics.walBytes),
    ),
    histogram('coxswain_wal_sync_seconds', 'Seconds that a sync of the write-ahead log took.', [
      { labels: {}, histogram: metrics.walSyncSeconds },
    ]),
    counter(
      'coxswain_wal_slow_syncs_total',
      'Syncs of the write-ahead log that took longer than 1 s.',
      one(countAbove(metrics.walSyncSeconds, SLOW_SYNC_SECONDS)),
    ),
    histogram(
      'coxswain_write_stage_seconds',
      'Seconds that a write which this node proposed spent in a stage; one stage begins where the one before it ends.',
      Object.entries<Histogram>({ ...metrics.writeStages }).map(([stage, stageSeconds]) => ({
        labels: { stage },
        histogram: stageSeconds,
      })),
    ),
    counter(
      'coxswain_snapshots_sent_total',
      'Snapshots of tables that this node sent to other members.',
      one(metrics.snapshotsSent),
    ),
    counter(
      'coxswain_snapshots_received_total',
      'Snapshots of tables that this node received from other members.',
      one(metrics.snapshotsReceived),
    ),
    gauge(
      'coxswain_clock_ahead_seconds',
      "Seconds by which the clock of this node is ahead of the other members' clocks; negative: behind.",
      one(metrics.clock.aheadSeconds),
    ),
    counter(
      'coxswain_clock_jumps_total',
      'Times that the clock of this node was so far ahead that it was not believed.',
      one(metrics.clock.jumps),
    ),
    gauge(
      'coxswain_clock_last_jump_seconds',
      'Seconds by which the clock was ahead when coxswain_clock_jumps_total grew last.',
      one(metrics.clock.lastJumpSeconds),
    ),
    counter(
      'coxswain_peer_sent_bytes_total',
      'Bytes that this node sent to other members.',
      one(metrics.peerBytesSent),
    ),
    counter(
      'coxswain_peer_received_bytes_total',
      'Bytes that this node received from other members.',
      one(metrics.peerBytesReceived),
    ),
  ];
}

/** The number of values above a bound of the histogram. */
function countAbove({ bounds, counts }: Histogram, bound: number): number {
  return counts.at(-1)! - (counts[bounds.indexOf(bound)] ?? 0);
}
