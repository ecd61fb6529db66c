import type { Histogram } from '@coxswain/runtime';
import type { MetricJson, MetricValue } from './grpc-metrics.js';

/** Describes a histogram for Prometheus, with the labels of each of its series. */
export function histogram(
  name: string,
  help: string,
  series: readonly {
    readonly labels: MetricValue['labels'];
    readonly histogram: Pick<Histogram, 'bounds' | 'counts' | 'sum'>;
  }[],
): MetricJson {
  const values = series.flatMap(({ labels, histogram: { bounds, counts, sum } }) => [
    ...counts.map((value, index) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bounds[index] ?? '+Inf' },
      value,
    })),
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: counts.at(-1)! },
  ]);
  return { name, help, type: 'histogram', values };
}
