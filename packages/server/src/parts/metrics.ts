import type { BackupAgent } from '@coxswain/agents';
import type { Archiver } from '@coxswain/archive';
import type { Node, Readiness } from '@coxswain/node';
import type { Follower, LeaderReplication } from '@coxswain/replication';
import { describeBackupAgent, describeMoco } from '../metrics/agent-metrics.js';
import { describeArchive } from '../metrics/archive-metrics.js';
import { describeCertificates } from '../metrics/certificate-metrics.js';
import { describeEvents } from '../metrics/event-metrics.js';
import type { MetricJson } from '../metrics/grpc-metrics.js';
import { describeHeldMemory } from '../metrics/held-memory-metrics.js';
import { describeMaintenance } from '../metrics/maintenance-metrics.js';
import { describeNodeMetrics } from '../metrics/node-metrics.js';
import { describeReplication } from '../metrics/replication-metrics.js';
import { version } from '../process/version.js';
import type { Maintenance } from './maintenance.js';
import type { Shared } from './shared.js';

/** The parts of a server that have metrics. */
export interface MeasuredParts {
  readonly node: Node;
  readonly readiness: () => Readiness;
  readonly leader: LeaderReplication;
  readonly follower: Follower | undefined;
  readonly archiver: Archiver | undefined;
  readonly maintenance: Maintenance;
  /** The Xtrabackup agent, once its listener is open. */
  readonly backupAgent: () => BackupAgent | undefined;
}

/** Describes everything that a server measures for Prometheus. */
export function describeServer(
  { metrics, certificates, memory, journal }: Shared,
  { node, readiness, leader, follower, archiver, maintenance, backupAgent }: MeasuredParts,
): MetricJson[] {
  return [
    ...metrics.describe(),
    ...describeNodeMetrics(node, version, readiness()),
    ...describeReplication(node, leader, follower),
    ...describeMaintenance(maintenance.backups.counters, maintenance.restores.counters),
    ...describeBackupAgent(backupAgent()),
    ...describeMoco(maintenance.clones.status, maintenance.binlogBackups.status),
    ...describeArchive(archiver?.status()),
    describeCertificates(certificates.all),
    ...describeHeldMemory(memory),
    describeEvents(journal),
  ];
}
