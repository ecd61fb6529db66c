import { mvcc, replication } from '@coxswain/protocol';
import { afterEach, describe, expect, test } from '@jest/globals';
import { replicationEvents } from '../src/events.js';
import type { FollowerOptions } from '../src/index.js';
import { encodeCommands, encodeError, encodeTerminal } from '../src/replicate-message.js';
import { messages } from './support/fake-link.js';
import { followerHarness } from './support/follower-harness.js';

const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
const MADE_AGAIN = replicationEvents.followedTableRemade.code;

let running: ReturnType<typeof followerHarness> | undefined;

afterEach(async () => {
  await running?.follower.stop();
  expect(running?.clock.waiting ?? 0).toBe(0);
  running = undefined;
});

function put(leaderIndex: number, value = 'x') {
  const kv = { key: Buffer.from(`k${leaderIndex}`), value: Buffer.from(value) };
  const command = mvcc.Command.encode(mvcc.Command.fromPartial({ table: Buffer.from('t'), kv })).finish();
  return { leaderIndex, timeMs: 0, command: Buffer.from(command) };
}

const puts = (from: number, to: number, value?: string) =>
  Array.from({ length: to - from + 1 }, (_, at) => put(from + at, value));

/** A follower of a stock leader cluster, whose log `leader` is. */
function following(options: Partial<FollowerOptions> = {}) {
  const it = followerHarness(options);
  running = it;
  const leader = { log: puts(1, 3), firstIndex: 1 };
  it.lead(0);
  it.node.leaderClusterId = '';
  it.link.metadataAnswer = () =>
    Promise.resolve({ tables: [{ name: 't', type: 0, shardId: 0n }], clusterId: '', nodes: [] });
  it.link.replicateAnswer = ({ leaderIndex }) => {
    const from = Number(leaderIndex);
    const { log, firstIndex } = leader;
    if (from < firstIndex) return messages(encodeError(USE_SNAPSHOT, log.length));
    if (from > log.length + 1) return messages(encodeError(LEADER_BEHIND, log.length));
    const sent = [];
    for (let at = from - 1; at < log.length; at += 500)
      sent.push(encodeCommands(log.slice(at, at + 500), log.length));
    return messages(...sent, encodeTerminal(log.length));
  };
  /** Another node comes to lead the table, or this one starts anew. */
  const changeWorker = () => {
    it.node.led = it.node.led.map((led) => ({ ...led, term: led.term + 1 }));
    it.node.changed();
  };
  const taken = () => it.node.applied.flatMap(({ indices }) => indices).length;
  const isTakenAnew = () => it.node.loads.length > 0;
  return { ...it, leader, changeWorker, taken, isTakenAnew };
}

describe("a stock leader cluster's log", () => {
  test('is believed as long as it is the same, whoever leads the table', async () => {
    const it = following();
    it.follower.start();
    for (let round = 0; round < 6; round++) {
      await it.clock.advance(31_000);
      it.leader.log.push(...puts(it.leader.log.length + 1, it.leader.log.length + 30));
      if (round % 2 === 1) it.changeWorker();
      await it.clock.advance(2_000);
      // R1: another worker's proposal, which came second and had no effect.
      it.node.log.push(it.node.log.at(-1)!);
    }
    expect(it.taken()).toBe(it.leader.log.length);
    expect(it.isTakenAnew()).toBe(false);
  });

  test('is another one: the table is taken anew, however long it is by now', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(100_000);
    it.leader.log = puts(1, 4, 'other');
    await it.clock.advance(40_000);
    expect(it.isTakenAnew()).toBe(true);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
    expect(it.node.stopped).toEqual([]);
  });

  test('is another one, which has the same command at the cursor', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(100_000);
    it.leader.log = [put(1, 'other'), put(2), put(3)];
    await it.clock.advance(40_000);
    expect(it.isTakenAnew()).toBe(true);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
  });

  test('was begun again while nobody led the table here', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(1_000);
    it.leader.log = puts(1, 5, 'other');
    it.changeWorker();
    await it.clock.advance(1_000);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
    expect(it.taken()).toBe(3);
  });

  test('was begun again, and a worker that took of it has ended before it compared', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(100_000);
    it.leader.log = puts(1, 30, 'other');
    await it.clock.advance(5_000);
    expect(it.taken()).toBe(30);
    expect(it.isTakenAnew()).toBe(false);
    it.changeWorker();
    await it.clock.advance(1_000);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
  });

  test('is compared again before more is taken than it keeps', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(100);
    it.leader.log = [...puts(1, 3, 'other'), ...puts(4, 8_000)];
    await it.clock.advance(20_000);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
    expect(it.taken()).toBeLessThan(3_000);
  });

  test('was compacted past what tells: the table is taken anew, once an hour', async () => {
    const it = following();
    it.follower.start();
    const loads = async (forMs: number) => {
      const before = it.node.loads.length;
      await it.clock.advance(forMs);
      return it.node.loads.length - before;
    };
    expect(await loads(60_000)).toBe(0);
    it.leader.firstIndex = 4;
    expect(await loads(31_000)).toBeGreaterThan(0);
    expect(it.recorder.of(replicationEvents.followedLogUncomparable)).toHaveLength(1);
    it.changeWorker();
    expect(await loads(3_500_000)).toBe(0);
    expect(await loads(200_000)).toBeGreaterThan(0);
    expect(it.recorder.of(replicationEvents.followedLogUncomparable)).toHaveLength(2);
  });

  test('was compacted past what is old enough: the newest that was taken is compared', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(100_000);
    it.leader.log.push(...puts(4, 40));
    await it.clock.advance(2_000);
    it.leader.firstIndex = 20;
    it.changeWorker();
    await it.clock.advance(2_000);
    expect(it.isTakenAnew()).toBe(false);
    it.leader.log = puts(1, 41, 'other');
    await it.clock.advance(31_000);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
  });

  test('is the same when another release marshals the commands otherwise', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(1_000);
    // A field that this version does not know, and the table's name behind all others.
    const name = Buffer.from('0a0174', 'hex');
    it.leader.log = it.leader.log.map(({ command, ...entry }) => ({
      ...entry,
      command: Buffer.concat([command.subarray(name.length), name, Buffer.from('a03801', 'hex')]),
    }));
    expect(it.leader.log[0]!.command.subarray(0, name.length)).not.toEqual(name);
    await it.clock.advance(40_000);
    expect(it.isTakenAnew()).toBe(false);
    expect(it.recorder.codes).not.toContain(MADE_AGAIN);
  });

  test('ends before what was taken: the table is stopped for good', async () => {
    const it = following();
    it.follower.start();
    await it.clock.advance(1_000);
    it.leader.log = puts(1, 2);
    await it.clock.advance(20_000);
    expect(it.node.stopped).toHaveLength(1);
    expect(it.isTakenAnew()).toBe(false);
  });

  test('is begun again after a snapshot, before anything came of the log', async () => {
    const it = following();
    it.lead(3);
    it.node.leaderClusterId = '';
    it.link.metadataAnswer = () =>
      Promise.resolve({ tables: [{ name: 't', type: 0, shardId: 0n }], clusterId: '', nodes: [] });
    it.follower.start();
    await it.clock.advance(1_000);
    it.leader.log = puts(1, 5, 'other');
    await it.clock.advance(40_000);
    expect(it.recorder.codes).toContain(MADE_AGAIN);
  });
});
