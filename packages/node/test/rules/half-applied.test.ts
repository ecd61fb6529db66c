import { META_SHARD } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { Outcome, TABLE, World } from './world.js';

/** Even an entry of the registry is written in parts, and each of them flushed. */
const options = {
  storeWriteBufferBytes: 1,
  entryEffects: { sizeBytesMax: 64, operationsMax: 2 },
  snapshotEntries: 10_000,
};

const writesOf = (group: number) => (step: string) => step === `store write shard-${group}`;
const isApplyOf = (group: number) => (step: string) => step === `apply shard-${group}`;

/** Holds the writes of a group's store from the `at`-th on: the first one holds what came before the entry. */
function gateFrom(world: World, id: number, group: number, at: number) {
  let count = 0;
  return world.gate(id, (step) => writesOf(group)(step) && ++count >= at);
}

const create = (world: World, id: number, name: string) => world.create(id, name, 50_000);

const keys = ['a', 'b', 'c', 'd', 'e', 'f'];

/** One entry with many effects. */
function putAll(world: World, id: number, value: string) {
  const put = (key: string) => ({
    request: {
      $case: 'requestPut' as const,
      value: { key: Buffer.from(key), value: Buffer.from(value), prevKv: false },
    },
  });
  const command = mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: { compare: [], success: keys.map(put), failure: [] },
  });
  return world.propose(id, command, { timeoutMs: 50_000 });
}

/** A node that starts, whose table is in the middle of an entry; nothing is applied to it until the gate opens. */
async function startedHalfApplied(world: World, id: number, group: number) {
  world.kill(id);
  const gate = world.gate(id, isApplyOf(group));
  world.start(id);
  await world.until('it runs', () => world.isServing(id));
  expect(world.replica(id, group).table.isHalfApplied).toBe(true);
  return gate;
}

describe('A4: an entry of the registry that a crash left half applied', () => {
  test.each([1, 3])(
    'a node starts, and reads the registry when the log has ended it (%i nodes)',
    async (nodes) => {
      const world = await World.formed({ nodes, options });
      const id = await leaderOf(world, META_SHARD);
      // Members have said how they are reached: nothing else is written.
      await world.sleep(2_000);
      await world.equal(META_SHARD);
      const held = gateFrom(world, id, META_SHARD, 3);
      create(world, id, 'other');
      await world.until('it is half applied', () => held.waiting > 0);
      const gate = await startedHalfApplied(world, id, META_SHARD);
      const { conditions } = world.node(id).reports.readiness();
      expect(conditions.hasNoCluster).toBe(true);
      const list = new Outcome(world.node(id).tables.list(world.deadlineMs(id, 50_000)));
      const read = world.get(id, 'a', { table: 'other', linearizable: false, timeoutMs: 50_000 });
      await world.sleep(2_000);
      expect([list.fate, read.fate]).toEqual(['pending', 'pending']);
      gate.open();
      expect((await world.answer(list)).map(({ name }) => name)).toEqual([TABLE, 'other']);
      await world.answer(read);
      await world.until('it is ready', () => world.isReady(id));
      await world.write(id, 'a', '1', 'other');
      await world.equal(META_SHARD);
    },
  );

  test('a table whose store refused a write in the middle is opened again, and ends it', async () => {
    const world = await World.formed({ nodes: 1, options });
    await world.sleep(2_000);
    let count = 0;
    world.beforeSteps(1, (step) => {
      if (writesOf(META_SHARD)(step) && ++count === 3) return Promise.reject(new Error('refused'));
      return undefined;
    });
    await world.answer(create(world, 1, 'other'));
    await world.write(1, 'a', '1', 'other');
    await world.until('all is written', () => count > 3);
    expect(world.log(1).filter((line) => /table-unopened|table-without-room/.test(line))).toEqual([]);
  });
});

describe('A4: an entry of a table that a crash left half applied', () => {
  test('nothing of it is seen, and who asks waits until the log has ended it', async () => {
    const world = await World.formed({ nodes: 1, options });
    const shard = world.shard();
    await world.answer(putAll(world, 1, 'before'));
    // Nothing of it is left to be flushed.
    await world.sleep(2_000);
    const held = gateFrom(world, 1, shard, 3);
    putAll(world, 1, 'after');
    await world.until('it is half applied', () => held.waiting > 0);
    const gate = await startedHalfApplied(world, 1, shard);
    await world.until('it leads', () => world.replica(1).isLeader);
    const node = world.node(1);
    const { table } = world.replica(1);
    expect([table.contentHash, table.keyCount]).toEqual([undefined, undefined]);
    expect(node.reports.status().tables[0]).toMatchObject({ name: TABLE, contentHash: '' });
    // Whoever would follow or archive it begins when it is whole, and hears of that.
    expect(node.logs.led()).toEqual([]);
    let calls = 0;
    node.cluster.onChange(() => calls++);
    const call = world.deadlineMs(1, 50_000);
    const asked = {
      read: world.get(1, 'a', { linearizable: false, timeoutMs: 50_000 }),
      linearizable: world.get(1, 'a', { timeoutMs: 50_000 }),
      log: new Outcome(node.logs.open(TABLE, call)),
      revision: new Outcome(node.logs.whenRevision(TABLE, 1, call)),
    };
    await world.sleep(7_000);
    expect(Object.values(asked).map(({ fate }) => fate)).toEqual(Array(4).fill('pending'));
    gate.open();
    expect((await world.answer(asked.read))?.value).toBe('after');
    expect((await world.answer(asked.linearizable))?.value).toBe('after');
    const log = await world.answer(asked.log);
    expect(await world.settled(log.table.countKeys())).toBe(keys.length);
    await world.answer(asked.revision);
    expect(node.logs.led()).toHaveLength(1);
    expect(calls).toBeGreaterThan(0);
    const left = await world.contents(1);
    expect(left).toEqual(keys.map((key) => `${key}=after/2`));
  });

  test('a serializable read that cannot wait so long is refused, to be tried again', async () => {
    const world = await World.formed({ nodes: 1, options });
    await world.sleep(2_000);
    const held = gateFrom(world, 1, world.shard(), 3);
    putAll(world, 1, '1');
    await world.until('it is half applied', () => held.waiting > 0);
    await startedHalfApplied(world, 1, world.shard());
    const read = world.get(1, 'a', { linearizable: false, timeoutMs: 500 });
    expect(await world.fate(read)).toBe('Unavailable');
  });
});

async function leaderOf(world: World, group: number): Promise<number> {
  const [leader] = await world.roles(group);
  return leader;
}
