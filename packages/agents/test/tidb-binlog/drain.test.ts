import { describe, expect, test } from '@jest/globals';
import { missingOf } from '../../src/tidb-binlog/drain.js';
import type { FollowedTable, MemberReport } from '../../src/tidb-binlog/member-report.js';

const targets = new Map([
  ['a', 10],
  ['b', 20],
]);

function report(
  followed: Partial<FollowedTable>[],
  nodes: [clusterId: string, state: string][] = [],
): MemberReport {
  return {
    isQuiet: false,
    nowMs: 0,
    position: undefined,
    followed: followed.map((each) => ({
      table: 'a',
      follower: 'f',
      clusterId: 'F',
      appliedIndex: 10,
      lastSeenMsAgo: 0,
      ...each,
    })),
    followerNodes: nodes.map(([clusterId, state], at) => ({
      clusterId,
      name: `${clusterId}/${at}`,
      address: '',
      state,
      lastSeenMsAgo: 0,
    })),
  };
}

const both = [
  { table: 'a', appliedIndex: 10 },
  { table: 'b', appliedIndex: 20 },
];

describe('a Pump that is closed', () => {
  test('waits for nobody where nobody follows', () => {
    expect(missingOf(targets, [report([])])).toBeUndefined();
  });

  test('waits until a follower cluster has every table', () => {
    expect(missingOf(targets, [report(both)])).toBeUndefined();
    expect(missingOf(targets, [report([both[0]!, { table: 'b', appliedIndex: 19 }])])).toEqual({
      follower: 'f',
      table: 'b',
    });
    // It has not asked for the other one yet.
    expect(missingOf(targets, [report([both[0]!])])).toEqual({ follower: 'f', table: 'b' });
  });

  test('goes by what any member heard last', () => {
    const old = report([both[0]!, { table: 'b', appliedIndex: 5, lastSeenMsAgo: 900 }]);
    const fresh = report([{ table: 'b', appliedIndex: 20, lastSeenMsAgo: 3 }]);
    expect(missingOf(targets, [old, fresh])).toBeUndefined();
    expect(missingOf(targets, [fresh, old])).toBeUndefined();
  });

  test('waits for a follower cluster whose nodes are paused, and for none whose nodes are all offline', () => {
    expect(missingOf(targets, [report([], [['F', 'paused']])])).toEqual({ follower: 'F/0', table: 'a' });
    const offline = report([{ table: 'a', appliedIndex: 3 }], [['F', 'offline']]);
    expect(missingOf(targets, [offline])).toBeUndefined();
    const oneLeft = report(
      [{ table: 'a', appliedIndex: 3 }],
      [
        ['F', 'offline'],
        ['F', 'online'],
      ],
    );
    expect(missingOf(targets, [oneLeft])).toEqual({ follower: 'F/1', table: 'a' });
  });

  test('waits for a stock follower only as far as the tables that it asks for', () => {
    const stock = { clusterId: '', follower: '10.0.0.1' };
    expect(missingOf(targets, [report([{ ...stock, table: 'a', appliedIndex: 10 }])])).toBeUndefined();
    expect(missingOf(targets, [report([{ ...stock, table: 'a', appliedIndex: 9 }])])).toEqual({
      follower: '10.0.0.1',
      table: 'a',
    });
  });
});
