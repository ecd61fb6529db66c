import { ApiError, errors } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { turns } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { ForwardedWrites } from '../src/forwarded-writes.js';
import { LinkError } from '../src/index.js';
import { FakeLink, lost, refusal } from './support/fake-link.js';
import { FakeNode } from './support/fake-node.js';
import { ManualClock } from './support/manual-clock.js';

function harness() {
  const node = new FakeNode();
  const link = new FakeLink();
  const clock = new ManualClock();
  const writes = new ForwardedWrites(node.parts, { link, clock });
  const request = regatta.PutRequest.fromPartial({ table: Buffer.from('t'), key: Buffer.from('k') });
  const put = () => writes.put(request, { deadlineMs: clock.monotonicMs() + 5_000 });
  return { node, link, clock, put };
}

const done = (revision: bigint) =>
  Promise.resolve(regatta.PutResponse.fromPartial({ header: { shardId: 10_001n, revision } }));

describe('a write on a follower cluster', () => {
  test('is answered with the header of the leader cluster, when it has arrived here', async () => {
    const { node, link, put } = harness();
    link.writeAnswer = () => done(7n);
    const order: string[] = [];
    let arrive: () => void = () => undefined;
    node.beforeRevision = () =>
      new Promise((resolve) => {
        arrive = () => {
          order.push('arrived');
          resolve();
        };
      });
    const answered = put().then((response) => {
      order.push('answered');
      return response;
    });
    await turns(1);
    arrive();
    expect((await answered).header).toMatchObject({ revision: 7n, shardId: 10_001n });
    expect(order).toEqual(['arrived', 'answered']);
  });

  test('that wrote nothing on a stock leader, whose revision is 0, waits for nothing', async () => {
    const { node, link, put } = harness();
    link.writeAnswer = () => done(0n);
    node.beforeRevision = () => Promise.reject(new Error('must not wait'));
    await expect(put()).resolves.toBeDefined();
  });

  test("ends with the leader cluster's code and text", async () => {
    const { link, put } = harness();
    link.writeAnswer = () => Promise.reject(refusal(5, 'table not found'));
    await expect(put()).rejects.toMatchObject({
      status: 5,
      message: 'leader error: rpc error: code = NotFound desc = table not found',
    });
  });

  test('is UNAVAILABLE only when it certainly did not happen (P1)', async () => {
    const { link, put } = harness();
    link.writeAnswer = () => Promise.reject(lost());
    await expect(put()).rejects.toMatchObject({ status: 14, code: 'leaderUnreachable' });
    link.writeAnswer = () => Promise.reject(new LinkError(14, 'connection dropped', false, true));
    await expect(put()).rejects.toMatchObject({ message: errors.outcomeUnknown().message });
    link.writeAnswer = () => Promise.reject(new LinkError(4, 'late', false, true));
    await expect(put()).rejects.toMatchObject({ message: errors.outcomeUnknown().message });
  });

  test("keeps the code of the leader cluster's node, and has none from a stock leader", async () => {
    const { link, put } = harness();
    const refused = (errorCode: string) => new LinkError(14, 'any text', true, false, { errorCode });
    link.writeAnswer = () => Promise.reject(refused('diskFull'));
    await expect(put()).rejects.toMatchObject({ status: 14, code: 'diskFull' });
    link.writeAnswer = () => Promise.reject(refused(''));
    await expect(put()).rejects.toMatchObject({ status: 14, code: '' });
  });

  test('that the leader cluster has done and that has not arrived says just that (P1)', async () => {
    const { node, link, put } = harness();
    link.writeAnswer = () => done(7n);
    node.beforeRevision = () => Promise.reject(errors.timeout());
    const error = await put().catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 4, message: errors.appliedByLeaderOnly().message });
  });

  test('leaves the leader cluster less time than the caller gave', async () => {
    const { link, put, clock } = harness();
    let givenMs = 0;
    link.writeAnswer = ({ deadlineMs }) => {
      givenMs = deadlineMs - clock.monotonicMs();
      return done(0n);
    };
    await put();
    expect(givenMs).toBeLessThan(5_000);
    expect(givenMs).toBeGreaterThan(4_500);
  });
});
