// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { equal, ok } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import { WalCorruptError, WalFormatError } from '../src/errors.js';
import { encodeSegmentHeader } from '../src/record.js';
import { FaultyDisk } from './faulty-disk.js';
import {
  appendInVain,
  contentOf,
  entriesOf,
  entry,
  hardState,
  newGroup,
  openWal,
  point,
  SEGMENT_SIZE_BYTES,
  settle,
} from './support.js';

/** What opening a disk comes to: the content as text, or the error. */
async function outcomeOf(disk: FaultyDisk): Promise<string | WalCorruptError> {
  try {
    const wal = await openWal(disk);
    return JSON.stringify(contentOf(wal));
  } catch (error) {
    if (error instanceof WalCorruptError) return error;
    throw error;
  }
}

describe('damage to the log (D5)', () => {
  test('a flipped bit in any byte is without effect, cuts the last batch off, or is refused', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    const states: string[] = [];
    const steps = [
      [newGroup(1), newGroup(2)],
      [{ group: 1, hardState: hardState(1, 2, 0), entries: entriesOf(1, 1, 3) }],
      [{ group: 2, entries: [entry(1, 1, 'x'.repeat(700))] }],
      [{ group: 1, entries: [entry(2, 2)] }],
      [{ group: 2, compact: point(1, 1) }],
      [{ group: 1, entries: [entry(3, 2), entry(4, 2)] }],
    ];
    for (const writes of steps) {
      await wal.append(writes);
      states.push(JSON.stringify(contentOf(wal)));
    }
    await wal.close();
    const end = disk.content('00000001.wal').findLastIndex((byte) => byte !== 0) + 9;
    const whole = states.at(-1)!;
    const withoutLast = states.at(-2)!;
    const counts = { same: 0, cut: 0, refused: 0 };
    for (let offset = 0; offset < end; offset++) {
      const damaged = disk.copy();
      damaged.content('00000001.wal')[offset]! ^= 1 << (offset % 8);
      const before = Buffer.from(damaged.content('00000001.wal'));
      const outcome = await outcomeOf(damaged);
      if (outcome instanceof WalCorruptError) {
        counts.refused++;
        equal(outcome.file, '00000001.wal');
        ok(outcome.offset <= offset);
        ok(damaged.content('00000001.wal').equals(before));
      } else if (outcome === whole) {
        counts.same++;
      } else {
        counts.cut++;
        equal(outcome, withoutLast);
      }
    }
    // Only padding can be damaged without effect; only the last record can be taken for torn.
    expect(counts.refused).toBeGreaterThan(1000);
    expect(counts.cut).toBeLessThan(100);
    expect(counts.same).toBeLessThan(100);
  });

  test('a damaged record that a record of a later batch follows is refused by file and offset', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await wal.append([{ group: 1, entries: [entry(1, 1, 'a needle')] }]);
    await wal.append([{ group: 1, entries: [entry(2, 1)] }]);
    await wal.close();
    const content = disk.content('00000001.wal');
    const at = content.indexOf('a needle');
    content[at]! ^= 1;
    const outcome = await outcomeOf(disk);
    expect(outcome).toBeInstanceOf(WalCorruptError);
    expect(outcome).toMatchObject({ code: 'WAL_CORRUPT', file: '00000001.wal', offset: at - 48 });
  });

  test('also when the later record lies megabytes behind', async () => {
    const disk = new FaultyDisk();
    const options = { segmentSizeBytes: 8 * 2 ** 20 };
    const wal = await openWal(disk, options);
    await wal.append([newGroup(1)]);
    await wal.append([{ group: 1, entries: [entry(1, 1, `a needle${'x'.repeat(1_900_000)}`)] }]);
    await wal.append([{ group: 1, entries: [entry(2, 1)] }]);
    await wal.close();
    const content = disk.content('00000001.wal');
    const at = content.indexOf('a needle');
    content[at]! ^= 1;
    await expect(openWal(disk, options)).rejects.toMatchObject({ code: 'WAL_CORRUPT', offset: at - 48 });
  });

  test('a damaged record between intact ones of one sector is refused, even in the last batch', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1), { group: 1, entries: [entry(1, 1, 'a needle'), entry(2, 1)] }]);
    await wal.close();
    const content = disk.content('00000001.wal');
    content[content.indexOf('a needle')]! ^= 1;
    expect(await outcomeOf(disk)).toBeInstanceOf(WalCorruptError);
  });

  test('a last batch that lost a sector is cut off as a whole, although later parts of it are intact', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await wal.append([{ group: 1, entries: [entry(1, 1)] }]);
    const before = JSON.stringify(contentOf(wal));
    disk.beforeSync = () => new Promise(() => undefined);
    appendInVain(wal, [{ group: 1, entries: entriesOf(1, 2, 12, 200) }]);
    let sector = 0;
    const after = disk.crash(() => sector++ !== 1);
    expect(await outcomeOf(after)).toBe(before);
  });

  test('damage in a segment that another follows is refused, also at its end', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    for (let index = 1; index <= 100; index++) {
      await wal.append([{ group: 1, entries: [entry(index, 1, `needle ${index}.`.padEnd(200))] }]);
    }
    await wal.close();
    const first = disk.content('00000001.wal');
    let last = 1;
    while (first.includes(`needle ${last + 1}.`)) last++;
    first[first.indexOf(`needle ${last}.`)]! ^= 1;
    expect(await outcomeOf(disk)).toMatchObject({ file: '00000001.wal' });
  });

  test('a segment that is missing in the middle, at the beginning or altogether is refused by name', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    for (let index = 1; index <= 100; index++) {
      await wal.append([{ group: 1, entries: entriesOf(1, index, index, 200) }]);
    }
    await wal.close();
    const middle = disk.copy();
    await middle.remove('00000002.wal');
    expect(await outcomeOf(middle)).toMatchObject({ file: '00000002.wal' });
    const first = disk.copy();
    await first.remove('00000001.wal');
    expect(await outcomeOf(first)).toMatchObject({
      file: '00000002.wal',
      message: expect.stringContaining('entry 1 of group 1 is missing'),
    });
    const all = disk.copy();
    for (const name of all.names()) if (name.endsWith('.wal')) await all.remove(name);
    expect(await outcomeOf(all)).toBeInstanceOf(WalCorruptError);
  });

  test('the active segment cannot go missing unnoticed: the next one is there already', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    for (let index = 1; index <= 50; index++)
      await wal.append([{ group: 1, entries: entriesOf(1, index, index, 200) }]);
    await wal.close();
    const names = disk.names().filter((name) => name.endsWith('.wal'));
    await disk.remove(names.at(-2)!);
    expect(await outcomeOf(disk)).toMatchObject({ file: names.at(-2)! });
  });

  test('an entry that decays after start is refused when it is read', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk, { entryCacheBytesMax: 0 });
    await wal.append([newGroup(1), { group: 1, entries: [entry(1, 1, 'a needle')] }]);
    const content = disk.content('00000001.wal');
    content[content.indexOf('a needle')]! ^= 1;
    expect(() => wal.group(1)!.entries(1, 2, 1e9)).toThrow(WalCorruptError);
  });

  test('a segment of a newer format is refused', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await wal.close();
    encodeSegmentHeader(disk.content('00000001.wal'), {
      version: 2,
      segment: 1,
      previousEnd: 0,
      groupCount: 0,
    });
    await expect(openWal(disk)).rejects.toThrow(WalFormatError);
  });
});

describe('space that is used again (D5)', () => {
  /** A log whose segments were all recycled several times, with records of one size at the same offsets. */
  async function recycled(disk: FaultyDisk): Promise<Awaited<ReturnType<typeof openWal>>> {
    const wal = await openWal(disk);
    await wal.append([newGroup(1), { ...newGroup(2), hardState: hardState(77, 3, 0) }]);
    for (let index = 1; index <= 600; index++) {
      await wal.append([{ group: 1, entries: entriesOf(1, index, index, 200) }]);
      if (index % 10 === 0) await wal.append([{ group: 1, compact: point(index - 1, 1) }]);
    }
    return wal;
  }

  test('keeps the number of files small, and takes no old record for a new one', async () => {
    const disk = new FaultyDisk();
    const wal = await recycled(disk);
    const before = JSON.stringify(contentOf(wal));
    expect(disk.names().length).toBeLessThanOrEqual(6);
    expect(wal.group(1)!.lastIndex()).toBe(600);
    await wal.close();
    expect(await outcomeOf(disk)).toBe(before);
  });

  test('holds old records with intact content behind the end of the log', async () => {
    const disk = new FaultyDisk();
    const wal = await recycled(disk);
    await wal.close();
    const newest = disk
      .names()
      .filter((name) => name.endsWith('.wal'))
      .at(-2)!;
    const content = disk.content(newest);
    const number = Number.parseInt(newest, 16);
    const older = new Set<number>();
    for (let offset = 32; offset + 32 < content.length; offset += 8) {
      const isRecord =
        content.readUInt32LE(offset + 8) === offset && content.readUInt32LE(offset + 4) < number;
      if (isRecord) older.add(content.readUInt32LE(offset + 4));
    }
    expect(older.size).toBeGreaterThan(0);
  });

  test('a torn batch over old records is cut off, whichever sectors were written', async () => {
    for (let lost = 0; lost < 8; lost++) {
      const disk = new FaultyDisk();
      const wal = await recycled(disk);
      const before = JSON.stringify(contentOf(wal));
      disk.beforeSync = () => new Promise(() => undefined);
      appendInVain(wal, [{ group: 1, entries: entriesOf(1, 601, 612, 200) }]);
      const complete = JSON.stringify(contentOf(wal));
      let sector = 0;
      const outcome = await outcomeOf(disk.crash(() => sector++ !== lost));
      expect([before, complete]).toContain(outcome);
    }
  });

  test('parts of a lost first batch of a segment are gone before the segment is begun again', async () => {
    let disk = new FaultyDisk();
    let wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await wal.close();
    wal = await openWal(disk);
    await settle();
    disk.beforeSync = () => new Promise(() => undefined);
    appendInVain(wal, [{ group: 1, entries: [1, 2, 3, 4].map((i) => entry(i, 1, 'needle '.padEnd(600))) }]);
    await settle();
    expect(disk.content('00000002.wal').includes('needle')).toBe(true);
    let sector = 0;
    disk = disk.crash(() => sector++ !== 0);
    expect(disk.content('00000002.wal').includes('needle')).toBe(true);
    wal = await openWal(disk);
    expect(wal.group(1)!.lastIndex()).toBe(0);
    expect(disk.content('00000002.wal').includes('needle')).toBe(false);
    await wal.append([{ group: 1, entries: [entry(1, 2)] }]);
    expect(disk.names()).toContain('00000002.wal');
  });

  test('an idle group outlives the segment that its vote was written to', async () => {
    const disk = new FaultyDisk();
    const wal = await recycled(disk);
    await wal.close();
    expect(disk.names()).not.toContain('00000001.wal');
    const again = await openWal(disk);
    expect(again.group(2)!.hardState).toEqual(hardState(77, 3, 0));
  });

  test('entries that were read stay what they were when their segment is used again', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk, { entryCacheBytesMax: 0 });
    await wal.append([newGroup(1), { group: 1, entries: entriesOf(1, 1, 20, 200) }]);
    const held = wal.group(1)!.entries(1, 21, 1e9);
    for (let index = 21; index <= 300; index += 20) {
      await wal.append([
        { group: 1, entries: entriesOf(2, index, index + 19, 200), compact: point(index + 18, 2) },
      ]);
    }
    expect(held).toEqual(entriesOf(1, 1, 20, 200));
  });

  test('one lagging group does not pin the disk: its entries move forward', async () => {
    let disk = new FaultyDisk();
    let wal = await openWal(disk);
    await wal.append([newGroup(1), newGroup(2)]);
    await wal.append([{ group: 2, entries: entriesOf(5, 1, 10, 100) }]);
    for (let index = 1; index <= 900; index++) {
      await wal.append([{ group: 1, entries: entriesOf(1, index, index, 200), compact: point(index, 1) }]);
      if (index % 300 !== 0) continue;
      expect(wal.statistics().segments).toBeLessThanOrEqual(6);
      expect(wal.statistics().copiedBytes).toBeGreaterThan(0);
      disk = disk.crash(() => false);
      wal = await openWal(disk);
      expect(wal.group(2)!.entries(1, 11, 1e9)).toEqual(entriesOf(5, 1, 10, 100));
      expect(wal.group(1)!.firstIndex()).toBe(index + 1);
    }
  });

  test('a group may compact what is just being moved forward', async () => {
    const disk = new FaultyDisk();
    const failures: Error[] = [];
    const wal = await openWal(disk, {
      segmentSizeBytes: 256 * 1024,
      onFatal: (error) => failures.push(error),
    });
    await wal.append([newGroup(1), newGroup(2)]);
    await wal.append([{ group: 2, entries: entriesOf(5, 1, 100, 1800) }]);
    let isCompacted = false;
    disk.beforeSync = async () => {
      // The first portion was moved, and the next one is on its way to the disk.
      if (isCompacted || wal.statistics().copiedBytes === 0) return;
      isCompacted = true;
      appendInVain(wal, [{ group: 2, compact: point(90, 5) }]);
    };
    for (let index = 1; index <= 2000 && failures.length === 0; index += 20) {
      const entries = entriesOf(1, index, index + 19, 2000);
      await wal.append([{ group: 1, entries, compact: point(index + 19, 1) }]);
    }
    expect(failures).toEqual([]);
    expect(isCompacted).toBe(true);
    expect(wal.group(2)!.entries(91, 101, 1e9)).toEqual(entriesOf(5, 91, 100, 1800));
  });

  test('the space of entries is not given back before what replaces them is durable', async () => {
    const disk = new FaultyDisk();
    const wal = await openWal(disk);
    await wal.append([newGroup(1)]);
    await wal.append([{ group: 1, entries: entriesOf(1, 1, 60, 200) }]);
    await settle();
    const files = disk.names();
    disk.beforeSync = () => new Promise(() => undefined);
    appendInVain(wal, [{ group: 1, hardState: hardState(2) }]);
    appendInVain(wal, [{ group: 1, compact: point(60, 1) }]);
    await settle();
    expect(disk.names()).toEqual(files);
    const again = await openWal(disk.crash(() => false));
    expect(again.group(1)!.entries(1, 61, 1e9)).toEqual(entriesOf(1, 1, 60, 200));
  });

  test('space holds for files of the configured size only', async () => {
    const disk = new FaultyDisk();
    const wal = await recycled(disk);
    await wal.close();
    const larger = await openWal(disk, { segmentSizeBytes: 2 * SEGMENT_SIZE_BYTES });
    for (let index = 601; index <= 1000; index++) {
      await larger.append([{ group: 1, entries: entriesOf(1, index, index, 200), compact: point(index, 1) }]);
    }
    await larger.close();
    const sizes = disk.names().map((name) => disk.content(name).length);
    expect(sizes.filter((size) => size === 2 * SEGMENT_SIZE_BYTES).length).toBeGreaterThanOrEqual(2);
  });
});
