import { describe, expect, test } from '@jest/globals';
import { RevisionWatch } from '../src/clusters/revision-watch.js';
import { Violations } from '../src/clusters/violations.js';

const sample = { processId: 1, table: 't', shardId: 10001, revision: 7, contentHash: 'aa' };

describe('the watch over revisions', () => {
  test.each([
    ['the same again', sample, 0],
    ['a later one', { ...sample, revision: 8, contentHash: 'bb' }, 0],
    ['an earlier one of a process that was started again', { ...sample, processId: 2, revision: 6 }, 0],
    ['an earlier one', { ...sample, revision: 6 }, 1],
    ['the same with another content', { ...sample, contentHash: 'bb' }, 1],
    [
      'the same with another content elsewhere',
      { ...sample, processId: 2, shardId: 5, contentHash: 'bb' },
      1,
    ],
  ])('after a revision sees %s', (_, next, expected) => {
    const violations = new Violations();
    const watch = new RevisionWatch(violations);
    watch.sample(sample);
    watch.sample(next);
    expect(violations.count).toBe(expected);
  });

  test('finds a linearizable read that sees less than one that had ended', () => {
    const violations = new Violations();
    const watch = new RevisionWatch(violations);
    const floor = watch.startRead('follower', 't');
    watch.readAnswered('follower', 't', watch.startRead('follower', 't'), 9);
    // It began before the other one had ended.
    watch.readAnswered('follower', 't', floor, 8);
    expect(violations.count).toBe(0);
    watch.readAnswered('follower', 't', watch.startRead('follower', 't'), 8);
    expect(violations.count).toBe(1);
  });
});
