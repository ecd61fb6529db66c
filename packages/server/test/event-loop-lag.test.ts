import { describe, expect, test } from '@jest/globals';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LAG_RESOLUTION_MS, subtractLagResolution } from '../src/metrics/event-loop-lag.js';

const names = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];

function metricOf(text: string, name: string): number {
  return Number(new RegExp(`^nodejs_eventloop_lag_${name}_seconds (.*)$`, 'm').exec(text)?.[1]);
}

describe('nodejs_eventloop_lag_*', () => {
  test.each([
    [0.1, 0],
    [0.0999, 0],
    [0.35, 0.25],
    [Number.NaN, 0],
    [2 ** 63 / 1e9, 0],
  ])('of %d s between two looks that are 0.1 s apart is %d s', async (interval, lag) => {
    const registry = new Registry();
    for (const name of names) {
      const gauge = new Gauge({
        name: `nodejs_eventloop_lag_${name}_seconds`,
        help: 'h',
        registers: [registry],
      });
      gauge.set(interval);
    }
    subtractLagResolution(registry, 100);
    const text = await registry.metrics();
    for (const name of names.filter((one) => one !== 'stddev'))
      expect(metricOf(text, name)).toBeCloseTo(lag, 9);
    // The waited time is the same each time, and does not deviate.
    expect(metricOf(text, 'stddev')).toBe(interval < 1 ? interval : 0);
  });

  test('is far below the time between two looks when the process is idle, and that of what held it up', async () => {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_RESOLUTION_MS });
    subtractLagResolution(registry, LAG_RESOLUTION_MS);
    // Time itself is what is tested.
    const looks = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 3 * LAG_RESOLUTION_MS));
    let least = Number.POSITIVE_INFINITY;
    // A busy machine may hold the process up for some of them.
    for (let scrape = 0; scrape < 50 && least > 0.05; scrape++) {
      await looks();
      least = Math.min(least, metricOf(await registry.metrics(), 'p50'));
    }
    expect(least).toBeLessThan(0.05);

    await looks();
    const until = performance.now() + 400;
    while (performance.now() < until);
    await looks();
    expect(metricOf(await registry.metrics(), 'max')).toBeGreaterThan(0.2);
    // No look since: no NaN, and no lag of centuries.
    const text = await registry.metrics();
    for (const name of names) expect(metricOf(text, name)).toBeLessThan(100);
  });
});
