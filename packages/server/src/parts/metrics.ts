import type { BackupAgent } from '@coxswain/agents';
import type { Archiver } from '@coxswain/archive';
import type { Node, Readiness } from '@coxswain/node';
import type { Follower, LeaderReplication } from '@coxswain/replication';
import { describeBackupAgent, describeMoco } from '../metrics/agent-metrics.js';
import { describeArchive } from '../metrics/archive-metrics.js';
import { describeCertificates } from '../metrics/certificate-metrics.js';
import { describeCompatible } from '../metrics/compatible-metrics.js';
import { type DiskUse, describeDisks } from '../metrics/disk-metrics.js';
import { describeEvents } from '../metrics/event-metrics.js';
import type { MetricJson } from '../metrics/grpc-metrics.js';
import { describeHeldMemory } from '../metrics/held-memory-metrics.js';
import { describeMaintenance } from '../metrics/maintenance-metrics.js';
import { describeMemoryLimits } from '../metrics/memory-limits.js';
import { describeNodeMetrics } from '../metrics/node-metrics.js';
import { describeReplication } from '../metrics/replication-metrics.js';
import { version } from '../process/version.js';
import type { Maintenance } from './maintenance.js';
import type { Shared } from './shared.js';

/** The parts of a server that have metrics. */
export interface MeasuredParts {
  readonly node: Node;
  readonly readiness: () => Readiness;
  readonly diskUse: DiskUse;
  readonly leader: LeaderReplication;
  readonly follower: Follower | undefined;
  readonly archiver: Archiver | undefined;
  readonly maintenance: Maintenance;
  /** Returns the Xtrabackup agent, once its listener is open. */
  readonly backupAgent: () => BackupAgent | undefined;
}

/** Describes all metrics of a server for Prometheus. */
export async function describeServer(
  { metrics: calls, certificates, failedHandshakes, memory, journal, tracing }: Shared,
  { node, readiness, diskUse, leader, follower, archiver, maintenance, backupAgent }: MeasuredParts,
): Promise<MetricJson[]> {
  const rooms = await diskUse.rooms();
  // A node with thousands of tables must not be asked twice.
  const status = node.reports.status();
  const metrics = node.reports.metrics();
  const reports = { status: () => status, metrics: () => metrics, readiness: () => node.reports.readiness() };
  return [
    ...calls.describe(),
    ...describeNodeMetrics({ reports }, version, readiness()),
    ...describeCompatible(status, metrics, version),
    ...describeReplication({ cluster: node.cluster, reports }, leader, follower),
    ...describeMaintenance(maintenance.backups.counters, maintenance.restores.counters),
    ...describeBackupAgent(backupAgent()),
    ...describeMoco(maintenance.clones.status, maintenance.binlogBackups.status),
    ...describeArchive(archiver?.status()),
    describeCertificates(certificates.all),
    failedHandshakes.describe(),
    ...describeDisks(rooms),
    ...describeHeldMemory(memory),
    describeEvents(journal),
    ...describeMemoryLimits(),
    ...(tracing === undefined ? [] : [tracing.exporter.describe()]),
  ];
}
