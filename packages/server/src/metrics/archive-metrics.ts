import type { ArchiveStatus } from '@coxswain/archive';
import type { MetricJson } from './grpc-metrics.js';

/** Describes the archive for Prometheus; returns nothing when none is configured. */
export function describeArchive(status: ArchiveStatus | undefined): MetricJson[] {
  if (status === undefined) return [];
  const { tables, backlogBytes, backlogBytesMax, counters } = status;
  const archived = tables.filter(({ state }) => state !== 'elsewhere');
  const perTable = (
    name: string,
    help: string,
    value: (table: (typeof tables)[number]) => number,
  ): MetricJson => ({
    name: `coxswain_archive_${name}`,
    help,
    type: 'gauge',
    values: archived.map((table) => ({ labels: { table: table.name }, value: value(table) })),
  });
  const single = (type: 'gauge' | 'counter', name: string, help: string, value: number): MetricJson => ({
    name: `coxswain_archive_${name}`,
    help,
    type,
    values: [{ labels: {}, value }],
  });
  return [
    single(
      'gauge',
      'backlog_bytes',
      'Bytes of log entries of all tables that wait on this node to be archived.',
      backlogBytes,
    ),
    single(
      'gauge',
      'backlog_bytes_max',
      'Configured limit of coxswain_archive_backlog_bytes (archive.max-backlog), in bytes.',
      backlogBytesMax,
    ),
    perTable(
      'archived_index',
      'Index of the last entry that is archived of a table that this node archives.',
      (table) => table.archivedIndex,
    ),
    perTable(
      'table_backlog_bytes',
      'Bytes of log entries that wait to be archived, of a table that this node archives.',
      (table) => table.backlogBytes,
    ),
    perTable(
      'table_backlog_seconds',
      'Seconds for which the oldest entry has waited to be archived, of a table that this node archives.',
      (table) => table.backlogMs / 1000,
    ),
    perTable(
      'gaps',
      'Gaps in the archive of a table that this node archives; no restore crosses one.',
      (table) => table.gapCount,
    ),
    perTable('failing', '1 while a table that this node archives cannot be archived, else 0.', (table) =>
      Number(table.error !== undefined),
    ),
    single(
      'counter',
      'log_objects_total',
      'Objects of log entries that this node stored.',
      counters.logObjects,
    ),
    single(
      'counter',
      'log_bytes_total',
      'Bytes that these objects of log entries take in the store.',
      counters.logBytes,
    ),
    single('counter', 'bases_total', 'Bases that this node stored.', counters.bases),
    single('counter', 'gaps_total', 'Gaps that this node marked in the archive.', counters.gaps),
    single('counter', 'errors_total', 'Attempts to archive something that failed.', counters.errors),
    single(
      'counter',
      'pruned_total',
      'Objects past the retention that this node removed.',
      counters.objectsPruned,
    ),
  ];
}
