import { Coxswain, OutcomeUnknownError } from '@coxswain/client';
import { type ApiError, errors, Status } from '@coxswain/node';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ScriptedListener } from './support/scripted-listener.js';

let scripted: ScriptedListener;
let client: Coxswain;

beforeAll(async () => {
  scripted = await ScriptedListener.start();
  client = await Coxswain.connect({ endpoints: [scripted.target], timeoutMs: 60_000 });
});

afterAll(async () => {
  client.close();
  await scripted.close();
});

// A caller's own deadline is answered with `deadlineExceeded` in place of `timeout`.
const refusals = Object.entries(errors).filter(
  ([code, make]) =>
    code !== 'timeout' && (make as (detail: unknown) => ApiError)(1).status === Status.Unavailable,
);

test.each(refusals)('the client repeats a write after %s, whatever its text (P1)', async (_code, make) => {
  let count = 0;
  scripted.node.act = () => {
    // Another error ends it.
    const error = count++ === 0 ? (make as (detail: unknown) => ApiError)(1) : errors.tableNotFound();
    return Promise.reject(error);
  };
  await expect(client.put('t', 'k', 'v')).rejects.toMatchObject({ errorCode: 'tableNotFound' });
  expect(count).toBe(2);
});

test('the client never repeats a write whose outcome is unknown (P1)', async () => {
  let count = 0;
  scripted.node.act = () => {
    count++;
    return Promise.reject(errors.outcomeUnknown());
  };
  await expect(client.put('t', 'k', 'v')).rejects.toBeInstanceOf(OutcomeUnknownError);
  expect(count).toBe(1);
});
