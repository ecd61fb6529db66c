import { META_SHARD } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import { fill, fillPart, onlyShards, pairs, restored, shardOf } from './followers.js';
import { Outcome, type Step, TABLE, World } from './world.js';

const OLD = 10_001;
const NEW = 10_002;
const BASE_STEP = 1_000_000_000;
const MISSING = 'missing';
const isMetaApply = (step: Step) => step === `apply shard-${META_SHARD}`;

/** What the restored table holds: the pairs of the stream, each at version 1. */
const contentOf = (prefix: string, count = 20) => pairs(count, prefix).map(({ key }) => `${key}=${prefix}/1`);

const putOf = (key: string, value: string, more: Partial<mvcc.Command> = {}) =>
  mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.PUT,
    kv: { key: Buffer.from(key), value: Buffer.from(value) },
    ...more,
  });

const switching = (world: World, id: number, load: Awaited<ReturnType<typeof restored>>) =>
  world.settled(load.switch({}, world.deadlineMs(id)));

/** The text of the error that it must end with. */
const refusal = async (world: World, promise: Promise<unknown>): Promise<string> => {
  const outcome = new Outcome(promise);
  expect(await world.fate(outcome)).not.toBe('ok');
  return (outcome.error as Error).message;
};

describe('T3: a restore stamps every key anew', () => {
  test('with revisions above all that the name ever had, and version 1', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const last = await world.write(leader, 'old', '1');
    const load = await restored(world, follower, pairs(20, 'new'));
    // Until the switch the old shard serves, and takes writes.
    expect(await world.write(other, 'old', '2')).toBe(last + 1);
    expect(await switching(world, follower, load)).toBe(true);
    for (const { key } of pairs(20, 'new')) {
      const found = await world.answer(world.get(other, key));
      expect(found).toMatchObject({ value: 'new', version: 1 });
      expect(found!.revision).toBeGreaterThan(last + BASE_STEP);
    }
    expect(await world.value(leader, 'old')).toBeUndefined();
    await world.equal(NEW);
    await onlyShards(world, [NEW]);
  });

  test('also those that come without revisions', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    const load = await world.settled(
      world.node(leader).maintenance.beginRestore(TABLE, world.deadlineMs(leader)),
    );
    await fill(world, leader, load, pairs(20, 'stock', 0));
    await switching(world, leader, load);
    expect((await world.answer(world.get(leader, 'stock-007')))!.revision).toBeGreaterThan(BASE_STEP);
    expect(await world.contents(leader)).toEqual(contentOf('stock'));
  });
});

describe('T1: whoever follows a table that is restored', () => {
  test('finds no entry at its old cursor, and none of the load, and begins with a snapshot', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const cursor = await world.write(leader, 'old', '1');
    const old = await world.settled(world.node(leader).logs.open(TABLE, world.deadlineMs(leader)));
    const load = await restored(world, follower, pairs(20, 'new'));
    await world.settled(load.replay([putOf('a', '1')], world.deadlineMs(follower)));
    await switching(world, follower, load);
    await world.until('the old log ends', () => !old.isServing);
    for (const id of world.ids) {
      const log = await world.settled(world.node(id).logs.open(TABLE, world.deadlineMs(id)));
      expect(log.shardId).toBe(NEW);
      expect(log.baseIndex).toBeGreaterThanOrEqual(cursor + BASE_STEP);
      expect(log.loadedIndex).toBe(load.header().revision);
      expect(log.firstIndex).toBe(log.loadedIndex + 1);
      const view = log.table.view();
      expect([view.revision, view.state.keyCount]).toEqual([log.appliedIndex, 21]);
      view.close();
    }
  });
});

describe('commands of a log are run again before the switch', () => {
  test('in their order, each batch at a revision of its own, and nothing of it serves before the last', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await restored(world, follower, pairs(2, 'new'));
    const remove = mvcc.Command.fromPartial({
      type: mvcc.Command_CommandType.DELETE,
      kv: { key: Buffer.from('new-001') },
    });
    const batches = [
      [putOf('a', '1'), putOf('new-000', 'again'), remove],
      [putOf('a', '2', { leaderIndex: 10n ** 15n }), putOf('b', '1')],
    ];
    for (const batch of batches) await world.settled(load.replay(batch, world.deadlineMs(follower)));
    expect(load.keyCount).toBe(3);
    expect(load.header()).toMatchObject({ shardId: NEW });
    // What is run again comes after the load, and a node that has applied only that serves nothing.
    const gate = world.gate(other, (step) => step === `apply shard-${NEW}`);
    await switching(world, follower, load);
    await world.until('it knows', () => shardOf(world, other) === NEW);
    expect(world.replica(other, NEW).loadedIndex).toBe(load.header().revision);
    gate.open();
    const content = ['a=2/2', 'b=1/1', 'new-000=again/2'];
    for (const id of world.ids) {
      await world.until('it is loaded', () => shardOf(world, id) === NEW && world.replica(id, NEW).isServing);
      expect(await world.contents(id)).toEqual(content);
      // T3: not that of the log where it was once.
      expect((await world.answer(world.get(id, 'a')))!.revision).toBe(load.header().revision);
    }
    expect(await world.write(leader, 'c', '1')).toBeGreaterThan(load.header().revision);
  });

  test('neither they nor the switch come before the load is finished', async () => {
    const world = await World.formed();
    const [leader] = await world.roles();
    const call = () => world.deadlineMs(leader);
    const load = await world.settled(world.node(leader).maintenance.beginRestore(TABLE, call()));
    const refused = [load.replay([putOf('a', '1')], call()), load.switch({}, call())];
    for (const promise of refused)
      await expect(world.settled<unknown>(promise)).rejects.toThrow('not before');
    const end = { leaderIndex: 0, keyCount: 1, hasUnstamped: false };
    // Something went missing: what is not whole is not switched to either.
    expect(await refusal(world, load.finish(end, call()))).toContain('does not hold every key');
    await expect(world.settled(load.switch({}, call()))).rejects.toThrow('not before');
    expect(shardOf(world, leader)).toBe(OLD);
  });
});

describe('a table that does not exist', () => {
  test('exists, whole, once it is switched to, and not before', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await restored(world, follower, pairs(20, 'new'), MISSING);
    expect(await world.fate(world.put(other, 'a', '1', { table: MISSING }))).toBe('NotFound');
    expect(await world.fate(world.get(leader, 'a', { table: MISSING }))).toBe('NotFound');
    expect(world.node(leader).reports.status().tables).toHaveLength(1);
    expect(await switching(world, follower, load)).toBe(true);
    for (const id of world.ids) {
      expect(await world.value(id, 'new-007', MISSING)).toBe('new');
      expect(await world.contents(id, MISSING)).toEqual(contentOf('new'));
    }
    await onlyShards(world, [OLD, NEW]);
    // When the answer was lost it is the same switch.
    expect(await switching(world, follower, load)).toBe(true);
  });

  test('T1: goes on above all that a deleted one of its name had', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const last = await world.write(leader, 'a', '1');
    await world.answer(world.delete(leader, TABLE));
    const load = await restored(world, follower, pairs(20, 'new'));
    await switching(world, follower, load);
    const found = await world.answer(world.get(leader, 'new-007'));
    expect(found!.revision).toBeGreaterThan(last + BASE_STEP);
    const next = await world.write(leader, 'b', '1');
    await world.answer(world.delete(follower, TABLE));
    await world.answer(world.create(follower, TABLE));
    expect(await world.write(leader, 'c', '1')).toBeGreaterThan(next + BASE_STEP);
  });

  test('is not made over one that was created meanwhile', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await restored(world, follower, pairs(20, 'new'), MISSING);
    await world.answer(world.create(other, MISSING));
    await world.write(other, 'a', 'mine', MISSING);
    expect(await refusal(world, load.switch({}, world.deadlineMs(follower)))).toContain('came first');
    expect(await world.value(leader, 'a', MISSING)).toBe('mine');
    await onlyShards(world, [OLD, NEW + 1]);
  });

  test('counts as one of as many as a cluster may have', async () => {
    const world = await World.formed({ options: { tablesMax: 2 } });
    const [leader, follower] = await world.roles();
    await world.settled(world.node(leader).maintenance.beginRestore(MISSING, world.deadlineMs(leader)));
    const another = world.node(follower).maintenance.beginRestore('another', world.deadlineMs(follower));
    expect(await refusal(world, another)).toContain('at most 2 tables');
    expect(await world.fate(world.create(follower, 'another'))).toBe('ResourceExhausted');
    // A second attempt takes the place of the first.
    const load = await restored(world, follower, pairs(20, 'new'), MISSING);
    await switching(world, follower, load);
    await onlyShards(world, [OLD, load.shardId]);
  });

  test('that exists from the start is not made by a new leader while it is restored', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles();
    await world.answer(world.delete(follower, TABLE));
    const [meta, loader] = await world.roles(META_SHARD);
    const load = await restored(world, loader, pairs(20, 'new'));
    world.restart(meta);
    await world.until('it is back', () => world.isReady(meta));
    await world.roles(META_SHARD);
    expect(await switching(world, loader, load)).toBe(true);
    expect(await world.contents(loader)).toEqual(contentOf('new'));
  });

  test('has no name that no table may have', async () => {
    const world = await World.formed();
    for (const name of ['', 'a/b']) {
      const begun = new Outcome(world.node(1).maintenance.beginRestore(name, world.deadlineMs(1)));
      expect(await world.fate(begun)).toBe('InvalidArgument');
    }
  });
});

describe('T2: of what happens at the same time one thing holds, and the other one is told', () => {
  for (const table of [TABLE, MISSING]) {
    test(`of two restores of ${table} the later one wins`, async () => {
      const world = await World.formed();
      const [leader, follower, other] = await world.roles();
      const first = await restored(world, follower, pairs(20, 'first'), table);
      const second = await restored(world, other, pairs(20, 'second'), table);
      const more = [putOf('a', '1')];
      expect(await refusal(world, first.replay(more, world.deadlineMs(follower)))).toContain('came first');
      expect(await refusal(world, first.switch({}, world.deadlineMs(follower)))).toContain('came first');
      await world.settled(first.abandon(world.deadlineMs(follower)));
      expect(await switching(world, other, second)).toBe(true);
      expect(await refusal(world, first.switch({}, world.deadlineMs(follower)))).toContain('came first');
      expect(await world.contents(leader, table)).toEqual(contentOf('second'));
      await onlyShards(world, table === TABLE ? [second.shardId] : [OLD, second.shardId]);
    });
  }

  test('a restore that learns late that it began fills no shard of another one', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles(META_SHARD);
    let isCut = false;
    world.loseFrames(leader, (to) => isCut && to === follower);
    const { raft } = world.replica(leader, META_SHARD);
    const before = raft.lastIndex;
    const first = new Outcome(
      world.node(follower).maintenance.beginRestore(MISSING, world.deadlineMs(follower)),
    );
    await world.until('it is proposed', () => raft.lastIndex > before);
    isCut = true;
    const second = await restored(world, leader, pairs(20, 'second'), MISSING);
    isCut = false;
    expect(await world.fate(first)).toBe('FailedPrecondition');
    await switching(world, leader, second);
    expect(await world.contents(leader, MISSING)).toEqual(contentOf('second'));
    await onlyShards(world, [OLD, second.shardId]);
  });

  test('a table that is deleted meanwhile stays deleted', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await restored(world, follower, pairs(20, 'new'));
    await world.answer(world.delete(leader, TABLE));
    expect(await refusal(world, load.switch({}, world.deadlineMs(follower)))).toContain('came first');
    expect(await world.fate(world.get(other, 'new-007'))).toBe('NotFound');
    await onlyShards(world, []);
  });

  test('a table whose deletion has begun is deleted, whoever comes to the end first', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const load = await restored(world, follower, pairs(20, 'new'));
    const deletion = Buffer.alloc(8);
    const { deadlineMs } = world.deadlineMs(leader);
    await world.settled(world.replica(leader).propose(CommandKind.Seal, deletion, { deadlineMs }));
    expect(await refusal(world, load.switch({}, world.deadlineMs(follower)))).toContain('came first');
    await onlyShards(world, []);
    expect(await world.fate(world.get(other, 'new-007'))).toBe('NotFound');
  });

  test('a node that lags in the registry acknowledges nothing that the restore takes away', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = await restored(world, leader, pairs(20, 'new'));
    const gate = world.gate(follower, isMetaApply);
    await switching(world, leader, load);
    const put = world.put(follower, 'a', '1', { timeoutMs: 30_000 });
    const late = world.put(follower, 'b', '1', { timeoutMs: 1_000 });
    expect(await world.fate(late)).toBe('Unavailable');
    gate.open();
    await world.answer(put);
    expect(await world.contents(leader)).toEqual(['a=1/1', ...contentOf('new')]);
  });

  test('a follower cluster restores nothing', async () => {
    const world = new World({ options: { role: 'follower', initialTables: [] } });
    for (const id of world.ids) world.start(id);
    await world.until('every node is ready', () => world.ids.every((id) => world.isReady(id)));
    const begun = new Outcome(world.node(1).maintenance.beginRestore(TABLE, world.deadlineMs(1)));
    expect(await world.fate(begun)).toBe('Unavailable');
  });
});

describe('a restore that does not come to its end', () => {
  test.each([
    ['has its effect after its caller has gone', isMetaApply],
    ['made a shard that does not answer in time', (step: Step) => step === `apply shard-${NEW}`],
  ])('leaves nothing where its beginning %s', async (_, isHeld) => {
    const world = await World.formed();
    const [, follower, other] = await world.roles();
    const gate = world.gate(follower, isHeld);
    const begun = new Outcome(
      world.node(follower).maintenance.beginRestore(TABLE, world.deadlineMs(follower, 1_000)),
    );
    await world.until('the others host the new shard', () =>
      [...world.node(other).inspect().groups].some(({ group }) => group === NEW),
    );
    expect(await world.fate(begun)).not.toBe('ok');
    gate.open();
    await onlyShards(world, [OLD]);
    expect(await world.contents(other)).toEqual([]);
  });

  /** Half of it, and the writes that the table took meanwhile. */
  const begun = async (table: string) => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'old', '1');
    const load = await world.settled(
      world.node(follower).maintenance.beginRestore(table, world.deadlineMs(follower)),
    );
    await fill(world, follower, load, pairs(20, 'new'));
    await world.settled(load.replay([putOf('a', '1')], world.deadlineMs(follower)));
    await world.write(other, 'old', '2');
    return { world, load, leader, follower, other };
  };
  const nothingHappened = async (world: World, table: string, ids = world.ids) => {
    for (const id of ids) {
      await world.until('it serves', () => world.isReady(id));
      // A local read right after a start may be of before: what was known to be committed is on disk with the next write only.
      expect(await world.value(id, 'old')).toBe('2');
      expect(await world.contents(id)).toEqual(['old=2/2']);
      if (table !== TABLE) expect(await world.fate(world.get(id, 'a', { table }))).toBe('NotFound');
    }
  };

  describe.each([TABLE, MISSING])('of %s', (table) => {
    test('because it was given up leaves the old data, and nothing else', async () => {
      const { world, load, follower } = await begun(table);
      await world.settled(load.abandon(world.deadlineMs(follower)));
      await onlyShards(world, [OLD]);
      await nothingHappened(world, table);
    });

    test('because its node was started anew leaves the old data, and nothing else, at once', async () => {
      const { world, follower } = await begun(table);
      world.restart(follower);
      await world.until('it is back', () => world.isReady(follower));
      const since = world.loop.nowUs;
      await onlyShards(world, [OLD]);
      expect(world.loop.nowUs - since).toBeLessThan(10_000_000);
      await nothingHappened(world, table);
    });

    test('because its node is gone leaves the old data, and nothing else, after a minute', async () => {
      const { world, load, leader, follower, other } = await begun(table);
      world.kill(follower);
      await world.sleep(50_000);
      for (const id of [leader, other]) expect(world.hasReplica(id, load.shardId)).toBe(true);
      const metaApplied = () => world.replica(leader, META_SHARD).table.appliedIndex;
      const before = metaApplied();
      await world.until('the registry forgets it', () => metaApplied() > before);
      await nothingHappened(world, table, [leader, other]);
      world.start(follower);
      await onlyShards(world, [OLD]);
      await nothingHappened(world, table);
    });
  });

  test('because all nodes lose power leaves the old data, and nothing else', async () => {
    const { world } = await begun(MISSING);
    for (const id of world.ids) world.losePower(id);
    for (const id of world.ids) world.start(id);
    await world.until('all are back', () => world.ids.every((id) => world.isReady(id)));
    await onlyShards(world, [OLD]);
    await nothingHappened(world, MISSING);
  });
});

describe('a restore goes on when leaders change', () => {
  test('of the shard that is filled, of the table and of the registry', async () => {
    const world = await World.formed();
    const [, loader] = await world.roles();
    const load = await world.settled(
      world.node(loader).maintenance.beginRestore(TABLE, world.deadlineMs(loader)),
    );
    const content = pairs(60, 'new');
    for (let part = 0; part < 3; part++) {
      await fillPart(world, loader, load, content.slice(part * 20, part * 20 + 20));
      // Each in its turn loses its leader, unless that is the loader.
      const [leader] = await world.roles([NEW, OLD, META_SHARD][part]);
      if (leader === loader) continue;
      world.restart(leader);
      await world.until('it is back', () => world.isReady(leader));
    }
    const end = { leaderIndex: 0, keyCount: 60, hasUnstamped: false };
    await world.settled(load.finish(end, world.deadlineMs(loader)));
    expect(await switching(world, loader, load)).toBe(true);
    await onlyShards(world, [NEW]);
    for (const id of world.ids) expect(await world.contents(id)).toEqual(contentOf('new', 60));
  });
});
