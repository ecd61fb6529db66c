import { type ApiError, errors } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { LeaderReplication } from '../src/index.js';
import { encodeCommands, encodeTerminal } from '../src/replicate-message.js';
import { readReplicatedEntry } from '../src/replicated-entry.js';
import { messages, silence } from './support/fake-link.js';
import { FakeNode } from './support/fake-node.js';
import { followerHarness } from './support/follower-harness.js';
import { ManualClock } from './support/manual-clock.js';

function put(leaderIndex: number) {
  const kv = { key: Buffer.from(`k${leaderIndex}`), value: Buffer.from('v') };
  const command = mvcc.Command.encode(mvcc.Command.fromPartial({ table: Buffer.from('t'), kv })).finish();
  return { leaderIndex, timeMs: 1_000 + leaderIndex, command: Buffer.from(command) };
}

describe('a follower cluster with a paused node', () => {
  test('takes nothing, says so, and goes on from its cursor when the node is resumed', async () => {
    const it = followerHarness();
    it.lead(4);
    const states: (string | undefined)[] = [];
    it.link.onMetadata = (request) => states.push(request.follower?.state);
    it.node.state = 'paused';
    it.link.replicateAnswer = ({ leaderIndex }, call) =>
      leaderIndex < 7n
        ? messages(encodeCommands([put(5), put(6)].slice(Number(leaderIndex) - 5), 6), encodeTerminal(6))
        : silence(call);
    it.follower.start();
    await it.clock.advance(60_000);
    expect(it.link.requests).toEqual([]);
    expect(it.follower.status()).toMatchObject({
      error: expect.stringContaining('it is paused on node-1'),
      isBroken: false,
      isReached: true,
      tables: [{ name: 't', state: 'paused', lagMs: 60_000 }],
    });
    expect(it.follower.isTaking).toBe(false);
    // It still says that it is there, and what is wanted of it.
    expect(states.length).toBeGreaterThan(1);
    expect(new Set(states)).toEqual(new Set(['paused']));
    it.node.state = 'online';
    it.node.changed();
    await it.clock.advance(1_000);
    expect(it.node.applied.flatMap(({ indices }) => indices)).toEqual([5, 6]);
    expect(states.at(-1)).toBe('online');
    expect(it.follower.isTaking).toBe(true);
    // Another member of it is paused: what one takes is applied on all.
    const other = new FakeNode();
    other.state = 'pausing';
    it.node.members.set(2, other);
    it.node.changed();
    await it.clock.advance(1_000);
    expect(it.follower.isTaking).toBe(false);
    await it.follower.stop();
  });

  test('keeps the time that the leader cluster gave each command', async () => {
    const it = followerHarness();
    it.lead(4);
    it.link.replicateAnswer = ({ leaderIndex }, call) =>
      leaderIndex === 5n
        ? messages(encodeCommands([put(5), put(6)], 6), encodeTerminal(6))
        : leaderIndex === 7n
          ? messages(encodeCommands([put(7)], 7), encodeTerminal(7))
          : silence(call);
    it.follower.start();
    await it.clock.advance(1_000);
    await it.follower.stop();
    const times = it.node.log
      .flatMap(({ command }) => readReplicatedEntry(command))
      .map(({ leaderIndex, timeMs }) => [leaderIndex, timeMs]);
    expect(times).toEqual([
      [5, 1_005],
      [6, 1_006],
      [7, 1_007],
    ]);
  });

  test('refuses writes, which would not arrive', async () => {
    const it = followerHarness();
    it.node.state = 'pausing';
    const write = it.follower.writes.put({} as never, { deadlineMs: 1_000 });
    await expect(write).rejects.toMatchObject({ code: 'replicationPaused' });
  });
});

describe('a paused node of a leader cluster', () => {
  test('refuses logs and snapshots, so that followers go elsewhere, and lists tables', async () => {
    const node = new FakeNode();
    node.role = 'leader';
    const leader = new LeaderReplication(node.parts, {
      clock: new ManualClock(),
      messageBytesMax: 1_024,
      logCallsMax: 10,
      snapshotCallsMax: 10,
    });
    const call = { peer: 'p', deadlineMs: 1_000, signal: new AbortController().signal };
    const request = replication.ReplicateRequest.fromPartial({ table: Buffer.from('t'), leaderIndex: 1n });
    node.isLogPaused = true;
    const refusals = [
      () => leader.replicate(request, call).next(),
      () =>
        leader.snapshot(replication.SnapshotRequest.fromPartial({ table: Buffer.from('t') }), call).next(),
      () => leader.openSnapshot('t', call),
      () => leader.querySnapshot({ table: 't', followerIndex: 0n }, call),
      async () => leader.enterSnapshot(),
    ];
    for (const refusal of refusals) {
      const error = await refusal().then(
        () => undefined,
        (thrown: unknown) => thrown as ApiError,
      );
      expect([error?.status, error?.code]).toEqual([errors.logPaused().status, 'logPaused']);
    }
    expect(leader.isSending).toBe(false);
    const follower = { clusterId: 'F', name: 'F/1', address: 'a:1', state: 'paused' };
    expect(await leader.metadata({ follower }, call)).toMatchObject({ tables: [], nodes: ['node-1'] });
    expect(leader.followerNodes()).toEqual([{ ...follower, lastSeenMsAgo: 0 }]);
  });
});
