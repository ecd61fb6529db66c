import { expect, test } from '@jest/globals';
import { DiskUse, describeDisks } from '../src/metrics/disk-metrics.js';
import type { MetricValue } from '../src/metrics/grpc-metrics.js';
import { writeMetrics } from '../src/metrics/metrics-text.js';

test('metrics are written as Prometheus reads them, with what may be in a label escaped', async () => {
  const labels = { table: 'a"b\\c\nd', shard: 7 };
  const text = await writeMetrics([
    { name: 'one', help: 'A help\nof \\ two lines.', type: 'gauge', values: [{ labels, value: 1.5 }] },
    {
      name: 'two',
      help: 'Two.',
      type: 'histogram',
      values: [
        { metricName: 'two_bucket', labels: { le: '+Inf' }, value: Number.POSITIVE_INFINITY },
        { metricName: 'two_sum', labels: {}, value: Number.NaN },
      ],
    },
  ]);
  expect(text).toBe(
    [
      '# HELP one A help\\nof \\\\ two lines.',
      '# TYPE one gauge',
      'one{table="a\\"b\\\\c\\nd",shard="7"} 1.5',
      '',
      '# HELP two Two.',
      '# TYPE two histogram',
      'two_bucket{le="+Inf"} +Inf',
      'two_sum NaN',
      '',
      '',
    ].join('\n'),
  );
});

test('a page of many tables lets the event loop do other work in between', async () => {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  const values = {
    *[Symbol.iterator](): Generator<MetricValue> {
      for (let table = 0; table < 1_000; table++) {
        const endMs = performance.now() + 0.05;
        while (performance.now() < endMs);
        yield { labels: { table }, value: table };
      }
    },
  };
  setImmediate(count);
  const text = await writeMetrics([{ name: 'slow', help: 'Slow to make.', type: 'gauge', values }]);
  isDone = true;
  expect(text.match(/^slow\{/gmu)).toHaveLength(1_000);
  // Fifty milliseconds of work; one that is not cut would leave one turn at most.
  expect(turns).toBeGreaterThan(5);
});

test('a disk that hangs keeps its last figures, and is not asked again meanwhile', async () => {
  let isHanging = false;
  let looks = 0;
  const room = {
    disk: '/data',
    directory: '/data/coxswain',
    holds: new Set(['tables', 'log'] as const),
    freeBytes: 5,
    sizeBytes: 10,
  };
  const use = new DiskUse({
    room: () => {
      looks++;
      return isHanging ? new Promise(() => undefined) : Promise.resolve([room]);
    },
  });
  expect(await use.rooms()).toEqual([room]);
  isHanging = true;
  expect(await use.rooms()).toEqual([room]);
  expect(await use.rooms()).toEqual([room]);
  expect(looks).toBe(2);
  expect([...describeDisks([room])[0]!.values]).toEqual([
    { labels: { disk: '/data', holds: 'log,tables' }, value: 5 },
  ]);
});
