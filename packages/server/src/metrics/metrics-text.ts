import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MetricJson, MetricValue } from './grpc-metrics.js';

/**
 * The longest time in milliseconds for which lines are written before the event loop gets its turn. With a thousand
 * tables a page has twenty thousand lines, and a write must not wait for all of them.
 */
const SLICE_MS = 1;
/** The lines that are written between two looks at the clock. */
const LINES_PER_LOOK = 64;

/**
 * Writes metrics in Prometheus's text format, in slices of about a millisecond, between which the event loop serves
 * everybody else. Metrics that share the objects of their labels cost less, since those are written once.
 */
export async function writeMetrics(metrics: readonly MetricJson[]): Promise<string> {
  const labelTexts = new Map<object, string>();
  const textOf = ({ labels }: MetricValue): string => {
    let text = labelTexts.get(labels);
    if (text === undefined) {
      text = labelsText(labels);
      labelTexts.set(labels, text);
    }
    return text;
  };
  let page = '';
  let linesLeft = LINES_PER_LOOK;
  let beganMs = performance.now();
  for (const { name, help, type, values } of metrics) {
    page += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
    for (const value of values) {
      page += `${value.metricName ?? name}${textOf(value)} ${numberText(value.value)}\n`;
      if (--linesLeft > 0) continue;
      linesLeft = LINES_PER_LOOK;
      if (performance.now() - beganMs < SLICE_MS) continue;
      await nextTurn();
      beganMs = performance.now();
    }
    page += '\n';
  }
  return page;
}

function labelsText(labels: Readonly<Record<string, string | number>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeValue(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join()}}`;
}

function escapeValue(text: string): string {
  return /[\\\n"]/u.test(text)
    ? text.replace(/\\/gu, '\\\\').replace(/\n/gu, '\\n').replace(/"/gu, '\\"')
    : text;
}

function escapeHelp(text: string): string {
  return text.replace(/\\/gu, '\\\\').replace(/\n/gu, '\\n');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}
