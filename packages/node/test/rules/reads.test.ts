import { describe, expect, test } from '@jest/globals';
import { type Step, World } from './world.js';

const isWal = (step: Step) => step.startsWith('wal');

describe('P2: a linearizable read sees every write that ended before it began', () => {
  test('it does not join a round that was sent before', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(follower, 'a', 'old');
    world.network.block(leader, follower);
    const early = world.get(follower, 'a');
    await world.sleep(10);
    await world.write(other, 'a', 'new');
    const late = world.get(follower, 'a');
    world.network.unblock(leader, follower);
    expect((await world.answer(late))?.value).toBe('new');
    expect(['old', 'new']).toContain((await world.answer(early))?.value);
  });

  test('a new leader does not answer before it has committed in its own term', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'a', 'old');
    await world.equal();
    // Both followers get the write, and neither learns that it is committed.
    const { commitIndex } = world.replica(leader).raft;
    const hasIt = (id: number) => world.replica(id).raft.lastIndex > commitIndex;
    world.loseFrames(leader, hasIt);
    const put = world.put(leader, 'a', 'new');
    await world.until('both have it', () => hasIt(follower) && hasIt(other));
    expect(await world.fate(put)).toBe('ok');
    world.kill(leader);
    const leads = (id: number) => world.replica(id).isLeader;
    await world.until('another leads', () => leads(follower) || leads(other));
    const [successor, third] = leads(follower) ? [follower, other] : [other, follower];
    const gate = world.gate(third, isWal);
    expect(world.replica(successor).raft.commitIndex).toBe(commitIndex);
    const read = world.get(successor, 'a');
    await world.sleep(300);
    expect(read.fate).toBe('pending');
    gate.open();
    expect((await world.answer(read))?.value).toBe('new');
  });

  test.each(['paused', 'isolated'])('a leader that was %s and replaced gives nothing stale', async (how) => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', 'old');
    if (how === 'paused') world.pause(leader);
    else world.isolate(leader);
    const successor = () => world.replica(follower).raft.leader;
    await world.until('another leads', () => successor() !== 0 && successor() !== leader);
    await world.write(follower, 'a', 'new');
    const isStillLeader = world.replica(leader).isLeader;
    const read = world.get(leader, 'a');
    if (how === 'paused') {
      expect(isStillLeader).toBe(true);
      await world.sleep(5_000);
      world.resume(leader);
    } else {
      await world.sleep(300);
      expect(read.fate).not.toBe('ok');
      world.network.heal();
    }
    await world.until('an answer', () => read.isSettled);
    if (read.fate === 'ok') expect(read.value?.value).toBe('new');
    else expect(read.fate).toBe('Unavailable');
    expect(await world.value(leader, 'a')).toBe('new');
  });

  test('an answer that an earlier life asked for confirms nothing', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(follower, 'a', 'old');
    await world.equal();
    world.restart(follower);
    await world.until(
      'it is back',
      () => world.isServing(follower) && world.replica(follower).raft.leader === leader,
    );
    const delayed: Buffer[] = [];
    world.loseFrames(leader, (to, frame) => to === follower && delayed.push(frame) > 0);
    world.get(follower, 'a');
    await world.sleep(20);
    world.restart(follower);
    await world.until('it is back', () => world.isServing(follower));
    world.loseFrames(leader, (to) => to === follower);
    await world.write(other, 'a', 'new');
    // It hears of the leader, and no more than that.
    for (const frame of delayed) world.deliver(follower, frame);
    const read = world.get(follower, 'a');
    await world.sleep(5);
    for (const frame of delayed) world.deliver(follower, frame);
    await world.sleep(100);
    expect(read.fate).toBe('pending');
    world.loseFrames(leader, () => false);
    expect((await world.answer(read))?.value).toBe('new');
  });

  test('it waits for the write of the store', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const gate = world.gate(follower, (step) => step === `apply shard-${world.shard()}`);
    await world.write(leader, 'a', 'new');
    const read = world.get(follower, 'a');
    await world.sleep(500);
    expect(gate.waiting).toBe(1);
    expect(read.fate).toBe('pending');
    gate.open();
    expect((await world.answer(read))?.value).toBe('new');
  });

  test('a serializable read asks nobody', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    await world.equal();
    world.isolate(follower);
    await world.sleep(10_000);
    const read = world.get(follower, 'a', { linearizable: false });
    expect((await world.answer(read))?.value).toBe('1');
    expect(await world.fate(world.get(follower, 'a', { timeoutMs: 500 }))).toBe('Unavailable');
  });
});
