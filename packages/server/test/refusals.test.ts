import { refusals } from '@coxswain/client';
import { type ApiError, errors, Status } from '@coxswain/node';
import { expect, test } from '@jest/globals';

test('the client repeats a write after every refusal of a node, and after nothing else (P1)', () => {
  // Log.Replicate says it, to other clusters only.
  const { cannotStream, ...ofCalls } = errors;
  const refused = Object.values(ofCalls)
    .map((make) => (make as (detail: unknown) => ApiError)(1))
    .filter(({ status }) => status === Status.Unavailable);
  expect(refused.map(({ message }) => message).sort()).toEqual([...refusals].sort());
});
