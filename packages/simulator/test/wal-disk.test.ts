import { describe, expect, test } from '@jest/globals';
import { EventLoop, SeededRandom, SimulatedProcess, SimulatedWalDisk, Trace } from '../src/index.js';

const options = { writeMeanUs: 10, syncMeanUs: 100, slowSyncProbability: 0, slowSyncUs: 0 };

function make(seed = 1) {
  const loop = new EventLoop(new Trace());
  const disk = new SimulatedWalDisk(loop, new SeededRandom(seed), options);
  let lives = 0;
  const boot = () => {
    const process = new SimulatedProcess(loop, ++lives);
    return { process, disk: disk.attach(process) };
  };
  /** Runs the loop until `act` is over. */
  const finish = async <T>(act: Promise<T>): Promise<T> => {
    await loop.run(() => false);
    return act;
  };
  return { loop, disk, boot, finish };
}

/** Writes `before`, syncs, writes `after` over it, loses power, and gives what is left. */
async function rewriteAndLosePower(seed: number): Promise<Buffer> {
  const { disk, boot, finish } = make(seed);
  const first = boot();
  await finish(
    (async () => {
      const file = await first.disk.create('a', 4096);
      await file.write([Buffer.alloc(2048, 1), Buffer.alloc(2048, 1)], 0);
      await file.sync();
      await file.write([Buffer.alloc(4096, 2)], 0);
    })(),
  );
  first.process.kill();
  disk.losePower();
  const second = boot();
  return finish(second.disk.open('a').then((file) => file.readSync(0, 4096)));
}

describe('a loss of power', () => {
  test('keeps what was synced', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const content = await rewriteAndLosePower(seed);
      expect(content.every((byte) => byte === 1 || byte === 2)).toBe(true);
    }
  });

  test('keeps none, all, or any subset of the sectors that were not', async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const content = await rewriteAndLosePower(seed);
      const sectors = Array.from({ length: 8 }, (_, i) => content.subarray(i * 512, (i + 1) * 512));
      for (const sector of sectors) expect(sector.every((byte) => byte === sector[0])).toBe(true);
      outcomes.add(sectors.map((sector) => sector[0]).join(''));
    }
    expect(outcomes).toContain('11111111');
    expect(outcomes).toContain('22222222');
    expect(outcomes.size).toBeGreaterThan(50);
  });

  test('takes back a change of the directory that had not resolved, or not', async () => {
    const names = new Set<string>();
    for (let seed = 0; seed < 50; seed++) {
      const { disk, boot, finish, loop } = make(seed);
      const first = boot();
      await finish(first.disk.create('old', 512));
      void first.disk.rename('old', 'new');
      first.process.kill();
      await loop.run(() => false);
      disk.losePower();
      names.add((await finish(boot().disk.list())).join());
    }
    expect([...names].sort()).toEqual(['new', 'old']);
  });

  test('leaves alone what a process left behind, once the next one has listed it', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { disk, boot, finish } = make(seed);
      const first = boot();
      await finish(first.disk.create('old', 512));
      void first.disk.rename('old', 'new');
      first.process.kill();
      const second = boot();
      expect(await finish(second.disk.list())).toEqual(['new']);
      second.process.kill();
      disk.losePower();
      expect(await finish(boot().disk.list())).toEqual(['new']);
    }
  });

  test('leaves a resolved change of the directory alone', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { disk, boot, finish } = make(seed);
      const first = boot();
      await finish(first.disk.create('old', 512).then(() => first.disk.rename('old', 'new')));
      first.process.kill();
      disk.losePower();
      expect(await finish(boot().disk.list())).toEqual(['new']);
    }
  });
});

describe('a killed process', () => {
  test('loses nothing that it wrote', async () => {
    const { boot, finish, loop } = make();
    const first = boot();
    const file = await finish(first.disk.create('a', 512));
    void file.write([Buffer.from('written')], 0);
    first.process.kill();
    await loop.run(() => false);
    const second = boot();
    expect((await finish(second.disk.open('a'))).readSync(0, 7).toString()).toBe('written');
  });
});

describe('errors of the disk', () => {
  test('a failed sync gives its writes up: a later sync that succeeds does not make them durable (D6)', async () => {
    const { disk, boot, finish } = make(3);
    const first = boot();
    const file = await finish(first.disk.create('a', 512));
    disk.failNextSync();
    await finish(
      (async () => {
        await file.write([Buffer.from('lost')], 0);
        await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
        await file.sync();
      })(),
    );
    expect(file.readSync(0, 4).toString()).toBe('lost');
    first.process.kill();
    disk.losePower();
    const second = boot();
    expect((await finish(second.disk.open('a'))).readSync(0, 4)).toEqual(Buffer.alloc(4));
  });

  test('a full disk refuses new files, and takes them again when there is room', async () => {
    const { disk, boot, finish } = make();
    const { disk: attached } = boot();
    disk.isFull = true;
    await finish(expect(attached.create('a', 512)).rejects.toMatchObject({ code: 'ENOSPC' }));
    disk.isFull = false;
    await finish(attached.create('a', 512));
  });
});
