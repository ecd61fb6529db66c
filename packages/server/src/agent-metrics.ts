import type { BackupAgent } from '@coxswain/maintenance';
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
