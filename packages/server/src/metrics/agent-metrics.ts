import type { BackupAgent, BinlogBackupStatus, CloneStatus } from '@coxswain/agents';
import type { MetricJson } from './grpc-metrics.js';

/** What Prometheus is told of the Xtrabackup agent listener; nothing where there is none. */
export function describeBackupAgent(agent: BackupAgent | undefined): MetricJson[] {
  if (agent === undefined) return [];
  const { connections, running, done, refused, failed, bytesSent } = agent.status;
  return [
    {
      name: 'coxswain_backup_agent_connections',
      help: 'Clients of the backup agent.',
      type: 'gauge',
      values: [{ labels: {}, value: connections }],
    },
    {
      name: 'coxswain_backup_agent_running',
      help: 'Backups that the agent is sending.',
      type: 'gauge',
      values: [{ labels: {}, value: running }],
    },
    {
      name: 'coxswain_backup_agent_requests_total',
      help: 'Requests to the backup agent that have ended, by outcome.',
      type: 'counter',
      values: Object.entries({ done, refused, failed }).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      })),
    },
    {
      name: 'coxswain_backup_agent_sent_bytes_total',
      help: 'Bytes of backups that the agent has sent.',
      type: 'counter',
      values: [{ labels: {}, value: bytesSent }],
    },
  ];
}

/** What Prometheus is told of the last clone, and the last backup of the archive, that this node has begun. */
export function describeMoco(clone: CloneStatus, backup: BinlogBackupStatus): MetricJson[] {
  return [
    state('coxswain_clone_state', 'The last clone that this node has begun.', clone.state),
    gauge('coxswain_clone_tables', 'Tables of its donor.', clone.tables),
    gauge('coxswain_clone_tables_done', 'Tables of them that have come.', clone.tablesDone),
    gauge('coxswain_clone_bytes', 'Bytes that have come, compressed.', clone.bytes),
    state(
      'coxswain_binlog_backup_state',
      'The last backup of the archive that this node has begun.',
      backup.state,
    ),
    gauge('coxswain_binlog_backup_objects', 'Objects of the archive that it takes.', backup.objects),
    gauge('coxswain_binlog_backup_objects_done', 'Objects of them that are stored.', backup.objectsDone),
    gauge('coxswain_binlog_backup_bytes', 'Bytes of the archive that were stored.', backup.bytes),
  ];
}

function gauge(name: string, help: string, value: number): MetricJson {
  return { name, help, type: 'gauge', values: [{ labels: {}, value }] };
}

function state(name: string, help: string, value: string): MetricJson {
  return {
    name,
    help: `${help} 1 at what it is.`,
    type: 'gauge',
    values: [{ labels: { state: value }, value: 1 }],
  };
}
