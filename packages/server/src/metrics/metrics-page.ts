import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { LAG_RESOLUTION_MS, subtractLagResolution } from './event-loop-lag.js';
import type { MetricJson } from './grpc-metrics.js';

/** The page with all metrics of the process, in Prometheus's text format. */
export class MetricsPage {
  readonly #defaults = new Registry();
  readonly #describe: () => MetricJson[];

  /** `describe` returns our own metrics, and is called at every scrape. */
  constructor(describe: () => MetricJson[]) {
    this.#describe = describe;
    collectDefaultMetrics({ register: this.#defaults, eventLoopMonitoringPrecision: LAG_RESOLUTION_MS });
    subtractLagResolution(this.#defaults, LAG_RESOLUTION_MS);
  }

  get contentType(): string {
    return this.#defaults.contentType;
  }

  async text(): Promise<string> {
    const own = new Registry();
    for (const metric of this.#describe()) own.registerMetric(asMetric(metric));
    return (await this.#defaults.metrics()) + (await own.metrics());
  }
}

/** Adapts a metric for a registry, which prints any object whose `get` returns its values. */
function asMetric(metric: MetricJson): Metric {
  return { ...metric, aggregator: 'sum', get: async () => metric } as unknown as Metric;
}
