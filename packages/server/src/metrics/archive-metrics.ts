import type { ArchiveStatus } from '@coxswain/archive';
import type { MetricJson } from './grpc-metrics.js';

/** What Prometheus is told of the archive; nothing where none is configured. */
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
    single('gauge', 'backlog_bytes', 'What waits on this node to be archived, of all tables.', backlogBytes),
    single('gauge', 'backlog_bytes_max', 'As much may wait: archive.max-backlog.', backlogBytesMax),
    perTable('archived_index', 'The last entry that is archived.', (table) => table.archivedIndex),
    perTable(
      'table_backlog_bytes',
      'What waits to be archived, of a table that this node archives.',
      (table) => table.backlogBytes,
    ),
    perTable('table_backlog_seconds', 'How long the oldest of it waits.', (table) => table.backlogMs / 1000),
    perTable('gaps', 'Gaps that the archive of the table has.', (table) => table.gapCount),
    perTable('failing', 'Whether the table cannot be archived for the moment.', (table) =>
      Number(table.error !== undefined),
    ),
    single('counter', 'log_objects_total', 'Objects of the log that were stored.', counters.logObjects),
    single('counter', 'log_bytes_total', 'What they take in the store.', counters.logBytes),
    single('counter', 'bases_total', 'Bases that were stored.', counters.bases),
    single('counter', 'gaps_total', 'Gaps that were found.', counters.gaps),
    single('counter', 'errors_total', 'Attempts that failed.', counters.errors),
    single('counter', 'pruned_total', 'Objects that were too old and were removed.', counters.objectsPruned),
  ];
}
