import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MemoryObjectStore } from '../src/memory-object-store.js';
import { PlanReader, planRestore, type RestoreLimit } from '../src/plan.js';
import { ArchiveBuilder, timeOf } from './support/builder.js';
import { collect } from './support/content.js';
import { entries } from './support/shard.js';

const SECOND_SHARD = { shardId: 18, firstIndex: 0 };

describe('the plan of a restore', () => {
  let store: MemoryObjectStore;
  let archive: ArchiveBuilder;

  beforeEach(() => {
    store = new MemoryObjectStore();
    archive = new ArchiveBuilder(store);
  });

  const plan = (limit: RestoreLimit, more: object = {}) =>
    planRestore(store, { table: 'orders', limit, ...more }, {});

  /** What a restore begins with, which entries it runs again, and what it reached. */
  async function restored(limit: RestoreLimit, more: object = {}) {
    const planned = await plan(limit, more);
    const reader = new PlanReader(store, planned);
    const indices = (await collect(reader.entries({}))).flat().map(({ index }) => index);
    return {
      shardId: planned.shard.shardId,
      base: planned.base?.info.revision,
      entries: indices.length === 0 ? 'none' : `${indices[0]}-${indices.at(-1)}`,
      ...reader.reached,
    };
  }

  const refusal = (text: string) => ({ code: 'notReachable', message: expect.stringContaining(text) });

  test('begins with nothing where the log is there from its very first entry', async () => {
    await archive.log(1, 50);
    await archive.log(51, 80);
    expect(await restored({})).toEqual({
      shardId: 17,
      base: undefined,
      entries: '1-80',
      revision: 80,
      timeMs: timeOf(80),
    });
    expect(await restored({ toRevision: 60 })).toMatchObject({
      entries: '1-60',
      revision: 60,
      timeMs: timeOf(60),
    });
  });

  test('has the commands of its entries, and nothing of internal ones', async () => {
    await archive.log(1, 50);
    const reader = new PlanReader(store, await plan({ toRevision: 20 }));
    const expected = entries(1, 20).flatMap(({ command }) => (command.length > 0 ? [command] : []));
    expect((await collect(reader.commandsAfter(0, {}))).flat()).toEqual(expected);
    expect(expected).toHaveLength(18);
    expect(reader.reached).toEqual({ revision: 20, timeMs: timeOf(20) });
  });

  test('ends exactly at the last entry that is not later than the moment asked for', async () => {
    await archive.log(1, 50);
    await archive.log(51, 80);
    expect(await restored({ toTimeMs: timeOf(60) })).toMatchObject({ revision: 60, timeMs: timeOf(60) });
    expect(await restored({ toTimeMs: timeOf(60) - 1 })).toMatchObject({ revision: 59, timeMs: timeOf(59) });
    // Entry 63 is internal, and has no time.
    expect(await restored({ toTimeMs: timeOf(63) })).toMatchObject({ revision: 62, timeMs: timeOf(62) });
    expect(await restored({ toTimeMs: timeOf(50) })).toMatchObject({ revision: 50 });
    expect(await restored({ toTimeMs: timeOf(1000) })).toMatchObject({ revision: 80, timeMs: timeOf(80) });
  });

  test('says from which entry on all is left out: where a clock ran ahead that is more than was asked for (A7)', async () => {
    await archive.log(1, 50);
    await archive.log(51, 80);
    const leftOut = async (limit: RestoreLimit) => {
      const reader = new PlanReader(store, await plan(limit));
      await collect(reader.entries({}));
      return reader.leftOut;
    };
    // In the middle of an object, and at the first entry of one that is not read at all.
    expect(await leftOut({ toTimeMs: timeOf(60) })).toEqual({ revision: 61, timeMs: timeOf(61) });
    expect(await leftOut({ toTimeMs: timeOf(50) })).toEqual({ revision: 51, timeMs: timeOf(51) });
    expect(await leftOut({ toTimeMs: timeOf(80) })).toBeUndefined();
    expect(await leftOut({ toRevision: 60 })).toBeUndefined();
  });

  test('does so too where the manifest is gone', async () => {
    archive.tells = false;
    await archive.log(1, 50);
    await archive.base(40);
    await archive.log(51, 80);
    expect(await restored({ toTimeMs: timeOf(60) })).toMatchObject({
      base: 40,
      entries: '41-60',
      revision: 60,
    });
    expect(await restored({ toTimeMs: timeOf(39) })).toMatchObject({ base: undefined, revision: 39 });
  });

  test('begins with the newest base that is not behind the limit', async () => {
    await archive.log(1, 50);
    await archive.base(20);
    await archive.base(45);
    await archive.log(51, 80);
    expect(await restored({})).toMatchObject({ base: 45, entries: '46-80' });
    expect(await restored({ toRevision: 45 })).toMatchObject({ base: 45, entries: 'none', revision: 45 });
    expect(await restored({ toRevision: 44 })).toMatchObject({ base: 20, entries: '21-44', revision: 44 });
    expect(await restored({ toRevision: 19 })).toMatchObject({ base: undefined, entries: '1-19' });
    expect(await restored({ toTimeMs: timeOf(46) })).toMatchObject({ base: 45, entries: '46-46' });
  });

  test('passes a damaged base over for one before it', async () => {
    await archive.log(1, 50);
    await archive.base(20);
    const name = await archive.base(45);
    store.objects.get(name)![12]! ^= 1;
    expect(await restored({})).toMatchObject({ base: 20, entries: '21-50' });
  });

  test('takes each entry once where objects overlap', async () => {
    await archive.log(1, 30);
    await archive.log(20, 60);
    await archive.log(25, 40);
    await archive.log(61, 70);
    await archive.log(50, 65);
    expect(await restored({})).toMatchObject({ entries: '1-70', revision: 70 });
  });

  test('crosses no hole, and says what is missing and what can be reached', async () => {
    await archive.log(1, 30);
    await archive.base(60);
    await archive.log(41, 80);
    const text = `cannot be restored to revision 50: entries 31 to 40 are missing: objects were lost or deleted; what can be restored is up to revision 30, and then from the base of revision 60, of ${new Date(timeOf(60)).toISOString()}, on`;
    await expect(plan({ toRevision: 50 })).rejects.toMatchObject(refusal(text));
    await expect(plan({ toTimeMs: timeOf(35) })).rejects.toMatchObject(
      refusal('entries 31 to 40 are missing'),
    );
    expect(await restored({ toRevision: 30 })).toMatchObject({ revision: 30 });
    // Whether entry 31 was later nobody knows.
    await expect(plan({ toTimeMs: timeOf(30) })).rejects.toMatchObject(refusal('entries 31 to 40'));
    expect(await restored({ toTimeMs: timeOf(30) - 1 })).toMatchObject({ revision: 29 });
    expect(await restored({ toRevision: 60 })).toMatchObject({ base: 60 });
    expect(await restored({})).toMatchObject({ base: 60, entries: '61-80' });
  });

  test('crosses no marked gap either', async () => {
    await archive.log(1, 30);
    await archive.gap(31, 40);
    await archive.log(41, 80);
    await expect(plan({})).rejects.toMatchObject(
      refusal(
        'cannot be restored to its end: entries 31 to 40 are a gap: they were gone before they could be archived',
      ),
    );
    await expect(plan({})).rejects.toMatchObject(refusal('up to revision 30, and nothing behind them'));
  });

  test('does not take the end of what is left for the end of what was archived', async () => {
    await archive.log(1, 30);
    store.objects.delete(await archive.log(31, 40));
    await expect(plan({})).rejects.toMatchObject(refusal('entries 31 to 40 are missing'));
    expect(await restored({ toRevision: 30 })).toMatchObject({ revision: 30 });
  });

  test('does not go beyond the end, and says where that is', async () => {
    await archive.log(1, 30);
    await expect(plan({ toRevision: 31 })).rejects.toMatchObject(
      refusal(`the archive ends with revision 30, of ${new Date(timeOf(30)).toISOString()}`),
    );
  });

  test('does not begin before the beginning, and says where that is', async () => {
    const late = new ArchiveBuilder(store, { firstIndex: 0 });
    await late.log(30, 60);
    await late.base(40);
    await expect(plan({ toRevision: 35 })).rejects.toMatchObject(
      refusal(`the archive begins with revision 40, of ${new Date(timeOf(40)).toISOString()}`),
    );
    expect(await restored({ toRevision: 41 })).toMatchObject({ base: 40, entries: '41-41' });
  });

  test('is made of the shard that the limit lies in, else of the last one', async () => {
    await archive.log(1, 30);
    const second = new ArchiveBuilder(store, SECOND_SHARD);
    await second.base(1000);
    await second.log(1001, 1010);
    const other = new ArchiveBuilder(store, { shardId: 19, table: 'other' });
    await other.log(1, 2000);
    expect(await restored({})).toMatchObject({ shardId: 18, revision: 1010 });
    expect(await restored({ toRevision: 30 })).toMatchObject({ shardId: 17, revision: 30 });
    expect(await restored({ toTimeMs: timeOf(29) })).toMatchObject({ shardId: 17, revision: 29 });
    expect(await restored({ toTimeMs: timeOf(1002) })).toMatchObject({ shardId: 18, revision: 1002 });
    expect(await restored({}, { shardId: 17 })).toMatchObject({ shardId: 17, revision: 30 });
  });

  test('does not take what a shard ended with for what the one held that took its place by a restore (T2)', async () => {
    await archive.log(1, 30);
    await new ArchiveBuilder(store, SECOND_SHARD).base(1000);
    const between = { toTimeMs: timeOf(999) };
    await expect(plan(between)).rejects.toMatchObject(refusal('shard 17 ended before that'));
    expect(await restored(between, { shardId: 17 })).toMatchObject({ shardId: 17, revision: 30 });
    // One that was made anew, empty, has all that it ever held in its log.
    await new ArchiveBuilder(store, { shardId: 19, firstIndex: 2001 }).log(2001, 2010);
    expect(await restored({ toTimeMs: timeOf(2000) })).toMatchObject({ shardId: 18, revision: 1000 });
  });

  test('is not made by guesses about the cluster or the table', async () => {
    await archive.log(1, 30);
    await new ArchiveBuilder(store, { clusterId: 'beef' }).log(1, 30);
    await expect(plan({})).rejects.toMatchObject({
      code: 'ambiguous',
      message: expect.stringContaining('beef, c0ffee'),
    });
    expect(await restored({}, { clusterId: 'beef' })).toMatchObject({ revision: 30 });
    await expect(plan({}, { table: 'none' })).rejects.toMatchObject({ code: 'nothingArchived' });
  });

  test('ends without success where an object is damaged behind the last entry wanted', async () => {
    const name = await archive.log(1, 30);
    const content = store.objects.get(name)!;
    content[content.length - 1]! ^= 1;
    await expect(restored({ toRevision: 3 })).rejects.toMatchObject({ code: 'objectDamaged' });
  });

  test('covers exactly what was asked for, whatever was stored by whom and lost, or says that it cannot', async () => {
    const last = 60;
    const cut = fc
      .tuple(fc.integer({ min: 1, max: last }), fc.integer({ min: 0, max: 15 }))
      .map(([first, more]) => ({ first, last: Math.min(last, first + more) }));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(cut, {
          minLength: 1,
          maxLength: 12,
          selector: ({ first, last: end }) => `${first}-${end}`,
        }),
        fc.uniqueArray(fc.integer({ min: 1, max: last }), { maxLength: 3 }),
        fc.integer({ min: 1, max: last }),
        async (cuts, bases, toRevision) => {
          store.objects.clear();
          const made = new ArchiveBuilder(store);
          made.tells = false;
          for (const { first, last: end } of cuts) await made.log(first, end);
          for (const revision of bases) await made.base(revision);
          const held = new Set(
            cuts.flatMap(({ first, last: end }) => entries(first, end).map(({ index }) => index)),
          );
          const start = Math.max(0, ...bases.filter((revision) => revision <= toRevision));
          const needed = Array.from({ length: toRevision - start }, (_, i) => start + 1 + i);
          const isThere = needed.every((index) => held.has(index)) && (start > 0 || held.has(1));
          if (!isThere) {
            await expect(plan({ toRevision })).rejects.toMatchObject({ code: 'notReachable' });
            return;
          }
          const planned = await plan({ toRevision });
          const reader = new PlanReader(store, planned);
          expect((await collect(reader.entries({}))).flat()).toEqual(
            needed.length === 0 ? [] : entries(start + 1, toRevision),
          );
          expect(reader.reached.revision).toBe(toRevision);
        },
      ),
      { numRuns: 150 },
    );
  });
});
