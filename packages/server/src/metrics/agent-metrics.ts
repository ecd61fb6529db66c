import type { BackupAgent, BinlogBackupStatus, CloneStatus } from '@coxswain/agents';
import type { MetricJson } from './grpc-metrics.js';

/** Describes the Xtrabackup agent listener for Prometheus; returns nothing when there is none. */
export function describeBackupAgent(agent: BackupAgent | undefined): MetricJson[] {
  if (agent === undefined) return [];
  const { connections, running, done, refused, failed, bytesSent } = agent.status;
  return [
    {
      name: 'coxswain_backup_agent_connections',
      help: 'Connections of clients that the backup agent has now.',
      type: 'gauge',
      values: [{ labels: {}, value: connections }],
    },
    {
      name: 'coxswain_backup_agent_running',
      help: 'Backups that the backup agent is sending now.',
      type: 'gauge',
      values: [{ labels: {}, value: running }],
    },
    {
      name: 'coxswain_backup_agent_requests_total',
      help: 'Requests to the backup agent that ended, by outcome: done, refused or failed.',
      type: 'counter',
      values: Object.entries({ done, refused, failed }).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      })),
    },
    {
      name: 'coxswain_backup_agent_sent_bytes_total',
      help: 'Bytes of backups that the backup agent sent.',
      type: 'counter',
      values: [{ labels: {}, value: bytesSent }],
    },
  ];
}

/** Describes the last clone and the last backup of the archive that this node has begun, for Prometheus. */
export function describeMoco(clone: CloneStatus, backup: BinlogBackupStatus): MetricJson[] {
  return [
    state(
      'coxswain_clone_state',
      'State of the last clone that this node began: none, running, done or failed.',
      clone.state,
    ),
    gauge(
      'coxswain_clone_tables',
      'Tables of the donor of the last clone that this node began.',
      clone.tables,
    ),
    gauge(
      'coxswain_clone_tables_done',
      'Tables that have arrived in the last clone that this node began.',
      clone.tablesDone,
    ),
    gauge(
      'coxswain_clone_bytes',
      'Compressed bytes that have arrived in the last clone that this node began.',
      clone.bytes,
    ),
    state(
      'coxswain_binlog_backup_state',
      'State of the last backup of the archive that this node began: none, running, done or failed.',
      backup.state,
    ),
    gauge(
      'coxswain_binlog_backup_objects',
      'Objects of the archive that belong to the last backup of it that this node began.',
      backup.objects,
    ),
    gauge(
      'coxswain_binlog_backup_objects_done',
      'Objects that are stored in the last backup of the archive that this node began.',
      backup.objectsDone,
    ),
    gauge(
      'coxswain_binlog_backup_bytes',
      'Bytes that are stored in the last backup of the archive that this node began.',
      backup.bytes,
    ),
  ];
}

function gauge(name: string, help: string, value: number): MetricJson {
  return { name, help, type: 'gauge', values: [{ labels: {}, value }] };
}

function state(name: string, help: string, value: string): MetricJson {
  return {
    name,
    help: `${help} The value is 1 at the label of that state.`,
    type: 'gauge',
    values: [{ labels: { state: value }, value: 1 }],
  };
}
