import { regatta } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { type Method, unary } from '../grpc/call.js';
import { transportErrors } from '../grpc/errors.js';
import type { MetricsPage } from '../metrics/metrics-page.js';

/** The longest page, in bytes, that fits in a message of the size that clients accept by default, 4 MiB. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024 - 1024;

/** Serves regatta.v1.Metrics as Armada does, whose console asks for the metrics over the API. */
export class MetricsService {
  readonly #page: MetricsPage;
  readonly #clock: Clock;

  constructor(page: MetricsPage, clock: Clock) {
    this.#page = page;
    this.#clock = clock;
  }

  /** Returns the page of all metrics. Errors: metricsFormatUnknown, metricsTooLong. */
  async getMetrics({ format }: regatta.MetricsRequest): Promise<regatta.MetricsResponse> {
    if (format !== '') throw transportErrors.metricsFormatUnknown();
    const metricsData = await this.#page.text();
    const lengthBytes = Buffer.byteLength(metricsData);
    if (lengthBytes > PAGE_BYTES_MAX) throw transportErrors.metricsTooLong(lengthBytes);
    return { metricsData, timestamp: BigInt(Math.floor(this.#clock.nowMs() / 1000)) };
  }

  methods(): readonly Method[] {
    return [unary(regatta.MetricsService.getMetrics, (request) => this.getMetrics(request))];
  }
}
