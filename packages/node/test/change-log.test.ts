import { describe, expect, test } from '@jest/globals';
import { ChangeLog, type WatchedTable } from '../src/cluster/change-log.js';

function changeLog() {
  const lines: string[] = [];
  const log = new ChangeLog(({ severity, code }, fields) => {
    lines.push(`${severity} ${code} ${JSON.stringify(fields)}`);
  });
  return { log, lines };
}

const peers = new Map([
  [2, true],
  [3, true],
]);
const tables = (count: number, leader: number | undefined, shardBase = 0): Map<string, WatchedTable> =>
  new Map(
    Array.from({ length: count }, (_, i) => [
      `t${i}`,
      { group: shardBase + i, leaderNumber: leader, raft: { term: 7 } },
    ]),
  );

describe('the log of changes', () => {
  test('has one line for each table that loses or gets its leader', () => {
    const { log, lines } = changeLog();
    log.look({ peers, tables: tables(1, 2) });
    lines.length = 0;
    log.look({ peers, tables: tables(1, undefined) });
    log.look({ peers, tables: tables(1, 3) });
    log.look({ peers, tables: tables(1, 3) });
    expect(lines).toEqual([
      'warn table-leader-lost {"table":"t0","was":2}',
      'info table-has-leader {"table":"t0","leader":3,"term":7}',
    ]);
  });

  test('has one line with a count for a thousand tables that lose their leader at once', () => {
    const { log, lines } = changeLog();
    log.look({ peers, tables: tables(1000, 2) });
    lines.length = 0;
    log.look({ peers, tables: tables(1000, undefined) });
    expect(lines).toEqual(['warn table-leader-lost {"tables":1000,"first":"t0"}']);
  });

  test('names tables that are made, replaced and deleted, but not those that were there at the start', () => {
    const { log, lines } = changeLog();
    log.look({ peers, tables: tables(1, 2) });
    lines.length = 0;
    log.look({ peers, tables: tables(2, 2) });
    log.look({ peers, tables: tables(2, 2, 50) });
    log.look({ peers, tables: tables(0, 2) });
    expect(lines.filter((line) => !line.includes('table-has-leader'))).toEqual([
      'info table-made {"table":"t1","shardId":1}',
      'info table-replaced {"table":"t0","shardId":50}',
      'info table-replaced {"table":"t1","shardId":51}',
      'info table-deleted {"table":"t0","shardId":50}',
      'info table-deleted {"table":"t1","shardId":51}',
    ]);
  });

  test('counts slow syncs between two lines', () => {
    const { log, lines } = changeLog();
    log.synced(999, 0);
    log.synced(1_000, 1_000);
    log.synced(3_000, 5_000);
    log.synced(2_000, 11_000);
    expect(lines).toEqual([
      'warn log-sync-slow {"slowestMs":1000,"times":1}',
      'warn log-sync-slow {"slowestMs":3000,"times":2}',
    ]);
  });
});
