import { describe, expect, test } from '@jest/globals';
import { type WalError, WalFullError } from '../src/errors.js';
import type { Wal } from '../src/wal.js';
import { diskError, FaultyDisk, type Operation } from './faulty-disk.js';
import {
  appendInVain,
  contentOf,
  entriesOf,
  entry,
  hardState,
  newGroup,
  openWal,
  point,
  settle,
} from './support.js';

/** From now on nothing can be allocated. */
function fill(disk: FaultyDisk): void {
  disk.fault = (operation) => (operation === 'create' ? diskError('ENOSPC') : undefined);
}

/** Appends until space is refused, and returns the last index that was taken. */
async function appendUntilFull(wal: Wal): Promise<number> {
  for (let index = wal.group(1)!.lastIndex() + 1; ; index++) {
    expect(index).toBeLessThan(1000);
    try {
      await wal.append([{ group: 1, entries: entriesOf(1, index, index, 200) }]);
    } catch (error) {
      expect(error).toBeInstanceOf(WalFullError);
      return index - 1;
    }
  }
}

async function filledWal(disk: FaultyDisk): Promise<{ wal: Wal; last: number }> {
  const wal = await openWal(disk);
  await wal.append([newGroup(1), newGroup(2)]);
  await settle();
  fill(disk);
  return { wal, last: await appendUntilFull(wal) };
}

describe('a full disk (D6)', () => {
  test('refuses entries without any effect, and goes on reading', async () => {
    const disk = new FaultyDisk();
    const { wal, last } = await filledWal(disk);
    const before = contentOf(wal);
    const refused = wal.append([{ group: 1, hardState: hardState(8), entries: [entry(last + 1, 8)] }]);
    expect(contentOf(wal)).toEqual(before);
    await expect(refused).rejects.toMatchObject({ code: 'WAL_FULL' });
    expect(wal.isFull).toBe(true);
    expect(wal.group(1)!.entries(1, last + 1, 1e9)).toEqual(entriesOf(1, 1, last, 200));
    await expect(wal.reopen()).rejects.toBeInstanceOf(WalFullError);
  });

  test('still takes hard states from the reserve, and they survive', async () => {
    const disk = new FaultyDisk();
    const { wal } = await filledWal(disk);
    for (let term = 1; term <= 150; term++) await wal.append([{ group: 2, hardState: hardState(term, 1) }]);
    expect(disk.names()).not.toContain('reserve');
    const again = await openWal(disk.crash(() => false));
    expect(again.group(2)!.hardState).toEqual(hardState(150, 1));
  });

  test('recovers by itself when a compaction gives space back', async () => {
    const disk = new FaultyDisk();
    const { wal, last } = await filledWal(disk);
    await wal.append([{ group: 1, compact: point(last, 1) }]);
    await settle();
    expect(wal.isFull).toBe(false);
    await wal.append([{ group: 1, entries: [entry(last + 1, 1)] }]);
  });

  test('recovers by reopening when there is room', async () => {
    const disk = new FaultyDisk();
    const { wal, last } = await filledWal(disk);
    disk.fault = () => undefined;
    await wal.reopen();
    await wal.append([{ group: 1, entries: [entry(last + 1, 1)] }]);
    const again = await openWal(disk.crash(() => false));
    expect(again.group(1)!.lastIndex()).toBe(last + 1);
  });

  test('lets a node start and read, and take hard states', async () => {
    const disk = new FaultyDisk();
    const { wal, last } = await filledWal(disk);
    await wal.close();
    const again = await openWal(disk);
    expect(again.isFull).toBe(true);
    expect(again.group(1)!.lastIndex()).toBe(last);
    await again.append([{ group: 1, hardState: hardState(4) }]);
  });

  test('lets a node start that has no space at all yet', async () => {
    const disk = new FaultyDisk();
    fill(disk);
    const wal = await openWal(disk);
    expect(wal.isFull).toBe(true);
    const begun = wal.append([newGroup(1)]);
    disk.fault = () => undefined;
    await settle();
    await wal.reopen();
    await begun;
    expect(wal.isFull).toBe(false);
  });

  test('keeps what was taken before it was found to be full, in order, until there is room', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), newGroup(2)]);
    await settle();
    disk.fault = (operation) =>
      operation === 'write' || operation === 'create' ? diskError('ENOSPC') : undefined;
    let isDurable = false;
    const taken = wal
      .append([{ group: 1, hardState: hardState(3), entries: entriesOf(3, 1, 9, 200) }])
      .then(() => {
        isDurable = true;
      });
    await settle();
    expect(isDurable).toBe(false);
    expect(wal.isFull).toBe(true);
    expect(wal.group(1)!.entries(1, 10, 1e9)).toEqual(entriesOf(3, 1, 9, 200));
    disk.fault = () => undefined;
    await wal.reopen();
    await taken;
    const again = await openWal(disk.crash(() => false));
    expect(contentOf(again)).toEqual(contentOf(wal));
  });

  test('takes up again what waits, whenever room comes back', async () => {
    for (let moment = 0; moment < 40; moment++) {
      const disk = new FaultyDisk();
      const wal = await openWal(disk);
      await wal.append([newGroup(1)]);
      await settle();
      disk.fault = (operation) =>
        operation === 'write' || operation === 'create' ? diskError('ENOSPC') : undefined;
      let isDurable = false;
      const taken = wal.append([{ group: 1, hardState: hardState(3) }]).then(() => {
        isDurable = true;
      });
      for (let i = 0; i < moment; i++) await Promise.resolve();
      disk.fault = () => undefined;
      await wal.reopen();
      await settle();
      expect(isDurable).toBe(true);
      await taken;
    }
  });

  test('makes a segment anew whose first write was refused', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await settle();
    const removed: string[] = [];
    disk.fault = (operation, name) => {
      if (operation === 'remove') removed.push(name);
      return operation === 'write' ? diskError('ENOSPC') : undefined;
    };
    const begun = wal.append([newGroup(1)]);
    await settle();
    expect(removed).toContain('00000001.wal');
    disk.fault = () => undefined;
    await wal.reopen();
    await begun;
  });

  test('at any write or allocation loses nothing that was acknowledged, and invents nothing', async () => {
    for (let site = 1; site <= 40; site++) {
      for (const duration of [1, 4]) {
        let disk = new FaultyDisk();
        let operations = 0;
        disk.fault = (operation) => {
          if (operation !== 'create' && operation !== 'write') return undefined;
          operations++;
          return operations >= site && operations < site + duration ? diskError('ENOSPC') : undefined;
        };
        let wal = await openWal(disk);
        const appended: Promise<void>[] = [];
        for (let index = 0; index <= 40; index++) {
          for (let tries = 0; wal.isFull && tries < 6; tries++) await wal.reopen().catch(() => undefined);
          const writes =
            index === 0 ? [newGroup(1)] : [{ group: 1, entries: entriesOf(1, index, index, 300) }];
          appended.push(wal.append(writes));
          if (index % 6 === 0) await settle();
        }
        let isDone = false;
        const done = Promise.all(appended).finally(() => {
          isDone = true;
        });
        done.catch(() => undefined);
        while (!isDone) {
          await settle();
          await wal.reopen().catch(() => undefined);
        }
        await done;
        disk = disk.crash(() => false);
        wal = await openWal(disk);
        const data = wal
          .group(1)!
          .entries(1, 41, 1e9)
          .map((each) => each.data);
        expect(Buffer.concat(data).equals(Buffer.alloc(40 * 300, 'x'))).toBe(true);
      }
    }
  });
});

describe('an error of the disk (D6)', () => {
  async function failing(operation: Operation, code: string) {
    const disk = new FaultyDisk();
    const fatal: WalError[] = [];
    const wal = await openWal(disk, { onFatal: (error) => fatal.push(error) });
    await wal.append([newGroup(1)]);
    await settle();
    let failures = 0;
    disk.fault = (each) => {
      if (each !== operation || failures > 0) return undefined;
      failures++;
      return diskError(code);
    };
    return { disk, wal, fatal };
  }

  test.each(['EIO', 'ENOSPC'])('from fsync, %s, stops the log for good and is not retried', async (code) => {
    const { disk, wal, fatal } = await failing('sync', code);
    const syncs = disk.syncs;
    const pending = [1, 2, 3].map((index) => wal.append([{ group: 1, entries: [entry(index, 1)] }]));
    const outcomes = await Promise.allSettled(pending);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(wal.append([{ group: 1, hardState: hardState(1) }])).rejects.toMatchObject({
      code: 'WAL_FAILED',
    });
    await expect(wal.reopen()).rejects.toMatchObject({ code: 'WAL_FAILED' });
    expect(fatal).toHaveLength(1);
    expect(fatal[0]).toMatchObject({ code: 'WAL_FAILED', cause: { code } });
    expect(disk.syncs).toBe(syncs);
    await wal.close();
  });

  test('from a write, other than a full disk, stops the log for good', async () => {
    const { wal, fatal } = await failing('write', 'EIO');
    await expect(wal.append([{ group: 1, entries: [entry(1, 1)] }])).rejects.toMatchObject({
      code: 'WAL_FAILED',
    });
    expect(fatal).toHaveLength(1);
  });

  test.each(['create', 'rename'] as const)(
    'from the directory, in %s, stops the log for good',
    async (operation) => {
      const { wal, fatal } = await failing(operation, 'EIO');
      for (let index = 1; index <= 60; index++) {
        appendInVain(wal, [{ group: 1, entries: entriesOf(1, index, index, 300) }]);
        await settle();
      }
      expect(fatal).toHaveLength(1);
    },
  );
});

describe('durability (D1, D2)', () => {
  test('an append resolves only after its sync, and never before an earlier one', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await settle();
    const syncs: (() => void)[] = [];
    disk.beforeSync = () => new Promise((resolve) => syncs.push(resolve));
    const resolved: number[] = [];
    const appended = [1, 2, 3].map((index) =>
      wal.append([{ group: 1, entries: [entry(index, 1)] }]).then(() => resolved.push(index)),
    );
    const outcomes = Promise.allSettled(appended);
    await settle();
    expect(resolved).toEqual([]);
    syncs.shift()!();
    await settle();
    expect(resolved).toEqual([1]);
    const again = await openWal(disk.crash(() => false));
    expect(again.group(1)!.lastIndex()).toBe(1);
    syncs.shift()!();
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  });

  test('a vote that a start found in the page cache is durable before it counts', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await settle();
    disk.beforeSync = () => new Promise(() => undefined);
    appendInVain(wal, [{ group: 1, hardState: hardState(5, 2) }]);
    await settle();
    const killed = disk.kill();
    const second = await openWal(killed);
    expect(second.group(1)!.hardState).toEqual(hardState(5, 2));
    const third = await openWal(killed.crash(() => false));
    expect(third.group(1)!.hardState).toEqual(hardState(5, 2));
  });

  test('closing does not wait for room on a full disk', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await settle();
    disk.fault = (operation) =>
      operation === 'write' || operation === 'create' ? diskError('ENOSPC') : undefined;
    const waiting = wal.append([{ group: 1, entries: [entry(1, 1)] }]);
    const rejected = expect(waiting).rejects.toMatchObject({ code: 'WAL_CLOSED' });
    await settle();
    await wal.close();
    await rejected;
  });

  test('closing writes what was appended', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    const appended = wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 200, 100) }]);
    await wal.close();
    await appended;
    await expect(wal.append([{ group: 1, hardState: hardState(1) }])).rejects.toMatchObject({
      code: 'WAL_CLOSED',
    });
    const again = await openWal(disk.crash(() => false));
    expect(again.group(1)!.lastIndex()).toBe(200);
  });
});
