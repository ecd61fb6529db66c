import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { TemporaryDirectory } from '../src/temporary-directory.js';
import { eventually, Hopeless, microtasks, turns, until } from '../src/until.js';

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
    const never = until(
      'pigs fly',
      () => {
        looks++;
        return false;
      },
      60,
    );
    await expect(never).rejects.toThrow('still waiting until pigs fly');
    expect(looks).toBe(60);
  });

  test('fails at once with an error of the condition', async () => {
    const error = new Error('refused');
    const refused = until('it answers', () => Promise.reject(error));
    await expect(refused).rejects.toBe(error);
  });
});

describe('eventually', () => {
  test('takes an error for a condition that does not hold yet, and gives the last one as the cause', async () => {
    let looks = 0;
    const answer = () => (++looks < 3 ? Promise.reject(new Error(`refused ${looks}`)) : 'answered');
    expect(await eventually('it answers', answer)).toBe('answered');
    looks = -9;
    await expect(eventually('it answers', answer, 3)).rejects.toMatchObject({
      message: 'still waiting until it answers',
      cause: { message: 'refused -6' },
    });
  });

  test('fails at once where nothing is left to wait for', async () => {
    const error = new Hopeless('it has ended');
    await expect(eventually('it answers', () => Promise.reject(error))).rejects.toBe(error);
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
