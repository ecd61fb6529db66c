import { describe, expect, test } from '@jest/globals';
import { RevisionAges } from '../src/group/revision-ages.js';

describe('ages of revisions (A5)', () => {
  test('are those of the first moment at which each was seen', () => {
    const ages = new RevisionAges();
    expect(ages.olderThan(0, 0)).toBe(0);
    for (const [atMs, revision] of [
      [0, 5],
      [100, 5],
      [200, 7],
      [300, 9],
    ] as const)
      ages.note(revision, atMs);
    expect(ages.olderThan(250, 200)).toBe(0);
    expect(ages.olderThan(250, 250)).toBe(5);
    expect(ages.olderThan(250, 449)).toBe(5);
    expect(ages.olderThan(250, 450)).toBe(7);
    expect(ages.olderThan(250, 1_000)).toBe(9);
    expect(ages.olderThan(250, 2_000)).toBe(9);
  });
});
