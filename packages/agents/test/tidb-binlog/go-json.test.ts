import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Json, writeJson } from '../../src/tidb-binlog/go-json.js';

describe('JSON as Go writes it', () => {
  test('has integers beyond 2^53 with all their digits', () => {
    expect(writeJson({ ts: 412361808537191541n, low: -9223372036854775808n })).toBe(
      '{"ts":412361808537191541,"low":-9223372036854775808}',
    );
  });

  test('is indented as the real server indents it', () => {
    expect(writeJson({ message: 'm', code: 200, data: { ts: 1n } }, 2)).toBe(
      '{\n  "message": "m",\n  "code": 200,\n  "data": {\n    "ts": 1\n  }\n}',
    );
    expect(writeJson([{}, [], [1, [2]]], 2)).toBe(
      '[\n  {},\n  [],\n  [\n    1,\n    [\n      2\n    ]\n  ]\n]',
    );
  });

  test('escapes what Go escapes beside what JSON must', () => {
    expect(writeJson('<a href="x">&\u2028\u2029\n')).toBe(
      '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\\n"',
    );
    expect(writeJson({ '<k>': null })).toBe('{"\\u003ck\\u003e":null}');
  });

  test('is read by every reader of JSON, whatever it holds', () => {
    const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
    fc.assert(
      fc.property(json, fc.constantFrom(0, 1, 2), (value, indent) => {
        expect(JSON.stringify(JSON.parse(writeJson(value, indent)))).toBe(JSON.stringify(value));
      }),
    );
  });
});
