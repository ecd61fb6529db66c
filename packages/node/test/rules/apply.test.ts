import { EntryType } from '@coxswain/raft';
import { type CommandKind, RevisionCompactedError } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import { TABLE, World } from './world.js';

/** The time stamps of the table's log on a node: 6 bytes at offset 2 of each entry that is not empty. */
function stampsMs(world: World, id: number): number[] {
  const { log } = world.replica(id);
  const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.MAX_SAFE_INTEGER);
  return entries.filter(({ type }) => type === EntryType.Normal).map(({ data }) => data.readUIntLE(2, 6));
}

const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

describe('A5: history goes by an entry, at the same place everywhere', () => {
  const options = { historyRetentionMs: 2_000, initialTables: [TABLE, 'idle'] };

  test('what is older than the window is out of range on every replica', async () => {
    const world = await World.formed({ options });
    const [leader, follower] = await world.roles();
    const first = await world.write(leader, 'a', '1');
    const second = await world.write(follower, 'a', '2');
    await world.sleep(1_000);
    expect(world.replica(follower).table.view(first).revision).toBe(first);
    await world.until('history goes', () =>
      world.ids.every((id) => world.replica(id).table.historyFloor >= second),
    );
    await world.equal();
    const floors = world.ids.map((id) => world.replica(id).table.historyFloor);
    expect(new Set(floors).size).toBe(1);
    for (const id of world.ids) {
      const { table } = world.replica(id);
      expect(() => table.view(first)).toThrow(RevisionCompactedError);
      table.view(floors[0]).close();
    }
  });

  test('only the leader asks for it, by its clock and the times of entries', async () => {
    const world = await World.formed({ options });
    const [leader, follower, other] = await world.roles();
    world.machine(follower).clock.jump(3_600_000);
    world.machine(other).clock.jump(3_600_000);
    const first = await world.write(leader, 'a', '1');
    await world.write(leader, 'a', '2');
    await world.sleep(1_500);
    expect(world.replica(follower).table.historyFloor).toBeLessThan(first);
  });

  test('what was written while a clock was an hour ahead goes in time, and so does what followed (A7)', async () => {
    const world = await World.formed({ options });
    const [leader] = await world.roles();
    for (const id of world.ids) world.machine(id).clock.jump(3_600_000);
    await world.sleep(1_000);
    const first = await world.write(leader, 'a', '1');
    expect(stampsMs(world, leader).at(-1)).toBeGreaterThan(world.machine(leader).clock.trueMs + 3_500_000);
    for (const id of world.ids) world.machine(id).clock.jump(-3_600_000);
    const last = await world.write(leader, 'a', '2');
    await world.write(leader, 'a', '3');
    await world.sleep(1_500);
    expect(world.replica(leader).table.view(first).revision).toBe(first);
    await world.sleep(3_000);
    expect(world.replica(leader).table.historyFloor).toBeGreaterThanOrEqual(last);
    await world.equal();
  });

  test("a leader's clock that is an hour ahead takes nothing early", async () => {
    const world = await World.formed({ options: { historyRetentionMs: 60_000 } });
    const [leader] = await world.roles();
    const first = await world.write(leader, 'a', '1');
    await world.write(leader, 'a', '2');
    world.machine(leader).clock.jump(3_600_000);
    await world.sleep(20_000);
    expect(world.replica(leader).table.view(first).revision).toBe(first);
    await world.until('it goes in time', () => world.replica(leader).table.historyFloor > first);
  });

  test('nothing is proposed when there is nothing to remove', async () => {
    const world = await World.formed({ options });
    const [leader] = await world.roles();
    const revision = await world.write(leader, 'a', '1');
    await world.write(leader, 'a', '2');
    await world.until('history goes', () => world.replica(leader).table.historyFloor > revision);
    await world.sleep(10_000);
    const { lastIndex } = world.replica(leader).raft;
    const idle = world.replica(leader, 10_002).raft.lastIndex;
    await world.sleep(60_000);
    expect(world.replica(leader).raft.lastIndex).toBe(lastIndex);
    expect(world.replica(leader, 10_002).raft.lastIndex).toBe(idle);
  });
});

describe('A7: time never goes back within a table', () => {
  test('the clock of a new leader is behind', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    await world.write(leader, 'a', '1');
    await world.equal();
    for (const id of [follower, other]) world.machine(id).clock.jump(-3_600_000);
    world.kill(leader);
    await world.write(follower, 'a', '2');
    await world.write(other, 'a', '3');
    const stamps = stampsMs(world, follower);
    expect(stamps).toEqual(ascending(stamps));
  });

  test('the clock of a leader is set back', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(follower, 'a', '1');
    world.machine(leader).clock.jump(-3_600_000);
    await world.write(leader, 'a', '2');
    await world.write(follower, 'a', '3');
    const stamps = stampsMs(world, leader);
    expect(stamps).toEqual(ascending(stamps));
  });

  test('the newest stamp came together with the empty entry of a later leader', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    world.loseFrames(leader, (to) => to === follower);
    await world.write(leader, 'a', '1');
    await world.until('the other has it', () => world.replica(other).table.keyCount === 1);
    const isDeafTo = (id: number) =>
      world.loseFrames(id, (to) => to === follower && !world.replica(id).isLeader);
    isDeafTo(leader);
    world.kill(leader);
    await world.until(
      'the other leads',
      () => world.replica(other).isLeader && world.replica(follower).table.keyCount === 1,
    );
    for (const id of [leader, follower]) world.machine(id).clock.jump(-3_600_000);
    world.kill(other);
    world.start(leader);
    await world.until('the follower leads', () => world.replica(follower).isLeader);
    await world.write(follower, 'a', '2');
    const stamps = stampsMs(world, follower);
    expect(stamps).toEqual(ascending(stamps));
  });

  test('a leader starts anew, and its table lacks the newest entries of its log', async () => {
    const world = await World.formed({ nodes: 1 });
    await world.write(1, 'a', '1');
    const holdTable = () => world.gate(1, (step) => step === `apply shard-${world.shard()}`);
    const leads = () => world.isServing(1) && world.replica(1).isLeader;
    holdTable();
    world.put(1, 'a', '2');
    const isCommitted = () => world.replica(1).raft.commitIndex > world.replica(1).table.appliedIndex;
    await world.until('it is in the log', isCommitted);
    // A life that leaves nothing but an empty entry.
    world.restart(1);
    holdTable();
    await world.until('it leads', leads);
    await world.sleep(100);
    world.machine(1).clock.jump(-3_600_000);
    world.restart(1);
    const gate = holdTable();
    await world.until('it leads', leads);
    const put = world.put(1, 'a', '3');
    await world.sleep(100);
    gate.open();
    await world.fate(put);
    const stamps = stampsMs(world, 1);
    expect(stamps).toEqual(ascending(stamps));
  });
});

describe('A7: a stamp is not far ahead of the time', () => {
  const ahead = 'warn clock-ahead ';
  const jumped = 'warn clock-jumped ';
  const over = 'info clock-believed ';
  const said = (world: World, id: number, line: string) =>
    world.log(id).filter((logged) => logged.startsWith(line)).length;

  /** Every node has heard the clocks of the others. */
  async function comparing(): Promise<World> {
    const world = await World.formed();
    const isCompared = (id: number) => world.node(id).inspect().isClockCompared;
    await world.until('all compare clocks', () => world.ids.every(isCompared));
    return world;
  }

  test("a leader's clock is an hour ahead for a moment", async () => {
    const world = await comparing();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    world.machine(leader).clock.jump(3_600_000);
    for (const id of [leader, follower]) await world.write(id, 'a', '2');
    await world.sleep(300);
    world.machine(leader).clock.jump(-3_600_000);
    await world.sleep(11_000);
    await world.write(follower, 'a', '3');
    const stamps = stampsMs(world, leader);
    expect(stamps).toEqual(ascending(stamps));
    const { trueMs } = world.machine(leader).clock;
    expect(stamps.at(-2)).toBeLessThan(trueMs);
    expect(stamps.at(-1)).toBeLessThanOrEqual(trueMs);
    expect(stamps.at(-1)).toBeGreaterThan(trueMs - 1_000);
    expect([ahead, over].map((line) => said(world, leader, line))).toEqual([1, 1]);
    expect(world.log(leader).find((line) => line.startsWith(ahead))).toContain('"aheadSeconds":3600');
    expect(world.node(leader).reports.metrics().clock).toMatchObject({ jumps: 1 });
    expect(world.node(leader).reports.metrics().clock.lastJumpSeconds).toBeCloseTo(3_600, 0);
    expect([ahead, jumped].map((line) => said(world, follower, line))).toEqual([0, 0]);
  });

  test('a follower whose clock is ahead comes to lead', async () => {
    const world = await comparing();
    const [leader, follower] = await world.roles();
    world.machine(follower).clock.jump(3_600_000);
    for (let now = leader; now !== follower; [now] = await world.roles()) world.restart(now);
    await world.write(follower, 'a', '1');
    const { trueMs } = world.machine(leader).clock;
    expect(stampsMs(world, follower).at(-1)).toBeLessThan(trueMs + 11_000);
    expect(said(world, follower, ahead)).toBe(1);
  });

  test('the clock of a cluster of one jumps: the new time counts after a minute', async () => {
    const world = await World.formed({ nodes: 1 });
    world.machine(1).clock.jump(3_600_000);
    await world.write(1, 'a', '1');
    const { trueMs } = world.machine(1).clock;
    expect(stampsMs(world, 1).at(-1)).toBeLessThan(trueMs + 11_000);
    for (let i = 0; i < 2; i++) await world.sleep(31_000);
    await world.write(1, 'a', '2');
    expect(stampsMs(world, 1).at(-1)).toBeGreaterThan(trueMs + 3_600_000);
    expect([jumped, over].map((line) => said(world, 1, line))).toEqual([1, 1]);
  });
});

describe('A8: what is unknown stops its table, and nothing else', () => {
  const unknownKind = (world: World, leader: number) => {
    const { deadlineMs } = world.deadlineMs(leader);
    return world.replica(leader).propose(99 as CommandKind, Buffer.from('from the future'), { deadlineMs });
  };
  const unknownEnvelope = (world: World, leader: number) => {
    const data = Buffer.alloc(30);
    data[0] = 1;
    data[1] = 0x40;
    world.replica(leader).raft.propose([data]);
    world.replica(leader).wake();
    return Promise.reject(new Error('nobody waits for it'));
  };

  test.each([
    ['a kind of entry', unknownKind],
    ['a flag of an envelope', unknownEnvelope],
  ])('%s', async (_, propose) => {
    const world = await World.formed({
      options: { initialTables: [TABLE, 'other'], historyRetentionMs: 1_000, snapshotEntries: 10 },
    });
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    await world.write(leader, 'a', '2');
    propose(world, leader).catch(() => undefined);
    const errorOf = (id: number) =>
      world
        .node(id)
        .reports.status()
        .tables.find(({ name }) => name === TABLE)?.error ?? '';
    await world.until('it stops', () => world.ids.every((id) => errorOf(id) !== ''));
    for (const id of world.ids) expect(errorOf(id)).toContain('upgrade this node');
    for (const id of world.ids) {
      expect(await world.fate(world.get(id, 'a', { linearizable: false }))).toBe('Unavailable');
      expect(await world.fate(world.get(id, 'a'))).toBe('Unavailable');
      expect(await world.fate(world.put(id, 'a', '3'))).toBe('Unavailable');
    }
    for (let i = 0; i < 50; i++) await world.write(follower, 'b', String(i), 'other');
    await world.sleep(20_000);
    // Neither a new start nor a full disk that has room again makes it go on. Two learn again that the entry is
    // committed, and stop; without them the third has no leader.
    for (const id of world.ids) world.restart(id);
    const stopped = () => world.ids.filter((id) => world.isServing(id) && errorOf(id) !== '');
    await world.until('it stops again', () => stopped().length >= 2);
    const [full] = stopped();
    await world.write(full!, 'b', 'again', 'other');
    for (const id of world.ids) expect(await world.fate(world.put(id, 'a', '3'))).not.toBe('ok');
    world.beforeSteps(full!, (step) => {
      if (step !== 'wal write') return undefined;
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    const isFull = () => world.node(full!).reports.status().isDiskFull;
    while (!isFull()) await world.fate(world.put(follower, 'b', 'x', { table: 'other', timeoutMs: 200 }));
    world.beforeSteps(full!, () => undefined);
    await world.until('there is room', () => !isFull());
    await world.write(full!, 'b', 'last', 'other');
    expect(errorOf(full!)).toContain('upgrade this node');
  });
});
