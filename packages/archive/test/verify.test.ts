import { beforeEach, describe, expect, test } from '@jest/globals';
import { MemoryObjectStore } from '../src/memory-object-store.js';
import { manifestName } from '../src/names.js';
import { type VerifiedShard, verifyShard } from '../src/verify.js';
import { ArchiveBuilder, timeOf } from './support/builder.js';
import { entries } from './support/shard.js';

describe('verifying an archive', () => {
  let store: MemoryObjectStore;
  let archive: ArchiveBuilder;

  beforeEach(() => {
    store = new MemoryObjectStore();
    archive = new ArchiveBuilder(store);
  });

  const verify = (): Promise<VerifiedShard> => verifyShard(store, archive.shard, {}, {});

  /** Returns the kinds of the problems that are found, and their texts in one. */
  async function problems(): Promise<{ kinds: string[]; text: string }> {
    const { problems: all } = await verify();
    return { kinds: all.map(({ kind }) => kind), text: all.map(({ detail }) => detail).join('; ') };
  }

  test('finds nothing wrong with what two leaders stored alike, and tells what can be restored', async () => {
    await archive.log(1, 30);
    await archive.base(20);
    archive.tells = false;
    await archive.log(25, 60);
    await archive.log(26, 28);
    await archive.log(31, 70);
    const told: number[] = [];
    const verified = await verifyShard(store, archive.shard, { onProgress: (read) => told.push(read) }, {});
    expect(verified).toMatchObject({ problems: [], baseCount: 1, logCount: 4, gaps: [] });
    expect(verified.restorable).toEqual([{ first: 0, last: 70 }]);
    expect(told).toEqual([1, 2, 3, 4, 5]);
  });

  test.each([
    ['command', { command: Buffer.from('other') }, {}],
    ['term', { term: 2 }, { term: 2 }],
    ['time', { timeMs: timeOf(30) + 1 }, {}],
  ])('finds two leaders who disagree about the %s of an entry', async (_, change, changeBehind) => {
    await archive.log(1, 40);
    const before = entries(20, 29);
    const behind = entries(31, 60).map((entry) => ({ ...entry, ...changeBehind }));
    await archive.log(20, 60, [...before, { ...entries(30, 30)[0]!, ...change }, ...behind]);
    const { kinds, text } = await problems();
    expect(kinds).toEqual(['conflict']);
    expect(text).toContain('disagree about entry 30,');
  });

  test('finds a hole', async () => {
    await archive.log(1, 30);
    await archive.log(41, 50);
    const { kinds, text } = await problems();
    expect(kinds).toEqual(['missing']);
    expect(text).toBe('entries 31 to 40 are in no object that can be read');
    expect((await verify()).restorable).toEqual([{ first: 0, last: 30 }]);
  });

  test('tells of a marked gap, which is nothing wrong where a base is behind it', async () => {
    await archive.log(1, 30);
    await archive.gap(31, 40);
    await archive.log(41, 80);
    expect(await problems()).toEqual({
      kinds: ['unreachable'],
      text: 'behind the gap of entries 31 to 40 there is no base yet',
    });
    await archive.base(60);
    expect(await verify()).toMatchObject({
      problems: [],
      gaps: [{ first: 31, last: 40, timeMs: timeOf(40) }],
      restorable: [
        { first: 0, last: 30 },
        { first: 60, last: 80 },
      ],
    });
  });

  test('finds a flipped bit and a missing end in an object of every kind', async () => {
    const names = [
      await archive.log(1, 30),
      await archive.gap(31, 40),
      await archive.log(41, 80),
      await archive.base(60),
    ];
    names.push(manifestName(archive.shard, 1), manifestName(archive.shard, 60));
    expect((await verify()).problems).toEqual([]);
    for (const name of names) {
      const content = store.objects.get(name)!;
      const flipped = Buffer.from(content);
      flipped[content.length >> 1]! ^= 0x80;
      for (const damaged of [flipped, content.subarray(0, -3), Buffer.alloc(0)]) {
        store.objects.set(name, damaged);
        const { kinds, text } = await problems();
        expect(kinds).toContain('damaged');
        expect(text).toContain(name);
      }
      store.objects.set(name, content);
    }
  });

  test('finds what the manifest tells of and is gone', async () => {
    await archive.base(0);
    await archive.log(1, 30);
    const base = await archive.base(30);
    const last = await archive.log(31, 40);
    store.objects.delete(last);
    store.objects.delete(base);
    const { kinds, text } = await problems();
    expect(kinds).toEqual(['missing', 'lost', 'lost']);
    expect(text).toContain(`${last} is gone, and with it entries 31 to 40`);
    expect(text).toContain(`${base} is gone`);
  });

  test('believes a manifest that a deposed leader put back to what it was', async () => {
    await archive.log(1, 30);
    const chapter = store.objects.get(manifestName(archive.shard, 1))!;
    await archive.log(31, 40);
    store.objects.set(manifestName(archive.shard, 1), chapter);
    expect(await verify()).toMatchObject({ problems: [], restorable: [{ first: 0, last: 40 }] });
  });

  test('misses nothing that is before the first base', async () => {
    const late = new ArchiveBuilder(store, { firstIndex: 0 });
    await late.log(31, 60);
    expect(await verifyShard(store, late.shard, {}, {})).toMatchObject({
      problems: [{ kind: 'unreachable' }],
    });
    await late.base(50);
    expect(await verifyShard(store, late.shard, {}, {})).toMatchObject({
      problems: [],
      restorable: [{ first: 50, last: 60 }],
    });
  });

  test('is broken off by a store that is away, and takes nothing for lost', async () => {
    await archive.log(1, 30);
    store.isAway = true;
    await expect(verify()).rejects.toMatchObject({ code: 'storeUnreachable' });
  });
});
