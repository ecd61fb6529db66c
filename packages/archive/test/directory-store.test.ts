import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DirectoryStore } from '../src/adapters/directory-store.js';
import { inPieces, namesOf, random } from './support/content.js';
import { describeObjectStore } from './support/store-conformance.js';

describeObjectStore('a directory', async () => {
  const root = new TemporaryDirectory();
  return {
    store: new DirectoryStore(join(root.path, 'deep', 'archive')),
    dispose: async () => root.remove(),
  };
});

describe('a directory of objects', () => {
  let temporary: TemporaryDirectory;
  let root: string;
  let store: DirectoryStore;

  beforeEach(async () => {
    temporary = new TemporaryDirectory();
    root = temporary.path;
    store = new DirectoryStore(root);
  });

  afterEach(() => temporary.remove());

  test('no object is seen before it is whole', async () => {
    const seen: string[][] = [];
    const watched = (async function* () {
      for await (const piece of inPieces(random(3_000_000), [1_000_000, 1_000_000])) {
        yield piece;
        seen.push(await namesOf(store, ''));
      }
    })();
    await store.put('a/b', watched, {});
    expect(seen).toEqual([[], [], []]);
    expect(await namesOf(store, '')).toEqual(['a/b']);
  });

  test('what a crash left behind is no object, and is removed when it is a day old', async () => {
    await store.put('a', Buffer.from('x'), {});
    const unfinished = join(root, '.unfinished');
    await writeFile(join(unfinished, 'old.tmp'), 'half');
    await writeFile(join(unfinished, 'young.tmp'), 'half');
    const dayAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
    await utimes(join(unfinished, 'old.tmp'), dayAgo, dayAgo);
    expect(await namesOf(store, '')).toEqual(['a']);
    expect(await store.removeLeftovers({})).toBe(1);
    expect(await readdir(unfinished)).toEqual(['young.tmp']);
  });

  test('a store that failed leaves no file', async () => {
    const broken = (async function* () {
      yield random(10);
      throw new Error('broken');
    })();
    await expect(store.put('a', broken, {})).rejects.toThrow('broken');
    expect(await readdir(join(root, '.unfinished'))).toEqual([]);
  });

  test('files of others are not listed', async () => {
    await store.put('a', Buffer.from('x'), {});
    await writeFile(join(root, '.DS_Store'), '');
    await writeFile(join(root, 'with space'), '');
    await mkdir(join(root, 'lost+found'));
    expect(await namesOf(store, '')).toEqual(['a']);
  });

  test('an object cannot be stored where a directory is, and the error says so', async () => {
    await mkdir(join(root, 'a'));
    await expect(store.put('a', Buffer.from('x'), {})).rejects.toMatchObject({ code: 'storeFailed' });
    await symlink('/nowhere', join(root, 'loop'));
    await expect(store.get('loop', {}).next()).rejects.toMatchObject({ code: 'objectMissing' });
  });
});
