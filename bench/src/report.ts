import Table from 'cli-table3';
import type { Report } from './benchmark.js';
import type { Summary } from './summary.js';

/**
 * Formats the report as text: the machine, then one line per workload, calls in flight and contestant, then one per
 * stage of the writes.
 */
export function formatReport({ machine, options, systems, leftOut, summaries }: Report): string {
  const table = new Table({
    head: [
      'workload',
      'in flight',
      'who',
      'calls/s',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'errors',
      'CPU µs/call',
      'coxswain ÷ this',
    ],
    colAligns: ['left', 'right', 'left', ...Array.from({ length: 7 }, () => 'right' as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const summary of summaries) {
    table.push([
      summary.workload,
      summary.inFlight,
      summary.contestant,
      Math.round(summary.callsPerSecond),
      summary.p50Ms.toFixed(2),
      summary.p90Ms.toFixed(2),
      summary.p99Ms.toFixed(2),
      formatErrors(summary.errors),
      summary.cpuMicrosecondsPerCall?.toFixed(1) ?? '',
      summary.coxswainRatio?.toFixed(2) ?? '',
    ]);
  }
  const { processor, cores, memoryGiB, kernel, node, fileSystem, date, loadAverage } = machine;
  return [
    `${processor}, ${cores} cores, ${memoryGiB} GiB, ${fileSystem}, ${kernel}, Node ${node}`,
    `${date}, load average before: ${loadAverage.toFixed(2)}`,
    `Measured: ${systems.map(({ name, version }) => `${name} ${version}`.trim()).join(', ') || 'ceilings only'}`,
    ...leftOut,
    `${options.keyCount} keys, values of ${options.valueSizeBytes} bytes, ${options.connectionCount} connections; ` +
      `medians of ${options.rounds} alternating runs of ${options.durationMs / 1000} s; ` +
      'all processes and the load generator share the machine',
    table.toString(),
    ...formatWriteStages(summaries),
  ].join('\n');
}

function formatWriteStages(summaries: readonly Summary[]): string[] {
  const table = new Table({
    head: ['workload', 'in flight', 'stage of a put', 'p50 ms', 'p99 ms', 'mean ms'],
    colAligns: ['left', 'right', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const { workload, inFlight, writeStages } of summaries) {
    for (const { stage, p50Ms, p99Ms, meanMs } of writeStages) {
      table.push([workload, inFlight, stage, p50Ms.toFixed(2), p99Ms.toFixed(2), meanMs.toFixed(2)]);
    }
  }
  if (table.length === 0) return [];
  return [
    'Where the puts that coxswain’s leader was asked for spent their time, by its metrics over all runs:',
    table.toString(),
  ];
}

function formatErrors(errors: Readonly<Record<string, number>>): string {
  const entries = Object.entries(errors);
  return entries.length === 0 ? '0' : entries.map(([name, count]) => `${count} × ${name}`).join('\n');
}
