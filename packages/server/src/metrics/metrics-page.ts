import { collectDefaultMetrics, Registry } from 'prom-client';
import { LAG_RESOLUTION_MS, subtractLagResolution } from './event-loop-lag.js';
import type { MetricJson } from './grpc-metrics.js';
import { writeMetrics } from './metrics-text.js';
import { countDescriptorsAside } from './open-descriptors.js';

/** The page with all metrics of the process, in Prometheus's text format. */
export class MetricsPage {
  readonly #defaults = new Registry();
  readonly #describe: () => Promise<MetricJson[]>;

  /** `describe` resolves to our own metrics, and is called at every scrape. */
  constructor(describe: () => Promise<MetricJson[]>) {
    this.#describe = describe;
    collectDefaultMetrics({ register: this.#defaults, eventLoopMonitoringPrecision: LAG_RESOLUTION_MS });
    subtractLagResolution(this.#defaults, LAG_RESOLUTION_MS);
    countDescriptorsAside(this.#defaults);
  }

  get contentType(): string {
    return this.#defaults.contentType;
  }

  async text(): Promise<string> {
    const ofProcess = await this.#defaults.metrics();
    return ofProcess + (await writeMetrics(await this.#describe()));
  }
}
