import type { Gauge, Registry } from 'prom-client';

/** How often the event loop is looked at: prom-client's default, 10 ms, would wake an idle node a hundred times a second. */
export const LAG_RESOLUTION_MS = 100;

/** prom-client's gauges of the time between two looks, which includes the time that is waited for. */
const intervals = ['min', 'max', 'mean', 'p50', 'p90', 'p99'].map(
  (name) => `nodejs_eventloop_lag_${name}_seconds`,
);
const DEVIATION = 'nodejs_eventloop_lag_stddev_seconds';
/** A histogram without a sample has NaN for some figures, and the greatest integer, as nanoseconds, for the least. */
const NO_SAMPLE_SECONDS = 1e9;

/**
 * Makes prom-client's `nodejs_eventloop_lag_*` the lag alone, in seconds: what a look at the event loop comes later than
 * `resolutionMs` after the one before. 0 where there was no look since the last scrape.
 */
export function subtractLagResolution(registry: Registry, resolutionMs: number): void {
  for (const name of [...intervals, DEVIATION]) {
    const gauge = registry.getSingleMetric(name) as Gauge | undefined;
    if (gauge === undefined) throw new Error(`prom-client has no metric ${name}`);
    const waitedSeconds = name === DEVIATION ? 0 : resolutionMs / 1000;
    const get = gauge.get.bind(gauge);
    gauge.get = async () => {
      const metric = await get();
      const values = metric.values.map((one) => ({ ...one, value: lagOf(one.value, waitedSeconds) }));
      return { ...metric, values };
    };
  }
}

function lagOf(seconds: number, waitedSeconds: number): number {
  return seconds < NO_SAMPLE_SECONDS ? Math.max(seconds - waitedSeconds, 0) : 0;
}
