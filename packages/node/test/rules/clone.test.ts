import { ApiError, type HeldClone, META_SHARD, type ShardLoad } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import { Outcome, type Step, TABLE, World } from './world.js';

const DONOR = 'donor:8443';
const isMetaApply = (step: Step) => step === `apply shard-${META_SHARD}`;

const begin = (world: World, id: NodeId, timeoutMs = 30_000): Outcome<HeldClone> =>
  new Outcome(world.node(id).maintenance.clone.begin(DONOR, world.deadlineMs(id, timeoutMs)));
const errorAt = (world: World, id: NodeId) => world.node(id).maintenance.clone.unfinished?.error;
/** What a health probe of the node is answered: SERVING or not (docs/operations-protocols.md §2). */
const serves = (world: World, id: NodeId): boolean =>
  world.isUp(id) && world.isReady(id) && world.node(id).maintenance.clone.unfinished === undefined;
const noneServes = (world: World): boolean => world.ids.every((id) => !serves(world, id));
const allServe = (world: World) =>
  world.until('every node serves', () => world.ids.every((id) => serves(world, id)));
const failedWith = (world: World, error: string) =>
  world.until(`every node says: ${error}`, () => world.ids.every((id) => errorAt(world, id) === error));

/** How a request ended: `ok`, or the code of its error. */
async function codeOf(world: World, request: Promise<unknown>): Promise<string> {
  const outcome = new Outcome(request);
  await world.until('an answer', () => outcome.isSettled);
  if (outcome.error === undefined) return 'ok';
  if (!(outcome.error instanceof ApiError)) throw outcome.error;
  return outcome.error.code;
}

/** How a node answers what would change the cluster's data: the status must be UNAVAILABLE, so that clients come again. */
async function writesAt(world: World, id: NodeId): Promise<Record<string, string>> {
  const node = world.node(id);
  const call = () => world.deadlineMs(id, 30_000);
  const write = world.put(id, 'a', '1', { timeoutMs: 30_000 });
  const fate = await world.fate(write);
  return {
    put: fate === 'Unavailable' ? (write.error as ApiError).code : fate,
    create: await codeOf(world, node.tables.create(`made on ${id}`, undefined, call())),
    restore: await codeOf(world, node.maintenance.beginRestore('restored', call())),
    restoreOver: await codeOf(world, node.maintenance.beginRestore(TABLE, call())),
  };
}

const allAre = (code: string) => ({ put: code, create: code, restore: code, restoreOver: code });

/** An empty table, up to the switch. */
async function loadOf(world: World, id: NodeId, table: string, cloneId?: string): Promise<ShardLoad> {
  const load = await world.settled(
    world.node(id).maintenance.beginRestore(table, world.deadlineMs(id), cloneId),
  );
  const end = { leaderIndex: 0, keyCount: 0, hasUnstamped: false };
  await world.settled(load.finish(end, world.deadlineMs(id)));
  return load;
}

describe('docs/operations-protocols.md §2: isUnderCloning', () => {
  test('is known to every member before the clone begins, and gone everywhere once it has succeeded', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const held = await world.answer(begin(world, follower));
    expect(noneServes(world)).toBe(true);
    expect(held.isHeld).toBe(true);
    // Whichever node is asked.
    for (const id of world.ids) {
      expect(world.node(id).maintenance.clone.isRunning).toBe(true);
      expect(await world.fate(begin(world, id))).toBe('ResourceExhausted');
      const forgotten = new Outcome(world.node(id).maintenance.clone.forget(world.deadlineMs(id)));
      expect(await world.fate(forgotten)).toBe('FailedPrecondition');
      // T2: what is written now would go when the table comes.
      expect(await world.fate(world.put(id, 'a', '1'))).toBe('Unavailable');
    }
    await world.settled(held.end());
    await allServe(world);
    await world.write(other, 'a', '1');
    expect(await world.value(leader, 'a')).toBe('1');
  });

  test('stays after a clone that failed: over every restart and every leader, until another one succeeds', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const failed = await world.answer(begin(world, follower));
    await world.settled(failed.end('table "t": gone'));
    await failedWith(world, 'table "t": gone');
    expect(failed.isHeld).toBe(false);
    world.losePower(leader);
    await world.until('another one leads', () => world.leader(META_SHARD) !== undefined);
    expect(noneServes(world)).toBe(true);
    world.start(leader);
    const warning = 'error clone-failed ';
    for (const id of [follower, other, leader]) {
      const told = () => world.log(id).filter((line) => line.startsWith(warning));
      const before = told().length;
      world.restart(id);
      await world.until('it is up', () => world.isServing(id) && world.node(id).reports.readiness().isReady);
      expect(errorAt(world, id)).toBe('table "t": gone');
      await world.until('its log says so', () => told().length > before);
      await world.sleep(5_000);
      expect(told().slice(before)).toEqual([
        expect.stringContaining(`{"donor":"${DONOR}","reason":"table \\"t\\": gone"}`),
      ]);
    }
    const second = await world.answer(begin(world, other));
    expect(noneServes(world)).toBe(true);
    await world.settled(second.end());
    await allServe(world);
  });

  test('stays until an operator forgets the clone, on any node', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const forget = (id: NodeId) =>
      world.settled(world.node(id).maintenance.clone.forget(world.deadlineMs(id)));
    expect(await forget(leader)).toBeUndefined();
    const held = await world.answer(begin(world, follower));
    await world.settled(held.end('gone'));
    expect(await forget(other)).toMatchObject({ donor: DONOR, error: 'gone' });
    await allServe(world);
    expect(await forget(leader)).toBeUndefined();
  });

  test('stays when the node that fills the cluster is restarted, and the clone has failed then', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles(META_SHARD);
    await world.answer(begin(world, follower));
    world.restart(follower);
    const isSaid = () =>
      world.ids.every(
        (id) =>
          world.isServing(id) && errorAt(world, id) === 'the node that filled the cluster was started again',
      );
    await world.until('every node says that it failed', () => {
      expect(noneServes(world)).toBe(true);
      return isSaid();
    });
    // It is nobody's any more, so that another one may begin.
    const next = await world.answer(begin(world, follower));
    await world.settled(next.end());
    await allServe(world);
  });

  test('stays when that node is gone for good, and the clone has failed in a minute', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const held = await world.answer(begin(world, follower));
    world.isolate(follower);
    const error = `node ${follower}, which filled the cluster, is out of reach`;
    await world.sleep(50_000);
    for (const id of [leader, other]) expect(errorAt(world, id)).toBeNull();
    // T2: until somebody has said that it failed, it may still bring tables.
    expect(world.node(other).maintenance.clone.isRunning).toBe(false);
    expect(await world.fate(world.put(other, 'a', '1'))).toBe('Unavailable');
    await world.until('the others say so', () => [leader, other].every((id) => errorAt(world, id) === error));
    expect(noneServes(world)).toBe(true);
    expect(await writesAt(world, other)).toEqual(allAre('cloneFailed'));
    // What it still believes it may do has no effect on what the cluster says.
    const ended = new Outcome(held.end());
    world.network.heal();
    await world.answer(ended);
    await failedWith(world, error);
    expect(held.isHeld).toBe(false);
  });

  test('a member that lags is waited for', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles(META_SHARD);
    const gate = world.gate(follower, isMetaApply);
    const begun = begin(world, leader, 60_000);
    await world.until('it is held up', () => gate.waiting > 0);
    await world.sleep(5_000);
    expect(begun.isSettled).toBe(false);
    gate.open();
    await world.answer(begun);
    expect(noneServes(world)).toBe(true);
  });

  test('a member that is cut off holds nobody up, and does not say SERVING, though it has no table either', async () => {
    const world = await World.formed({ options: { initialTables: [] } });
    const [leader, follower] = await world.roles(META_SHARD);
    world.isolate(follower);
    await world.answer(begin(world, leader, 60_000));
    expect(noneServes(world)).toBe(true);
  });

  test('what could not begin in time leaves nothing behind', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles(META_SHARD);
    const gate = world.gate(follower, isMetaApply);
    expect(await world.fate(begin(world, leader, 2_000))).toBe('Unavailable');
    gate.open();
    await allServe(world);
    const held = await world.answer(begin(world, follower));
    expect(held.isHeld).toBe(true);
  });
});

describe('T2: what has come of a clone is not taken for the whole, nor lost when the rest comes', () => {
  test('so nobody writes or makes tables from its begin until it succeeds, in every state and on every node', async () => {
    const world = await World.formed();
    const [, follower, other] = await world.roles(META_SHARD);
    const deletion = (id: NodeId) =>
      codeOf(world, world.node(id).tables.delete('come', world.deadlineMs(id)));
    const held = await world.answer(begin(world, follower));
    const came = await loadOf(world, follower, 'come', held.id);
    expect(await world.settled(came.switch({}, world.deadlineMs(follower)))).toBe(true);
    for (const id of world.ids) {
      expect(await writesAt(world, id)).toEqual(allAre('cloning'));
      // The clone would succeed without it.
      expect(await deletion(id)).toBe('cloning');
    }
    await world.settled(held.end('gone'));
    await failedWith(world, 'gone');
    for (const id of world.ids) expect(await writesAt(world, id)).toEqual(allAre('cloneFailed'));
    // A restart forgets nothing, not even before a node has caught up.
    for (const id of world.ids) world.losePower(id);
    for (const id of world.ids) world.start(id);
    await world.until('all are up', () => world.ids.every((id) => world.isServing(id)));
    for (const id of world.ids) expect(await writesAt(world, id)).toEqual(allAre('cloneFailed'));
    // The way out that is documented.
    expect(await deletion(other)).toBe('ok');
    const next = await world.answer(begin(world, other));
    for (const id of world.ids) expect(await writesAt(world, id)).toEqual(allAre('cloning'));
    await world.settled(next.end());
    await allServe(world);
    for (const id of world.ids) expect(await writesAt(world, id)).toEqual(allAre('ok'));
  });

  test('and everybody does again when it is forgotten', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles(META_SHARD);
    const held = await world.answer(begin(world, follower));
    await world.settled(held.end('gone'));
    expect(await writesAt(world, leader)).toEqual(allAre('cloneFailed'));
    await world.settled(world.node(leader).maintenance.clone.forget(world.deadlineMs(leader)));
    await allServe(world);
    for (const id of world.ids) expect(await writesAt(world, id)).toEqual(allAre('ok'));
  });

  test('nor at a member that was away, before it has heard of the clone', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    world.kill(other);
    const held = await world.answer(begin(world, follower, 60_000));
    await world.settled(held.end('gone'));
    world.start(other);
    const gate = world.gate(other, isMetaApply);
    await world.until('it is up', () => world.isServing(other) && gate.waiting > 0);
    await world.until('it knows who leads the table', () => world.leader() !== undefined);
    expect(world.node(other).maintenance.clone.unfinished).toBeUndefined();
    const write = world.put(other, 'a', '1', { timeoutMs: 60_000 });
    await world.sleep(2_000);
    gate.open();
    expect(await world.fate(write)).toBe('Unavailable');
    expect((write.error as ApiError).code).toBe('cloneFailed');
    expect(await world.value(leader, 'a')).toBeUndefined();
  });

  test('nor does a restore that began before the clone, nor the clone after its end', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles(META_SHARD);
    const names = async () =>
      (await world.settled(world.node(leader).tables.list(world.deadlineMs(leader)))).map(({ name }) => name);
    const earlier = await loadOf(world, leader, 'earlier');
    const over = await loadOf(world, leader, TABLE);
    const held = await world.answer(begin(world, follower));
    const late = await loadOf(world, follower, 'late', held.id);
    const switching = (load: ShardLoad, id: NodeId) => codeOf(world, load.switch({}, world.deadlineMs(id)));
    expect(await switching(earlier, leader)).toBe('cloning');
    expect(await switching(over, leader)).toBe('cloning');
    await world.settled(held.end('gone'));
    await failedWith(world, 'gone');
    expect(await switching(earlier, leader)).toBe('cloneFailed');
    expect(await switching(late, follower)).toBe('cloneFailed');
    const more = world.node(follower).maintenance.beginRestore('more', world.deadlineMs(follower), held.id);
    expect(await codeOf(world, more)).toBe('cloneFailed');
    expect(await names()).toEqual([TABLE]);
  });
});
