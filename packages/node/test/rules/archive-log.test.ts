import { META_SHARD, type NodeOptions } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { onlyShards, pairs, replicate, restored, shardOf } from './followers.js';
import { TABLE, World } from './world.js';

const SHARD = 10_001;
const OTHER = 'other';
const OTHER_SHARD = 10_002;
const KIB = 1024;

/** Logs are compacted after a few entries, but for what is to be archived. */
function options(onLimit: 'gap' | 'stop-writes', more: Partial<NodeOptions> = {}): Partial<NodeOptions> {
  const archive = { backlogBytesMax: 64 * KIB, onLimit };
  return { snapshotEntries: 20, compactionOverheadEntries: 5, archive, ...more };
}

/** A cluster with `count` writes in its table's log. */
async function written(
  count: number,
  onLimit: 'gap' | 'stop-writes' = 'gap',
  valueBytes = 10,
): Promise<World> {
  const world = await World.formed({ options: options(onLimit) });
  await writeMany(world, count, valueBytes);
  return world;
}

async function writeMany(world: World, count: number, valueBytes = 10, table = TABLE): Promise<void> {
  const [leader] = await world.roles();
  for (let i = 0; i < count; i++) await world.write(leader, `key-${i}`, 'x'.repeat(valueBytes), table);
}

const firstOf = (world: World, id: number, shard = SHARD) => world.replica(id, shard).log.firstIndex();
const isApplied = (world: World, id: number, index: number, shard = SHARD) =>
  world.replica(id, shard).table.appliedIndex >= index;

/** Every node has the log from there on, and nothing before. */
const logBeginsAt = (world: World, first: number, shard = SHARD) =>
  world.until(`logs of ${shard} begin at ${first}`, () =>
    world.ids.every((id) => firstOf(world, id, shard) === first),
  );

const report = (world: World, id: number, ...indices: [shard: number, index: number][]) =>
  world.settled(world.node(id).maintenance.reportArchived(new Map(indices), world.deadlineMs(id)));

/** Long enough for every node to have looked at what its logs hold, several times. */
const LOOKS_MS = 3_000;

describe('what is not archived stays in the log', () => {
  test('of every member, also of one that restarts, so that whoever leads next can archive it', async () => {
    const world = await written(100);
    const [leader, follower, other] = await world.roles();
    const { appliedIndex } = world.replica(leader).table;
    world.restart(other);
    await world.until('all is applied', () =>
      world.ids.every((id) => world.isReady(id) && isApplied(world, id, appliedIndex)),
    );
    await world.sleep(LOOKS_MS);
    for (const id of world.ids) expect(firstOf(world, id)).toBe(1);
    // Nothing is written any more, but what is archived goes.
    await report(world, follower, [SHARD, 60]);
    await logBeginsAt(world, 61);
    world.kill(leader);
    await world.until('another leads', () => [follower, other].some((id) => world.replica(id).isLeader));
    const next = [follower, other].find((id) => world.replica(id).isLeader)!;
    const log = await world.settled(world.node(next).logs.open(TABLE, world.deadlineMs(next)));
    const kept = log.entries(61, 1024 * KIB);
    expect(kept.map(({ index }) => index)).toEqual(
      Array.from({ length: log.appliedIndex - 60 }, (_, i) => 61 + i),
    );
    expect(kept[0]!.term).toBeGreaterThan(0);
    expect(log.sizeBytesAbove(60)).toBeGreaterThan(log.sizeBytesAbove(61));
    expect(log.sizeBytesAbove(log.appliedIndex)).toBe(0);
  });

  test('of a member that does not know whose log it is, because its registry is rebuilt (D4)', async () => {
    const world = await written(100);
    const [leader, follower] = await world.roles();
    let isLost = false;
    world.beforeSteps(follower, (step) => {
      if (isLost || step !== `store write shard-${META_SHARD}`) return undefined;
      isLost = true;
      return 'lost';
    });
    await report(world, leader, [SHARD, 20]);
    await world.answer(world.create(leader, OTHER));
    await world.until('it has a gap', () => world.hasReplica(follower, OTHER_SHARD));
    world.restart(follower);
    const gate = world.gate(follower, (step) => step === `store open shard-${META_SHARD}.incoming`);
    await world.until('the rebuilding begins', () => gate.waiting > 0);
    await writeMany(world, 60);
    const { appliedIndex } = world.replica(leader).table;
    await world.until('it has applied all', () => isApplied(world, follower, appliedIndex));
    await world.sleep(LOOKS_MS);
    expect(firstOf(world, follower)).toBe(1);
    gate.open();
    await report(world, leader, [SHARD, 60]);
    await logBeginsAt(world, 61);
  });

  test('but for what is kept anyway for members that lag', async () => {
    const world = await written(100);
    const { appliedIndex } = world.replica(1).table;
    await report(world, 1, [SHARD, appliedIndex]);
    await logBeginsAt(world, appliedIndex - 5 + 1);
  });

  test('and nothing stays for what a restore brought in, nor in the registry', async () => {
    const world = await World.formed({ options: options('gap') });
    const [leader, follower] = await world.roles();
    const load = await restored(world, follower, pairs(20, 'new'));
    const command = mvcc.Command.fromPartial({ kv: { key: Buffer.from('a'), value: Buffer.from('1') } });
    for (let i = 0; i < 5; i++) {
      await world.settled(load.replay([command], world.deadlineMs(follower)));
    }
    await world.settled(load.switch({}, world.deadlineMs(follower)));
    const { revision } = load.header();
    const shard = load.shardId;
    await world.until('it has the name', () => world.ids.every((id) => shardOf(world, id) === shard));
    for (let i = 0; i < 40; i++) await world.write(leader, `key-${i}`, 'x');
    await logBeginsAt(world, revision + 1, shard);
    // The meta group is nobody's table.
    for (let i = 0; i < 30; i++) await report(world, leader, [shard, revision + i]);
    await world.until('the registry is short', () =>
      world.ids.every((id) => firstOf(world, id, META_SHARD) > 20),
    );
  });
});

describe('the log of a table that was deleted', () => {
  test('stays, to its end, as long as it is held on that node, and goes then', async () => {
    const world = await written(10);
    const [leader, follower, other] = await world.roles();
    const log = await world.settled(world.node(leader).logs.open(TABLE, world.deadlineMs(leader)));
    const releases = [log.hold(), log.hold()];
    const last = await world.write(leader, 'last', '1');
    await world.answer(world.delete(follower, TABLE));
    await world.until('others drop it', () => ![follower, other].some((id) => world.hasReplica(id, SHARD)));
    await world.sleep(LOOKS_MS);
    expect(log.isServing).toBe(false);
    expect(log.entries(last, 1024).map(({ index }) => index)).toEqual([last, last + 1]);
    releases[0]!();
    releases[0]!();
    await world.sleep(LOOKS_MS);
    expect(world.hasReplica(leader, SHARD)).toBe(true);
    releases[1]!();
    await onlyShards(world, []);
  });
});

describe('a follower cluster', () => {
  test("keeps no log for an archive, which is the leader cluster's", async () => {
    const world = await World.formed({ options: options('stop-writes', { role: 'follower' }) });
    await world.settled(world.node(1).follower.createTable(TABLE, world.deadlineMs(1)));
    for (let cursor = 0; cursor < 100; cursor++) {
      await world.settled(replicate(world, 1, { shard: SHARD, cursor }));
    }
    await world.until('the oldest went', () => world.ids.every((id) => firstOf(world, id) > 50));
    expect(world.node(1).maintenance.archiveBacklog()).toEqual({ sizeBytes: 0, refusesWrites: false });
  });
});

describe('how far a log is archived', () => {
  test('is known to every member, never goes back, and survives restarts', async () => {
    const world = await World.formed({ options: options('gap', { initialTables: [TABLE, OTHER] }) });
    const [leader, follower] = await world.roles();
    await report(world, follower, [SHARD, 7], [OTHER_SHARD, 9], [99_999, 5]);
    const applied = world.replica(leader, 1000).table.appliedIndex;
    await report(world, follower, [SHARD, 6], [OTHER_SHARD, 9], [99_999, 5]);
    // What is known is not written again.
    expect(world.replica(leader, 1000).table.appliedIndex).toBe(applied);
    await report(world, leader, [SHARD, 8], [OTHER_SHARD, 3]);
    for (const id of world.ids) world.restart(id);
    await world.until('all are back', () => world.ids.every((id) => world.isReady(id)));
    for (const id of world.ids) {
      await world.until('it is known', () => world.node(id).maintenance.archivedIndex(SHARD) === 8);
      expect(world.node(id).maintenance.archivedIndex(OTHER_SHARD)).toBe(9);
      expect(world.node(id).maintenance.archivedIndex(99_999)).toBe(0);
    }
  });

  test('is forgotten with the shard that was deleted or replaced', async () => {
    const world = await World.formed({ options: options('gap', { initialTables: [TABLE, OTHER] }) });
    const [leader, follower] = await world.roles();
    await report(world, leader, [SHARD, 7], [OTHER_SHARD, 9]);
    await world.answer(world.delete(follower, OTHER));
    const load = await restored(world, follower, pairs(2, 'new'));
    await world.settled(load.switch({}, world.deadlineMs(follower)));
    await report(world, leader, [SHARD, 10], [OTHER_SHARD, 10], [load.shardId, 11]);
    await onlyShards(world, [load.shardId]);
    for (const id of world.ids) {
      const known = [SHARD, OTHER_SHARD, load.shardId].map((shard) =>
        world.node(id).maintenance.archivedIndex(shard),
      );
      expect(known).toEqual([0, 0, 11]);
    }
  });
});

describe('when too much waits to be archived', () => {
  test('gap: the oldest goes, of the table of which most waits, and writes go on', async () => {
    const world = await World.formed({ options: options('gap', { initialTables: [TABLE, OTHER] }) });
    await writeMany(world, 20, KIB, OTHER);
    await writeMany(world, 100, KIB);
    await world.until('the oldest went', () => world.ids.every((id) => firstOf(world, id) > 50));
    await world.sleep(LOOKS_MS);
    for (const id of world.ids) {
      expect(firstOf(world, id, OTHER_SHARD)).toBe(1);
      const sizes = [SHARD, OTHER_SHARD].map((shard) => world.replica(id, shard).log.sizeBytes);
      expect(sizes[0]! + sizes[1]!).toBeLessThanOrEqual(64 * KIB);
      // No more goes than has to, but for what goes at a time.
      expect(sizes[0]! + sizes[1]!).toBeGreaterThan(55 * KIB);
      expect(world.node(id).maintenance.archiveBacklog().refusesWrites).toBe(false);
    }
  });

  test('stop-writes: nothing goes, writes are refused, and taken again when less waits', async () => {
    const world = await written(40, 'stop-writes', KIB);
    const [leader, follower] = await world.roles();
    for (const id of world.ids) expect(await world.fate(world.put(id, 'a', '1'))).toBe('ok');
    await writeMany(world, 22, KIB);
    const refuses = (id: number) => world.node(id).maintenance.archiveBacklog().refusesWrites;
    await world.until('every node has seen it', () => world.ids.every(refuses));
    for (const id of world.ids) {
      const put = world.put(id, 'a', '2');
      expect(await world.fate(put)).toBe('Unavailable');
      expect((put.error as Error).message).toContain('archive.max-backlog');
      expect(world.node(id).maintenance.archiveBacklog().sizeBytes).toBeGreaterThanOrEqual(64 * KIB);
      expect(firstOf(world, id)).toBe(1);
      expect(await world.value(id, 'a')).toBe('1');
    }
    // What an operator may do to get out of it is not refused.
    await world.answer(world.create(follower, OTHER));
    await world.answer(world.delete(follower, OTHER));
    await report(world, leader, [SHARD, 30]);
    await world.until('writes are taken again', () => !world.ids.some(refuses));
    for (const id of world.ids) expect(await world.fate(world.put(id, 'a', '3'))).toBe('ok');
    await logBeginsAt(world, 31);
  });
});
