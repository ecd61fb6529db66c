import type { TransferCounters } from '@coxswain/backup';
import type { MetricJson } from './grpc-metrics.js';

/** Describes backups and restores for Prometheus. */
export function describeMaintenance(
  backups: Readonly<TransferCounters>,
  restores: Readonly<TransferCounters>,
): MetricJson[] {
  return [
    ...describe('backup', 'Backups', 'sent', backups),
    ...describe('restore', 'Restores', 'received', restores),
  ];
}

function describe(
  prefix: string,
  subject: string,
  verb: string,
  { underWay, succeeded, failed, bytes, keys }: Readonly<TransferCounters>,
): MetricJson[] {
  const counter = (name: string, help: string, value: number): MetricJson => ({
    name: `coxswain_${prefix}_${name}`,
    help,
    type: 'counter',
    values: [{ labels: {}, value }],
  });
  return [
    {
      name: `coxswain_${prefix}s_under_way`,
      help: `${subject} that are under way on this node now.`,
      type: 'gauge',
      values: [{ labels: {}, value: underWay }],
    },
    {
      name: `coxswain_${prefix}s_total`,
      help: `${subject} that ended on this node, by outcome: succeeded or failed.`,
      type: 'counter',
      values: [
        { labels: { outcome: 'succeeded' }, value: succeeded },
        { labels: { outcome: 'failed' }, value: failed },
      ],
    },
    counter('bytes_total', `Compressed bytes that ${subject.toLowerCase()} ${verb} on this node.`, bytes),
    counter('keys_total', `Keys that ${subject.toLowerCase()} ${verb} on this node.`, keys),
  ];
}
