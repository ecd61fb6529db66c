import { type HeldClone, META_SHARD } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import { Outcome, type Step, World } from './world.js';

const DONOR = 'donor:8443';
const isMetaApply = (step: Step) => step === `store write shard-${META_SHARD}`;

const begin = (world: World, id: NodeId, timeoutMs = 30_000): Outcome<HeldClone> =>
  new Outcome(world.node(id).clone.begin(DONOR, world.deadlineMs(id, timeoutMs)));
const errorAt = (world: World, id: NodeId) => world.node(id).clone.unfinished?.error;
/** What a health probe of the node is answered: SERVING or not (operations-protocols.md §2). */
const serves = (world: World, id: NodeId): boolean =>
  world.isUp(id) && world.isReady(id) && world.node(id).clone.unfinished === undefined;
const noneServes = (world: World): boolean => world.ids.every((id) => !serves(world, id));
const allServe = (world: World) =>
  world.until('every node serves', () => world.ids.every((id) => serves(world, id)));
const failedWith = (world: World, error: string) =>
  world.until(`every node says: ${error}`, () => world.ids.every((id) => errorAt(world, id) === error));

describe('operations-protocols.md §2: isUnderCloning', () => {
  test('is known to every member before the clone begins, and gone everywhere once it has succeeded', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const held = await world.answer(begin(world, follower));
    expect(noneServes(world)).toBe(true);
    expect(held.isHeld).toBe(true);
    // Whichever node is asked.
    for (const id of world.ids) {
      expect(world.node(id).clone.isRunning).toBe(true);
      expect(await world.fate(begin(world, id))).toBe('ResourceExhausted');
      const forgotten = new Outcome(world.node(id).clone.forget(world.deadlineMs(id)));
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
    for (const id of [follower, other, leader]) {
      world.restart(id);
      await world.until('it is up', () => world.isServing(id) && world.node(id).readiness().isReady);
      expect(errorAt(world, id)).toBe('table "t": gone');
    }
    const second = await world.answer(begin(world, other));
    expect(noneServes(world)).toBe(true);
    await world.settled(second.end());
    await allServe(world);
  });

  test('stays until an operator forgets the clone, on any node', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles(META_SHARD);
    const forget = (id: NodeId) => world.settled(world.node(id).clone.forget(world.deadlineMs(id)));
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
    expect(world.node(other).clone.isRunning).toBe(false);
    expect(await world.fate(world.put(other, 'a', '1'))).toBe('Unavailable');
    await world.until('the others say so', () => [leader, other].every((id) => errorAt(world, id) === error));
    expect(noneServes(world)).toBe(true);
    await world.write(other, 'a', '1');
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
