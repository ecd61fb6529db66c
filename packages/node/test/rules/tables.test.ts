import { META_SHARD } from '@coxswain/node';
import { CommandKind } from '@coxswain/table';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { Outcome, type Step, TABLE, World } from './world.js';

const SHARD = 10_001;
const BASE_STEP = 1_000_000_000;
const isMetaApply = (step: Step) => step === `apply shard-${META_SHARD}`;

async function created(world: World, id: number, name: string): Promise<number> {
  return (await world.answer(world.create(id, name))).shardId;
}

async function dropped(world: World, shard: number): Promise<void> {
  await world.until(`shard ${shard} is gone`, () => world.ids.every((id) => !world.hasReplica(id, shard)));
}

describe('T1: the revisions of a name never start again', () => {
  test('a table that is deleted and made again goes on a billion above', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    let last = 0;
    for (let i = 0; i < 10; i++) last = await world.write(leader, 'a', String(i));
    await world.answer(world.delete(follower, TABLE));
    expect(await created(world, other, TABLE)).toBeGreaterThan(SHARD);
    expect(await world.value(follower, 'a')).toBeUndefined();
    const first = await world.write(follower, 'a', 'new');
    expect(first).toBeGreaterThan(last + BASE_STEP);

    await world.answer(world.delete(other, TABLE));
    await created(world, leader, TABLE);
    expect(await world.write(other, 'a', 'newer')).toBeGreaterThan(first + BASE_STEP);
  });

  test('also when every node has started anew between the two', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    const last = await world.write(leader, 'a', '1');
    await world.answer(world.delete(leader, TABLE));
    for (const id of world.ids) world.losePower(id);
    // Without the table among those that exist from the start, which the first leader would make.
    for (const id of world.ids) world.start(id, { initialTables: [] });
    await world.until('they are back', () => world.ids.every((id) => world.isReady(id)));
    await created(world, 2, TABLE);
    expect(await world.write(1, 'a', '2')).toBeGreaterThan(last + BASE_STEP);
  });
});

describe('T2: a deleted table acknowledges nothing', () => {
  test('a node that lags in the meta group acknowledges nothing, and denies it once it has caught up (T5)', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(follower, 'a', '1');
    const gate = world.gate(follower, isMetaApply);
    await world.answer(world.delete(leader, TABLE));
    expect(world.node(follower).reports.status().tables).toHaveLength(1);
    await world.until('it is sealed here', () => world.replica(follower).table.sealedBy === 0);
    const requests: Outcome<unknown>[] = [
      world.put(follower, 'a', '2', { timeoutMs: 60_000 }),
      world.get(follower, 'a', { timeoutMs: 60_000 }),
      world.get(follower, 'a', { linearizable: false, timeoutMs: 60_000 }),
    ];
    await world.sleep(5_000);
    for (const { fate } of requests) expect(fate).toBe('pending');
    gate.open();
    for (const request of requests) expect(await world.fate(request)).toBe('NotFound');
    await dropped(world, SHARD);
    expect(await world.fate(world.put(follower, 'a', '3'))).toBe('NotFound');
  });

  test('writes race with the deletion: none that was acknowledged comes after the seal', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gate = world.gate(follower, isMetaApply);
    const puts: ReturnType<World['put']>[] = [];
    let deletion: ReturnType<World['delete']> | undefined;
    for (let i = 0; i < 60; i++) {
      puts.push(world.put(i % 2 === 0 ? follower : other, `key-${i}`, 'x'));
      if (i === 30) deletion = world.delete(leader, TABLE);
      await world.sleep(0.1);
    }
    await world.answer(deletion!);
    await world.until('it is sealed here', () => world.replica(follower).table.sealedBy === 0);
    const seal = world.replica(follower).table.revision;
    gate.open();
    await world.until('all end', () => puts.every(({ isSettled }) => isSettled));
    const fates = puts.map(({ fate }) => fate);
    const firstDenied = fates.indexOf('NotFound');
    expect(firstDenied).toBeGreaterThan(0);
    expect(fates.filter((fate) => fate === 'ok').length).toBeGreaterThan(10);
    for (const put of puts) if (put.fate === 'ok') expect(put.value.result.revision).toBeLessThan(seal);
    await dropped(world, SHARD);
  });

  test('the shard stays until every member has applied its deletion', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gate = world.gate(follower, isMetaApply);
    await world.answer(world.delete(leader, TABLE));
    await world.sleep(20_000);
    for (const id of world.ids) expect(world.hasReplica(id, SHARD)).toBe(true);
    world.kill(follower);
    await world.sleep(20_000);
    for (const id of [leader, other]) expect(world.hasReplica(id, SHARD)).toBe(true);
    gate.open();
    world.start(follower);
    await world.until('it is back', () => world.isServing(follower));
    await dropped(world, SHARD);
  });

  test('after a crash between any two steps of the drop the table is gone, and its name can be used', async () => {
    for (let step = 1; ; step += sized(3, 1)) {
      const world = await World.formed({ options: { initialTables: [] } });
      const [leader, follower] = await world.roles(META_SHARD);
      await created(world, leader, TABLE);
      await world.write(follower, 'a', '1');
      const hasCrashed = world.crashBefore(follower, step);
      const deletion = world.delete(leader, TABLE);
      const isOver = () => deletion.isSettled && world.ids.every((id) => !world.hasReplica(id, SHARD));
      await world.until('it crashes, or is over', () => hasCrashed() || isOver());
      if (!hasCrashed()) {
        expect(step).toBeGreaterThan(8);
        return;
      }
      world.start(follower);
      await world.answer(deletion);
      await world.until('it is back', () => world.isReady(follower));
      await dropped(world, SHARD);
      const names = await world.settled(world.node(follower).tables.list(world.deadlineMs(follower)));
      expect(names).toEqual([]);
      const shard = await created(world, follower, TABLE);
      expect(await world.value(follower, 'a')).toBeUndefined();
      await world.write(follower, 'a', '2');
      await world.equal(shard);
      world.kill(follower);
      await world.tamper(follower, async ({ stores }) => {
        expect(await stores.list()).toEqual([`shard-${META_SHARD}`, `shard-${shard}`]);
      });
    }
  });

  test('a node that ends deletions which stopped half-way deletes no table that was made again meanwhile', async () => {
    const world = await World.formed({ nodes: 1 });
    const again = `${TABLE}-2`;
    const shards = [SHARD, await created(world, 1, again)];
    const seal = (shard: number) =>
      new Outcome(world.replica(1, shard).propose(CommandKind.Seal, Buffer.alloc(8), world.deadlineMs(1)));
    // As where a deletion was cut off behind the seal.
    for (const sealed of shards.map(seal)) await world.answer(sealed);
    const gate = world.gate(1, (step) => step === `apply shard-${SHARD}`);
    await world.until('the node ends the first one', () => gate.waiting > 0);
    await world.answer(world.delete(1, again));
    const shard = await created(world, 1, again);
    await world.write(1, 'a', '1', again);
    gate.open();
    await dropped(world, SHARD);
    await dropped(world, shards[1]!);
    expect(world.hasReplica(1, shard)).toBe(true);
    expect(await world.value(1, 'a', again)).toBe('1');
  });
});

describe('T5: a table is denied only when it does not exist, and promised only when it serves', () => {
  test('a node that lags does not deny a table that others have made', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const gate = world.gate(follower, isMetaApply);
    await created(world, leader, 'new');
    await world.write(leader, 'a', '1', 'new');
    const read = world.get(follower, 'a', { table: 'new', timeoutMs: 60_000 });
    expect(await world.fate(world.put(follower, 'a', '2', { table: 'new', timeoutMs: 1_000 }))).toBe(
      'Unavailable',
    );
    expect(read.fate).toBe('pending');
    gate.open();
    expect((await world.answer(read))?.value).toBe('1');
  });

  test('a node that lags does not deny a table that was deleted and made again, to clients and followers alike', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(follower, 'a', 'old');
    const gate = world.gate(follower, isMetaApply);
    await world.answer(world.delete(leader, TABLE));
    const shard = await created(world, leader, TABLE);
    await world.write(leader, 'a', 'new');
    await world.until('the old one is sealed here', () => world.replica(follower).table.sealedBy === 0);
    const call = world.deadlineMs(follower, 60_000);
    const requests: Outcome<unknown>[] = [
      world.put(follower, 'b', '1', { timeoutMs: 60_000 }),
      world.get(follower, 'a', { timeoutMs: 60_000 }),
      world.get(follower, 'a', { linearizable: false, timeoutMs: 60_000 }),
      new Outcome(world.node(follower).logs.open(TABLE, call)),
      new Outcome(world.node(follower).logs.whenRevision(TABLE, 1, call)),
    ];
    await world.sleep(5_000);
    for (const { fate } of requests) expect(fate).toBe('pending');
    gate.open();
    for (const request of requests) expect(await world.fate(request)).toBe('ok');
    expect(world.replica(follower, shard).table.sealedBy).toBeUndefined();
    expect(await world.value(follower, 'a')).toBe('new');
  });

  test('nor does a node that was down meanwhile', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(follower, 'a', 'old');
    world.kill(follower);
    await world.answer(world.delete(leader, TABLE));
    await created(world, leader, TABLE);
    await world.write(leader, 'a', 'new');
    world.start(follower);
    await world.until('it is back', () => world.isServing(follower));
    const put = world.put(follower, 'b', '1', { timeoutMs: 60_000 });
    const read = world.get(follower, 'a', { timeoutMs: 60_000 });
    expect((await world.answer(read))?.value).toBe('new');
    expect(await world.fate(put)).toBe('ok');
  });

  test('a node that has no quorum denies nothing', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles();
    world.isolate(follower);
    for (const linearizable of [true, false]) {
      const read = world.get(follower, 'a', { table: 'none', linearizable, timeoutMs: 2_000 });
      expect(await world.fate(read)).toBe('Unavailable');
    }
    world.network.heal();
    const read = world.get(follower, 'a', { table: 'none', timeoutMs: 60_000 });
    expect(await world.fate(read)).toBe('NotFound');
  });

  test('requests for a table that does not exist share rounds of the meta group', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles();
    const before = world.node(follower).reports.metrics().reads.readIndexRounds;
    const reads = Array.from({ length: 500 }, () => world.get(follower, 'a', { table: 'none' }));
    await world.until('all end', () => reads.every(({ isSettled }) => isSettled));
    expect(new Set(reads.map(({ fate }) => fate))).toEqual(new Set(['NotFound']));
    expect(world.node(follower).reports.metrics().reads.readIndexRounds - before).toBeLessThan(5);
  });

  test('a creation answers when a quorum hosts the group, and it has a leader', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const isNew = (step: Step) => step === 'store open shard-10002';
    const gates = [world.gate(follower, isNew), world.gate(other, isNew)];
    const creation = world.create(leader, 'new', 60_000);
    await world.sleep(5_000);
    expect(creation.fate).toBe('pending');
    gates[0]!.open();
    expect(await world.fate(creation)).toBe('ok');
    expect(await world.fate(world.put(leader, 'a', '1', { table: 'new' }))).toBe('ok');
    gates[1]!.open();
  });

  test('two creations at once make two tables, or one', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const creations = [world.create(leader, 'x'), world.create(follower, 'y'), world.create(other, 'x')];
    const fates = [];
    for (const creation of creations) fates.push(await world.fate(creation));
    expect(fates[1]).toBe('ok');
    expect([fates[0], fates[2]].sort()).toEqual(['InvalidArgument', 'ok']);
    const tables = await world.settled(world.node(other).tables.list(world.deadlineMs(other)));
    expect(tables.map(({ name }) => name)).toEqual([TABLE, 'x', 'y']);
    expect(new Set(tables.map(({ shardId }) => shardId)).size).toBe(3);
  });

  test.each([
    ['nothing', '', false],
    ['a slash', 'a/b', false],
    ['NUL', 'a\u0000', false],
    ['a line feed', 'a\nb', false],
    ['DEL', 'a\u007f', false],
    ['a control character above ASCII', 'a\u0085b', false],
    ['half a character', '\ud800', false],
    ['256 bytes', 'x'.repeat(256), false],
    ['256 bytes of 128 characters', 'é'.repeat(128), false],
    ['255 bytes', 'x'.repeat(255), true],
    ['spaces and letters of all kinds', 'a tàble 🙂', true],
    ['what a path would take for its parent', '..', true],
  ])('a name of %s', async (_, name, isAccepted) => {
    const world = await World.formed({ nodes: 1 });
    expect(await world.fate(world.create(1, name))).toBe(isAccepted ? 'ok' : 'InvalidArgument');
  });
});
