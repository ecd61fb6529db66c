import { expect, test } from '@jest/globals';
import { SlowCalls } from '../src/grpc/slow-calls.js';

test('a slow call has a line with its method, and more of them within ten seconds share the next one', () => {
  const lines: string[] = [];
  const calls = new SlowCalls(({ severity, code }, fields) => {
    lines.push(`${severity} ${code} ${JSON.stringify(fields)}`);
  });
  calls.ended('/regatta.v1.KV/Put', 999, 0);
  calls.ended('/regatta.v1.KV/Put', 1_000, 1_000);
  for (let nowMs = 2_000; nowMs < 11_000; nowMs += 1_000) calls.ended('/regatta.v1.KV/Put', 2_000, nowMs);
  calls.ended('/regatta.v1.KV/Put', 1_500, 11_000);
  expect(lines).toEqual([
    'warn request-slow {"path":"/regatta.v1.KV/Put","slowestMs":1000,"times":1}',
    'warn request-slow {"path":"/regatta.v1.KV/Put","slowestMs":2000,"times":10}',
  ]);
});
