import { replication } from '@coxswain/protocol';
import { LeaderReplication } from '@coxswain/replication';
import { describe, expect, test } from '@jest/globals';
import { replicate, shardOf } from './followers.js';
import { Outcome, TABLE, World } from './world.js';

const OLD_SHARD = 10_001;
const PATIENT_MS = 60_000;

/** What follower clusters and backups ask of one node. Backups, like the archive, read what `openLog` gives. */
function fromOutside(world: World, id: number, { cursor, timeoutMs }: { cursor: number; timeoutMs: number }) {
  const node = world.node(id);
  const leader = new LeaderReplication(node, {
    clock: node.clock,
    messageBytesMax: 64 * 1024,
    logCallsMax: 10,
    snapshotCallsMax: 4,
  });
  const call = { ...world.deadlineMs(id, timeoutMs), signal: new AbortController().signal, peer: '' };
  const table = Buffer.from(TABLE);
  const firstOfLog = async () => {
    const request = replication.ReplicateRequest.fromPartial({ table, leaderIndex: BigInt(cursor + 1) });
    for await (const bytes of leader.replicate(request, call)) {
      return replication.ReplicateResponse.decode(bytes).response;
    }
    return undefined;
  };
  const snapshotSize = async () => {
    let sizeBytes = 0;
    const request = replication.SnapshotRequest.fromPartial({ table });
    for await (const { data } of leader.snapshot(request, call)) sizeBytes += data.length;
    return sizeBytes;
  };
  return {
    tables: new Outcome(
      leader
        .metadata({ follower: undefined }, call)
        .then(({ tables }) => tables.map(({ name, shardId }) => `${name} ${shardId}`)),
    ),
    log: new Outcome(firstOfLog()),
    snapshot: new Outcome(snapshotSize()),
    backup: new Outcome(node.logs.open(TABLE, call)),
  };
}

type Answers = ReturnType<typeof fromOutside>;

const outcomes = (answers: Answers): Outcome<unknown>[] => Object.values(answers);

/** The table is made again while the node hears of nothing, or cannot apply it. */
async function makeAgain(world: World, at: number): Promise<number> {
  await world.answer(world.delete(at, TABLE));
  await world.answer(world.create(at, TABLE));
  await world.write(at, 'a', 'new');
  return shardOf(world, at)!;
}

describe('a table that is deleted and made again (T1, T5)', () => {
  async function expectNew(world: World, answers: Answers, shard: number): Promise<void> {
    expect(await world.answer(answers.tables)).toEqual([`${TABLE} ${shard}`]);
    // The old cursor fits nothing of the new log.
    const { USE_SNAPSHOT: error } = replication.ReplicateError;
    expect(await world.answer(answers.log)).toEqual({ $case: 'errorResponse', value: { error } });
    expect(await world.answer(answers.snapshot)).toBeGreaterThan(0);
    const { shardId, table } = await world.answer(answers.backup);
    expect([shardId, table.keyCount]).toEqual([shard, 1]);
  }

  test('is never denied to follower clusters and backups by a node that lags', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const cursor = await world.write(follower, 'a', 'old');
    const gate = world.gate(follower, (step) => step === 'apply shard-1000');
    const shard = await makeAgain(world, leader);
    const answers = fromOutside(world, follower, { cursor, timeoutMs: PATIENT_MS });
    await world.sleep(5_000);
    for (const { fate } of outcomes(answers)) expect(fate).toBe('pending');
    gate.open();
    await expectNew(world, answers, shard);
  });

  test('nor by one that was down', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const cursor = await world.write(follower, 'a', 'old');
    world.kill(follower);
    const shard = await makeAgain(world, leader);
    world.start(follower);
    await world.until('it is back', () => world.isServing(follower));
    await expectNew(world, fromOutside(world, follower, { cursor, timeoutMs: PATIENT_MS }), shard);
  });
});

describe('a clock that is an hour ahead for a moment (A7)', () => {
  test('takes nothing from follower clusters and backups, then or later', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const cursor = await world.write(follower, 'a', 'before');
    for (const id of world.ids) world.machine(id).clock.jump(3_600_000);
    const ahead = await world.write(follower, 'a', 'ahead');
    for (const id of world.ids) world.machine(id).clock.jump(-3_600_000);
    const last = await world.write(follower, 'a', 'after');
    await world.equal();
    for (const id of [leader, follower]) {
      const answers = fromOutside(world, id, { cursor, timeoutMs: PATIENT_MS });
      expect(await world.answer(answers.log)).toMatchObject({
        $case: 'commandsResponse',
        value: { commands: [{ leaderIndex: BigInt(ahead) }, { leaderIndex: BigInt(last) }] },
      });
      expect(await world.answer(answers.snapshot)).toBeGreaterThan(0);
      const { table, appliedIndex } = await world.answer(answers.backup);
      expect([table.keyCount, appliedIndex]).toEqual([1, last]);
    }
  });
});

describe('a node whose disk was put back to an earlier state (T4)', () => {
  /** Puts back what the machine held before `act`, and starts the node. Gives what brings the newest disk back. */
  async function rollBack(world: World, id: number, act: () => Promise<void>): Promise<() => Promise<void>> {
    const machine = world.machine(id);
    const old = machine.copyDisks();
    await act();
    await world.equal();
    // Members keep how far a node was at most a second after.
    await world.sleep(2_000);
    world.kill(id);
    const newest = machine.copyDisks();
    machine.putBack(old);
    world.start(id);
    return async () => {
      world.network.heal();
      expect((await world.endOf(id)).message).toContain('earlier state');
      machine.putBack(newest);
      world.start(id);
      await world.until('it is back', () => world.isReady(id));
    };
  }

  test('serves follower clusters and backups nothing, until it has what it had', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', 'old');
    await world.equal();
    let last = 0;
    // Cut off, nobody refuses it: it may not serve for all that.
    const bringBack = await rollBack(world, follower, async () => {
      for (let i = 0; i < 20; i++) last = await world.write(leader, 'a', `${i}`);
    });
    world.isolate(follower);
    await world.until('it runs', () => world.isServing(follower));
    const early = fromOutside(world, follower, { cursor: last - 1, timeoutMs: 3_000 });
    const local = world.get(follower, 'a', { linearizable: false, timeoutMs: 3_000 });
    for (const outcome of [...outcomes(early), local]) {
      expect(await world.fate(outcome)).toBe('Unavailable');
    }
    await bringBack();
    const late = fromOutside(world, follower, { cursor: last - 1, timeoutMs: PATIENT_MS });
    expect(await world.answer(late.tables)).toEqual([`${TABLE} ${OLD_SHARD}`]);
    expect(await world.answer(late.log)).toMatchObject({
      $case: 'commandsResponse',
      value: { commands: [{ leaderIndex: BigInt(last) }] },
    });
    expect((await world.answer(late.backup)).table.revision).toBeGreaterThanOrEqual(last);
  });

  test('is refused in a follower cluster too, whose cursor does not go back', async () => {
    const world = await World.formed({ options: { role: 'follower' } });
    await world.settled(world.node(1).follower.createTable(TABLE, world.deadlineMs(1)));
    await world.until('all have it', () => world.ids.every((id) => shardOf(world, id) === OLD_SHARD));
    const [leader, follower] = await world.roles();
    const follow = async (from: number, to: number): Promise<void> => {
      for (let cursor = from; cursor < to; cursor++) {
        const result = await world.settled(replicate(world, leader, { shard: OLD_SHARD, cursor }));
        expect(result.hasStaleCursor).toBe(false);
      }
    };
    await follow(0, 5);
    await world.equal();
    const bringBack = await rollBack(world, follower, () => follow(5, 15));
    await bringBack();
    expect(world.node(leader).follower.cursor(OLD_SHARD)).toBe(15);
    await follow(15, 20);
    await world.until('it has all', () => world.node(follower).follower.cursor(OLD_SHARD) === 20);
    await world.equal();
  });
});
