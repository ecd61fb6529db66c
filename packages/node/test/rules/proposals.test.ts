import type { ApiError } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { type Outcome, type Step, World } from './world.js';

const isWal = (step: Step) => step.startsWith('wal');

/** How often each of the keys was written. */
async function versions(world: World, id: number, keys: readonly string[]): Promise<number[]> {
  const all = [];
  for (const key of keys) all.push((await world.answer(world.get(id, key)))?.version ?? 0);
  return all;
}

describe('P1: a proposal is applied at most once, and its fate is told truly', () => {
  test('a node restarts and proposes under the sequence that its last life has in flight', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gates = [world.gate(leader, isWal), world.gate(other, isWal)];
    world.put(follower, 'before', '1');
    const { lastIndex } = world.replica(leader).raft;
    await world.until('the leader has it', () => world.replica(leader).raft.lastIndex > lastIndex);
    world.restart(follower);
    await world.until(
      'it is back',
      () => world.isServing(follower) && world.replica(follower).raft.leader === leader,
    );
    const after = world.put(follower, 'after', '2');
    await world.until('the leader has both', () => world.replica(leader).raft.lastIndex > lastIndex + 1);
    for (const gate of gates) gate.open();
    const { result } = await world.answer(after);
    const read = await world.answer(world.get(follower, 'after'));
    expect(read).toEqual({ value: '2', version: 1, revision: result.revision });
    await world.equal();
    expect(await world.contents(other)).toEqual(['after=2/1', 'before=1/1']);
  });

  test('without a leader, writes, reads and tables say so, and how many members answer', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    world.kill(leader);
    world.kill(other);
    await world.until('it knows', () => world.replica(follower).raft.leader === 0);
    const textOf = async (outcome: Outcome<unknown>): Promise<string> => {
      expect(await world.fate(outcome)).toBe('Unavailable');
      return (outcome.error as ApiError).message;
    };
    const ofTable = 'table main has no leader: 1 of 3 members answer';
    expect(await textOf(world.put(follower, 'a', '1'))).toBe(ofTable);
    expect(await textOf(world.get(follower, 'a'))).toBe(ofTable);
    const ofCluster = 'the cluster has no leader: 1 of 3 members answer';
    expect(await textOf(world.create(follower, 'new'))).toBe(ofCluster);
    expect(await textOf(world.get(follower, 'a', { table: 'none' }))).toBe(ofCluster);
  });

  test('the stages of a write add up to it, on a leader and where it is forwarded', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const heldMs = 100;
    /** In which stages of a put the node that is asked spends the time for which the logs of some are held up. */
    const slowStages = async (asked: number, heldUp: readonly number[]): Promise<string[]> => {
      const { queue, wal, peers, apply } = world.node(asked).reports.metrics().writeStages;
      const stages = Object.entries({ queue, wal, peers, apply });
      const before = stages.map(([, { sum, counts }]) => ({ sum, count: counts.at(-1)! }));
      const { clock } = world.machine(asked);
      const beganMs = clock.monotonicMs;
      let endedMs = 0;
      const gates = heldUp.map((id) => world.gate(id, isWal));
      const put = world.put(asked, 'key', 'value');
      void put.settled.then(() => {
        endedMs = clock.monotonicMs;
      });
      await world.sleep(heldMs);
      for (const gate of gates) gate.open();
      await world.answer(put);
      expect(stages.map(([, { counts }], i) => counts.at(-1)! - before[i]!.count)).toEqual([1, 1, 1, 1]);
      const tookMs = stages.map(([, { sum }], i) => (sum - before[i]!.sum) * 1000);
      expect(tookMs.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(endedMs - beganMs, 6);
      return stages.filter((_, i) => tookMs[i]! > heldMs / 2).map(([stage]) => stage);
    };
    expect(await slowStages(leader, [])).toEqual([]);
    expect(await slowStages(leader, [leader])).toEqual(['wal']);
    expect(await slowStages(leader, [follower, other])).toEqual(['peers']);
    expect(await slowStages(follower, [follower])).toEqual(['wal']);
    expect(await slowStages(follower, [leader, other])).toEqual(['peers']);
  });

  test('the connection to the leader breaks after the leader has appended', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gates = [world.gate(leader, isWal), world.gate(other, isWal)];
    const { lastIndex, term } = world.replica(leader).raft;
    const put = world.put(follower, 'a', '1');
    await world.until('the leader has it', () => world.replica(leader).raft.lastIndex > lastIndex);
    world.network.reset(follower, leader);
    await world.sleep(800);
    for (const gate of gates) gate.open();
    expect(await world.fate(put)).toBe('ok');
    await world.equal();
    expect(world.replica(leader).raft.term).toBe(term);
    expect(await world.contents(other)).toEqual(['a=1/1']);
  });

  test.each(['killed', 'isolated', 'paused', 'restarted'])(
    'the leader is %s while forwarded proposals are in flight',
    async (how) => {
      const world = await World.formed();
      const [leader, follower, other] = await world.roles();
      const keys: string[] = [];
      const puts: Outcome<unknown>[] = [];
      const putSome = async () => {
        for (let i = 0; i < 40; i++) {
          const key = `key-${keys.length}`;
          keys.push(key);
          puts.push(world.put(i % 2 === 0 ? follower : other, key, 'x'));
          await world.sleep(0.2);
        }
      };
      await putSome();
      if (how === 'killed') world.kill(leader);
      if (how === 'isolated') world.isolate(leader);
      if (how === 'paused') world.pause(leader);
      if (how === 'restarted') world.restart(leader);
      await putSome();
      await world.until('another leads', () => {
        const led = world.replica(follower).raft.leader;
        return led !== 0 && (led !== leader || how === 'restarted');
      });
      await putSome();
      if (how === 'killed') world.start(leader);
      world.network.heal();
      world.resume(leader);
      await world.until('all have ended', () => puts.every(({ isSettled }) => isSettled));
      await world.equal();
      const counts = await versions(world, follower, keys);
      const fates = puts.map(({ fate }) => fate);
      expect(Math.max(...counts)).toBe(1);
      for (const [i, fate] of fates.entries()) {
        if (fate === 'ok') expect([keys[i], counts[i]]).toEqual([keys[i], 1]);
        else if (fate === 'Unavailable') expect([keys[i], counts[i]]).toEqual([keys[i], 0]);
        else expect(fate).toBe('Unknown');
      }
      expect(fates.filter((fate) => fate === 'ok').length).toBeGreaterThan(80);
    },
  );

  test('a proposal that was delayed on its way arrives at the leader of a later term', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const delayed = new Map<number, Buffer[]>([
      [follower, []],
      [other, []],
    ]);
    for (const [id, frames] of delayed) {
      world.loseFrames(id, (to, frame) => to === leader && frames.push(frame) > 0);
    }
    const puts = [world.put(follower, 'a', '1'), world.put(other, 'b', '1')];
    await world.sleep(20);
    world.kill(leader);
    for (const put of puts) expect(await world.fate(put)).toBe('ok');
    const successor = world.leader()!;
    const third = successor === follower ? other : follower;
    for (const frame of delayed.get(third)!) world.deliver(successor, frame);
    await world.write(third, 'c', '1');
    expect(await world.contents(third)).toEqual(['a=1/1', 'b=1/1', 'c=1/1']);
  });

  test('without a leader a write is unavailable, and never happens', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    world.kill(leader);
    world.kill(other);
    await world.until('it notices', () => world.replica(follower).raft.leader === 0);
    expect(await world.fate(world.put(follower, 'a', '1', { timeoutMs: 500 }))).toBe('Unavailable');
    world.start(leader);
    world.start(other);
    await world.equal();
    expect(await world.contents(follower)).toEqual([]);
  });

  test('a write that a leader was given is in doubt at its deadline', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gates = [world.gate(follower, isWal), world.gate(other, isWal)];
    expect(await world.fate(world.put(other, 'a', '1', { timeoutMs: 500 }))).toBe('Unknown');
    expect(await world.fate(world.put(leader, 'b', '1', { timeoutMs: 500 }))).toBe('Unknown');
    for (const gate of gates) gate.open();
    await world.equal();
    expect(await world.contents(leader)).toEqual(['a=1/1', 'b=1/1']);
  });

  test('a write that a leader was given is in doubt when its node stops', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gate = world.gate(leader, isWal);
    const gateOfOther = world.gate(other, isWal);
    const put = world.put(follower, 'a', '1');
    const { lastIndex } = world.replica(leader).raft;
    await world.until('the leader has it', () => world.replica(leader).raft.lastIndex > lastIndex);
    await world.stop(follower);
    expect(await world.fate(put)).toBe('Unknown');
    gate.open();
    gateOfOther.open();
    await world.until('it has happened', () => world.replica(other).table.keyCount === 1);
  });

  test('a write that a snapshot may cover is in doubt', async () => {
    const world = await World.formed({ options: { snapshotEntries: 20, compactionOverheadEntries: 5 } });
    const [leader, follower] = await world.roles();
    const { lastIndex } = world.replica(leader).raft;
    world.loseFrames(leader, (to) => to === follower);
    const put = world.put(follower, 'a', '1', { timeoutMs: 60_000 });
    await world.until('the leader has it', () => world.replica(leader).raft.lastIndex > lastIndex);
    for (let i = 0; i < 60; i++) await world.write(leader, `key-${i % 10}`, 'x');
    await world.until('the log is gone', () => world.replica(leader).log.truncated.index > lastIndex + 1);
    world.loseFrames(leader, () => false);
    expect(await world.fate(put)).toBe('Unknown');
    expect(await world.value(follower, 'a')).toBe('1');
  });

  test('the creation of a table that was registered is never called unavailable', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const isNew = (step: Step) => step === 'store open shard-10002';
    const gates = [world.gate(follower, isNew), world.gate(other, isNew)];
    expect(await world.fate(world.create(leader, 'new', 1_000))).toBe('Unknown');
    for (const gate of gates) gate.open();
    await world.until('it serves', () => world.leader(10_002) !== undefined);
    expect(await world.fate(world.create(leader, 'new'))).toBe('InvalidArgument');
  });
});

describe('P4: what is accepted is carried everywhere', () => {
  test('the largest transaction goes from a follower to every replica, and by snapshot', async () => {
    const world = await World.formed({
      options: { walSegmentSizeBytes: 20 * 1024 * 1024, snapshotEntries: 20, compactionOverheadEntries: 2 },
    });
    const [leader, follower, other] = await world.roles();
    world.kill(other);
    const limitBytes = 4 * 1024 * 1024;
    const put = (key: string, sizeBytes: number): mvcc.RequestOp => ({
      request: {
        $case: 'requestPut',
        value: { key: Buffer.from(key), value: Buffer.alloc(sizeBytes, key), prevKv: false },
      },
    });
    const command = (lastBytes: number) =>
      mvcc.Command.fromPartial({
        type: mvcc.Command_CommandType.TXN,
        txn: {
          compare: [],
          success: [put('a', 2_000_000), put('b', 2_000_000), put('c', lastBytes)],
          failure: [],
        },
      });
    const spareBytes = limitBytes - mvcc.Command.encode(command(100_000)).finish().length;
    await world.answer(world.propose(follower, command(100_000 + spareBytes)));
    const sizes = async (id: number) => (await world.contents(id)).map((line) => line.length);
    const expected = await sizes(leader);
    expect(expected.reduce((sum, size) => sum + size)).toBeGreaterThan(limitBytes - 200);
    await world.until('the follower has it', () => world.replica(follower).table.keyCount === 3);
    expect(await sizes(follower)).toEqual(expected);

    for (let i = 0; i < 40; i++) await world.write(leader, 'small', String(i));
    await world.until('the log is gone', () => world.replica(leader).log.truncated.index > 10);
    world.start(other);
    await world.equal();
    expect(world.node(other).reports.metrics().snapshotsReceived).toBe(1);
    expect(await sizes(other)).toEqual(await sizes(leader));
  });
});
