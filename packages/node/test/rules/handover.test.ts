import { META_SHARD } from '@coxswain/node';
import { NO_NODE } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import { type Outcome, TABLE, World } from './world.js';

/** One writer for each of `nodes`, which writes on until its node refuses or `end` is called. Each key is written once. */
class Load {
  readonly puts: { readonly node: number; readonly key: string; readonly outcome: Outcome<unknown> }[] = [];
  /** The longest that a write through one of `nodes` took, in virtual milliseconds. */
  slowestMs = 0;
  #isOver = false;

  constructor(
    readonly world: World,
    readonly nodes: readonly number[],
  ) {
    for (const node of nodes) void this.#write(node);
  }

  end(): void {
    this.#isOver = true;
  }

  async #write(node: number): Promise<void> {
    for (let isRefused = false; !isRefused && !this.#isOver; ) {
      const key = `key-${this.puts.length}`;
      const startedUs = this.world.loop.nowUs;
      const outcome = this.world.put(node, key, 'x');
      this.puts.push({ node, key, outcome });
      await outcome.settled;
      isRefused = outcome.fate !== 'ok';
      this.slowestMs = Math.max(this.slowestMs, (this.world.loop.nowUs - startedUs) / 1000);
    }
  }
}

describe('a node that stops hands over what it leads (thesis 3.10)', () => {
  test('writes through the others are all done, once, and none waits for an election timeout', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const { term } = world.replica(leader).raft;
    const load = new Load(world, [follower, other]);
    await world.until('some writes', () => load.puts.length > 20);
    await world.stop(leader);
    const count = load.puts.length;
    await world.until('writes go on', () => load.puts.length > count + 20);
    load.end();
    await world.until('all are answered', () => load.puts.every(({ outcome }) => outcome.isSettled));
    expect(load.puts.filter(({ outcome }) => outcome.fate !== 'ok')).toEqual([]);
    expect(load.slowestMs).toBeLessThan(100);
    expect(world.replica(follower).raft.term).toBe(term + 1);
    const contents = await world.contents(other);
    expect(contents.sort()).toEqual(load.puts.map(({ key }) => `${key}=x/1`).sort());
  });

  test('writes through the node itself go on meanwhile, and what it cannot say of them is unknown (P1)', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const load = new Load(world, [leader]);
    await world.until('some writes', () => load.puts.length > 20);
    await world.stop(leader);
    await world.until('another leads', () => world.leader() !== undefined);
    const fates = load.puts.map(({ outcome }) => outcome.fate);
    const held = new Set(await world.contents(follower));
    for (const [i, { key }] of load.puts.entries()) {
      if (fates[i] === 'ok') expect(held).toContain(`${key}=x/1`);
      if (fates[i] === 'Unavailable') expect(held).not.toContain(`${key}=x/1`);
    }
    expect(fates.filter((fate) => fate !== 'ok').length).toBeLessThan(3);
  });

  test('groups that are quiet are handed over, and spread over the others', async () => {
    const initialTables = [TABLE, 'b', 'c', 'd', 'e'];
    const world = await World.formed({ options: { initialTables } });
    const groups = [META_SHARD, ...initialTables.map((_, i) => world.shard() + i)];
    await world.until('all are there', () =>
      groups.every((group) => world.ids.every((id) => world.hasReplica(id, group))),
    );
    const [leader, ...others] = await world.roles(META_SHARD);
    for (const group of groups) {
      await world.roles(group);
      if (world.leader(group) === leader) continue;
      world.replica(world.leader(group)!, group).transferLeadership(leader);
      await world.until('it leads them all', () => world.leader(group) === leader);
    }
    await world.until('they are quiet', () => groups.every((group) => world.replica(leader, group).isQuiet));
    const terms = groups.map((group) => world.replica(leader, group).raft.term);
    await world.stop(leader);
    await world.until('the others know', () => groups.every((group) => world.leader(group) !== undefined));
    expect(groups.map((group) => world.replica(others[0], group).raft.term)).toEqual(terms.map((t) => t + 1));
    const led = others.map((id) => groups.filter((group) => world.leader(group) === id).length);
    expect(led.sort()).toEqual([3, 3]);
  });

  test('a node that cannot be reached is asked in vain, and then another takes over', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'a', '1');
    // The group is handed to whoever leads less: to this one, which cannot hear of it.
    const meta = world.leader(META_SHARD)!;
    const deaf = meta === follower ? other : follower;
    const hearing = deaf === follower ? other : follower;
    world.loseFrames(leader, (to) => to === deaf);
    const { term } = world.replica(leader).raft;
    const put = world.put(hearing, 'a', '2');
    await world.stop(leader);
    expect(world.replica(hearing).isLeader).toBe(true);
    expect(world.replica(hearing).raft.term).toBe(term + 1);
    expect(await world.fate(put)).toBe('ok');
    expect(await world.value(deaf, 'a')).toBe('2');
  });

  test('a transfer that comes to nothing costs no proposal, whoever made it, and doubles none (P1)', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const { term } = world.replica(leader).raft;
    world.loseFrames(leader, (to) => to === follower);
    expect(world.replica(leader).transferLeadership(follower)).toBe(true);
    const puts = [world.put(leader, 'a', '1'), world.put(other, 'b', '1')];
    await world.sleep(200);
    expect(puts.map(({ fate }) => fate)).toEqual(['pending', 'pending']);
    for (const put of puts) expect(await world.fate(put)).toBe('ok');
    expect(world.replica(leader).raft.term).toBe(term);
    expect(await world.contents(leader)).toEqual(['a=1/1', 'b=1/1']);
  });

  test('where nobody can take over it stops at once', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    world.kill(follower);
    world.kill(other);
    await world.until('it notices', () =>
      world
        .node(leader)
        .reports.status()
        .peers.every((peer) => !peer.isConnected),
    );
    const startedUs = world.loop.nowUs;
    await world.stop(leader);
    expect(world.loop.nowUs - startedUs).toBeLessThan(500_000);
  });

  test('an election that nobody is left to win is not waited for', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const replica = world.replica(leader);
    const stopping = world.node(leader).stop();
    await world.until('it is deposed', () => !replica.isLeader && replica.raft.leader === NO_NODE);
    const startedUs = world.loop.nowUs;
    world.kill(follower);
    world.kill(other);
    await world.settled(stopping);
    expect(world.loop.nowUs - startedUs).toBeLessThan(1_000_000);
  });

  test('nodes that stop at once all stop', async () => {
    const world = await World.formed();
    await world.write(1, 'a', '1');
    const stopping = world.ids.map((id) => world.node(id).stop());
    await world.settled(Promise.all(stopping));
    for (const id of world.ids) world.restart(id);
    await world.until('they are back', () => world.ids.every((id) => world.isReady(id)));
    expect(await world.value(1, 'a')).toBe('1');
  });
});
