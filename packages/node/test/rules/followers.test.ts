import { META_SHARD } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { loaded, onlyShards, pairs, replicate, shardOf } from './followers.js';
import { Outcome, type Step, TABLE, World, type WorldOptions } from './world.js';

const SHARD = 10_001;
const BASE_STEP = 1_000_000_000;
const isApplyOf = (shard: number) => (step: Step) => step === `apply shard-${shard}`;

/** A follower cluster with one table, which has nothing of its leader cluster yet. */
async function followerWorld({ options, ...more }: WorldOptions = {}): Promise<World> {
  const world = await World.formed({ ...more, options: { role: 'follower', ...options } });
  await world.settled(world.node(1).follower.createTable(TABLE, world.deadlineMs(1)));
  await world.until('all have it', () => world.ids.every((id) => shardOf(world, id) === SHARD));
  await world.roles();
  return world;
}

/** Replicates commands one after the other, from wherever the shard's cursor is, and whatever fails on the way. */
async function follow(world: World, pick: () => number, until: number): Promise<void> {
  for (;;) {
    const id = pick();
    const node = world.node(id);
    const cursor = node.follower.cursor(SHARD);
    if (cursor !== undefined && cursor >= until) return;
    const sent: Outcome<unknown>[] = [];
    // Several are under way, each built on the one before.
    for (let at = cursor ?? 0; cursor !== undefined && at < Math.min(cursor + 10, until); at++) {
      sent.push(new Outcome(replicate(world, id, { shard: SHARD, cursor: at }, 1_000)));
    }
    await world.sleep(0.3);
    const isSame = () => world.isServing(id) && world.node(id) === node;
    const isOver = () => !isSame() || sent.every(({ isSettled }) => isSettled);
    await world.until('they end, or their node', isOver);
  }
}

/** Every command had its effect, and had it once: each put another key. */
async function expectWhole(world: World, id: number, count: number): Promise<void> {
  const expected = Array.from({ length: count }, (_, i) => `key-${i + 1}=x/1`).sort();
  expect((await world.contents(id)).sort()).toEqual(expected);
}

describe('R1: what is replicated leaves no hole, and is applied once', () => {
  test('a command that was built on another cursor has no effect', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    for (const cursor of [0, 1, 2]) {
      const result = await world.settled(replicate(world, leader, { shard: SHARD, cursor }));
      expect(result).toMatchObject({ hasStaleCursor: false, revision: cursor + 1 });
    }
    for (const cursor of [0, 2, 5]) {
      const result = await world.settled(replicate(world, follower, { shard: SHARD, cursor, key: 'lost' }));
      expect(result.hasStaleCursor).toBe(true);
    }
    await world.until('it is everywhere', () => world.node(follower).follower.cursor(SHARD) === 3);
    await expectWhole(world, follower, 3);
    await world.equal();
  });

  test('two workers at once, on two nodes', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    await Promise.all([follow(world, () => leader, 150), follow(world, () => follower, 150)]);
    for (const id of world.ids) await world.until('all', () => world.node(id).follower.cursor(SHARD) === 150);
    await expectWhole(world, follower, 150);
    await world.equal();
  });

  test.each(sized([1, 2], [1, 2, 3, 4, 5]))(
    'leaders change and nodes die among pipelined batches (seed %i)',
    async (seed) => {
      const world = await followerWorld({ seed });
      const isAlive = (id: number) => world.isUp(id) && world.isServing(id);
      let turn = seed;
      const following = new Outcome(
        follow(world, () => world.ids.filter(isAlive)[turn++ % world.ids.filter(isAlive).length]!, 200),
      );
      for (let i = 0; i < 4; i++) {
        await world.sleep(3);
        await world.until('a leader', () => world.leader() !== undefined || following.isSettled);
        const leader = world.leader();
        if (leader === undefined) break;
        world.kill(leader);
        await world.sleep(40);
        world.start(leader);
        await world.until('it is back', () => world.isReady(leader));
      }
      await world.answer(following);
      for (const id of world.ids)
        await world.until('all', () => world.node(id).follower.cursor(SHARD) === 200);
      await expectWhole(world, 1, 200);
      await world.equal();
    },
  );
});

describe('R2: whoever is asked for the log has applied what was committed by then', () => {
  test('a node that lags waits, and gives only what it has applied (R6)', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const first = await world.write(leader, 'a', '1');
    await world.equal();
    const gate = world.gate(follower, isApplyOf(SHARD));
    const last = await world.write(leader, 'a', '2');
    const log = new Outcome(world.node(follower).logs.open(TABLE, world.deadlineMs(follower, 30_000)));
    await world.sleep(1_000);
    expect(log.fate).toBe('pending');
    gate.open();
    expect((await world.answer(log)).appliedIndex).toBeGreaterThanOrEqual(last);
    const entries = log.value.entries(first, 1024 * 1024);
    expect(entries.map(({ index }) => index)).toEqual(entries.map((_, i) => first + i));
    expect(entries.at(-1)!.index).toBeLessThanOrEqual(log.value.appliedIndex);
    const { kv } = mvcc.Command.decode(entries.find(({ index }) => index === last)!.command);
    expect(kv!.value.toString()).toBe('2');
  });

  test('an open log tells of what is applied later, and ends with its table', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const log = await world.settled(world.node(follower).logs.open(TABLE, world.deadlineMs(follower)));
    const { changes } = world.replica(follower);
    const before = log.appliedIndex;
    const told = new Outcome(log.appliedAbove(before, 30_000, undefined));
    const stopping = new AbortController();
    const aborted = new Outcome(log.appliedAbove(before + 1_000, 30_000, stopping.signal));
    await world.sleep(100);
    expect([told.fate, aborted.fate]).toEqual(['pending', 'pending']);
    expect(changes.count).toBe(2);
    await world.write(leader, 'a', '1');
    await world.answer(told);
    expect(log.appliedIndex).toBeGreaterThan(before);
    stopping.abort();
    await world.answer(aborted);
    // Long polls come and go for as long as the process lives: none leaves anything behind.
    expect(changes.count).toBe(0);
    const ended = new Outcome(log.appliedAbove(log.appliedIndex + 1_000, 30_000, undefined));
    await world.answer(world.delete(leader, TABLE));
    await world.answer(ended);
    expect(log.isServing).toBe(false);
    expect(changes.count).toBe(0);
  });

  test('a log that is compacted for its size keeps a part for those who follow it and are a little behind', async () => {
    const world = await World.formed({ options: { logBytesMax: 64 * 1024 } });
    const [leader, follower] = await world.roles();
    const { log } = world.replica(follower);
    for (let i = 0; log.truncated.index === 0; i++) await world.write(leader, `key-${i}`, Buffer.alloc(2048));
    const { appliedIndex } = world.replica(follower).table;
    expect(appliedIndex - log.truncated.index).toBeGreaterThan(log.truncated.index / 2);
    expect(log.sizeBytes).toBeLessThan(64 * 1024);
  });

  test('a node that is cut off gives no log', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles();
    world.isolate(follower);
    const log = new Outcome(world.node(follower).logs.open(TABLE, world.deadlineMs(follower, 2_000)));
    expect(await world.fate(log)).toBe('Unavailable');
  });
});

describe('R4: what the leader cluster has no more stays readable for a while', () => {
  const READABLE = `quarantine/${SHARD}/${TABLE}`;

  async function quarantined(options: WorldOptions['options'] = {}): Promise<World> {
    const world = await followerWorld({ options });
    await follow(world, () => 1, 20);
    await world.equal();
    await world.settled(world.node(2).follower.quarantine(TABLE, SHARD, world.deadlineMs(2)));
    await world.until('all know', () => world.ids.every((id) => shardOf(world, id) === undefined));
    return world;
  }

  test('under its new name alone, and also after every node has started anew', async () => {
    const world = await quarantined();
    for (let round = 0; round < 2; round++) {
      for (const id of world.ids) {
        for (const linearizable of [true, false]) {
          const read = world.get(id, 'key-7', { table: READABLE, linearizable });
          expect((await world.answer(read))?.value).toBe('x');
          expect(await world.fate(world.get(id, 'key-7', { linearizable }))).toBe('NotFound');
        }
        const [kept] = world.node(id).reports.status().quarantined;
        expect(kept).toMatchObject({ name: TABLE, shardId: SHARD, readableAs: READABLE });
      }
      const names = await world.settled(world.node(1).tables.list(world.deadlineMs(1)));
      expect(names).toEqual([]);
      const log = new Outcome(world.node(1).logs.open(READABLE, world.deadlineMs(1)));
      expect(await world.fate(log)).toBe('NotFound');
      for (const id of world.ids) world.losePower(id);
      for (const id of world.ids) world.start(id);
      await world.until('they are back', () => world.ids.every((id) => world.isReady(id)));
      await world.roles();
    }
  });

  test('a clock that is two days ahead for a moment does not end it (A7)', async () => {
    const world = await quarantined();
    const jump = (days: number) => {
      for (const id of world.ids)
        if (world.replica(id, 1_000).isLeader) world.machine(id).clock.jump(days * 24 * 3_600_000);
    };
    jump(2);
    await world.sleep(5_000);
    jump(-2);
    await world.sleep(1_000);
    for (const id of world.ids) expect(world.node(id).reports.status().quarantined).toHaveLength(1);
  });

  test('it goes when its time is over, everywhere', async () => {
    const world = await quarantined({ quarantineMs: 20_000 });
    await world.sleep(10_000);
    for (const id of world.ids) expect(world.hasReplica(id, SHARD)).toBe(true);
    await onlyShards(world, []);
    expect(await world.fate(world.get(1, 'key-7', { table: READABLE }))).toBe('NotFound');
    expect(world.node(1).reports.status().quarantined).toEqual([]);
  });

  test('the name may be used again meanwhile, above all that it had (T1)', async () => {
    const world = await quarantined();
    await world.settled(world.node(3).follower.createTable(TABLE, world.deadlineMs(3)));
    const shard = shardOf(world, 3)!;
    expect(shard).not.toBe(SHARD);
    expect(world.replica(3, shard).log.truncated.index).toBeGreaterThanOrEqual(BASE_STEP);
    expect((await world.answer(world.get(3, 'key-7', { table: READABLE })))?.value).toBe('x');
    expect(await world.value(3, 'key-7')).toBeUndefined();
  });

  test('a table that has another shard by now is left alone', async () => {
    const world = await followerWorld();
    await world.settled(world.node(1).follower.quarantine(TABLE, SHARD + 1, world.deadlineMs(1)));
    expect(shardOf(world, 1)).toBe(SHARD);
    expect(world.replica(1).table.sealedBy).toBeUndefined();
  });

  test('its node dies between the seal and the registry: the data is not lost', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    await follow(world, () => leader, 20);
    await world.equal();
    world.gate(leader, isApplyOf(SHARD));
    void new Outcome(world.node(leader).follower.quarantine(TABLE, SHARD, world.deadlineMs(leader)));
    await world.until('it is sealed', () => world.replica(follower).table.sealedBy === 0);
    world.kill(leader);
    await world.until(
      'it is in quarantine',
      () => world.node(follower).reports.status().quarantined.length === 1,
    );
    expect((await world.answer(world.get(follower, 'key-7', { table: READABLE })))?.value).toBe('x');
    world.start(leader);
    await world.until('it is back', () => world.isReady(leader));
    expect((await world.answer(world.get(leader, 'key-7', { table: READABLE })))?.value).toBe('x');
  });

  test('a member that was away all the time has it, too', async () => {
    const world = await World.formed({ options: { role: 'follower' } });
    world.kill(3);
    await world.settled(world.node(1).follower.createTable(TABLE, world.deadlineMs(1)));
    await follow(world, () => 1, 20);
    await world.settled(world.node(1).follower.quarantine(TABLE, SHARD, world.deadlineMs(1)));
    world.start(3);
    await world.until('it is back', () => world.isReady(3));
    expect((await world.answer(world.get(3, 'key-7', { table: READABLE })))?.value).toBe('x');
  });
});

describe('R4: one leader cluster', () => {
  test('the first one counts, until everything is reset', async () => {
    const world = await followerWorld();
    const bind = (id: number, name: string) =>
      world.settled(world.node(id).follower.bindLeaderCluster(name, world.deadlineMs(id)));
    const answers = [bind(1, 'first'), bind(2, 'second')];
    const [one, two] = [await answers[0]!, await answers[1]!];
    expect(one).toBe(two);
    expect(await bind(3, 'third')).toBe(one);
    await world.settled(world.node(3).follower.requestReset(undefined, world.deadlineMs(3)));
    expect(await bind(3, 'third')).toBe('third');
    await world.until('all know', () =>
      world.ids.every((id) => world.node(id).cluster.leaderClusterId === 'third'),
    );
  });

  test('one that tells no id is one, too', async () => {
    const world = await followerWorld();
    expect(await world.settled(world.node(1).follower.bindLeaderCluster('', world.deadlineMs(1)))).toBe('');
    expect(await world.settled(world.node(2).follower.bindLeaderCluster('x', world.deadlineMs(2)))).toBe('');
  });
});

describe('what an operator must know, and wants', () => {
  const led = (world: World) => world.ids.flatMap((id) => world.node(id).logs.led());

  test('a stop is known to whoever leads the table, until a reset, which a switch ends', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    await world.settled(
      world.node(follower).follower.stopReplication(TABLE, 'why', world.deadlineMs(follower)),
    );
    await world.until('it is known', () => led(world)[0]?.stopped === 'why');
    world.restart(leader);
    await world.until('another one leads', () => world.isReady(leader) && led(world).length === 1);
    expect(led(world)).toMatchObject([{ name: TABLE, stopped: 'why', isResetWanted: false }]);
    await world.settled(world.node(follower).follower.requestReset(TABLE, world.deadlineMs(follower)));
    await world.until('it is known', () => led(world)[0]?.isResetWanted === true);
    expect(led(world)[0]!.stopped).toBeUndefined();
    const load = await loaded(world, follower, pairs(20, 'new'), { leaderIndex: 500 });
    await world.settled(load.switch({}, world.deadlineMs(follower)));
    await world.roles(load.shardId);
    await world.until('it is known', () => led(world)[0]?.shardId === load.shardId);
    expect(led(world)[0]).toMatchObject({ stopped: undefined, isResetWanted: false });
    expect(world.node(follower).follower.cursor(load.shardId)).toBe(500);
    const unknown = new Outcome(world.node(1).follower.requestReset('none', world.deadlineMs(1)));
    expect(await world.fate(unknown)).toBe('NotFound');
  });

  test('a stop that comes late neither undoes a reset nor outlives the table', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles(META_SHARD);
    const gate = world.gate(follower, isApplyOf(META_SHARD));
    // This node still reads the registry of before.
    const late = new Outcome(
      world.node(follower).follower.stopReplication(TABLE, 'late', world.deadlineMs(follower)),
    );
    await world.settled(world.node(leader).follower.requestReset(TABLE, world.deadlineMs(leader)));
    gate.open();
    await world.until('an answer', () => late.isSettled);
    await world.until('a leader', () => led(world).length === 1);
    expect(led(world)[0]!.isResetWanted).toBe(true);
    await world.settled(world.node(leader).follower.quarantine(TABLE, SHARD, world.deadlineMs(leader)));
    const gone = new Outcome(world.node(1).follower.stopReplication(TABLE, 'gone', world.deadlineMs(1)));
    await world.until('an answer', () => gone.isSettled);
    await world.settled(world.node(leader).follower.createTable(TABLE, world.deadlineMs(leader)));
    await world.until('a leader', () => led(world).length === 1);
    expect(led(world)[0]).toMatchObject({ stopped: undefined, isResetWanted: false });
  });

  test('listeners hear of leaders and of the registry, until they end', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    let heard = 0;
    const end = world.node(follower).cluster.onChange(() => heard++);
    await world.settled(world.node(leader).follower.createTable('more', world.deadlineMs(leader)));
    await world.until(
      'it hears of the table',
      () => heard > 0 && shardOf(world, follower, 'more') !== undefined,
    );
    await world.sleep(100);
    const before = heard;
    world.kill(leader);
    await world.until('it hears of the lost leader', () => heard > before);
    await world.until('there is another one', () => world.leader() !== undefined);
    end();
    const after = heard;
    await world.settled(world.node(follower).follower.requestReset(TABLE, world.deadlineMs(follower)));
    await world.sleep(100);
    expect(heard).toBe(after);
  });
});

describe('a write that was forwarded is there when it is answered', () => {
  test('when its revision is applied, by whatever shard, also one that is not there yet', async () => {
    const world = await World.formed({ options: { role: 'follower' } });
    const wait = (id: number, revision: number, timeoutMs = 30_000) =>
      new Outcome(world.node(id).logs.whenRevision(TABLE, revision, world.deadlineMs(id, timeoutMs)));
    const early = wait(2, 2);
    const never = wait(2, 2, 500);
    expect(await world.fate(never)).toBe('Unavailable');
    await world.settled(world.node(1).follower.createTable(TABLE, world.deadlineMs(1)));
    expect(early.fate).toBe('pending');
    await follow(world, () => 1, 2);
    await world.answer(early);
    const across = world.ids.map((id) => wait(id, 500));
    await world.sleep(100);
    const load = await loaded(world, 1, pairs(20, 'new'), { leaderIndex: 500 });
    expect(across.map(({ fate }) => fate)).toEqual(Array(3).fill('pending'));
    await world.settled(load.switch({}, world.deadlineMs(1)));
    for (const outcome of across) {
      const header = await world.answer(outcome);
      expect(header.shardId).toBe(load.shardId);
    }
  });

  test('a node that has not applied the seal of the old shard is told of the new one', async () => {
    const world = await followerWorld();
    const [leader, follower, other] = await world.roles();
    // One that is away keeps the old shard from being dropped, which would end the wait, too.
    world.kill(other);
    const gate = world.gate(follower, isApplyOf(SHARD));
    const waiting = new Outcome(
      world.node(follower).logs.whenRevision(TABLE, 500, world.deadlineMs(follower, 20_000)),
    );
    const load = await loaded(world, leader, pairs(20, 'new'), { leaderIndex: 500 });
    await world.settled(load.switch({}, world.deadlineMs(leader)));
    expect((await world.answer(waiting)).shardId).toBe(load.shardId);
    gate.open();
  });

  test('a promotion in between answers no write that the promoted table may lack (R5)', async () => {
    const world = await followerWorld();
    await follow(world, () => 1, 20);
    const waiting = new Outcome(world.node(2).logs.whenRevision(TABLE, 21, world.deadlineMs(2, 30_000)));
    await promote(world, 1);
    await world.until('an answer', () => waiting.isSettled);
    expect(waiting.fate).not.toBe('ok');
  });
});

/** Copies every table into a shard of its own, as a promotion does. */
async function promote(world: World, id: number): Promise<void> {
  const node = world.node(id);
  await world.settled(node.follower.beginPromotion(world.deadlineMs(id)));
  for (const { name, shardId } of node.follower.unpromotedTables()) {
    await world.until('it is applied', () => node.follower.cursor(shardId) !== undefined);
    const cursor = node.follower.cursor(shardId)!;
    const content = pairs(20, 'promoted', cursor);
    const load = await loaded(world, id, content, { table: name, leaderIndex: cursor });
    expect(await world.settled(load.switch({ ifCursor: cursor }, world.deadlineMs(id)))).toBe(true);
  }
  await world.settled(node.follower.finishPromotion(world.deadlineMs(id)));
}

describe('R5: a cluster is a leader cluster or a follower cluster', () => {
  test('the role is written with the genesis, and known to every node; a follower cluster makes no tables', async () => {
    for (const role of ['leader', 'follower'] as const) {
      const world = await World.formed({ options: { role } });
      const tables = role === 'leader' ? 1 : 0;
      for (const id of world.ids) {
        expect(world.node(id).cluster.role).toBe(role);
        expect(world.node(id).reports.status().role).toBe(role);
        await world.until(
          'it knows its tables',
          () => world.node(id).reports.status().tables.length === tables,
        );
      }
    }
  });

  test.each([
    ['leader', 'follower', 'leader cluster'],
    ['follower', 'leader', 'promote'],
  ] as const)('data of a %s cluster is not opened as a %s', async (role, other, text) => {
    const world = await World.formed({ options: { role } });
    world.kill(1);
    world.start(1, { role: other });
    const end = await world.endOf(1);
    expect(end.name).toBe('DataDirectoryError');
    expect(end.message).toContain(text);
    world.kill(1);
    world.start(1);
    await world.until('nothing was changed', () => world.isReady(1));
    expect(world.node(1).cluster.role).toBe(role);
  });

  test('data without a role, of an older version, is a leader cluster', async () => {
    const world = await World.formed();
    const key = Buffer.from('cluster');
    const request = {
      $case: 'requestDeleteRange' as const,
      value: mvcc.RequestOp_DeleteRange.fromPartial({ key }),
    };
    const command = mvcc.Command.fromPartial({
      type: mvcc.Command_CommandType.TXN,
      txn: { compare: [], success: [{ request }], failure: [] },
    });
    const bytes = mvcc.Command.encode(command).finish() as Buffer;
    const { deadlineMs } = world.deadlineMs(1);
    await world.settled(world.replica(1, META_SHARD).propose(CommandKind.Command, bytes, { deadlineMs }));
    for (const id of world.ids) world.kill(id);
    for (const id of world.ids) world.start(id);
    await world.until('they are back', () => world.ids.every((id) => world.isReady(id)));
    for (const id of world.ids) expect(world.node(id).cluster.role).toBe('leader');
    await world.write(1, 'a', '1');
    world.kill(1);
    world.start(1, { role: 'follower' });
    expect((await world.endOf(1)).name).toBe('DataDirectoryError');
  });

  test('a follower cluster takes no writes and no tables of its own', async () => {
    const world = await followerWorld();
    expect(await world.fate(world.put(1, 'a', '1'))).toBe('Unavailable');
    expect(await world.fate(world.create(1, 'own'))).toBe('Unavailable');
    expect(await world.fate(world.delete(1, TABLE))).toBe('Unavailable');
    expect(world.replica(1).table.sealedBy).toBeUndefined();
  });

  test('while a cluster is promoted its tables stay those that it has', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    // One that has not heard of it yet asks first.
    const gate = world.gate(follower, isApplyOf(META_SHARD));
    await world.settled(world.node(leader).follower.beginPromotion(world.deadlineMs(leader)));
    expect(world.node(follower).cluster.role).toBe('follower');
    const { deadlineMs } = world.deadlineMs(follower);
    const refused = [
      world.create(follower, 'own'),
      world.delete(follower, TABLE),
      new Outcome(world.node(follower).follower.createTable('theirs', { deadlineMs })),
      new Outcome(world.node(follower).follower.quarantine(TABLE, SHARD, { deadlineMs })),
    ];
    gate.open();
    for (const outcome of refused) {
      expect(await world.fate(outcome)).toBe('Unavailable');
      expect(outcome.error).toMatchObject({ message: expect.stringContaining('is being promoted') });
    }
    expect(world.node(leader).follower.unpromotedTables()).toMatchObject([{ name: TABLE, shardId: SHARD }]);
    expect(world.replica(leader).table.sealedBy).toBeUndefined();
    await promote(world, leader);
    await world.answer(world.create(follower, 'own'));
    await world.answer(world.delete(follower, TABLE));
  });

  test('a promotion makes leader tables of all, above all that they had (T1), for good', async () => {
    const world = await followerWorld();
    const [leader, follower, other] = await world.roles();
    await follow(world, () => leader, 20);
    await world.settled(world.node(follower).follower.beginPromotion(world.deadlineMs(follower)));
    await world.until('all know', () => world.ids.every((id) => world.node(id).cluster.role === 'promoting'));
    expect(world.node(leader).follower.unpromotedTables()).toMatchObject([{ name: TABLE, shardId: SHARD }]);
    for (const id of world.ids) {
      expect(await world.fate(world.put(id, 'a', '1'))).toBe('Unavailable');
      const create = new Outcome(world.node(id).follower.createTable('new', world.deadlineMs(id)));
      expect(await world.fate(create)).toBe('Unavailable');
    }
    const tooEarly = new Outcome(world.node(leader).follower.finishPromotion(world.deadlineMs(leader)));
    expect(await world.fate(tooEarly)).toBe('Unavailable');
    await promote(world, other);
    await world.until('all know', () => world.ids.every((id) => world.node(id).cluster.role === 'leader'));
    expect(await world.write(follower, 'a', '1')).toBeGreaterThan(BASE_STEP);
    expect((await world.answer(world.get(leader, 'promoted-007')))?.revision).toBe(20);
    expect(world.node(leader).follower.unpromotedTables()).toEqual([]);
    await world.settled(world.node(leader).follower.beginPromotion(world.deadlineMs(leader)));
    // Started as it was before, it serves as what it is.
    for (const id of world.ids) world.kill(id);
    for (const id of world.ids) world.start(id, { role: id === 1 ? 'leader' : 'follower' });
    await world.until('they are back', () => world.ids.every((id) => world.isReady(id)));
    for (const id of world.ids) expect(world.node(id).cluster.role).toBe('leader');
    await world.write(1, 'a', '2');
    expect(world.log(2).join('\n')).toContain('warn promoted-earlier ');
  });

  test('a promotion, like a snapshot, makes no shard for which a member has too few descriptors', async () => {
    const world = await followerWorld();
    const [leader, follower, other] = await world.roles();
    const begin = (id: number) => new Outcome(world.node(id).follower.beginLoad(TABLE, world.deadlineMs(id)));
    world.machine(follower).files.descriptors = { inUse: 161, max: 256 };
    const refused = begin(follower);
    expect(await world.fate(refused)).toBe('ResourceExhausted');
    expect(String(refused.error)).toContain('161 of 256 descriptors');
    await world.until('it has said so', () => world.log(follower).join().includes('few-descriptors'));
    let elsewhere = begin(other);
    while ((await world.fate(elsewhere)) === 'ok') elsewhere = begin(other);
    expect(String(elsewhere.error)).toContain(`node ${follower} has too few of its 256 descriptors left`);
    world.machine(follower).files.descriptors = { inUse: 161, max: 4096 };
    await world.sleep(5_000);
    await promote(world, leader);
    await world.until('it knows', () => world.node(follower).cluster.role === 'leader');
  });

  test('what is still replicated while a table is promoted makes it begin again', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    await follow(world, () => leader, 20);
    await world.until('it is applied', () => world.node(follower).follower.cursor(SHARD) === 20);
    const load = await loaded(world, follower, pairs(20, 'promoted'), { leaderIndex: 20 });
    await world.settled(replicate(world, leader, { shard: SHARD, cursor: 20 }));
    expect(await world.settled(load.switch({ ifCursor: 20 }, world.deadlineMs(follower)))).toBe(false);
    expect(shardOf(world, follower)).toBe(SHARD);
    expect(world.replica(follower).table.sealedBy).toBeUndefined();
    await world.settled(replicate(world, leader, { shard: SHARD, cursor: 21 }));
    await world.settled(load.abandon(world.deadlineMs(follower)));
    await onlyShards(world, [SHARD]);
  });

  test('a promoted table begins above the leader cluster, also where the node that promotes it lags (T1)', async () => {
    const world = await followerWorld();
    const [leader, follower] = await world.roles();
    const far = 7 * BASE_STEP;
    const gate = world.gate(follower, isApplyOf(SHARD));
    const jump = mvcc.Command.fromPartial({
      type: mvcc.Command_CommandType.DUMMY,
      leaderIndex: BigInt(far),
    });
    const command = mvcc.Command.encode(jump).finish() as Buffer;
    await world.settled(
      world.node(leader).follower.replicate(SHARD, { cursor: 0, command }, world.deadlineMs(leader)),
    );
    await world.settled(world.node(leader).follower.beginPromotion(world.deadlineMs(leader)));
    await world.until('it knows', () => world.node(follower).cluster.role === 'promoting');
    const begun = new Outcome(
      world.node(follower).follower.beginLoad(TABLE, world.deadlineMs(follower, 30_000)),
    );
    await world.sleep(1_000);
    gate.open();
    const { shardId } = await world.answer(begun);
    expect(world.replica(follower, shardId).log.truncated.index).toBeGreaterThanOrEqual(far + BASE_STEP);
  });

  test('a name that was in quarantine goes on above the leader cluster, when it is used after a promotion (T1)', async () => {
    const world = await followerWorld();
    const [leader] = await world.roles();
    const far = 7 * BASE_STEP;
    const jump = mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.DUMMY, leaderIndex: BigInt(far) });
    const command = mvcc.Command.encode(jump).finish() as Buffer;
    await world.settled(
      world.node(leader).follower.replicate(SHARD, { cursor: 0, command }, world.deadlineMs(leader)),
    );
    await world.settled(world.node(leader).follower.quarantine(TABLE, SHARD, world.deadlineMs(leader)));
    await promote(world, leader);
    await world.answer(world.create(leader, TABLE));
    expect(await world.write(leader, 'a', '1')).toBeGreaterThan(far + BASE_STEP);
  });
});
