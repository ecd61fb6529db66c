// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CLOCK_LEAD_MS_MAX, TrustedClock } from '../src/cluster/trusted-clock.js';

const START_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;

/** A node and the clocks of its cluster. True time and the node's monotonic clock are one. */
function cluster(memberCount: number) {
  const lines: string[] = [];
  const clock = new TrustedClock({
    memberCount,
    onJump: ({ aheadMs, isCompared }) =>
      lines.push(`${isCompared ? 'ahead of the members' : 'jumped'} ${aheadMs}`),
    onJumpOver: ({ aheadMs }) => lines.push(`over ${aheadMs}`),
  });
  let trueMs = 0;
  return {
    clock,
    lines,
    pass: (durationMs: number) => {
      trueMs += durationMs;
    },
    /** The time that is given out, as its distance from the true one. */
    now: (wrongByMs = 0) => {
      const wallMs = START_MS + trueMs + wrongByMs;
      const nowMs = clock.now(wallMs, trueMs);
      expect(nowMs).toBeLessThanOrEqual(wallMs);
      return nowMs - START_MS - trueMs;
    },
    hear: (member: number, wrongByMs = 0, delayMs = 0) =>
      clock.heard(member, START_MS + trueMs - delayMs + wrongByMs, trueMs),
  };
}

describe('a clock among three or more', () => {
  test('is believed, and then by as much as the limit, while it is an hour ahead', () => {
    const { now, hear, pass, lines, clock } = cluster(3);
    for (const member of [2, 3]) hear(member);
    expect(now()).toBe(0);
    pass(100);
    expect(now(HOUR_MS)).toBe(CLOCK_LEAD_MS_MAX);
    pass(300);
    expect(now(HOUR_MS + 5)).toBe(CLOCK_LEAD_MS_MAX);
    expect(now()).toBe(0);
    expect(lines).toEqual([`ahead of the members ${HOUR_MS}`, `over ${HOUR_MS + 5}`]);
    expect(clock).toMatchObject({ jumps: 1, lastJumpMs: HOUR_MS + 5 });
  });

  test('is not believed for being wrong for long', () => {
    const { now, hear, pass } = cluster(3);
    for (let i = 0; i < 100; i++) {
      for (const member of [2, 3]) hear(member);
      expect(now(HOUR_MS)).toBe(CLOCK_LEAD_MS_MAX);
      pass(HOUR_MS);
    }
  });

  test('counts a member that is silent by what it showed last', () => {
    const { now, hear, pass } = cluster(3);
    for (const member of [2, 3]) hear(member);
    pass(24 * HOUR_MS);
    hear(2);
    expect(now(HOUR_MS)).toBe(CLOCK_LEAD_MS_MAX);
    expect(now()).toBe(0);
  });

  test('is not held back by frames that waited while the node was held up', () => {
    const { now, hear, pass, lines } = cluster(3);
    for (const member of [2, 3]) hear(member);
    pass(60_000);
    for (const delayMs of [60_000, 45_000, 30_000]) {
      for (const member of [2, 3]) hear(member, 0, delayMs);
      expect(now()).toBe(0);
    }
    expect(lines).toEqual([]);
  });

  test('follows when all are set, forwards and back', () => {
    const { now, hear, pass } = cluster(3);
    for (const member of [2, 3]) hear(member);
    expect(now()).toBe(0);
    for (const member of [2, 3]) hear(member, HOUR_MS);
    expect(now(HOUR_MS)).toBe(HOUR_MS);
    for (let i = 0; i < 3; i++) {
      pass(30_000);
      for (const member of [2, 3]) hear(member);
      expect(now()).toBe(0);
    }
    expect(now(HOUR_MS)).toBe(CLOCK_LEAD_MS_MAX);
  });

  test('begins no second jump while it hovers at the limit', () => {
    const { now, hear, lines } = cluster(3);
    for (const member of [2, 3]) hear(member);
    for (let i = 0; i < 20; i++) {
      now(CLOCK_LEAD_MS_MAX + 100);
      now(CLOCK_LEAD_MS_MAX - 100);
    }
    expect(lines).toHaveLength(1);
  });

  const wrongMs = fc.integer({ min: -10 * HOUR_MS, max: 10 * HOUR_MS });
  const clocks = fc.integer({ min: 3, max: 7 }).chain((memberCount) =>
    fc.record({
      memberCount: fc.constant(memberCount),
      wrong: fc.uniqueArray(fc.integer({ min: 1, max: memberCount }), {
        maxLength: Math.floor((memberCount - 1) / 2),
      }),
      steps: fc.array(
        fc.record({
          passMs: fc.integer({ min: 0, max: 40_000 }),
          from: fc.integer({ min: 2, max: memberCount }),
          wrongMs,
          delayMs: fc.integer({ min: 0, max: 5_000 }),
        }),
        { maxLength: 60 },
      ),
    }),
  );

  test('gives no time far ahead of the true one while a majority is right, whoever was heard', () => {
    fc.assert(
      fc.property(
        clocks,
        fc.array(fc.integer({ min: 2, max: 7 })),
        ({ memberCount, wrong, steps }, first) => {
          const { now, hear, pass } = cluster(memberCount);
          const errorOf = (member: number, by: number) => (wrong.includes(member) ? by : 0);
          const heard = new Set(first.filter((member) => member <= memberCount));
          for (const member of heard) hear(member);
          for (const { passMs, from, wrongMs: by, delayMs } of steps) {
            pass(passMs);
            heard.add(from);
            hear(from, errorOf(from, by), delayMs);
            // Before it has heard enough, it believes the first time that it sees.
            if (heard.size <= Math.floor((memberCount - 1) / 2)) continue;
            ok(now(errorOf(1, by)) <= CLOCK_LEAD_MS_MAX);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('gives its own time while it is right, and a majority is, all of which was heard', () => {
    fc.assert(
      fc.property(clocks, ({ memberCount, wrong, steps }) => {
        const { now, hear, pass, lines } = cluster(memberCount);
        const errorOf = (member: number, by: number) => (wrong.includes(member) ? by : 0);
        for (let member = 2; member <= memberCount; member++) hear(member);
        for (const { passMs, from, wrongMs: by, delayMs } of steps) {
          pass(passMs);
          hear(from, errorOf(from, by), delayMs);
          equal(now(), 0);
        }
        deepEqual(lines, []);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a clock that can be compared with too few', () => {
  test.each([1, 2, 3, 5])('counts after a jump once it has lasted a minute, among %i', (memberCount) => {
    const { now, hear, pass, lines } = cluster(memberCount);
    // One other is too few in each of them.
    if (memberCount > 1) hear(2);
    expect(now()).toBe(0);
    for (let i = 0; i < 60; i++) {
      expect(now(HOUR_MS)).toBe(CLOCK_LEAD_MS_MAX);
      pass(1_000);
    }
    expect(now(HOUR_MS)).toBe(HOUR_MS);
    expect(lines).toEqual([`jumped ${HOUR_MS}`, `over ${HOUR_MS}`]);
  });

  test('is right again after a jump of a moment, either way', () => {
    const { now, pass, lines } = cluster(1);
    for (const jumpMs of [-HOUR_MS, HOUR_MS, -HOUR_MS]) {
      expect(now()).toBe(0);
      pass(300);
      expect(now(jumpMs)).toBe(Math.min(jumpMs, CLOCK_LEAD_MS_MAX));
      pass(300);
      expect(now()).toBe(0);
      pass(1_000_000);
    }
    expect(lines).toEqual([`jumped ${HOUR_MS}`, `over ${HOUR_MS}`]);
  });

  test('follows when it is set by little', () => {
    const { now, pass, lines } = cluster(1);
    for (let errorMs = 0; errorMs < 100_000; errorMs += 5_000) {
      expect(now(errorMs)).toBe(errorMs);
      pass(1_000);
    }
    expect(lines).toEqual([]);
  });
});
