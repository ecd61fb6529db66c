import { beforeEach, describe, expect, test } from '@jest/globals';
import { BackupRecord } from '../src/backup-record.js';
import { MemoryObjectStore } from '../src/memory-object-store.js';
import { planRestore } from '../src/plan.js';
import { type PrunedShard, type PruneOptions, prune } from '../src/prune.js';
import { verifyShard } from '../src/verify.js';
import { ArchiveBuilder, timeOf } from './support/builder.js';
import { collect, namesOf } from './support/content.js';

const DAY = 100;

describe('pruning an archive', () => {
  let store: MemoryObjectStore;
  let archive: ArchiveBuilder;

  beforeEach(async () => {
    store = new MemoryObjectStore();
    archive = new ArchiveBuilder(store);
    // A base each day, and objects that end neither with the day nor with the base.
    for (let day = 0; day < 5; day++) {
      await archive.log(day * DAY + 1, day * DAY + 60);
      if (day > 0) await archive.base(day * DAY + 20);
      await archive.log(day * DAY + 61, (day + 1) * DAY);
    }
  });

  const days = (count: number): number => timeOf(count * DAY) - timeOf(0);

  const pruned = (
    options: Partial<PruneOptions['retention'] & PruneOptions> = {},
  ): Promise<PrunedShard[]> => {
    const { ageMs = days(2), basesMin = 1, nowMs = timeOf(5 * DAY), isDryRun = false } = options;
    return collect(prune(store, {}, { retention: { ageMs, basesMin }, nowMs, isDryRun }, {}));
  };

  async function restorable(): Promise<unknown> {
    const verified = await verifyShard(store, archive.shard, {}, {});
    expect(verified.problems).toEqual([]);
    return verified.restorable;
  }

  test('removes what no moment within the age needs, and nothing else', async () => {
    expect(await pruned()).toMatchObject([
      { baseCount: 1, logCount: 4, gapCount: 0, oldest: { revision: 220, timeMs: timeOf(220) } },
    ]);
    expect(await restorable()).toEqual([{ first: 220, last: 500 }]);
    // Two days ago.
    await planRestore(store, { table: 'orders', limit: { toTimeMs: timeOf(300) } }, {});
    expect((await namesOf(store, 'c0ffee/17/base/')).length).toBe(3);
    expect((await namesOf(store, 'c0ffee/17/log/'))[0]).toContain('/0000000000000201-');
    expect(await pruned()).toMatchObject([{ baseCount: 0, logCount: 0, sizeBytes: 0, oldest: undefined }]);
  });

  test.each([
    ['for ever', { ageMs: 0, nowMs: timeOf(50 * DAY) }, [{ first: 0, last: 500 }]],
    ['as many bases as are to stay', { ageMs: 1, basesMin: 3 }, [{ first: 220, last: 500 }]],
    [
      'all, where there are no more bases than are to stay',
      { ageMs: 1, basesMin: 5 },
      [{ first: 0, last: 500 }],
    ],
    ['what is needed before the first base', { ageMs: days(4.9) }, [{ first: 0, last: 500 }]],
    ['the newest base, however old', { ageMs: 1, nowMs: timeOf(50 * DAY) }, [{ first: 420, last: 500 }]],
  ])('keeps %s', async (_, options, kept) => {
    await pruned(options);
    expect(await restorable()).toEqual(kept);
  });

  test('says what no backup of the log holds yet, where there are such backups', async () => {
    expect((await pruned({ isDryRun: true }))[0]!.unbacked).toEqual([]);
    const record = new BackupRecord(store, 'c0ffee');
    await record.write('monday', new Map([[17, 130]]), {});
    expect((await pruned({ isDryRun: true }))[0]!.unbacked).toEqual([{ first: 131, last: 200 }]);
    await record.write('tuesday', new Map([[17, 200]]), {});
    expect((await pruned({ isDryRun: true }))[0]!.unbacked).toEqual([]);
    // A shard that is younger than the last backup.
    await record.write('wednesday', new Map([[16, 200]]), {});
    expect((await pruned())[0]!.unbacked).toEqual([{ first: 1, last: 200 }]);
  });

  test('tries it without changing anything', async () => {
    const before = new Map(store.objects);
    const tried = await pruned({ isDryRun: true });
    expect(store.objects).toEqual(before);
    expect(tried).toEqual(await pruned());
    expect(tried[0]!.sizeBytes).toBeGreaterThan(0);
  });

  test('keeps an older base where the one that would stay is damaged', async () => {
    const [name] = await namesOf(store, 'c0ffee/17/base/0000000000000220');
    const content = store.objects.get(name!)!;
    content[content.length - 3]! ^= 1;
    // The description at its beginning can still be read.
    store.pieceBytes = 16;
    expect(await pruned()).toMatchObject([{ baseCount: 0, oldest: { revision: 120 } }]);
  });

  test('reads no base where nothing goes', async () => {
    await pruned();
    const read: string[] = [];
    const get = store.get.bind(store);
    store.get = async function* (name, call) {
      for await (const piece of get(name, call)) {
        yield piece;
        // A reader that wants only the description stops after the first piece.
        read.push(name);
      }
    };
    await pruned();
    expect(read.filter((name) => name.includes('/base/'))).toEqual([]);
  });

  test('leaves a whole archive wherever it breaks off', async () => {
    const all = new Map(store.objects);
    let allowed = 0;
    for (let isDone = false; !isDone && allowed < 50; allowed++) {
      store.objects.clear();
      for (const [name, content] of all) store.objects.set(name, content);
      store.deletesLeft = allowed;
      isDone = await pruned().then(
        () => true,
        () => false,
      );
      expect(await restorable()).toContainEqual({ first: expect.any(Number), last: 500 });
    }
    expect(allowed).toBeGreaterThan(5);
  });

  test('removes a shard that was replaced before the age, and not the last bases of its table', async () => {
    const second = new ArchiveBuilder(store, { shardId: 18, firstIndex: 0 });
    const base = store.objects.get(await second.base(1000))!;
    await second.log(1001, 1010);
    const shardsLeft = async (): Promise<string[]> => collect(store.folders('c0ffee/', {}));
    const nowMs = timeOf(1200);
    await pruned({ ageMs: days(2) + 1000, nowMs });
    expect(await shardsLeft()).toEqual(['17', '18']);
    await pruned({ basesMin: 2, nowMs });
    expect(await shardsLeft()).toEqual(['17', '18']);
    base[base.length - 3]! ^= 1;
    store.pieceBytes = 16;
    await pruned({ nowMs });
    expect(await shardsLeft()).toEqual(['17', '18']);
    base[base.length - 3]! ^= 1;
    await pruned({ nowMs });
    expect(await shardsLeft()).toEqual(['18']);
    await planRestore(store, { table: 'orders', limit: { toTimeMs: timeOf(1000) } }, {});
  });
});
