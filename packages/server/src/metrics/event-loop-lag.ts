import type { Gauge, Registry } from 'prom-client';

/**
 * The interval at which the lag of the event loop is measured. prom-client's default, 10 ms, would wake an idle node a
 * hundred times a second.
 */
export const LAG_RESOLUTION_MS = 100;

/** prom-client's gauges of the time between two measurements, which includes the interval itself. */
const intervals = ['min', 'max', 'mean', 'p50', 'p90', 'p99'].map(
  (name) => `nodejs_eventloop_lag_${name}_seconds`,
);
const DEVIATION = 'nodejs_eventloop_lag_stddev_seconds';
/**
 * A limit above every real figure. A histogram without a sample has NaN for some figures, and the greatest integer, as
 * nanoseconds, for the least one.
 */
const NO_SAMPLE_SECONDS = 1e9;

/**
 * Makes prom-client's `nodejs_eventloop_lag_*` show the lag alone, in seconds: the time by which a measurement comes
 * later than `resolutionMs` after the one before. It is 0 when there was no measurement since the last scrape.
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
