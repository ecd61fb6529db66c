import { randomBytes } from 'node:crypto';
import { type NodeOptions, WOLF_SHARD } from '@coxswain/node';
import { wolfRaft } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import { WolfNetwork } from '@coxswain/simulator';
import { describe, expect, test } from '@jest/globals';
import { TABLE, World } from './world.js';

const MIB = 1024 * 1024;

/** Three clusters of one node each that share a table over wolf.raft, and nothing else. */
async function formed(options?: Partial<NodeOptions>): Promise<World> {
  const world = await unformed(options);
  await bootstrap(world);
  await world.until('every member votes', () => world.ids.every((id) => votes(world, id)));
  return world;
}

async function unformed(options: Partial<NodeOptions> = {}): Promise<World> {
  const world = new World({
    areApart: true,
    options: { snapshotEntries: 10, compactionOverheadEntries: 2, ...options },
  });
  for (const id of world.ids) world.start(id);
  await world.until('every node is ready', () => world.ids.every((id) => world.isReady(id)));
  return world;
}

/** An operator has the first node form the group. */
async function bootstrap(world: World): Promise<void> {
  const request = { msgId: 'b', numberOfNodes: 3n };
  const { response } = await world.settled(world.node(1).wolf.bootstrap(request));
  expect(response).toEqual({ $case: 'okRes', value: { msgId: 'b' } });
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

  test('whose disk was wiped helps no leader that was deposed with its vote (T4)', async () => {
    const world = await formed();
    const [deposed] = await world.roles(WOLF_SHARD);
    // The leader stands still, and hears nothing.
    world.isolate(deposed);
    world.pause(deposed);
    const others = world.ids.filter((id) => id !== deposed);
    await world.until('another one leads', () => others.some((id) => leads(world, id)));
    const elected = others.find((id) => leads(world, id))!;
    const wiped = others.find((id) => id !== elected)!;
    await world.write(elected, 'key', 'kept');

    // The one that elected it loses its disk, and then hears of nobody but the old leader, which knows nothing yet.
    world.isolate(elected);
    world.kill(wiped);
    world.replaceMachine(wiped);
    world.start(wiped);
    await world.until('the wiped node serves', () => world.isServing(wiped));
    world.network.unblock(deposed, wiped);
    world.network.unblock(wiped, deposed);
    world.resume(deposed);
    expect(leads(world, deposed)).toBe(true);
    const late = world.put(deposed, 'key', 'other', { timeoutMs: 2_000 });
    expect(await world.fate(late)).not.toBe('ok');
    expect(votes(world, wiped)).toBe(false);

    world.network.heal();
    await world.until('the wiped node votes again', () => votes(world, wiped));
    await world.until('one of them leads', () => world.leader(WOLF_SHARD) !== undefined);
    await world.equal(WOLF_SHARD);
    const contents = await Promise.all(world.ids.map((id) => world.contents(id)));
    expect(new Set(contents.map(String))).toEqual(new Set(['key=kept/1']));
  });

  test('whose disk was wiped elects nobody with an empty log where another member has entries (T4)', async () => {
    const world = await unformed();
    // The first leader writes no entry, and its members commit what it sent them.
    world.beforeSteps(1, (step) =>
      step === 'wal write' && leads(world, 1) ? new Promise(() => undefined) : undefined,
    );
    await bootstrap(world);
    const commit = (id: NodeId): number => world.replica(id, WOLF_SHARD).raft.commitIndex;
    await world.until('the others know it committed', () => commit(2) > 0 && commit(3) > 0);
    world.losePower(1);
    world.kill(2);
    world.kill(3);
    world.replaceMachine(3);
    world.start(1);
    world.start(3);
    await world.until('the wiped node serves', () => world.isServing(1) && world.isServing(3));
    expect(world.replica(1, WOLF_SHARD).raft.lastIndex).toBe(0);
    const { term } = world.replica(1, WOLF_SHARD).raft;
    await world.until('the first leader campaigns in vain', () => {
      expect(leads(world, 1)).toBe(false);
      return world.replica(1, WOLF_SHARD).raft.term > term + 2;
    });
    const { response } = await world.settled(world.node(3).wolf.getMetrics({ msgId: 'm' }));
    expect(JSON.stringify(response)).toContain('has an empty disk');
    expect(JSON.stringify(response)).toContain(`member 1 at ${WolfNetwork.address(2)} gives no metrics`);

    world.start(2);
    await world.until('every member votes', () => world.ids.every((id) => votes(world, id)));
    await world.until('one of them leads', () => world.leader(WOLF_SHARD) !== undefined);
    await world.equal(WOLF_SHARD);
  });

  test('that was to form the group does not keep those who have entries from leading', async () => {
    const world = await unformed();
    const request = { msgId: 'b', numberOfNodes: 3n };
    const asked = [1, 2].map((id) => world.node(id).wolf.bootstrap(request));
    await world.until('both of them vote', () => votes(world, 1) && votes(world, 2));
    world.isolate(1);
    await world.settled(Promise.all(asked));
    await world.until('the second one leads', () => leads(world, 2));
    await world.write(2, 'key', 'value');

    // Without the third one, they need each other.
    world.kill(3);
    world.restart(2);
    await world.until('the second one is back', () => world.isServing(2));
    expect(world.replica(1, WOLF_SHARD).raft.lastIndex).toBe(0);
    // So late that it takes nothing from calls that waited for it.
    await world.until('the first one campaigns', () => world.replica(1, WOLF_SHARD).raft.term > 3);
    world.network.heal();
    await world.until('both have the same leader', () => world.leader(WOLF_SHARD) === 2);
    await world.until('the first one has all', () => world.replica(1, WOLF_SHARD).status().revision > 0);
  });

  test('refuses a second leader of its term, and loses nothing of the first one’s (§5.2)', async () => {
    const world = await formed();
    const [leader, member, second] = await world.roles(WOLF_SHARD);
    await world.write(leader, 'key', 'kept');
    await world.equal(WOLF_SHARD);
    const { term, lastIndex } = world.replica(member, WOLF_SHARD).raft;
    const index = lastIndex + 1;
    const data = { client: 'key', serial: 7, status: 'forged' };
    const forged = { term, index, payload: { Normal: { data } } };
    const refusal = {
      $case: 'errorRes',
      value: {
        msgId: 'm',
        code: wolfRaft.ErrorCode.RAFT_APPEND_ENTRIES_FAILED,
        msg: `member ${leader - 1} leads in term ${term}, and member ${second - 1} cannot: two nodes have the same id, or one lost its disk`,
      },
    };
    // Restarted, and before it has heard the leader again, it knows who that is (D1).
    world.isolate(member);
    world.restart(member);
    await world.until('it is back', () => votes(world, member));
    expect(world.replica(member, WOLF_SHARD).raft.term).toBe(term);
    const { wolf } = world.node(member);
    for (const entries of [[forged], []]) {
      const req = JSON.stringify({
        term,
        leader_id: second - 1,
        prev_log_index: lastIndex,
        prev_log_term: term,
        entries,
        leader_commit: lastIndex,
      });
      expect((await world.settled(wolf.appendEntries({ msgId: 'm', req }))).response).toEqual(refusal);
    }
    const chunk = {
      msgId: 'm',
      term: BigInt(term),
      leaderId: BigInt(second - 1),
      lastIncludedIndex: BigInt(index),
      lastIncludedTerm: BigInt(term),
      offset: 0n,
      done: false,
      data: Buffer.alloc(0),
    };
    const { response } = await world.settled(wolf.installSnapshot(chunk));
    expect(response).toEqual({
      $case: 'errorRes',
      value: { ...refusal.value, code: wolfRaft.ErrorCode.RAFT_INSTALL_SNAPSHOT_FAILED },
    });
    expect(world.log(member).filter((line) => line.includes('second-leader-refused'))).toHaveLength(1);
    expect(world.replica(member, WOLF_SHARD).raft).toMatchObject({
      leaderOfTerm: leader,
      lastIndex,
      term,
    });

    world.network.heal();
    // What the leader acknowledges at that index is on every member.
    await world.write(leader, 'key', 'acknowledged');
    await world.equal(WOLF_SHARD);
    expect(world.replica(member, WOLF_SHARD).raft).toMatchObject({ leader, lastIndex: index, term });
    for (const id of world.ids) expect(await world.contents(id)).toEqual(['key=acknowledged/2']);
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

  test('refuses an entry that fits into no message before it is proposed, and takes the largest that does (P4)', async () => {
    const world = await formed({ walSegmentSizeBytes: 16 * MIB });
    const [leader] = await world.roles(WOLF_SHARD);
    let callBytesMax = 0;
    world.onCall = (_from, _path, request) => {
      callBytesMax = Math.max(callBytesMax, request.length);
    };
    await world.write(leader, 'before', 'kept');
    await world.equal(WOLF_SHARD);
    const { lastIndex, term } = world.replica(leader, WOLF_SHARD).raft;

    // In the JSON a value is its text, and once more in base64: 1 and 4/3 bytes for each byte of ASCII, 6 and 4/3 of NUL.
    const fits = (bytes: number, each: number): boolean => bytes * (each + 4 / 3) < 4 * MIB - 64 * 1024 - 200;
    for (const [byte, each] of [
      ['v', 1],
      ['\0', 6],
    ] as const) {
      const length = Math.floor((4 * MIB - 64 * 1024) / (each + 4 / 3));
      expect([fits(length - 200, each), fits(length, each)]).toEqual([true, false]);
      const refused = world.put(leader, 'key', byte.repeat(length));
      expect(await world.fate(refused)).toBe('FailedPrecondition');
      expect(String(refused.error)).toContain('does not fit into a message of wolf.raft, which is 4 MiB');
    }
    // Nobody was given it, and nothing else is lost.
    for (const id of world.ids) expect(world.replica(id, WOLF_SHARD).raft.lastIndex).toBe(lastIndex);

    const largest = 'v'.repeat(Math.floor((4 * MIB - 64 * 1024) / (1 + 4 / 3)) - 200);
    await world.write(leader, 'key', largest);
    await world.write(leader, 'after', 'kept');
    await world.equal(WOLF_SHARD);
    expect(world.replica(leader, WOLF_SHARD).raft.term).toBe(term);
    expect(callBytesMax).toBeGreaterThan(3.9 * MIB);
    expect(callBytesMax).toBeLessThan(4 * MIB);
    for (const id of world.ids) {
      expect(await world.contents(id)).toEqual(['after=kept/1', 'before=kept/1', `key=${largest}/1`]);
    }
  });

  test('gets a table in chunks of at most 3 MiB, and all of it (D7, trap 5)', async () => {
    const world = await formed();
    const [leader, wiped] = await world.roles(WOLF_SHARD);
    // What does not compress: its JSON is some three and a half times as long.
    for (let i = 0; i < 20; i++)
      await world.write(leader, `key-${i}`, randomBytes(75_000).toString('base64'));
    world.kill(wiped);
    world.replaceMachine(wiped);
    const { path, requestDeserialize } = wolfRaft.RaftService.installSnapshot;
    const chunks: wolfRaft.RaftInstallSnapshotReq[] = [];
    world.onCall = (_from, called, request) => {
      if (called === path) chunks.push(requestDeserialize(request));
    };
    world.start(wiped);
    await world.until('the wiped node votes again', () => votes(world, wiped));
    await world.equal(WOLF_SHARD);

    const sizes = chunks.map(({ data }) => data.length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(sizes.slice(0, -1)).toEqual(sizes.slice(0, -1).map(() => 3 * MIB));
    expect(sizes.at(-1)).toBeLessThanOrEqual(3 * MIB);
    let offset = 0;
    for (const [at, chunk] of chunks.entries()) {
      expect([chunk.offset, chunk.done]).toEqual([BigInt(offset), at === chunks.length - 1]);
      offset += chunk.data.length;
    }
    const contents = await Promise.all(world.ids.map((id) => world.contents(id)));
    expect(contents[0]).toHaveLength(20);
    expect(new Set(contents.map(String)).size).toBe(1);
  });

  test('that has a term and no log says so to Bootstrap', async () => {
    const world = await unformed();
    const vote = { msgId: 'v', term: 4n, candidateId: 0n, lastLogIndex: 0n, lastLogTerm: 0n };
    const { wolf } = world.node(2);
    // First it asks the others what they have.
    for (let i = 0; i < 20 && world.replica(2, WOLF_SHARD).raft.term === 0; i++) {
      await world.sleep(1_000);
      await world.settled(wolf.vote(vote));
    }
    const { response } = await world.settled(wolf.bootstrap({ msgId: 'b', numberOfNodes: 3n }));
    expect(JSON.stringify(response)).toContain('this member has no log, but it is in term');
  });

  test('whose data directory is started as another member is refused, and its own start goes on (T4)', async () => {
    const world = await formed();
    const [leader, member, other] = await world.roles(WOLF_SHARD);
    await world.write(leader, 'key', 'value');
    // The ids of two addresses are exchanged, and the set of ids is the same.
    const exchanged = new Map(world.ids.map((id) => [id - 1, WolfNetwork.address(id)]));
    exchanged.set(member - 1, WolfNetwork.address(other)).set(other - 1, WolfNetwork.address(member));
    const wolf = { ...world.nodeOptions(member).wolf!, id: other - 1, members: exchanged };
    world.kill(member);
    world.start(member, { wolf });
    const { message } = await world.endOf(member);
    expect(message).toBe(
      `the data directory belongs to member ${member - 1} of its wolf.raft group, not to member ${other - 1}: check wolf.members, wolf.address and the data directory`,
    );
    world.start(member);
    await world.until('it votes as before', () => votes(world, member));
    await world.equal(WOLF_SHARD);
  });

  test.each([
    ['another name', { table: 'renamed' }, 'but wolf.table is "renamed": set wolf.table to "TABLE"'],
    ['no table', undefined, 'holds table "TABLE", which is replicated over wolf.raft: give wolf.table'],
  ])('that is started with %s is refused, and loses nothing', async (_, change, message) => {
    const world = await formed();
    const [leader, member] = await world.roles(WOLF_SHARD);
    await world.write(leader, 'key', 'value');
    const given = world.nodeOptions(member).wolf!;
    world.kill(member);
    world.start(member, { wolf: change && { ...given, ...change } });
    expect((await world.endOf(member)).message).toContain(message.replace('TABLE', given.table));
    world.start(member);
    await world.until('it votes as before', () => votes(world, member));
    await world.equal(WOLF_SHARD);
    expect(await world.contents(member)).toHaveLength(1);
  });

  test('names its leader in the log as wolf.members does', async () => {
    const world = await formed();
    const [leader, ...others] = await world.roles(WOLF_SHARD);
    const { term } = world.replica(leader, WOLF_SHARD).raft;
    const said = (id: NodeId, what: string) => world.log(id).some((line) => line.includes(what));
    const found = `info table-has-leader {"table":"${TABLE}","leader":${leader - 1},"term":${term}`;
    await world.until('every node says who leads', () => world.ids.every((id) => said(id, found)));
    expect(said(leader, `"table":"${TABLE}","term":${term},"role":"leader","leader":${leader - 1}}`)).toBe(
      true,
    );
    world.kill(leader);
    const lost = `warn table-leader-lost {"table":"${TABLE}","was":${leader - 1}}`;
    const next = `"was":${leader - 1}}`;
    await world.until('the others say who led', () => others.every((id) => said(id, lost) || said(id, next)));
  });

  test('keeps its leader while nothing happens', async () => {
    const world = await formed();
    await world.roles(WOLF_SHARD);
    const { term } = world.replica(1, WOLF_SHARD).raft;
    await world.sleep(50_000);
    expect(world.ids.map((id) => world.replica(id, WOLF_SHARD).raft.term)).toEqual([term, term, term]);
  });
});
