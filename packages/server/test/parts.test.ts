import { expect, test } from '@jest/globals';
import { Parts } from '../src/process/parts.js';

test('parts stop one after another, health first and the data directory last, whatever order they started in', async () => {
  const parts = new Parts();
  const stopped: string[] = [];
  const slow = (name: string) => async () => {
    await new Promise((resolve) => setImmediate(resolve));
    stopped.push(name);
  };
  parts.add('data directory', () => stopped.push('data directory'));
  parts.add('health', slow('health'));
  parts.add('listener', slow('api'));
  parts.add('node', slow('node'));
  parts.add('listener', () => stopped.push('replication'));
  parts.add('archiver', slow('archiver'));
  await parts.stop();
  expect(stopped).toEqual(['health', 'replication', 'api', 'archiver', 'node', 'data directory']);
});

test('what did not start is not stopped, and a part that cannot stop says so', async () => {
  const parts = new Parts();
  await parts.stop();
  parts.add('node', () => Promise.reject(new Error('it hangs')));
  await expect(parts.stop()).rejects.toThrow('it hangs');
});
