import { strict as assert } from 'node:assert/strict';
import { wolfRaft } from '@coxswain/protocol';
import { expect, test } from '@jest/globals';
import { checkBootstrap, WolfError, writeMetrics } from '../src/index.js';

const refusal = (act: () => void): string => {
  try {
    act();
  } catch (error) {
    assert(error instanceof WolfError);
    assert.equal(error.code, wolfRaft.ErrorCode.RAFT_BOOTSTRAP_FAILED);
    return error.message;
  }
  return '';
};

const group = (self: number, members: number[]) => ({ self, members, lastIndex: 0, term: 0, isVoter: false });

test('Bootstrap names the members 0 to n-1 and the node itself', () => {
  expect(refusal(() => checkBootstrap(3n, group(1, [2, 0, 1])))).toBe('');
  expect(refusal(() => checkBootstrap(0n, group(5, [5])))).toBe('');
  expect(refusal(() => checkBootstrap(1n, group(0, [0])))).toBe('');
  // Node 5 beside 0 and 1.
  expect(refusal(() => checkBootstrap(2n, group(5, [0, 1, 5])))).toBe('');
});

test('a number that is not that of wolf.members is refused with both, however large', () => {
  for (const number of [0n, 2n, 4n, 2n ** 64n - 1n]) {
    const text = refusal(() => checkBootstrap(number, group(0, [0, 1, 2])));
    expect(text).toContain(`number_of_nodes is ${number}`);
    expect(text).toContain('0, 1, 2');
  }
  expect(refusal(() => checkBootstrap(3n, group(0, [0, 1, 7])))).toContain('0, 1, 7');
});

test('a second Bootstrap, or one on a member that has something, is refused with what it has', () => {
  const on = (has: object) => refusal(() => checkBootstrap(3n, { ...group(0, [0, 1, 2]), ...has }));
  expect(on({ lastIndex: 1, term: 1, isVoter: true })).toContain('the log is not empty');
  const onlyTerm = on({ term: 7 });
  expect(onlyTerm).toContain('this member has no log, but it is in term 7');
  expect(onlyTerm).toContain('give it an empty data directory');
  expect(on({ isVoter: true })).toContain('Bootstrap was called here before');
});

test('GetMetrics has async-raft’s keys in its order, and ours after them', () => {
  const metrics = {
    id: 0,
    state: 'Leader',
    currentTerm: 2,
    lastLogIndex: 5,
    lastApplied: 4,
    currentLeader: 0,
    membershipConfig: { members: [0, 1, 2], membersAfterConsensus: undefined },
  } as const;
  expect(writeMetrics(metrics)).toBe(
    '{"id":0,"state":"Leader","current_term":2,"last_log_index":5,"last_applied":4,"current_leader":0,' +
      '"membership_config":{"members":[0,1,2],"members_after_consensus":null}}',
  );
  const withOurs = writeMetrics(
    { ...metrics, state: 'NonVoter', currentLeader: undefined },
    { table: 'a"b', commit_index: 3 },
  );
  expect(withOurs).toContain('"current_leader":null');
  expect(withOurs.endsWith('"members_after_consensus":null},"table":"a\\"b","commit_index":3}')).toBe(true);
});
