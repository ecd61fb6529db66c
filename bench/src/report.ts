import Table from 'cli-table3';
import type { Report } from './benchmark.js';

/** The report as text: the machine, then one line per workload, calls in flight and contestant. */
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
  ].join('\n');
}

function formatErrors(errors: Readonly<Record<string, number>>): string {
  const entries = Object.entries(errors);
  return entries.length === 0 ? '0' : entries.map(([name, count]) => `${count} × ${name}`).join('\n');
}
