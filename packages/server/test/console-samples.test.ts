import { Histogram } from '@coxswain/runtime';
import { expect, test } from '@jest/globals';
import { Quantiles, quantileOf } from '../src/rest/console/quantiles.js';

test('a quantile lies within its bucket, in proportion, and above all bounds at the last one', () => {
  const bounds = [1, 2, 4];
  expect(quantileOf(bounds, [0, 0, 0, 0], 0.5)).toBeNull();
  expect(quantileOf(bounds, [0, 10, 10, 10], 0.5)).toBe(1.5);
  expect(quantileOf(bounds, [10, 10, 10, 10], 0.5)).toBe(0.5);
  expect(quantileOf(bounds, [0, 0, 0, 10], 0.5)).toBe(4);
  expect(quantileOf(bounds, [5, 5, 10, 10], 0.99)).toBeCloseTo(3.96);
});

test('only what came since the last look counts', () => {
  const histogram = new Histogram([1, 2]);
  histogram.observe(0.5);
  const quantiles = new Quantiles(histogram);
  expect(quantiles.next([0.5])).toEqual([null]);
  histogram.observe(1.5);
  expect(quantiles.next([0.5])).toEqual([1.5]);
  expect(quantiles.next([0.5])).toEqual([null]);
});
