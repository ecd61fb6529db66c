import { expect, test } from '@jest/globals';
import { Parts } from '../src/parts/parts.js';

test('parts stop one after another, health first and the data directory last, whatever order they were opened in', async () => {
  const parts = new Parts();
  const stopped: string[] = [];
  const quick = (name: string) => ({ stop: () => stopped.push(name) });
  const slow = (name: string) => ({
    stop: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      stopped.push(name);
    },
  });
  parts.add('data directory', quick('data directory'));
  parts.add('health', slow('health'));
  parts.add('listener', slow('api'));
  parts.add('node', slow('node'));
  parts.add('listener', quick('replication'));
  parts.add('archiver', slow('archiver'));
  await parts.stop();
  expect(stopped).toEqual(['health', 'replication', 'api', 'archiver', 'node', 'data directory']);
});

test('parts start one after another, the node before what needs it, whatever order they were opened in', async () => {
  const parts = new Parts();
  const started: string[] = [];
  const stop = () => undefined;
  const part = (name: string) => ({
    start: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      started.push(name);
    },
    stop,
  });
  parts.add('tidb-binlog', { start: () => started.push('tidb-binlog'), stop });
  parts.add('data directory', { stop });
  parts.add('archiver', part('archiver'));
  parts.add('follower', part('follower'));
  parts.add('node', part('node'));
  await parts.start();
  expect(started).toEqual(['node', 'follower', 'archiver', 'tidb-binlog']);
});

test('a part that cannot start keeps those after it from starting, and all that are open can be stopped', async () => {
  const parts = new Parts();
  const seen: string[] = [];
  const part = (name: string) => ({
    start: () => seen.push(`${name} starts`),
    stop: () => seen.push(`${name} stops`),
  });
  parts.add('node', part('node'));
  parts.add('follower', { ...part('follower'), start: () => Promise.reject(new Error('no link')) });
  parts.add('archiver', part('archiver'));
  await expect(parts.start()).rejects.toThrow('no link');
  expect(seen).toEqual(['node starts']);
  await parts.stop();
  expect(seen.slice(1)).toEqual(['archiver stops', 'follower stops', 'node stops']);
});

test('what was not opened is not stopped, and a part that cannot stop says so', async () => {
  const parts = new Parts();
  expect(parts.isStopping).toBe(false);
  await parts.stop();
  expect(parts.isStopping).toBe(true);
  parts.add('node', { stop: () => Promise.reject(new Error('it hangs')) });
  await expect(parts.stop()).rejects.toThrow('it hangs');
});

test('a part that is added by one of its name that stops is stopped too, before those of the next name', async () => {
  const parts = new Parts();
  const stopped: string[] = [];
  const part = (name: string) => ({ stop: () => stopped.push(name) });
  parts.add('node', part('node'));
  parts.add('listener', {
    stop: async () => {
      stopped.push('opening');
      await new Promise((resolve) => setImmediate(resolve));
      parts.add('listener', part('opened'));
    },
  });
  await parts.stop();
  expect(stopped).toEqual(['opening', 'opened', 'node']);
});
