import { WOLF_SHARD } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import { World } from './world.js';

/** Three clusters of one node each that share a table over wolf.raft, and nothing else. */
async function formed(): Promise<World> {
  const options = { snapshotEntries: 10, compactionOverheadEntries: 2 };
  const world = new World({ areApart: true, options });
  for (const id of world.ids) world.start(id);
  await world.until('every node is ready', () => world.ids.every((id) => world.isReady(id)));
  const request = { msgId: 'b', numberOfNodes: 3n };
  const { response } = await world.settled(world.node(1).wolf.bootstrap(request));
  expect(response).toEqual({ $case: 'okRes', value: { msgId: 'b' } });
  await world.until('every member votes', () => world.ids.every((id) => votes(world, id)));
  return world;
}

function votes(world: World, id: NodeId): boolean {
  // Members count from 0 there, and the core from 1.
  return world.isServing(id) && world.replica(id, WOLF_SHARD).membership.voters.includes(id);
}

const leads = (world: World, id: NodeId): boolean => world.isUp(id) && world.replica(id, WOLF_SHARD).isLeader;

describe('a member of a wolf.raft group', () => {
  test('whose disk was wiped elects nobody who lacks what it had acknowledged (T4)', async () => {
    const world = await formed();
    const [leader, wiped, behind] = await world.roles(WOLF_SHARD);
    world.isolate(behind);
    for (let i = 0; i < 30; i++) await world.write(leader, `key-${i}`, 'kept');
    const { lastIndex } = world.replica(leader, WOLF_SHARD).raft;
    await world.until('both have applied it', () =>
      [leader, wiped].every((id) => world.replica(id, WOLF_SHARD).status().appliedIndex === lastIndex),
    );

    // What was written is on two disks. One of them is exchanged, and the other one's node is down.
    world.kill(leader);
    world.kill(wiped);
    world.replaceMachine(wiped);
    world.network.heal();
    world.start(wiped);
    await world.until('the wiped node serves', () => world.isServing(wiped));
    const { term } = world.replica(behind, WOLF_SHARD).raft;
    await world.until('the one behind campaigns in vain', () => {
      expect([leads(world, wiped), leads(world, behind)]).toEqual([false, false]);
      return world.replica(behind, WOLF_SHARD).raft.term > term + 5;
    });
    expect(votes(world, wiped)).toBe(false);

    // With the one that has it they go on, and the wiped one is filled again, by a snapshot.
    world.start(leader);
    await world.until('the wiped node votes again', () => votes(world, wiped));
    await world.until('one of them leads', () => world.leader(WOLF_SHARD) !== undefined);
    await world.equal(WOLF_SHARD);
    expect(world.replica(wiped, WOLF_SHARD).log.firstIndex()).toBeGreaterThan(1);
    const contents = await Promise.all(world.ids.map((id) => world.contents(id)));
    expect(contents[0]).toHaveLength(30);
    expect(new Set(contents.map(String)).size).toBe(1);
  });

  test('refuses what only the leader can do, and names it; nothing happened (P1)', async () => {
    const world = await formed();
    const [leader, follower] = await world.roles(WOLF_SHARD);
    const refused = world.put(follower, 'key', 'value');
    expect(await world.fate(refused)).toBe('Unavailable');
    await expect(refused.settled.then(() => refused.value)).rejects.toThrow(
      `is led by member ${leader - 1} at `,
    );
    expect(await world.fate(world.get(follower, 'key'))).toBe('Unavailable');
    await world.write(leader, 'other', 'value');
    await world.equal(WOLF_SHARD);
    expect(await world.contents(follower)).toEqual(['other=value/1']);
  });

  test('keeps its leader while nothing happens', async () => {
    const world = await formed();
    await world.roles(WOLF_SHARD);
    const { term } = world.replica(1, WOLF_SHARD).raft;
    await world.sleep(50_000);
    expect(world.ids.map((id) => world.replica(id, WOLF_SHARD).raft.term)).toEqual([term, term, term]);
  });
});
