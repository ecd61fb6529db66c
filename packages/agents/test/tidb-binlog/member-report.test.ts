import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeQuestion,
  decodeReport,
  encodeQuestion,
  encodeReport,
  type MemberReport,
} from '../../src/tidb-binlog/member-report.js';
import { leastFollowed, mergeFollowed, mergeFollowerNodes } from '../../src/tidb-binlog/members.js';

const report: MemberReport = {
  isQuiet: true,
  nowMs: 1_700_000_000_000,
  position: { index: 5, timeMs: 6 },
  followed: [{ table: 't', follower: 'f', clusterId: 'F', appliedIndex: 4, lastSeenMsAgo: 1 }],
  followerNodes: [{ clusterId: 'F', name: 'f', address: 'a:1', state: 'paused', lastSeenMsAgo: 1 }],
};

describe('what members say of themselves', () => {
  test('is read as it was written', () => {
    expect(decodeReport(encodeReport(report))).toEqual(report);
    for (const table of [undefined, '', 'a"b']) {
      const question = { table, endsWaiting: table === '' };
      expect(decodeQuestion(encodeQuestion(question))).toEqual(question);
    }
  });

  test('is nothing where a member of another release, or of none, says something else', () => {
    for (const text of ['', '{}', '[]', 'null', '7', '{"followed":1}', '{"followed":[]}', '{"followed":[']) {
      expect(decodeReport(Buffer.from(text))).toBeUndefined();
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          decodeReport(Buffer.from(bytes));
          decodeQuestion(Buffer.from(bytes));
        },
      ),
    );
  });

  test('lets no log go that a follower of any member may ask for', () => {
    const followed = (table: string, appliedIndex: number) => ({
      ...report.followed[0]!,
      table,
      appliedIndex,
    });
    const reports = [
      { ...report, followed: [followed('t', 7), followed('u', 3)] },
      { ...report, followed: [followed('t', 4)] },
      { ...report, followed: [] },
    ];
    const least = new Map([
      ['t', 4],
      ['u', 3],
    ]);
    expect(leastFollowed(reports)).toEqual(least);
    expect(leastFollowed(reports.toReversed())).toEqual(least);
  });

  test('counts as what was heard last', () => {
    const earlier: MemberReport = {
      ...report,
      followed: [{ ...report.followed[0]!, appliedIndex: 3, lastSeenMsAgo: 900 }],
      followerNodes: [{ ...report.followerNodes[0]!, state: 'online', lastSeenMsAgo: 900 }],
    };
    for (const reports of [
      [earlier, report],
      [report, earlier],
    ]) {
      expect(mergeFollowed(reports)).toEqual(report.followed);
      expect(mergeFollowerNodes(reports)).toEqual(report.followerNodes);
    }
  });
});
