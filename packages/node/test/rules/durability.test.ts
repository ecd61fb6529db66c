import { StoreDamagedError } from '@coxswain/table';
import { sized } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import { type Step, TABLE, World } from './world.js';

const isWal = (step: Step) => step.startsWith('wal');
const isSync = (step: Step) => step === 'wal sync';
/** Small enough that a few dozen writes compact the log. */
const compacting = { snapshotEntries: 20, compactionOverheadEntries: 5 };
/** Each few batches of a table are flushed. */
const flushing = { storeWriteBufferBytes: 2000 };

async function writeMany(world: World, id: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await world.write(id, `key-${i % 10}`, `value-${i}`);
}

function noSpace(step: Step): undefined {
  if (step !== 'wal write' && !step.startsWith('wal create')) return undefined;
  throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
}

describe('D1: what leaves a node is durable there', () => {
  test('a write is not acknowledged while no follower has synced it', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gates = [world.gate(follower, isSync), world.gate(other, isSync)];
    const put = world.put(leader, 'a', '1');
    await world.until('both wait for their disks', () => gates.every(({ waiting }) => waiting > 0));
    await world.sleep(500);
    expect(put.fate).toBe('pending');
    gates[0]!.open();
    expect(await world.fate(put)).toBe('ok');
  });

  test('a leader counts itself only when it has synced', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    world.kill(other);
    const gate = world.gate(leader, isSync);
    const put = world.put(follower, 'a', '1');
    await world.until('the leader waits for its disk', () => gate.waiting > 0);
    await world.sleep(500);
    expect(put.fate).toBe('pending');
    gate.open();
    expect(await world.fate(put)).toBe('ok');
  });

  test('a vote does not leave before it is durable', async () => {
    const world = await World.formed();
    const [leader, follower, other] = await world.roles();
    const gate = world.gate(follower, isSync);
    const gateOfOther = world.gate(other, isSync);
    world.kill(leader);
    await world.until('a vote waits', () => gate.waiting > 0 || gateOfOther.waiting > 0);
    await world.sleep(3_000);
    expect(world.leader()).toBeUndefined();
    gate.open();
    gateOfOther.open();
    expect(await world.fate(world.put(follower, 'a', '1'))).toBe('ok');
  });
});

describe('D2: nothing is applied that is not durable here', () => {
  test('a leader dies after two followers have committed what its own disk lacks', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    const gate = world.gate(leader, isWal);
    const revision = await world.write(follower, 'a', '1');
    expect(gate.waiting).toBeGreaterThan(0);
    await world.until(
      'the leader knows of the commit',
      () => world.replica(leader).raft.commitIndex >= revision,
    );
    await world.sleep(200);
    expect(world.replica(leader).table.appliedIndex).toBeLessThan(revision);
    world.losePower(leader);
    expect(await world.value(follower, 'a')).toBe('1');
    world.start(leader);
    await world.equal();
    expect(await world.contents(leader)).toEqual(['a=1/1']);
  });
});

describe('D4: a store that lost a batch is never believed', () => {
  /** One follower's table has lost a batch in the middle, and has started again with that. */
  async function withGap() {
    const world = await World.formed({ options: flushing });
    const roles = await world.roles();
    const [leader, follower] = roles;
    await writeMany(world, leader, 20);
    await world.equal();
    world.kill(follower);
    world.loseBatch(follower, world.shard());
    world.start(follower);
    const gate = world.gate(follower, (step) => step === `store open shard-${world.shard()}.incoming`);
    await world.until('the rebuilding begins', () => gate.waiting > 0);
    return { world, roles, gate };
  }

  test('it is fenced while the others serve, and rebuilt from them', async () => {
    const { world, roles, gate } = await withGap();
    const [leader, follower] = roles;
    expect(world.log(follower).join()).toContain('error table-damaged ');
    expect(world.isReady(follower)).toBe(false);
    expect(world.node(follower).reports.status().tables[0]?.error).toContain('damaged');
    expect(await world.fate(world.get(follower, 'key-1', { linearizable: false }))).toBe('Unavailable');
    expect(await world.fate(world.put(follower, 'key-1', 'x'))).toBe('Unavailable');
    await world.write(leader, 'key-1', 'y');
    gate.open();
    await world.until('it serves again', () => world.isReady(follower));
    expect(await world.value(follower, 'key-1')).toBe('y');
    await world.equal();
    expect(await world.contents(follower)).toEqual(await world.contents(leader));
  });

  test('meanwhile it appends, so that a quorum stands without the third', async () => {
    const { world, roles, gate } = await withGap();
    const [leader, , other] = roles;
    world.kill(other);
    expect(await world.fate(world.put(leader, 'a', '1'))).toBe('ok');
    gate.open();
    world.start(other);
    await world.equal();
  });

  test('a table that is deleted while it is rebuilt leaves nothing in the log', async () => {
    const world = await World.formed({ options: flushing });
    const [leader, follower] = await world.roles();
    await writeMany(world, leader, 20);
    await world.equal();
    world.kill(follower);
    world.loseBatch(follower, world.shard());
    world.start(follower);
    const gate = world.gate(follower, (step) => step === `store rename shard-${world.shard()}.incoming`);
    await world.until('the snapshot has come', () => gate.waiting > 0);
    await world.answer(world.delete(leader, TABLE));
    await world.until('others drop it', () => !world.hasReplica(leader, world.shard()));
    await world.sleep(3_000);
    gate.open();
    await world.sleep(3_000);
    world.restart(follower);
    await world.until('it is back', () => world.isReady(follower));
    for (const id of world.ids) expect(world.hasReplica(id, world.shard())).toBe(false);
  });

  test('meanwhile it votes, and does not campaign', async () => {
    const { world, roles, gate } = await withGap();
    const [leader, follower, other] = roles;
    world.kill(leader);
    await world.until('the other leads', () => world.leader() === other);
    expect(await world.fate(world.put(other, 'a', '1'))).toBe('ok');
    world.kill(other);
    await world.sleep(10_000);
    expect(world.replica(follower).raft.role).toBe('follower');
    world.start(other);
    await world.until('the other leads again', () => world.leader() === other);
    gate.open();
    world.start(leader);
    await world.equal();
  });

  test('a directory that is no store is rebuilt likewise', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await writeMany(world, leader, 5);
    world.kill(follower);
    world.start(follower);
    const name = `shard-${world.shard()}`;
    let isDamaged = true;
    world.beforeSteps(follower, (step) => {
      if (step === `store rename ${name}.incoming`) isDamaged = false;
      if (isDamaged && step === `store open ${name}`) throw new StoreDamagedError(name, 'CURRENT is missing');
      return undefined;
    });
    await world.until('it serves again', () => !isDamaged && world.isReady(follower));
    await world.equal();
    expect(await world.contents(follower)).toEqual(await world.contents(leader));
  });

  test('the meta group is rebuilt likewise, and no table is denied meanwhile (T5)', async () => {
    const world = await World.formed();
    const [, follower] = await world.roles();
    await world.write(follower, 'a', '1');
    world.kill(follower);
    world.start(follower);
    let isDamaged = true;
    world.beforeSteps(follower, (step) => {
      if (step === 'store rename shard-1000.incoming') isDamaged = false;
      if (isDamaged && step === 'store open shard-1000')
        throw new StoreDamagedError('shard-1000', 'CURRENT is missing');
      return undefined;
    });
    const fates = new Set<string>();
    for (let i = 0; i < 10_000 && !world.isReady(follower); i++) {
      await world.sleep(1);
      if (!world.isServing(follower)) continue;
      fates.add(await world.fate(world.get(follower, 'a', { timeoutMs: 100 })));
    }
    expect(isDamaged).toBe(false);
    fates.delete('ok');
    expect([...fates]).toEqual(['Unavailable']);
    expect(await world.value(follower, 'a')).toBe('1');
  });

  test('a cluster of one refuses to start, and names the directory and the command', async () => {
    const world = await World.formed({ nodes: 1, options: flushing });
    await writeMany(world, 1, 20);
    world.kill(1);
    world.loseBatch(1, world.shard());
    world.start(1);
    const { message } = await world.endOf(1);
    expect(message).toContain(`tables/shard-${world.shard()}`);
    expect(message).toContain('coxswain restore');
  });

  test('the log is truncated only up to a checkpoint', async () => {
    const world = await World.formed({ options: compacting });
    const [leader, follower] = await world.roles();
    const gate = world.gate(follower, (step) => step === `store flush shard-${world.shard()}`);
    await writeMany(world, leader, 80);
    await world.until('the others have truncated', () => world.replica(leader).log.truncated.index > 0);
    expect(gate.waiting).toBeGreaterThan(0);
    expect(world.replica(follower).table.checkpointIndex).toBe(0);
    expect(world.replica(follower).log.truncated.index).toBe(0);
    gate.open();
    await writeMany(world, leader, 40);
    await world.until('it has truncated too', () => world.replica(follower).log.truncated.index > 0);
    const { log, table } = world.replica(follower);
    expect(log.truncated.index).toBeLessThanOrEqual(table.checkpointIndex);
  });

  test.each(['write', 'end'])(
    'a store that refuses the %s of a flush is opened again, and replayed',
    async (when) => {
      const world = await World.formed({ options: compacting });
      const [leader, follower] = await world.roles();
      const name = `shard-${world.shard()}`;
      const fails = when === 'write' ? `store write ${name}` : `store flush ${name}`;
      let refused = 0;
      world.beforeSteps(follower, (step) => {
        if (step !== fails || refused === 3) return undefined;
        refused++;
        throw Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
      });
      await writeMany(world, leader, 100);
      await world.until('it has refused enough', () => refused === 3);
      await writeMany(world, leader, 40);
      await world.equal();
      expect(await world.contents(follower)).toEqual(await world.contents(leader));
    },
  );
});

describe('D4: a store that closed itself unnoticed', () => {
  test('is opened again when a snapshot of it is asked for', async () => {
    const world = await World.formed({ options: { ...compacting, storeWriteBufferBytes: 64 * 1024 } });
    const [leader, follower] = await world.roles();
    world.kill(follower);
    await writeMany(world, leader, 60);
    await world.until('the log is gone', () => world.replica(leader).log.truncated.index > 40);
    let hasFailed = false;
    world.beforeSteps(leader, (step) => {
      if (hasFailed || step !== `store flush shard-${world.shard()}`) return undefined;
      hasFailed = true;
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    });
    // One large write fills the write buffer; nobody waits for the flush that follows it.
    await world.write(leader, 'large', Buffer.alloc(40_000, 'x'));
    await world.until('the flush has failed', () => hasFailed);
    world.start(follower);
    await world.equal();
    expect(await world.contents(follower)).toEqual(await world.contents(leader));
  });
});

describe('D6: a full disk is survived, a disk that lies is not', () => {
  test('a leader without room refuses writes clearly, gives up its office, and reads on', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    world.beforeSteps(leader, noSpace);
    const doubtful = [world.put(leader, 'b', '1'), world.put(leader, 'c', '1')];
    await world.until('it knows', () => {
      if (world.node(leader).reports.status().isDiskFull) return true;
      if (doubtful.every(({ isSettled }) => isSettled)) doubtful.push(world.put(leader, 'd', '1'));
      return false;
    });
    const refused = world.put(leader, 'e', '1');
    expect(await world.fate(refused)).toBe('Unavailable');
    expect(String(refused.error)).toContain('the disk of the node is full');
    expect((await world.answer(world.get(leader, 'a', { linearizable: false })))?.value).toBe('1');
    const led = () => world.replica(follower).raft.leader;
    await world.until('another leads', () => led() !== 0 && led() !== leader);
    await world.write(follower, 'f', '1');

    world.beforeSteps(leader, () => undefined);
    await world.until('it is ready again', () => world.isReady(leader));
    await world.write(leader, 'g', '1');
    await world.equal();
    const contents = await world.contents(leader);
    expect(contents).toEqual(expect.arrayContaining(['a=1/1', 'f=1/1', 'g=1/1']));
    expect(contents).not.toContain('e=1/1');
    for (const [i, put] of doubtful.entries()) {
      const isThere = contents.includes(`${'bcd'[i]}=1/1`);
      expect([isThere, await world.fate(put)]).not.toEqual([false, 'ok']);
      expect([isThere, await world.fate(put)]).not.toEqual([true, 'Unavailable']);
    }
  });

  test('what a leader without room led has another leader at once, quiet groups too: none waits for an election timeout', async () => {
    const world = await World.formed({ options: { initialTables: [TABLE, 'quiet'] } });
    const [leader, ...others] = await world.roles();
    await world.write(leader, 'a', '1');
    const led = [...world.node(leader).inspect().groups].filter(({ isLeader }) => isLeader);
    await world.until('they are quiet', () => led.every(({ isQuiet }) => isQuiet));
    world.machine(leader).files.freeBytes = 0;
    await world.until('it knows', () => world.node(leader).reports.status().isDiskFull);
    const knownUs = world.loop.nowUs;
    const isLedElsewhere = (group: number) => others.some((id) => world.replica(id, group).isLeader);
    await world.until('others lead', () => led.every(({ group }) => isLedElsewhere(group)));
    expect(world.loop.nowUs - knownUs).toBeLessThan(100_000);
    await world.write(others[0], 'b', '1');
    world.machine(leader).files.freeBytes = Number.MAX_SAFE_INTEGER;
    await world.until('it is ready again', () => world.isReady(leader));
    await world.equal();
  });

  test('what waits for room is not acknowledged before it is written (D1)', async () => {
    const world = await World.formed({ options: { initialTables: [TABLE, 'other'] } });
    const [leader, follower, third] = await world.roles();
    world.kill(third);
    world.beforeSteps(follower, noSpace);
    // The first is taken by the log and waits there; the second finds the disk full.
    const waits = world.put(leader, 'a', '1', { timeoutMs: 30_000 });
    await world.sleep(50);
    const refused = world.put(leader, 'a', '1', { table: 'other', timeoutMs: 30_000 });
    await world.until('it knows', () => world.node(follower).reports.status().isDiskFull);
    const gate = world.gate(follower, isSync);
    await world.until('there is room', () => gate.waiting > 0);
    await world.sleep(3_000);
    expect([waits.fate, refused.fate]).toEqual(['pending', 'pending']);
    gate.open();
    expect([await world.fate(waits), await world.fate(refused)]).toEqual(['ok', 'ok']);
  });

  test('a node stops in order whose registry waits for room, to make what it was told', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    // The table's directory is made; its group waits in the log.
    const gate = world.gate(follower, (step) => step === 'store open shard-10002');
    await world.answer(world.create(leader, 'other'));
    await world.until('it makes it', () => gate.waiting > 0);
    world.beforeSteps(follower, noSpace);
    gate.open();
    await world.until('it knows', () => world.node(follower).reports.status().isDiskFull);
    await world.stop(follower);
    world.start(follower);
    await world.until('it is ready', () => world.isReady(follower));
    await world.equal(10_002);
  });

  test('a table that is made on a full disk waits for room as the others do, also where its log is gone by then', async () => {
    const world = await World.formed({ options: compacting });
    const [leader, follower] = await world.roles();
    const gate = world.gate(follower, (step) => step === 'store open shard-10002');
    await world.answer(world.create(leader, 'other'));
    await world.until('it makes it', () => gate.waiting > 0);
    world.machine(follower).files.freeBytes = 0;
    await world.until('it knows', () => world.node(follower).reports.status().isDiskFull);
    gate.open();
    await world.until('it is made', () => world.hasReplica(follower, 10_002));
    world.beforeSteps(follower, noSpace);
    for (let i = 0; i < 60; i++) await world.write(leader, `key-${i % 10}`, `value-${i}`, 'other');
    const other = world.leader(10_002) ?? leader;
    await world.until('the log is gone', () => world.replica(other, 10_002).log.truncated.index > 40);
    expect(world.replica(follower, 10_002).isSuspended).toBe(true);
    await world.sleep(3_000);
    world.beforeSteps(follower, () => undefined);
    world.machine(follower).files.freeBytes = Number.MAX_SAFE_INTEGER;
    await world.until('it is ready again', () => world.isReady(follower));
    await world.equal(10_002);
  });

  test('a table whose store has no room is read as it was, and goes on when there is room', async () => {
    const world = await World.formed({ options: flushing });
    const [leader, follower] = await world.roles();
    await world.write(leader, 'a', '1');
    world.beforeSteps(leader, (step) => {
      if (!step.startsWith('store write')) return undefined;
      throw new Error('IO error: 000018.log: No space left on device');
    });
    const doubtful = world.put(leader, 'b', '1');
    await world.until('it knows', () => world.node(leader).reports.status().isDiskFull);
    const refused = world.put(leader, 'c', '1');
    expect(await world.fate(refused)).toBe('Unavailable');
    expect(String(refused.error)).toContain('the disk of the node is full');
    expect((await world.answer(world.get(leader, 'a', { linearizable: false })))?.value).toBe('1');
    const led = () => world.replica(follower).raft.leader;
    await world.until('another leads', () => led() !== 0 && led() !== leader);
    await world.write(follower, 'd', '1');

    world.beforeSteps(leader, () => undefined);
    await world.until('it is ready again', () => world.isReady(leader));
    await world.equal();
    expect(await world.contents(leader)).toEqual(expect.arrayContaining(['a=1/1', 'd=1/1']));
    expect(['ok', 'Unknown']).toContain(await world.fate(doubtful));
  });

  test('writes are refused before the disk is full, and taken again with room to spare', async () => {
    const mebibyte = 1024 * 1024;
    const world = await World.formed({ nodes: 1, options: { storeWriteBufferBytes: 16 * mebibyte } });
    await world.write(1, 'a', '1');
    world.machine(1).files.freeBytes = 31 * mebibyte;
    await world.until('it knows', () => world.node(1).reports.status().isDiskFull);
    const refused = world.put(1, 'b', '1');
    expect(await world.fate(refused)).toBe('Unavailable');
    expect(String(refused.error)).toContain('the disk of the node is full');
    expect((await world.answer(world.get(1, 'a', { linearizable: false })))?.value).toBe('1');
    world.machine(1).files.freeBytes = 47 * mebibyte;
    await world.sleep(3_000);
    expect(world.node(1).reports.status().isDiskFull).toBe(true);
    world.machine(1).files.freeBytes = 48 * mebibyte;
    await world.until('it is ready again', () => world.isReady(1));
    await world.write(1, 'b', '2');
  });

  test('a disk that is nearly full is warned of once, and again only after there was room to spare', async () => {
    const mebibyte = 1024 * 1024;
    const world = await World.formed({ nodes: 1, options: { storeWriteBufferBytes: 16 * mebibyte } });
    const warnings = () => world.log(1).filter((line) => line.startsWith('warn disk-nearly-full '));
    const have = async (freeMebibytes: number) => {
      world.machine(1).files.freeBytes = freeMebibytes * mebibyte;
      await world.sleep(3_000);
    };
    await have(1_024);
    expect(warnings()).toEqual([]);
    await have(1_023);
    expect(warnings()).toEqual([expect.stringContaining(`"wantedBytes":${32 * mebibyte}`)]);
    await have(1_535);
    await have(1_023);
    expect(warnings()).toHaveLength(1);
    await have(1_536);
    await have(1_023);
    expect(warnings()).toHaveLength(2);
    expect(world.node(1).reports.status().isDiskFull).toBe(false);
  });

  test('a node that is started on a full disk reads what it had acknowledged, and says at once that it is full to whoever writes', async () => {
    const world = await World.formed({ nodes: 1 });
    await world.write(1, 'a', '1');
    world.kill(1);
    world.machine(1).files.freeBytes = 0;
    world.start(1);
    await world.until('it knows', () => world.isServing(1) && world.node(1).reports.status().isDiskFull);
    const refused = world.put(1, 'b', '2');
    await world.sleep(100);
    expect(String(refused.error)).toContain('the disk of the node is full');
    // No flush had written it, and nothing came behind it that would have said that it is committed.
    expect((await world.answer(world.get(1, 'a', { linearizable: false })))?.value).toBe('1');
  });

  test('an error of a sync ends the node, and its next life is whole', async () => {
    const world = await World.formed();
    const [leader, follower] = await world.roles();
    world.beforeSteps(follower, (step) => {
      if (isSync(step)) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
      return undefined;
    });
    world.expectEnd(follower);
    await world.write(leader, 'a', '1');
    expect((await world.endOf(follower)).message).toContain('fdatasync');
    world.start(follower);
    await world.equal();
    expect(await world.contents(follower)).toEqual(['a=1/1']);
  });
});

describe('D7: an installed snapshot is in place, or not at all', () => {
  /** A follower that was away for so long that it needs a snapshot comes back. */
  async function behind() {
    const world = await World.formed({ options: compacting });
    const [leader, follower] = await world.roles();
    await writeMany(world, leader, 5);
    world.kill(follower);
    await writeMany(world, leader, 60);
    await world.until('the log is gone', () => world.replica(leader).log.truncated.index > 40);
    world.start(follower);
    return { world, leader, follower };
  }

  test('after a crash between any two steps the replica is whole', async () => {
    for (let step = 1; ; step += sized(3, 1)) {
      const { world, leader, follower } = await behind();
      const hasCrashed = world.crashBefore(follower, step);
      await world.until('it crashes or is equal', () => hasCrashed() || world.isEqual());
      if (!hasCrashed()) {
        expect(step).toBeGreaterThan(10);
        expect(world.node(follower).reports.metrics().snapshotsReceived).toBe(1);
        return;
      }
      world.start(follower);
      await world.equal();
      await world.write(follower, 'after', String(step));
      await world.equal();
      expect(await world.contents(follower)).toEqual(await world.contents(leader));
    }
  });

  test('a snapshot that arrives while entries are being applied does not disturb them', async () => {
    const world = await World.formed({ options: compacting });
    const [leader, follower] = await world.roles();
    world.network.block(leader, follower);
    await writeMany(world, leader, 60);
    await world.until('the log is gone', () => world.replica(leader).log.truncated.index > 40);
    const gate = world.gate(follower, (step) => step === `apply shard-${world.shard()}`);
    world.network.unblock(leader, follower);
    await world.sleep(2_000);
    gate.open();
    await world.equal();
    expect(await world.contents(follower)).toEqual(await world.contents(leader));
  });

  test('a snapshot that breaks off leaves the replica as it was', async () => {
    const { world, leader, follower } = await behind();
    await world.until('it begins', () => world.log(follower).length > 0 || world.isUp(follower));
    let broken = 0;
    world.beforeSteps(follower, (step) => {
      if (step !== `store write shard-${world.shard()}.incoming` || broken === 2) return undefined;
      broken++;
      world.network.reset(leader, follower);
      return undefined;
    });
    await world.equal();
    expect(broken).toBe(2);
    expect(await world.contents(follower)).toEqual(await world.contents(leader));
  });
});
