import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { World } from './world.js';

/** Behind it comes the code of the first message. */
const FRAME_HEADER_BYTES = 62;
const HELLO = 36;

/** The sender has joined a cluster. */
const isOfCluster = (frame: Buffer) => frame.subarray(1, 17).some((byte) => byte !== 0);

/** A cluster of three that has formed and holds something. */
async function settled() {
  const world = await World.formed();
  const roles = await world.roles();
  await world.write(roles[0], 'a', '1');
  await world.equal();
  return { world, roles };
}

const isReady = (world: World) => world.ids.every((id) => world.isReady(id));

describe('T4: a node is who its disk says', () => {
  test('a wiped disk under an old id is refused', async () => {
    const { world, roles } = await settled();
    const [leader, follower, other] = roles;
    world.kill(follower);
    world.replaceMachine(follower);
    world.start(follower);
    expect((await world.endOf(follower)).message).toContain('with another data directory');
    await world.write(other, 'a', '2');
    expect(await world.value(leader, 'a')).toBe('2');
  });

  test('a wiped disk does not vote, before it has heard that it is one', async () => {
    const { world, roles } = await settled();
    const [leader, follower, other] = roles;
    world.kill(leader);
    world.kill(follower);
    world.replaceMachine(follower);
    world.start(follower);
    // Its vote would make a quorum with that of the other, who asks for it and is kept from greeting.
    let asked = 0;
    world.loseFrames(other, (to, frame) => {
      if (to === follower && frame.length > FRAME_HEADER_BYTES) asked++;
      return to === follower && frame[FRAME_HEADER_BYTES] === HELLO;
    });
    await world.sleep(30_000);
    expect(asked).toBeGreaterThan(10);
    expect(world.replica(other).isLeader).toBe(false);
    expect(world.node(follower).reports.status().clusterId).toBeUndefined();
    world.expectEnd(follower);
    world.loseFrames(other, () => false);
    await world.endOf(follower);
    world.start(leader);
    expect(await world.value(other, 'a')).toBe('1');
  });

  test('a member that is wiped before all have heard of the cluster is refused', async () => {
    const world = new World();
    for (const id of world.ids) world.start(id);
    // The third answers that it is empty, and never hears what was formed with it.
    for (const id of [1, 2]) world.loseFrames(id, (to, frame) => to === 3 && isOfCluster(frame));
    await world.until('two have joined', () =>
      [1, 2].every((id) => world.isServing(id) && world.node(id).reports.status().clusterId !== undefined),
    );
    world.kill(2);
    world.replaceMachine(2);
    world.start(2);
    expect((await world.endOf(2)).message).toContain('with another data directory');
    world.loseFrames(1, () => false);
    await world.until('the other two form a quorum', () => world.isReady(1) && world.isReady(3));
    expect(world.node(3).reports.status().clusterId).toBe(world.node(1).reports.status().clusterId);
  });

  test('a founder that is wiped does not found a second cluster', async () => {
    const world = new World();
    for (const id of world.ids) world.start(id);
    world.loseFrames(1, (to, frame) => to === 3 && isOfCluster(frame));
    await world.until(
      'one has joined',
      () => world.isServing(2) && world.node(2).reports.status().clusterId !== undefined,
    );
    const { clusterId } = world.node(2).reports.status();
    world.kill(1);
    world.replaceMachine(1);
    world.start(1);
    expect((await world.endOf(1)).message).toContain('with another data directory');
    await world.until('the others go on', () => world.isReady(2) && world.isReady(3));
    expect(world.node(3).reports.status().clusterId).toBe(clusterId);
  });

  test('a node of another cluster is refused', async () => {
    const { world, roles } = await settled();
    const [leader, follower] = roles;
    const stranger = await World.formed({ seed: 2 });
    const frames: Buffer[] = [];
    const [strangeLeader] = await stranger.roles();
    stranger.loseFrames(strangeLeader, (to, frame) => to === follower && frames.push(frame) < 0);
    for (let i = 0; i < 20; i++) await stranger.write(strangeLeader, 'a', 'strange');
    const before = JSON.stringify(world.node(follower).reports.status().tables);
    for (const frame of frames) world.deliver(follower, frame);
    await world.sleep(1_000);
    expect(JSON.stringify(world.node(follower).reports.status().tables)).toBe(before);
    expect(world.log(follower).join()).toContain('it belongs to cluster');
    expect(await world.value(leader, 'a')).toBe('1');
  });

  test('bytes that are no frame are refused, and harm nobody', async () => {
    const { world, roles } = await settled();
    const [leader, follower] = roles;
    const frames: Buffer[] = [];
    world.loseFrames(leader, (to, frame) => to === follower && frames.push(Buffer.from(frame)) < 0);
    await world.write(leader, 'a', '2');
    const frame = frames.find(({ length }) => length > 100)!;
    world.deliver(follower, Buffer.alloc(0));
    world.deliver(follower, Buffer.alloc(100, 7));
    world.deliver(follower, frame.subarray(0, frame.length - 3));
    world.deliver(follower, Buffer.concat([frame, Buffer.alloc(20, 255)]));
    await world.write(follower, 'a', '3');
    await world.equal();
    expect(
      world.log(follower).filter((line) => line.includes('peer-message-refused')).length,
    ).toBeGreaterThan(0);
  });

  test('nodes that were given different members do not form a cluster, and say so', async () => {
    const world = new World();
    const members = (ids: number[]) => ({
      initialMembers: new Map(ids.map((id) => [id, `node-${id}:5012`])),
    });
    world.start(1);
    world.start(2);
    world.start(3, members([1, 2, 3, 4]));
    await world.sleep(10_000);
    // Once, however often they greet each other.
    expect(world.log(1).filter((line) => line.includes('other-initial-members'))).toHaveLength(1);
    for (const id of world.ids) expect(world.node(id).reports.status().clusterId).toBeUndefined();
    world.kill(3);
    world.start(3);
    await world.until('it forms', () => isReady(world));
  });

  test('a data directory is refused with other members than it has', async () => {
    const { world } = await settled();
    world.kill(3);
    world.start(3, {
      initialMembers: new Map([
        [1, 'a'],
        [3, 'c'],
        [4, 'd'],
      ]),
    });
    expect((await world.endOf(3)).message).toContain(
      'cluster of nodes 1,2,3, but was started with nodes 1,3,4',
    );
  });

  test('a data directory without a table that its log knows is refused', async () => {
    const { world } = await settled();
    world.kill(3);
    await world.tamper(3, ({ stores }) => stores.remove('shard-10001'));
    world.start(3);
    expect((await world.endOf(3)).message).toContain('lacks tables/shard-10001');
  });

  test('a data directory without its log is refused, at every start', async () => {
    const { world } = await settled();
    world.kill(3);
    await world.tamper(3, async ({ walDisk }) => {
      for (const name of await walDisk.list()) await walDisk.remove(name);
    });
    for (let i = 0; i < 2; i++) {
      world.start(3);
      expect((await world.endOf(3)).message).toContain('lacks its write-ahead log');
    }
  });

  test.each([1, 3])(
    'after a crash of node %i between any two steps of the formation one cluster forms',
    async (id) => {
      for (let step = 1; ; step += sized(3, 1)) {
        const world = new World();
        const hasCrashed = world.crashBefore(id, step);
        for (const node of world.ids) world.start(node);
        await world.until('it crashes, or forms', () => hasCrashed() || isReady(world));
        if (!hasCrashed()) {
          expect(step).toBeGreaterThan(10);
          return;
        }
        world.start(id);
        await world.until('it forms', () => isReady(world));
        expect(new Set(world.ids.map((node) => world.node(node).reports.status().clusterId)).size).toBe(1);
        await world.write(id, 'a', '1');
        await world.equal();
      }
    },
  );

  test('a member that has forgotten the start of another hears of it again, also when the first frames are lost', async () => {
    const { world } = await settled();
    world.kill(3);
    await world.tamper(3, ({ files }) => files.replace('peers.json', Buffer.from(`{"starts":[]}`)));
    // Nobody else can pass on what the first is.
    world.kill(2);
    world.loseFrames(1, () => true);
    world.start(3);
    await world.sleep(1_000);
    world.loseFrames(1, () => false);
    await world.until('the two that are left take part', () => world.isReady(1) && world.isReady(3));
    await world.write(1, 'a', '2');
    expect(await world.value(3, 'a')).toBe('2');
  });

  test('after all have crashed at once one cluster forms', async () => {
    for (let atMs = 0; atMs < 40; atMs += sized(5, 1)) {
      const world = new World({ seed: atMs });
      for (const id of world.ids) world.start(id);
      await world.sleep(atMs);
      for (const id of world.ids) world.losePower(id);
      for (const id of world.ids) world.start(id);
      await world.until('it forms', () => isReady(world));
      await world.write(2, 'a', '1');
      await world.equal();
    }
  });
});
