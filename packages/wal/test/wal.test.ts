import { describe, expect, test } from '@jest/globals';
import { FaultyDisk } from './faulty-disk.js';
import { contentOf, entriesOf, entry, hardState, newGroup, openWal, point, settle } from './support.js';

describe('the log', () => {
  test('gives after a restart what was appended', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(7), { group: 8, reset: point(100, 4), hardState: hardState(4) }]);
    await wal.append([
      { group: 7, hardState: hardState(2, 3, 1), entries: [entry(1, 1), entry(2, 2)] },
      { group: 8, entries: [entry(101, 4, ''), entry(102, 4, 'y'.repeat(300))] },
    ]);
    const before = contentOf(wal);
    await wal.close();
    const again = await openWal(disk);
    expect(contentOf(again)).toEqual(before);
    expect(again.group(7)!.hardState).toEqual(hardState(2, 3, 1));
    expect(again.group(8)!.term(100)).toBe(4);
    expect(again.group(9)).toBeUndefined();
  });

  test('gives after a restart what is larger than the memory that recovery reads with', async () => {
    const disk = new FaultyDisk();
    const options = { segmentSizeBytes: 8 * 2 ** 20 };
    const wal = await openWal(disk, options);
    await wal.append([newGroup(1)]);
    // Records that lie across the ends of the pieces that are read, and some that do not fit into one.
    const sizesBytes = [10, 400_000, 900_000, 1_500_000, 100, 2 ** 20 + 1, 30_000, 2 ** 20 - 100, 700_000];
    for (const [i, size] of sizesBytes.entries()) {
      await wal.append([{ group: 1, entries: entriesOf(1, i + 1, i + 1, size) }]);
    }
    const content = contentOf(wal);
    await wal.close();
    const again = await openWal(disk, options);
    expect(contentOf(again)).toEqual(content);
    await again.close();
  });

  test('goes on over many segments and restarts, with groups that stay idle', async () => {
    const disk = new FaultyDisk();
    let wal = await openWal(disk);
    await wal.append([newGroup(1), { ...newGroup(2), hardState: hardState(9, 3, 0) }]);
    for (let index = 1; index <= 400; index += 4) {
      await wal.append([{ group: 1, entries: entriesOf(1, index, index + 3, 100) }]);
      if (index % 40 === 1) {
        await wal.close();
        wal = await openWal(disk);
      }
    }
    expect(wal.group(1)!.lastIndex()).toBe(400);
    expect(wal.group(2)!.hardState).toEqual(hardState(9, 3, 0));
    expect(wal.group(1)!.entries(1, 401, 1e9)).toEqual(entriesOf(1, 1, 400, 100));
    expect(wal.statistics().segments).toBeGreaterThan(5);
  });

  test('replaces the suffix from the first appended entry, also back and forth', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 5) }]);
    await Promise.all([
      wal.append([{ group: 1, entries: [entry(3, 2, 'b')] }]),
      wal.append([{ group: 1, entries: [entry(3, 1, 'a'), entry(4, 3, 'c')] }]),
    ]);
    expect(wal.group(1)!.lastIndex()).toBe(4);
    expect(wal.group(1)!.term(5)).toBeUndefined();
    const before = contentOf(wal);
    const again = await openWal(disk.crash(() => false));
    expect(contentOf(again)).toEqual(before);
    expect(again.group(1)!.entries(3, 5, 1e9)).toEqual([entry(3, 1, 'a'), entry(4, 3, 'c')]);
  });

  test('D1: an append that writes nothing resolves after those before it and before those after it', async () => {
    const wal = await openWal(new FaultyDisk());
    await wal.append([newGroup(1)]);
    const order: number[] = [];
    const append = (number: number, entries = entriesOf(1, number, number)) =>
      wal.append([{ group: 1, entries }]).then(() => order.push(number));
    await Promise.all([
      append(1),
      append(0, []),
      append(2),
      append(3),
      append(0, []),
      append(0, []),
      append(4),
    ]);
    expect(order).toEqual([1, 0, 2, 3, 0, 0, 4]);
    await append(0, []);
    expect(order.length).toBe(8);
  });

  test('a compaction up to the truncation point changes the membership alone, for good', async () => {
    const disk = new FaultyDisk();
    let wal = await openWal(disk);
    const membership = { voters: [1], learners: [2] };
    await wal.append([
      { group: 1, reset: { index: 0, term: 0, membership: { voters: [1, 2], learners: [] } } },
    ]);
    await wal.append([{ group: 1, entries: entriesOf(1, 1, 3), compact: { index: 0, term: 0, membership } }]);
    await wal.close();
    wal = await openWal(disk);
    expect(wal.group(1)).toMatchObject({ membership, truncated: { index: 0 } });
    expect(wal.group(1)!.lastIndex()).toBe(3);
    await wal.close();
  });

  test('drops a compacted prefix, a removed group and what a reset replaces', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), newGroup(2), newGroup(3)]);
    await wal.append(
      [1, 2, 3].map((group) => ({ group, entries: entriesOf(1, 1, 9), hardState: hardState(1) })),
    );
    await wal.append([
      { group: 1, compact: point(4, 1) },
      { group: 2, remove: true },
      { group: 3, reset: point(50, 2) },
    ]);
    const check = (log: typeof wal): void => {
      expect(log.group(1)!.firstIndex()).toBe(5);
      expect(log.group(1)!.term(4)).toBe(1);
      expect(log.group(1)!.term(3)).toBeUndefined();
      expect(log.group(1)!.entries(5, 10, 1e9)).toEqual(entriesOf(1, 5, 9));
      expect(log.group(2)).toBeUndefined();
      expect(log.group(3)!.lastIndex()).toBe(50);
      expect(log.group(3)!.hardState).toEqual(hardState(1));
    };
    check(wal);
    await wal.close();
    check(await openWal(disk));
  });

  test('never takes a truncation point back', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 9), compact: point(6, 1) }]);
    await wal.append([{ group: 1, compact: point(2, 1) }]);
    await wal.close();
    expect((await openWal(disk)).group(1)!.firstIndex()).toBe(7);
  });

  test('gives at least one entry, and no more than fit', async () => {
    const wal = await openWal(new FaultyDisk());
    await wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 10, 100) }]);
    expect(wal.group(1)!.entries(1, 11, 0)).toHaveLength(1);
    expect(wal.group(1)!.entries(1, 11, 299)).toHaveLength(2);
    expect(wal.group(1)!.entries(1, 11, 300)).toHaveLength(3);
    expect(wal.group(1)!.entries(4, 4, 300)).toHaveLength(0);
  });

  test('gathers what is appended during a sync into the next one', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await settle();
    let release = (): void => undefined;
    disk.beforeSync = () => new Promise((resolve) => (release = resolve));
    const syncsBefore = disk.syncs;
    const order: number[] = [];
    const appends = [1, 2, 3, 4, 5].map((index) =>
      wal.append([{ group: 1, entries: [entry(index, 1)] }]).then(() => order.push(index)),
    );
    expect(wal.group(1)!.lastIndex()).toBe(5);
    await settle();
    release();
    await appends[0];
    await settle();
    expect(order).toEqual([1]);
    release();
    await Promise.all(appends);
    expect(order).toEqual([1, 2, 3, 4, 5]);
    expect(disk.syncs - syncsBefore).toBe(2);
  });

  test('stays within the bounds of its cache and reads the rest from the segments', async () => {
    const wal = await openWal(new FaultyDisk(), { entryCacheBytesMax: 1000 });
    await wal.append([newGroup(1), newGroup(2)]);
    for (let index = 1; index <= 60; index++) {
      await wal.append([1, 2].map((group) => ({ group, entries: entriesOf(group, index, index, 50) })));
    }
    expect(wal.statistics().cachedBytes).toBeLessThanOrEqual(1000);
    for (const group of [1, 2]) {
      expect(wal.group(group)!.entries(1, 61, 1e9)).toEqual(entriesOf(group, 1, 60, 50));
    }
  });

  test('tells what each group takes', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 10, 100) }]);
    const whole = wal.group(1)!.sizeBytes;
    expect(whole).toBeGreaterThanOrEqual(1000);
    expect(wal.statistics().liveBytes).toBe(whole);
    await wal.append([{ group: 1, compact: point(5, 1) }]);
    expect(wal.group(1)!.sizeBytes).toBe(whole / 2);
    await wal.close();
    const again = await openWal(disk);
    expect(again.group(1)!.sizeBytes).toBe(whole / 2);
    expect(again.statistics().liveBytes).toBe(whole / 2);
  });

  test('asks the host for the snapshot', async () => {
    const wal = await openWal(new FaultyDisk());
    await wal.append([newGroup(1)]);
    const log = wal.group(1)!;
    expect(log.snapshot()).toBeUndefined();
    log.snapshotSource = () => point(3, 1);
    expect(log.snapshot()).toEqual(point(3, 1));
  });
});
