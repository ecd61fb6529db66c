import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ObjectStore } from '../../src/store.js';
import { collect, contentOf, inPieces, namesOf, random } from './content.js';

/** Tests what every `ObjectStore` must do. `make` returns an empty store. */
export function describeObjectStore(
  title: string,
  make: () => Promise<{ store: ObjectStore; dispose: () => Promise<void> }>,
): void {
  describe(`${title} as a store of objects`, () => {
    let store: ObjectStore;
    let dispose: () => Promise<void>;

    beforeEach(async () => {
      ({ store, dispose } = await make());
    });

    afterEach(async () => {
      await store.close();
      await dispose();
    });

    test('holds nothing at first', async () => {
      expect(await namesOf(store, '')).toEqual([]);
    });

    test('gives back what was stored, and tells its size and hash', async () => {
      const content = random(3_000_000);
      const result = await store.put('c/1/log/a.log', content, {});
      expect(result).toEqual({
        sizeBytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      });
      expect((await contentOf(store, 'c/1/log/a.log')).equals(content)).toBe(true);
    });

    test('stores a stream in pieces of any size', async () => {
      const content = random(200_000);
      await store.put('stream', inPieces(content, [1, 70_000, 0, 13, 200_000]), {});
      expect((await contentOf(store, 'stream')).equals(content)).toBe(true);
    });

    test('stores nothing as an object, too', async () => {
      expect((await store.put('none', inPieces(Buffer.alloc(0), []), {})).sizeBytes).toBe(0);
      expect(await contentOf(store, 'none')).toEqual(Buffer.alloc(0));
      expect(await collect(store.list('', {}))).toEqual([{ name: 'none', sizeBytes: 0 }]);
    });

    test('an object takes the place of one of its name', async () => {
      await store.put('m.json', Buffer.from('one, and longer'), {});
      await store.put('m.json', Buffer.from('two'), {});
      expect((await contentOf(store, 'm.json')).toString()).toBe('two');
      expect(await collect(store.list('', {}))).toEqual([{ name: 'm.json', sizeBytes: 3 }]);
    });

    test('lists by prefix', async () => {
      const names = ['a/b', 'a-b/c', 'a.b', 'a0', 'a/b.c', 'b/1/x', 'a/bc/d'];
      for (const name of names) await store.put(name, Buffer.from(name), {});
      expect(await namesOf(store, '')).toEqual([...names].sort());
      expect(await namesOf(store, 'a/')).toEqual(['a/b', 'a/b.c', 'a/bc/d']);
      expect(await namesOf(store, 'a/b')).toEqual(['a/b', 'a/b.c', 'a/bc/d']);
      expect(await namesOf(store, 'b/1/')).toEqual(['b/1/x']);
      expect(await namesOf(store, 'c')).toEqual([]);
    });

    test('tells the folders below a prefix', async () => {
      for (const name of ['x', 'a/1/x', 'a/1/y', 'a/22/x', 'a/z', 'b/1/x']) {
        await store.put(name, Buffer.from('x'), {});
      }
      const foldersOf = async (prefix: string): Promise<string[]> =>
        (await collect(store.folders(prefix, {}))).sort();
      expect(await foldersOf('')).toEqual(['a', 'b']);
      expect(await foldersOf('a/')).toEqual(['1', '22']);
      expect(await foldersOf('c/')).toEqual([]);
      await expect(foldersOf('a')).rejects.toThrow('is the name of no folder');
    });

    test('deletes, and what is not there is as good as deleted', async () => {
      await store.put('a/b', Buffer.from('x'), {});
      await store.delete('a/b', {});
      await store.delete('a/b', {});
      expect(await namesOf(store, '')).toEqual([]);
    });

    test('says that an object is missing, and its name', async () => {
      await expect(contentOf(store, 'not/there')).rejects.toMatchObject({
        code: 'objectMissing',
        message: expect.stringContaining('not/there'),
      });
    });

    test('a stream that fails leaves nothing behind, not even of several parts', async () => {
      const broken = (async function* () {
        for (let i = 0; i < 20; i++) yield random(1_000_000);
        throw new Error('the source failed');
      })();
      await expect(store.put('a/b', broken, {})).rejects.toThrow('the source failed');
      expect(await namesOf(store, '')).toEqual([]);
    });

    test('a stream that fails leaves the object that was there', async () => {
      await store.put('a', Buffer.from('before'), {});
      const broken = (async function* () {
        yield Buffer.from('half');
        throw new Error('the source failed');
      })();
      await expect(store.put('a', broken, {})).rejects.toThrow('the source failed');
      expect((await contentOf(store, 'a')).toString()).toBe('before');
    });

    test('is given up when asked to, and ends the stream that it was storing', async () => {
      const abort = new AbortController();
      let hasEnded = false;
      const endless = (async function* () {
        try {
          for (;;) {
            yield random(100_000);
            abort.abort();
          }
        } finally {
          hasEnded = true;
        }
      })();
      await expect(store.put('a', endless, { signal: abort.signal })).rejects.toMatchObject({
        code: 'aborted',
      });
      await expect(contentOf(store, 'a')).rejects.toMatchObject({ code: 'objectMissing' });
      expect(hasEnded).toBe(true);
    });

    test('every operation ends at once when it was given up before', async () => {
      const call = { signal: AbortSignal.abort() };
      const aborted = { code: 'aborted' };
      await expect(store.put('a', Buffer.from('x'), call)).rejects.toMatchObject(aborted);
      await expect(collect(store.get('a', call))).rejects.toMatchObject(aborted);
      await expect(collect(store.list('', call))).rejects.toMatchObject(aborted);
      await expect(collect(store.folders('', call))).rejects.toMatchObject(aborted);
      await expect(store.delete('a', call)).rejects.toMatchObject(aborted);
    });

    test('a reader that has enough may stop', async () => {
      await store.put('a', random(5_000_000), {});
      for await (const piece of store.get('a', {})) {
        expect(piece.length).toBeLessThanOrEqual(1024 * 1024);
        break;
      }
    });

    test.each([
      '../up',
      'a/../b',
      '/etc/passwd',
      'a//b',
      '.hidden',
      'a/.b',
      'a\\b',
      'ä',
      '',
      'a\0b',
      'a/',
      '%2e%2e/x',
    ])('takes no name such as %j', async (name) => {
      const isNone = 'is no name of an object';
      await expect(store.put(name, Buffer.from('x'), {})).rejects.toThrow(isNone);
      await expect(collect(store.get(name, {}))).rejects.toThrow(isNone);
      await expect(store.delete(name, {})).rejects.toThrow(isNone);
    });

    test('takes no prefix that leads out of the store', async () => {
      await expect(collect(store.list('../', {}))).rejects.toThrow('is no beginning of a name');
    });

    test('tells no secret in its URL', () => {
      expect(store.url).not.toMatch(/secret/i);
    });
  });
}
