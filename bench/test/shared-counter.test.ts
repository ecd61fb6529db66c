import { expect, test } from '@jest/globals';
import { SharedCounter } from '../src/clusters/shared-counter.js';
import { Violations } from '../src/clusters/violations.js';

test.each([
  ['what was acknowledged', 2, 2, 0],
  ['what is unknown as well', 3, 3, 0],
  ['less than was acknowledged', 1, 1, 1],
  ['more than was tried', 4, 4, 1],
  ['more writes than successes', 2, 3, 1],
])('a counter that holds %s', (_, value, version, expected) => {
  const counter = new SharedCounter('c');
  const violations = new Violations();
  counter.raised(5, violations);
  counter.raised(6, violations);
  counter.unknown();
  counter.check({ value: String(value), createRevision: 5, revision: 6, version }, violations);
  expect(violations.count).toBe(expected);
});

test('no two successes of a counter have one revision', () => {
  const counter = new SharedCounter('c');
  const violations = new Violations();
  counter.raised(5, violations);
  counter.raised(5, violations);
  expect(violations.count).toBe(1);
});
