import type { NodeParts, Readiness } from '@coxswain/node';
import type { Histogram } from '@coxswain/runtime';
import type { MetricJson } from './grpc-metrics.js';

type Values = MetricJson['values'];
type Labels = Record<string, string | number>;

/**
 * A node's metrics for Prometheus: `coxswain_*`, and Regatta's own names that dashboards read. `readiness` is what
 * /readyz answers.
 */
export function describeNodeMetrics(
  node: Pick<NodeParts, 'reports'>,
  version: string,
  { isReady }: Readiness,
): MetricJson[] {
  const { proposals, reads, ...metrics } = node.reports.metrics();
  const { tables, meta, isDiskFull, peers } = node.reports.status();
  const groups = meta ? [meta, ...tables] : tables;
  const perGroup = (value: (group: (typeof groups)[number]) => number): Values =>
    groups.map((group) => ({
      labels: { shard_id: group.shardId, table: group.name },
      value: value(group),
    }));
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
    gauge('coxswain_build_info', 'What runs here; always 1.', one(1, { version })),
    gauge('coxswain_ready', 'Whether the node is ready, as /readyz says.', one(Number(isReady))),
    gauge('coxswain_disk_full', 'Whether writes are refused for want of room.', one(Number(isDiskFull))),
    gauge(
      'coxswain_peer_connected',
      'Whether the connection to a member is up.',
      peers.map(({ id, isConnected }) => ({ labels: { peer: id }, value: Number(isConnected) })),
    ),
    gauge(
      'coxswain_has_leader',
      'Whether the group knows its leader.',
      perGroup((group) => Number(group.leader !== 0)),
    ),
    gauge(
      'coxswain_is_leader',
      'Whether this node leads the group.',
      perGroup((group) => Number(group.role === 'leader')),
    ),
    gauge(
      'coxswain_raft_term',
      "The group's term.",
      perGroup((group) => group.term),
    ),
    gauge(
      'coxswain_last_index',
      "The last index of the group's log.",
      perGroup((group) => group.lastIndex),
    ),
    gauge(
      'coxswain_commit_index',
      'The last index that is committed.',
      perGroup((group) => group.commitIndex),
    ),
    gauge(
      'regatta_applied_index',
      'The last index that is applied.',
      perGroup((group) => group.appliedIndex),
    ),
    gauge(
      'coxswain_revision',
      'The revision of the last write.',
      perGroup((group) => group.revision),
    ),
    gauge(
      'coxswain_log_size_bytes',
      "Bytes of the group's log.",
      perGroup((group) => group.logSizeBytes),
    ),
    gauge(
      'coxswain_table_size_bytes',
      'Bytes of the table on disk, about.',
      perGroup((group) => group.dbSizeBytes),
    ),
    gauge(
      'coxswain_group_failed',
      'Whether this replica has stopped serving.',
      perGroup((group) => Number(group.error !== undefined)),
    ),
    counter('coxswain_leader_changes_total', 'Changes of leader seen.', one(metrics.leaderChanges)),
    counter('coxswain_proposals_appended_total', 'Proposals appended to a log.', one(proposals.appended)),
    counter('coxswain_proposals_applied_total', 'Proposals applied.', one(proposals.applied)),
    counter(
      'coxswain_proposals_refused_total',
      'Proposals that were certainly not appended.',
      one(proposals.refused),
    ),
    counter(
      'coxswain_proposals_outcome_unknown_total',
      'Proposals that may have been applied.',
      one(proposals.outcomeUnknown),
    ),
    gauge('coxswain_proposals_pending', 'Proposals that wait for an answer.', one(proposals.pending)),
    counter('coxswain_reads_total', 'Reads, by kind.', [
      { labels: { kind: 'linearizable' }, value: reads.linearizable },
      { labels: { kind: 'serializable' }, value: reads.serializable },
    ]),
    counter(
      'coxswain_read_index_rounds_total',
      'Rounds with a quorum for linearizable reads.',
      one(reads.readIndexRounds),
    ),
    counter('coxswain_wal_syncs_total', 'Syncs of the write-ahead log.', one(metrics.walSyncs)),
    counter(
      'coxswain_wal_written_bytes_total',
      'Bytes written to the write-ahead log.',
      one(metrics.walBytes),
    ),
    histogram('coxswain_wal_sync_seconds', 'How long syncs of the write-ahead log took.', [
      { labels: {}, histogram: metrics.walSyncSeconds },
    ]),
    histogram(
      'coxswain_write_stage_seconds',
      'How long the writes that this node proposed took, by stage; the stages follow each other.',
      Object.entries<Histogram>({ ...metrics.writeStages }).map(([stage, stageSeconds]) => ({
        labels: { stage },
        histogram: stageSeconds,
      })),
    ),
    counter('coxswain_snapshots_sent_total', 'Snapshots sent to members.', one(metrics.snapshotsSent)),
    counter(
      'coxswain_snapshots_received_total',
      'Snapshots received from members.',
      one(metrics.snapshotsReceived),
    ),
    gauge(
      'coxswain_clock_ahead_seconds',
      "How far this node's clock is ahead of the members' clocks; negative: behind.",
      one(metrics.clock.aheadSeconds),
    ),
    counter(
      'coxswain_clock_jumps_total',
      'How often the clock was so far ahead that it was not believed.',
      one(metrics.clock.jumps),
    ),
    gauge(
      'coxswain_clock_last_jump_seconds',
      'How far the clock was ahead in the last such jump.',
      one(metrics.clock.lastJumpSeconds),
    ),
    counter('coxswain_peer_sent_bytes_total', 'Bytes sent to members.', one(metrics.peerBytesSent)),
    counter(
      'coxswain_peer_received_bytes_total',
      'Bytes received from members.',
      one(metrics.peerBytesReceived),
    ),
  ];
}

function histogram(
  name: string,
  help: string,
  series: readonly { readonly labels: Labels; readonly histogram: Histogram }[],
): MetricJson {
  const values = series.flatMap(({ labels, histogram: { bounds, counts, sum } }) => [
    ...counts.map((value, index) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bounds[index] ?? '+Inf' },
      value,
    })),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: counts.at(-1)! },
  ]);
  return { name, help, type: 'histogram', values };
}
