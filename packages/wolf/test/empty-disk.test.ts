import { describe, expect, test } from '@jest/globals';
import { readMetrics, standingOf, writeMetrics } from '../src/index.js';

const member = (id: number, currentTerm: number, lastLogIndex: number, state = 'Follower') => ({
  id,
  state,
  currentTerm,
  lastLogIndex,
});

describe('a member with an empty disk (T4)', () => {
  test('keeps to the highest term that another one knows', () => {
    expect(standingOf([member(1, 4, 7, 'Leader'), member(2, 9, 5, 'Candidate')])).toEqual({
      kind: 'known',
      term: 9,
      isGroupEmpty: false,
    });
  });

  test('lacks nothing where nobody has an entry, whoever votes', () => {
    const others = [member(1, 3, 0, 'NonVoter'), member(2, 4, 0, 'Candidate')];
    expect(standingOf(others)).toEqual({ kind: 'known', term: 4, isGroupEmpty: true });
    expect(standingOf([])).toEqual({ kind: 'known', term: 0, isGroupEmpty: true });
  });

  test('is one of fewer than a quorum who have forgotten', () => {
    const lost = (count: number, of: number) =>
      standingOf(
        Array.from({ length: of - 1 }, (_, i) => member(i, 2, 3, i < count - 1 ? 'NonVoter' : 'Follower')),
      );
    expect(lost(1, 2).kind).toBe('known');
    expect(lost(1, 3).kind).toBe('known');
    expect(lost(2, 3)).toEqual({ kind: 'lost', nonVoters: [0] });
    expect(lost(2, 5).kind).toBe('known');
    expect(lost(3, 5)).toEqual({ kind: 'lost', nonVoters: [0, 1] });
  });
});

describe('the metrics of another member', () => {
  test('are read as async-raft and as this package print them', () => {
    const real =
      '{"id":2,"state":"NonVoter","current_term":3,"last_log_index":4,"last_applied":4,"current_leader":null,' +
      '"membership_config":{"members":[2],"members_after_consensus":null}}';
    expect(readMetrics(real)).toEqual(member(2, 3, 4, 'NonVoter'));
    const membershipConfig = { members: [0, 1], membersAfterConsensus: undefined };
    const ours = {
      ...member(1, 8, 9),
      state: 'Leader',
      lastApplied: 9,
      currentLeader: 1,
      membershipConfig,
    } as const;
    expect(readMetrics(writeMetrics(ours, { table: 't' }))).toEqual(member(1, 8, 9, 'Leader'));
  });

  test.each([
    '',
    'null',
    '1',
    '[]',
    '{"id":2,"state":"Leader","current_term":3}',
    '{"id":2,"state":1,"current_term":3,"last_log_index":4}',
    // These would be rounded, or are no term.
    '{"id":2,"state":"Leader","current_term":9007199254740993,"last_log_index":4}',
    '{"id":2,"state":"Leader","current_term":-1,"last_log_index":4}',
    '{"id":2,"state":"Leader","current_term":1.5,"last_log_index":4}',
  ])('%s is none', (json) => {
    expect(readMetrics(json)).toBeUndefined();
  });
});
