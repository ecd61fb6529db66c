import { META_SHARD } from '@coxswain/node';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { fill, loaded, onlyShards, pairs, restored, shardOf } from './followers.js';
import { Gate, Outcome, type Step, TABLE, World } from './world.js';

const OLD = 10_001;
const NEW = 10_002;
const BASE_STEP = 1_000_000_000;
const isMetaApply = (step: Step) => step === `apply shard-${META_SHARD}`;
const isApplyOf = (shard: number) => (step: Step) => step === `apply shard-${shard}`;

/** What the switched table holds: the pairs of the load, each at version 1. */
const contentOf = (prefix: string, count = 20) => pairs(count, prefix).map(({ key }) => `${key}=${prefix}/1`);

const switched = (world: World, id: number, shard: number) =>
  world.until(`node ${id} knows of the switch`, () => shardOf(world, id) === shard);

describe('T1: a shard that takes over begins above all that the name ever had', () => {
  test('above the last index of the old shard', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const last = await world.write(leader, 'a', '1');
    const load = await loaded(world, follower, pairs(20, 'new'));
    expect(await world.settled(load.switch({}, world.deadlineMs(follower)))).toBe(true);
    expect(await world.write(leader, 'a', '2')).toBeGreaterThan(last + BASE_STEP);
    await onlyShards(world, [NEW]);
  });

  test('above the shard that was loaded before, and the table that was deleted in between', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    let last = await world.write(leader, 'a', '1');
    for (let i = 0; i < 3; i++) {
      const load = await loaded(world, leader, pairs(2, `load-${i}`));
      expect(await world.settled(load.switch({}, world.deadlineMs(leader)))).toBe(true);
      const next = await world.write(leader, 'a', '2');
      expect(next).toBeGreaterThan(last + BASE_STEP);
      last = next;
    }
    await world.answer(world.delete(leader, TABLE));
    await world.answer(world.create(leader, TABLE));
    expect(await world.write(leader, 'a', '3')).toBeGreaterThan(last + BASE_STEP);
  });
});

describe('T2: a shard takes over a name, and nothing that was acknowledged is lost', () => {
  test('the table holds what was loaded, at the revisions that it came with', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'old', '1');
    const load = await loaded(world, follower, pairs(20, 'new'));
    // Until the switch the old shard serves.
    expect(await world.value(other, 'old')).toBe('1');
    expect(await world.value(other, 'new-000')).toBeUndefined();
    await world.settled(load.switch({}, world.deadlineMs(follower)));
    const found = await world.answer(world.get(other, 'new-007'));
    expect(found).toEqual({ value: 'new', version: 1, revision: 7 });
    expect(await world.value(leader, 'old')).toBeUndefined();
    await world.equal(NEW);
    for (const id of world.ids) {
      await switched(world, id, NEW);
      expect(await world.contents(id)).toEqual(contentOf('new'));
    }
    await onlyShards(world, [NEW]);
  });

  test('a node that lags in the meta group neither acknowledges a write that vanishes nor reads the old shard', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'a', 'old');
    const load = await loaded(world, leader, pairs(20, 'new'));
    const gate = world.gate(follower, isMetaApply);
    expect(await world.settled(load.switch({}, world.deadlineMs(leader)))).toBe(true);
    await world.write(other, 'a', 'new');
    expect(shardOf(world, follower)).toBe(OLD);
    const put = world.put(follower, 'b', 'written', { timeoutMs: 30_000 });
    const reads = [true, false].map((linearizable) =>
      world.get(follower, 'a', { linearizable, timeoutMs: 30_000 }),
    );
    const log = new Outcome(world.node(follower).logs.open(TABLE, world.deadlineMs(follower, 30_000)));
    const late = world.put(follower, 'c', 'late', { timeoutMs: 1_000 });
    // It is certain that it was not written, so it may be repeated.
    expect(await world.fate(late)).toBe('Unavailable');
    expect([put, ...reads, log].map(({ fate }) => fate)).toEqual(Array(4).fill('pending'));
    gate.open();
    await world.answer(put);
    for (const read of reads) expect((await world.answer(read))?.value).toBe('new');
    expect((await world.answer(log)).shardId).toBe(NEW);
    for (const id of world.ids) expect(await world.value(id, 'b')).toBe('written');
    expect(await world.value(other, 'c')).toBeUndefined();
  });

  test('writes race with the switch: each that was acknowledged after the seal is in the new shard', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await loaded(world, leader, pairs(20, 'new'));
    const gate = world.gate(follower, isMetaApply);
    const puts: [key: string, put: ReturnType<World['put']>][] = [];
    let switching: Outcome<boolean> | undefined;
    for (let i = 0; i < 60; i++) {
      const key = `key-${i}`;
      puts.push([key, world.put([follower, other, leader][i % 3]!, key, 'x', { timeoutMs: 30_000 })]);
      if (i === 30) switching = new Outcome(load.switch({}, world.deadlineMs(leader)));
      await world.sleep(0.1);
    }
    expect(await world.answer(switching!)).toBe(true);
    gate.open();
    await world.until('all end', () => puts.every(([, { isSettled }]) => isSettled));
    let count = 0;
    for (const [key, put] of puts) {
      expect(put.fate).toBe('ok');
      const isNew = put.value.header.shardId === NEW;
      expect(put.value.result.revision > BASE_STEP).toBe(isNew);
      expect(await world.value(follower, key)).toBe(isNew ? 'x' : undefined);
      if (isNew) count++;
    }
    expect(count).toBeGreaterThan(10);
    await world.equal(NEW);
  });

  test('a node on which the new shard is not whole yet serves none of it', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = await world.settled(world.node(leader).follower.beginLoad(TABLE, world.deadlineMs(leader)));
    await world.until('all have the new shard', () => world.ids.every((id) => world.hasReplica(id, NEW)));
    // The new shard exists on the node, and nothing more of it is applied there.
    const gate = world.gate(follower, isApplyOf(NEW));
    await fill(world, leader, load, pairs(20, 'new'));
    await world.settled(load.switch({}, world.deadlineMs(leader)));
    await switched(world, follower, NEW);
    const reads = [true, false].map((linearizable) =>
      world.get(follower, 'new-019', { linearizable, timeoutMs: 30_000 }),
    );
    await world.sleep(1_000);
    expect(reads.map(({ fate }) => fate)).toEqual(['pending', 'pending']);
    gate.open();
    for (const read of reads) expect((await world.answer(read))?.value).toBe('new');
  });

  test('what waits in a replica that goes away is asked of the shard that took over', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = await loaded(world, leader, pairs(20, 'new'));
    // As while a snapshot is on its way into place: nothing leaves the replica.
    world.replica(follower, OLD).suspend();
    const put = world.put(follower, 'a', '1', { timeoutMs: 30_000 });
    const read = world.get(follower, 'new-007', { timeoutMs: 30_000 });
    const log = new Outcome(world.node(follower).logs.open(TABLE, world.deadlineMs(follower, 30_000)));
    await world.settled(load.switch({}, world.deadlineMs(leader)));
    expect((await world.answer(put)).header.shardId).toBe(NEW);
    expect((await world.answer(read))?.value).toBe('new');
    expect((await world.answer(log)).shardId).toBe(NEW);
  });

  test('the log of a shard that was loaded begins behind its load', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = await loaded(world, leader, pairs(20, 'new'));
    await world.settled(load.switch({}, world.deadlineMs(leader)));
    const revision = await world.write(follower, 'a', '1');
    const log = await world.settled(world.node(follower).logs.open(TABLE, world.deadlineMs(follower)));
    const entries = log.entries(log.firstIndex, 1024 * 1024);
    // Those who follow the table would take a load for an entry that does nothing.
    expect(new Set(entries.map(({ kind }) => kind))).not.toContain(4);
    expect(entries.at(-1)!.index).toBe(revision);
  });

  test('its node dies between the seal and the registry: the switch is ended by another one', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await loaded(world, leader, pairs(20, 'new'));
    // The node never hears that the old shard is sealed.
    world.gate(leader, isApplyOf(OLD));
    void new Outcome(load.switch({}, world.deadlineMs(leader)));
    await world.until('it is sealed', () => world.replica(follower, OLD).table.sealedBy === NEW);
    expect(shardOf(world, follower)).toBe(OLD);
    world.kill(leader);
    const put = world.put(follower, 'a', '1', { timeoutMs: 30_000 });
    await world.answer(put);
    expect(put.value.header.shardId).toBe(NEW);
    world.start(leader);
    await world.until('it is back', () => world.isReady(leader));
    await onlyShards(world, [NEW]);
    expect(await world.contents(other)).toEqual(['a=1/1', ...contentOf('new')]);
  });

  test('a node that catches up takes the seal of an earlier shard for no answer', async () => {
    const world = await World.formed();
    const [lagging, loader, other] = await world.roles();
    const third = NEW + 1;
    const load = await loaded(world, loader, pairs(20, 'new'));
    const gates = { apply: new Gate(), open: new Gate() };
    world.beforeSteps(lagging, (step) => {
      if (isMetaApply(step)) return gates.apply.pass();
      return step === `store open shard-${third}` ? gates.open.pass() : undefined;
    });
    // It leads the old shard, and knows that that is sealed; nothing of what follows in the registry.
    await world.settled(load.switch({}, world.deadlineMs(loader)));
    await world.write(other, 'a', '1');
    const next = await loaded(world, loader, pairs(20, 'next'));
    const replicas = world.ids.map((id) => world.replica(id, NEW));
    for (const replica of replicas) replica.suspend();
    const switching = new Outcome(next.switch({}, world.deadlineMs(loader, 30_000)));
    await world.sleep(500);
    // It learns of both switches at once, and does not have the third shard yet.
    gates.apply.open();
    await world.until('it makes the third shard', () => gates.open.waiting > 0);
    await world.sleep(3_000);
    expect(shardOf(world, other)).toBe(NEW);
    expect(switching.fate).toBe('pending');
    for (const replica of replicas) {
      replica.resume();
      replica.wake();
    }
    gates.open.open();
    expect(await world.answer(switching)).toBe(true);
    await onlyShards(world, [third]);
    expect(await world.contents(other)).toEqual(contentOf('next'));
  });

  test('its node dies before it seals, and the shard is not forgotten before it is known what the seal did', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const first = await loaded(world, follower, pairs(20, 'first'));
    await world.until('others know', () => world.hasReplica(other, NEW));
    // The seal gets as far as the old shard's leader, and no further until the gate opens.
    const gate = world.gate(leader, (step) => step.startsWith('wal'));
    void new Outcome(first.switch({}, world.deadlineMs(follower)));
    await world.sleep(50);
    world.kill(follower);
    const second = new Outcome(loaded(world, other, pairs(20, 'second')).catch((error: Error) => error));
    await world.sleep(50);
    gate.open();
    await world.answer(second);
    world.start(follower);
    await world.until('it is back', () => world.isReady(follower));
    // Whatever the two came to, the table is one whole thing, serves, and is the same everywhere.
    await world.write(follower, 'a', '1');
    const shard = shardOf(world, follower)!;
    for (const id of world.ids) await switched(world, id, shard);
    await world.equal(shard);
    const content = (await world.contents(other)).filter((pair) => !pair.startsWith('a='));
    expect([[], contentOf('first'), contentOf('second')]).toContainEqual(content);
  });

  test('its node dies in the middle of the load: another load takes its place, and the first one goes', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'a', '1');
    const load = await world.settled(
      world.node(follower).follower.beginLoad(TABLE, world.deadlineMs(follower)),
    );
    expect(load.shardId).toBe(NEW);
    world.restart(follower);
    const second = await loaded(world, other, pairs(20, 'second'));
    expect(await world.value(leader, 'a')).toBe('1');
    await world.settled(second.switch({}, world.deadlineMs(other)));
    await world.until('it is back', () => world.isReady(follower));
    await onlyShards(world, [second.shardId]);
    expect(await world.contents(leader)).toEqual(contentOf('second'));
  });

  test('a load that nobody goes on with goes after an hour, and none before', async () => {
    const world = await World.formed({ options: { tickMs: 500 } });
    const [, follower] = await world.roles();
    const load = await world.settled(
      world.node(follower).follower.beginLoad(TABLE, world.deadlineMs(follower)),
    );
    for (let minutes = 0; minutes < 55; minutes++) await world.sleep(59_000);
    for (const id of world.ids) expect(world.hasReplica(id, load.shardId)).toBe(true);
    for (let minutes = 0; minutes < 10; minutes++) await world.sleep(59_000);
    await onlyShards(world, [OLD]);
  });

  test('of two loads only the later one takes over', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const first = await loaded(world, follower, pairs(20, 'first'));
    const second = await loaded(world, other, pairs(20, 'second'));
    const given = new Outcome(first.switch({}, world.deadlineMs(follower)));
    await world.until('an answer', () => given.isSettled);
    expect(given.fate === 'ok' ? given.value : given.fate).not.toBe(true);
    expect(shardOf(world, leader)).toBe(OLD);
    expect(await world.settled(second.switch({}, world.deadlineMs(other)))).toBe(true);
    await onlyShards(world, [second.shardId]);
    expect(await world.contents(leader)).toEqual(contentOf('second'));
  });

  test('of two switches that a node sees to, it ends none once more that has ended while it waited for the other', async () => {
    const world = await World.formed({ nodes: 1 });
    const call = () => world.deadlineMs(1, 30_000);
    const tables = [TABLE, `${TABLE}-2`];
    await world.answer(world.create(1, tables[1]!));
    const olds = tables.map(
      (table) =>
        world
          .node(1)
          .reports.status()
          .tables.find(({ name }) => name === table)!.shardId,
    );
    const loads = [];
    for (const table of tables) loads.push(await restored(world, 1, pairs(20, 'new'), table));
    const gates = olds.map(() => new Gate());
    world.beforeSteps(1, (step) => gates[olds.findIndex((shard) => isApplyOf(shard)(step))]?.pass());
    const switches = loads.map((load) => new Outcome(load.switch({}, call())));
    // Each waits for its seal, and the node, which ends what is left half-way, for the first one's.
    await world.until('both wait', () => gates.every(({ waiting }) => waiting > 0));
    await world.sleep(2_000);
    for (const at of [1, 0]) {
      gates[at]!.open();
      expect(await world.answer(switches[at]!)).toBe(true);
    }
    await world.sleep(2_000);
    for (const table of tables) {
      expect(await world.value(1, 'new-007', table)).toBe('new');
      await world.write(1, 'a', '1', table);
    }
  });

  test('to switch once more, when the answer was lost, is the same switch', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    const load = await loaded(world, leader, pairs(20, 'new'));
    expect(await world.settled(load.switch({}, world.deadlineMs(leader)))).toBe(true);
    expect(await world.settled(load.switch({}, world.deadlineMs(leader)))).toBe(true);
    expect(shardOf(world, leader)).toBe(NEW);
  });

  test('a load that was given up goes, and the table stays', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    const load = await loaded(world, follower, pairs(20, 'new'));
    await world.settled(load.abandon(world.deadlineMs(follower)));
    await onlyShards(world, [OLD]);
    expect(await world.value(follower, 'a')).toBe('1');
  });

  test('a load that lacks keys does not end', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    const load = await world.settled(world.node(leader).follower.beginLoad(TABLE, world.deadlineMs(leader)));
    const end = { leaderIndex: 0, keyCount: 1, hasUnstamped: false };
    expect(await world.fate(new Outcome(load.finish(end, world.deadlineMs(leader))))).toBe('Internal');
  });

  test('a table that is deleted takes the shard with it that was to take over', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = await loaded(world, follower, pairs(20, 'new'));
    await world.answer(world.delete(leader, TABLE));
    const switching = new Outcome(load.switch({}, world.deadlineMs(follower)));
    await world.until('an answer', () => switching.isSettled);
    expect(switching.fate === 'ok' ? switching.value : switching.fate).not.toBe(true);
    await onlyShards(world, []);
    expect(await world.fate(world.get(follower, 'a'))).toBe('NotFound');
  });

  test('after a crash between any two steps of the switch the table is whole, and one of the two', async () => {
    for (let step = 1; ; step += sized(3, 1)) {
      const world = await World.formed();
      const [leader, follower, other] = await world.roles();
      await world.write(leader, 'old', '1');
      const load = await loaded(world, leader, pairs(20, 'new'));
      const hasCrashed = world.crashBefore(leader, step);
      const switching = new Outcome(load.switch({}, world.deadlineMs(leader)));
      const isOver = () =>
        switching.isSettled && world.ids.every((id) => world.isUp(id) && !world.hasReplica(id, OLD));
      await world.until('it crashes, or is over', () => hasCrashed() || isOver());
      if (!hasCrashed()) {
        expect(step).toBeGreaterThan(8);
        return;
      }
      world.start(leader);
      await world.until('it is back', () => world.isReady(leader));
      const next = await loaded(world, follower, pairs(20, 'next'));
      const content = await world.contents(other);
      expect([['old=1/1'], contentOf('new')]).toContainEqual(content);
      expect(await world.settled(next.switch({}, world.deadlineMs(follower)))).toBe(true);
      await onlyShards(world, [next.shardId]);
      await world.write(leader, 'a', '1');
      await world.equal(next.shardId);
      expect(await world.contents(other)).toEqual(['a=1/1', ...contentOf('next')]);
    }
  });
});
