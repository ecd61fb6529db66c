import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { indicesOf, isOfIndex, parseTs, timeMsOf, tsoOf } from '../../src/tidb-binlog/tso.js';

const index = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const timeMs = fc.integer({ min: 1, max: 2 ** 44 });

describe('a TSO', () => {
  test('is milliseconds since 1970 shifted by 18 bits, and the low bits of the index', () => {
    // The first Pump of the seed's example; its clients shift by 18 to get a time.
    const ts = 412518831548007863n;
    expect(new Date(timeMsOf(ts)).toISOString()).toBe('2019-11-13T08:40:58.725Z');
    expect(tsoOf({ timeMs: timeMsOf(ts), index: Number(ts & 0x3ffffn) })).toBe(ts);
    expect(tsoOf({ timeMs: 1, index: 2 ** 18 + 5 })).toBe((1n << 18n) + 5n);
    // Nothing was written: the entries so far are of elections, and have no time.
    expect(tsoOf({ timeMs: 0, index: 3 })).toBe(0n);
  });

  test('gives its time back, and grows with the time whatever the index is', () => {
    fc.assert(
      fc.property(timeMs, index, index, (time, one, other) => {
        const ts = tsoOf({ timeMs: time, index: one });
        expect(timeMsOf(ts)).toBe(time);
        expect(isOfIndex(ts, one)).toBe(true);
        expect(tsoOf({ timeMs: time + 1, index: other })).toBeGreaterThan(ts);
      }),
    );
  });

  test('stands for every index of its low bits, the newest first, and for no other', () => {
    fc.assert(
      fc.property(timeMs, fc.nat({ max: 2 ** 40 }), fc.nat({ max: 2 ** 20 }), (time, first, length) => {
        const last = first + length;
        const wanted = first + Math.floor(length / 2);
        const found = [...indicesOf(tsoOf({ timeMs: time, index: wanted }), first, last)];
        const newest = wanted + Math.floor((last - wanted) / 2 ** 18) * 2 ** 18;
        const expected: number[] = [];
        for (let index = newest; index >= first; index -= 2 ** 18) expected.push(index);
        expect(found).toEqual(expected);
      }),
    );
  });

  test('is read as Go reads an int64', () => {
    for (const text of ['0', '-1', '+7', '9223372036854775807', '-9223372036854775808', '007']) {
      expect(parseTs(text)).toBe(BigInt(text.replace('+', '')));
    }
    for (const text of ['', 'abc', '1.0', '1e3', '0x10', ' 1', '1_000', '9223372036854775808', '--1', '+']) {
      expect(parseTs(text)).toBeUndefined();
    }
  });
});
