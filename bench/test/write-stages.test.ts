import { describe, expect, test } from '@jest/globals';
import { formatReport } from '../src/report.js';
import { summarize } from '../src/summary.js';
import { addedSince, parseWriteStages, summarizeStages } from '../src/system/write-stages.js';

/** A page of metrics with the counts up to 1 ms, 2 ms and of all, and the sum in seconds. */
const pageOf = (stages: Record<string, readonly [number, number, number, number]>): string =>
  [
    '# TYPE coxswain_write_stage_seconds histogram',
    ...Object.entries(stages).flatMap(([stage, [first, second, all, sum]]) => [
      `coxswain_write_stage_seconds_bucket{stage="${stage}",le="0.001"} ${first}`,
      `coxswain_write_stage_seconds_bucket{le="0.002",stage="${stage}"} ${second}`,
      `coxswain_write_stage_seconds_bucket{stage="${stage}",le="+Inf"} ${all}`,
      `coxswain_write_stage_seconds_sum{stage="${stage}"} ${sum}`,
      `coxswain_write_stage_seconds_count{stage="${stage}"} ${all}`,
    ]),
    'coxswain_wal_sync_seconds_bucket{le="0.001"} 7',
    '',
  ].join('\n');

describe('the stages of writes', () => {
  test('are read from a page of metrics, in its order and without any other', () => {
    expect(Object.entries(parseWriteStages(pageOf({ wal: [1, 3, 4, 0.5], apply: [0, 0, 0, 0] })))).toEqual([
      ['wal', { bounds: [0.001, 0.002], counts: [1, 3, 4], sumSeconds: 0.5 }],
      ['apply', { bounds: [0.001, 0.002], counts: [0, 0, 0], sumSeconds: 0 }],
    ]);
    expect(parseWriteStages('up 1\n')).toEqual({});
  });

  test('are those of the time between two looks, of all runs together', () => {
    const look = (...counts: [number, number, number, number]) => parseWriteStages(pageOf({ wal: counts }));
    const first = addedSince(look(100, 100, 100, 0.1), look(130, 180, 180, 0.2));
    const second = addedSince(look(0, 0, 0, 0), look(10, 18, 20, 0.1));
    expect(first).toEqual({
      wal: { bounds: [0.001, 0.002], counts: [30, 80, 80], sumSeconds: expect.closeTo(0.1) },
    });
    const [wal, ...others] = summarizeStages([first, second]);
    expect(others).toEqual([]);
    // 40 are within the first bucket, 58 in the second: the 50th is a sixth into it.
    expect(wal).toEqual({
      stage: 'wal',
      count: 100,
      meanMs: expect.closeTo(2),
      p50Ms: expect.closeTo(1 + 10 / 58),
      // Nothing is known of those above the last bound.
      p99Ms: 2,
    });
  });

  test('have no percentiles where nothing was written', () => {
    expect(summarizeStages([parseWriteStages(pageOf({ wal: [0, 0, 0, 0] }))])).toEqual([
      { stage: 'wal', count: 0, meanMs: Number.NaN, p50Ms: Number.NaN, p99Ms: Number.NaN },
    ]);
    expect(summarizeStages([])).toEqual([]);
  });

  test('are a table of their own in the report, of those alone that have them', () => {
    const run = {
      callCount: 1,
      callsPerSecond: 1,
      p50Ms: 1,
      p90Ms: 1,
      p99Ms: 1,
      errors: {},
      generatorCpuCores: 0.5,
      cpuMicrosecondsPerCall: undefined,
    };
    const writeStages = parseWriteStages(pageOf({ queue: [0, 10, 10, 0.015], wal: [10, 10, 10, 0.001] }));
    const of = (contestant: string) => ({ workload: 'put', inFlight: 16, contestant });
    const report = (...summaries: ReturnType<typeof summarize>[]) =>
      formatReport({
        machine: { loadAverage: 0 },
        options: {},
        systems: [],
        leftOut: [],
        summaries,
      } as unknown as Parameters<typeof formatReport>[0]).replaceAll(/ +/g, ' ');
    const etcd = summarize(of('etcd'), [run], undefined);
    const coxswain = summarize(of('coxswain'), [{ ...run, writeStages }], undefined);
    const text = report(etcd, coxswain);
    expect(text).toContain('│ put │ 16 │ queue │ 1.50 │ 1.99 │ 1.50 │');
    expect(text).toContain('│ put │ 16 │ wal │ 0.50 │ 0.99 │ 0.10 │');
    expect(text.match(/│ put │ 16 │/g)).toHaveLength(4);
    expect(report(etcd)).not.toContain('stage');
  });
});
