import { describe, expect, test } from '@jest/globals';
import { LatencyHistogram } from '../src/load/latency-histogram.js';
import { median } from '../src/statistics.js';
import { summarize } from '../src/summary.js';

describe('the median', () => {
  test('is the middle value, or the mean of the two middle ones', () => {
    expect(median([30, 1, 2])).toBe(2);
    expect(median([4, 100, 1, 2])).toBe(3);
  });

  test('leaves out what is not known, and of nothing is not known', () => {
    expect(median([Number.NaN, 5])).toBe(5);
    expect(median([])).toBeNaN();
  });
});

describe('the latency histogram', () => {
  test('knows percentiles to within 1 %, and never flatters', () => {
    const histogram = new LatencyHistogram();
    for (let index = 1; index <= 10_000; index++) histogram.record(index / 100);
    expect(histogram.count).toBe(10_000);
    for (const [share, exactMs] of [
      [0.5, 50],
      [0.9, 90],
      [0.99, 99],
      [1, 100],
    ] as const) {
      expect(histogram.percentileMs(share)).toBeGreaterThanOrEqual(exactMs);
      expect(histogram.percentileMs(share)).toBeLessThan(exactMs * 1.01);
    }
  });

  test('has no percentile of nothing, and keeps latencies of any size', () => {
    const histogram = new LatencyHistogram();
    expect(histogram.percentileMs(0.5)).toBeNaN();
    histogram.record(0);
    histogram.record(1e12);
    expect(histogram.count).toBe(2);
  });
});

describe('a summary', () => {
  const run = (callsPerSecond: number, errors: Record<string, number> = {}) => ({
    callCount: callsPerSecond,
    callsPerSecond,
    p50Ms: 1,
    p90Ms: 1,
    p99Ms: 1,
    errors,
    generatorCpuCores: 0.5,
    cpuMicrosecondsPerCall: undefined,
  });

  test('takes ratios within each round, so that a slow round counts for both alike', () => {
    const load = { workload: 'put', inFlight: 1, contestant: 'etcd' };
    const coxswain = [run(200), run(20), run(90)];
    const etcd = [run(100), run(10), run(50, { 'grpc-status 14': 2 })];
    const summary = summarize(load, etcd, coxswain);
    expect(summary.coxswainRatio).toBe(2);
    expect(summary.callsPerSecond).toBe(50);
    expect(summary.errors).toEqual({ 'grpc-status 14': 2 });
    expect(summarize(load, coxswain, coxswain).coxswainRatio).toBeUndefined();
    expect(summarize(load, etcd, undefined).coxswainRatio).toBeUndefined();
  });
});
