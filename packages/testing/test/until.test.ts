import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { TemporaryDirectory } from '../src/temporary-directory.js';
import { microtasks, turns, until } from '../src/until.js';

describe('until', () => {
  test('resolves with what the condition gives, also where that is zero or empty', async () => {
    let looks = 0;
    expect(await until('the third look', () => ++looks === 3 && 'found')).toBe('found');
    expect(looks).toBe(3);
    expect(await until('zero', () => Promise.resolve(0))).toBe(0);
    expect(await until('nothing in it', () => '')).toBe('');
  });

  test('fails with the description once it has looked often enough', async () => {
    let looks = 0;
    const never = until('pigs fly', () => (++looks, false), { looksMax: 60 });
    await expect(never).rejects.toThrow('still waiting until pigs fly');
    expect(looks).toBe(60);
  });

  test('fails at once with an error of the condition, unless that is tolerated', async () => {
    const error = new Error('refused');
    const fail = () => {
      throw error;
    };
    await expect(until('it answers', fail)).rejects.toBe(error);
    const tolerant = until('it answers', fail, { tolerates: (seen) => seen === error, looksMax: 3 });
    await expect(tolerant).rejects.toMatchObject({ message: 'still waiting until it answers', cause: error });
  });
});

test('turns lets callbacks of the event loop run, and microtasks lets none', async () => {
  let hasRun = false;
  setImmediate(() => {
    hasRun = true;
  });
  await microtasks(100);
  expect(hasRun).toBe(false);
  await turns(1);
  expect(hasRun).toBe(true);
});

test('a temporary directory is its own, and goes with all that it holds', () => {
  const directory = new TemporaryDirectory();
  const other = new TemporaryDirectory();
  expect(other.path).not.toBe(directory.path);
  writeFileSync(join(directory.path, 'file'), '');
  directory.remove();
  directory.remove();
  expect(existsSync(directory.path)).toBe(false);
  expect(existsSync(other.path)).toBe(true);
  other.remove();
});
