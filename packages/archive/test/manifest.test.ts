import { beforeEach, describe, expect, test } from '@jest/globals';
import { logEntry, type ManifestEntry, readChapter, ShardManifest } from '../src/manifest.js';
import { MemoryObjectStore } from '../src/memory-object-store.js';
import { baseName, logName, manifestName } from '../src/names.js';
import { contentOf, namesOf } from './support/content.js';
import { SHARD } from './support/shard.js';

const SHA256 = '00'.repeat(32);

function log(first: number, last = first): ManifestEntry {
  const name = logName(SHARD, first, last, SHA256);
  return logEntry({ name, first, last, firstTimeMs: 1, lastTimeMs: 2, sizeBytes: 3, sha256: SHA256 });
}

function base(revision: number): ManifestEntry {
  const name = baseName(SHARD, revision, 'feedfacefeedface');
  return { kind: 'base', name, revision, timeMs: 1, sizeBytes: 3, sha256: SHA256 };
}

describe("a shard's manifest", () => {
  let store: MemoryObjectStore;

  beforeEach(() => {
    store = new MemoryObjectStore();
  });

  const open = (): Promise<ShardManifest> => ShardManifest.open(store, SHARD, {});

  async function told(): Promise<ManifestEntry[]> {
    const names = await namesOf(store, 'c0ffee/17/manifest/');
    const chapters = await Promise.all(names.map((name) => readChapter(store, name, {})));
    return chapters.flatMap(({ entries }) => entries);
  }

  test('tells what was added, also by the leader that goes on with it', async () => {
    const one = await open();
    await one.add(log(1, 9), {});
    const two = await open();
    expect(two.newestEntries).toEqual([log(1, 9)]);
    await two.add(log(10), {});
    expect(await told()).toEqual([log(1, 9), log(10)]);
  });

  test('begins a chapter with each base and after a thousand objects, so that writing it stays cheap', async () => {
    const manifest = await open();
    await manifest.add(base(0), {});
    for (let index = 1; index < 1000; index++) await manifest.add(log(index), {});
    await manifest.add(log(1000), {});
    await manifest.add(base(1000), {});
    expect(await namesOf(store, '')).toEqual([0, 1000, 1001].map((chapter) => manifestName(SHARD, chapter)));
    expect(await told()).toHaveLength(1002);
    expect((await open()).newestEntries).toEqual([base(1000)]);
  });

  test('is not believed when it is damaged, and gone on with in another chapter', async () => {
    const manifest = await open();
    await manifest.add(log(5), {});
    const name = manifestName(SHARD, 5);
    await store.put(name, (await contentOf(store, name)).subarray(0, 50), {});
    await expect(readChapter(store, name, {})).rejects.toMatchObject({ code: 'objectDamaged' });
    const next = await open();
    await next.add(log(6), {});
    expect(await namesOf(store, '')).toEqual([name, manifestName(SHARD, 6)]);
  });

  test('tells at the next turn what it could not tell at once', async () => {
    const manifest = await open();
    await manifest.add(log(1), {});
    store.isAway = true;
    await expect(manifest.add(log(2), {})).rejects.toMatchObject({ code: 'storeUnreachable' });
    store.isAway = false;
    await manifest.add(base(2), {});
    expect(await told()).toEqual([log(1), log(2), base(2)]);
  });

  test.each([
    ['no JSON', 'x'],
    ['no JSON object', '3'],
    ['format is 2', '{"format":2}'],
    [
      'another shard',
      '{"format":1,"clusterId":"c0ffee","shardId":18,"table":"t","firstIndex":1,"entries":[]}',
    ],
    ['lacks something', '{"format":1,"clusterId":"c0ffee","shardId":17,"table":"t","entries":[]}'],
    [
      'one of its entries is none',
      `{"format":1,"clusterId":"c0ffee","shardId":17,"table":"t","firstIndex":1,"entries":[${JSON.stringify({ ...log(1), last: 2 })}]}`,
    ],
  ])('that is wrong is told as such: %s', async (text, json) => {
    const name = manifestName(SHARD, 1);
    await store.put(name, Buffer.from(json), {});
    await expect(readChapter(store, name, {})).rejects.toMatchObject({
      code: 'objectDamaged',
      message: expect.stringContaining(text),
    });
  });
});
