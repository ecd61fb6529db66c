import { CoxswainError, StatusCode } from '@coxswain/client';
import { expect, test } from '@jest/globals';
import { describeFailedCall } from '../src/failed-call.js';

const { UNAVAILABLE, UNIMPLEMENTED, NOT_FOUND, UNAUTHENTICATED, INTERNAL } = StatusCode;

test.each([
  ['noLeader', UNAVAILABLE, 'x (a:1): try again, and see coxswain health'],
  // Their texts say what to do.
  ['leaderless', UNAVAILABLE, 'x (a:1)'],
  ['cloning', UNAVAILABLE, 'x (a:1)'],
  ['cloneFailed', UNAVAILABLE, 'x (a:1)'],
  ['noConnection', UNAVAILABLE, 'x'],
  ['ledElsewhere', UNAVAILABLE, 'x (a:1): give the API addresses of all members as --endpoints'],
  ['tableNotFound', NOT_FOUND, 'x (a:1): see coxswain tables list'],
  ['notForFollower', UNIMPLEMENTED, 'x (a:1): only leader clusters do that: give the --endpoints of one'],
  ['notForThisRole', UNIMPLEMENTED, 'x (a:1): only leader clusters do that: give the --endpoints of one'],
  ['notForLeader', UNIMPLEMENTED, 'x (a:1): only follower clusters do that: give the --endpoints of one'],
  ['', UNAUTHENTICATED, 'x (a:1): give the right --token'],
  ['', INTERNAL, 'x (a:1)'],
])('a failed call is told with what to do about it: %s, status %i', (errorCode, status, told) => {
  expect(describeFailedCall(new CoxswainError(status, 'x', 'a:1', { errorCode }))).toBe(told);
});

test('a table that a stock server does not have is known by its text', () => {
  const error = new CoxswainError(NOT_FOUND, 'table not found', 'a:1');
  expect(describeFailedCall(error)).toBe('table not found (a:1): see coxswain tables list');
});
