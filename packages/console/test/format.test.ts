import { expect, test } from '@jest/globals';
import { counted, formatBytes, formatDuration, formatFigure, formatPercent } from '../src/web/format.js';

test('figures have the digits that count', () => {
  expect([0, 3, 0.0042, 0.42, 9.876, 18.34, 204.4, 1204, 1_234_567].map(formatFigure)).toEqual([
    '0',
    '3',
    '0.004',
    '0.42',
    '9.88',
    '18.3',
    '204',
    '1,204',
    '1,234,567',
  ]);
});

test('sizes are powers of 1,024', () => {
  expect([0, 1023, 1024, 1536, 200 * 1024, 5 * 1024 ** 3].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '200 KiB',
    '5 GiB',
  ]);
});

test('durations are in the unit that says most', () => {
  expect([350, 12_000, 119_000, 180_000, 7_200_000, 259_200_000].map(formatDuration)).toEqual([
    '350 ms',
    '12 s',
    '119 s',
    '3 min',
    '2 h',
    '3 days',
  ]);
});

test('shares and counts', () => {
  expect([0, 0.012, 0.5].map(formatPercent)).toEqual(['0 %', '1.2 %', '50 %']);
  expect([counted(1, 'table'), counted(2000, 'table')]).toEqual(['1 table', '2,000 tables']);
});
