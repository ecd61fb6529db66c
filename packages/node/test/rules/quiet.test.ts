import { META_SHARD } from '@coxswain/node';
import { describe, expect, test } from '@jest/globals';
import { TABLE, World } from './world.js';

/** A cluster of which no group counts ticks any more. */
async function quiet(initialTables = [TABLE]) {
  const world = await World.formed({ options: { initialTables } });
  const roles = await world.roles();
  const isQuiet = (id: number) => [...world.node(id).inspect().groups].every((replica) => replica.isQuiet);
  await world.until('all groups are quiet', () => world.ids.every(isQuiet));
  return { world, roles, isQuiet };
}

describe('quiet groups (ARCHITECTURE.md, "Groups")', () => {
  test('stay quiet, and send nothing but signs of life', async () => {
    const { world, isQuiet, roles } = await quiet();
    const { term } = world.replica(roles[0]).raft;
    const lengths = new Set<number>();
    for (const id of world.ids) {
      world.loseFrames(id, (_, frame) => {
        lengths.add(frame.length);
        return false;
      });
    }
    await world.sleep(60_000);
    expect(world.ids.every(isQuiet)).toBe(true);
    expect(world.replica(roles[0]).raft.term).toBe(term);
    expect(lengths.size).toBe(1);
  });

  test('a write on any node wakes them', async () => {
    const { world, roles } = await quiet();
    const [leader, follower, other] = roles;
    await world.write(follower, 'a', '1');
    await world.equal();
    expect(await world.value(other, 'a')).toBe('1');
    await world.until('it is quiet again', () => world.replica(leader).isQuiet);
    expect(await world.value(follower, 'a')).toBe('1');
  });

  test('the leader dies, and writes go on', async () => {
    const { world, roles } = await quiet();
    const [leader, follower, other] = roles;
    world.kill(leader);
    await world.write(follower, 'a', '1');
    expect(await world.value(other, 'a')).toBe('1');
  });

  test('the leader dies, and another is elected though nobody asks for anything', async () => {
    const { world, roles } = await quiet();
    world.kill(roles[0]);
    await world.until('another leads', () => world.leader() !== undefined);
  });

  test('the leader is cut off without a word, and writes go on', async () => {
    const { world, roles } = await quiet();
    const [leader, follower] = roles;
    world.isolate(leader);
    await world.until('the others notice', () => {
      const led = world.replica(follower).raft.leader;
      return led !== leader && led !== 0;
    });
    await world.write(follower, 'a', '1');
    await world.until('the old leader notices', () => !world.replica(leader).isLeader);
    world.network.heal();
    await world.equal();
  });

  test('a follower that starts anew finds its leader, and deposes nobody', async () => {
    const { world, roles } = await quiet();
    const [leader, follower] = roles;
    const { term } = world.replica(leader).raft;
    world.restart(follower);
    await world.until('it knows', () => world.isServing(follower) && world.leader() === leader);
    await world.until('it is ready', () => world.isReady(follower));
    expect(await world.value(follower, 'a')).toBeUndefined();
    expect(world.replica(leader).raft.term).toBe(term);
    expect(world.leader(META_SHARD)).toBeDefined();
  });

  test('a follower whose cores start anew wakes their leaders by asking', async () => {
    const { world, roles } = await quiet([TABLE, 'other']);
    const [leader, follower] = roles;
    const { term } = world.replica(leader).raft;
    world.beforeSteps(follower, (step) => {
      if (step !== 'wal write') return undefined;
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    const isFull = () => world.node(follower).reports.status().isDiskFull;
    for (let i = 0; !isFull(); i++) await world.write(leader, 'a', String(i), 'other');
    expect(world.replica(leader).isQuiet).toBe(true);
    world.beforeSteps(follower, () => undefined);
    await world.until('its cores are new', () => world.replica(follower).raft.leader === 0);
    await world.until('it knows', () => world.leader() === leader);
    expect(world.replica(leader).raft.term).toBe(term);
  });

  test('a follower that missed the call to be quiet becomes quiet all the same', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.until('it is about to be quiet', () => world.replica(leader).isQuiet);
    world.replica(follower).wake();
    await world.until('they are quiet', () => world.ids.every((id) => world.replica(id).isQuiet));
    expect(world.leader()).toBe(leader);
  });
});
