import { describe, expect, test } from '@jest/globals';
import { Semaphore } from '../src/semaphore.js';

describe('a semaphore', () => {
  test('so many act at a time, the others in the order in which they came, also after failures', async () => {
    const semaphore = new Semaphore(2);
    const ends: (() => void)[] = [];
    const begun: number[] = [];
    const results = [0, 1, 2, 3, 4].map((i) =>
      semaphore.take(async () => {
        begun.push(i);
        await new Promise<void>((resolve) => ends.push(resolve));
        if (i % 2 === 1) throw new Error(`${i}`);
        return i;
      }),
    );
    const settled = Promise.allSettled(results);
    expect(begun).toEqual([0, 1]);
    for (let done = 0; done < 5; done++) {
      while (ends.length === 0) await Promise.resolve();
      expect(begun.length).toBeLessThanOrEqual(done + 2);
      ends.shift()!();
      await results[done]!.catch(() => undefined);
    }
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    expect((await settled).map(({ status }) => status[0])).toEqual(['f', 'r', 'f', 'r', 'f']);
    await expect(semaphore.take(() => Promise.resolve('free'))).resolves.toBe('free');
  });
});
