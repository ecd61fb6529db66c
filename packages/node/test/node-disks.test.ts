import { createHook } from 'node:async_hooks';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterEach, describe, expect, test } from '@jest/globals';
import { NodeDisks } from '../src/adapters/node-disks.js';
import { NodeSmallFiles } from '../src/adapters/node-small-files.js';

const RESERVE_BYTES = 512 * 1024;

const roots: TemporaryDirectory[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) root.remove();
});

function temporary(): string {
  const root = new TemporaryDirectory();
  roots.push(root);
  return root.path;
}

function disksAt(root: string): NodeDisks {
  const directories = { files: root, log: join(root, 'wal'), tables: join(root, 'tables') };
  return new NodeDisks(directories, RESERVE_BYTES);
}

function make(root: string): void {
  for (const name of ['wal', 'tables']) mkdirSync(join(root, name), { recursive: true });
}

/** How many trips to the thread pool `act` makes. */
async function tripsOf(act: () => Promise<unknown>): Promise<number> {
  let trips = 0;
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'FSREQPROMISE') trips++;
    },
  }).enable();
  try {
    await act();
  } finally {
    hook.disable();
  }
  return trips;
}

describe('the disks of a node', () => {
  test('parts of the data on one disk are one, also before their directories are made', async () => {
    const root = join(temporary(), 'data');
    const disks = disksAt(root);
    const [before, ...others] = await disks.room();
    expect(others).toEqual([]);
    expect([...before!.holds]).toEqual(['files', 'log', 'tables']);
    make(root);
    const rooms = await disks.room();
    expect(rooms).toEqual([{ ...before, freeBytes: expect.any(Number) }]);
  });

  test('a disk at rest is asked for its room and nothing else, since a node looks twice a second for as long as it lives', async () => {
    const root = temporary();
    make(root);
    const disks = disksAt(root);
    await disks.room();
    await disks.holdReserve(0);
    expect(statSync(join(root, 'reserve')).size).toBe(RESERVE_BYTES);
    expect(await tripsOf(() => disks.room())).toBe(1);
    expect(await tripsOf(() => disks.holdReserve(0))).toBe(0);
  });

  test('a reserve that was released, or removed, is held again', async () => {
    const root = temporary();
    make(root);
    const disks = disksAt(root);
    await disks.holdReserve(0);
    await disks.releaseReserve();
    expect(statSync(join(root, 'reserve'), { throwIfNoEntry: false })).toBeUndefined();
    await disks.holdReserve(0);
    expect(statSync(join(root, 'reserve')).size).toBe(RESERVE_BYTES);
  });

  test('no reserve is held where it would leave too little', async () => {
    const root = temporary();
    make(root);
    await disksAt(root).holdReserve(Number.MAX_SAFE_INTEGER);
    expect(statSync(join(root, 'reserve'), { throwIfNoEntry: false })).toBeUndefined();
  });

  test('the limit of descriptors is read once', async () => {
    const files = new NodeSmallFiles(temporary());
    const { inUse, max } = await files.descriptors();
    expect(max).toBeGreaterThanOrEqual(inUse);
    // A system without /proc tells neither.
    expect(inUse === 0).toBe(max === Number.POSITIVE_INFINITY);
    // Before Linux 6.2 the descriptors are counted one by one; without /proc each look finds that there is none.
    const size = statSync('/proc/self/fd', { throwIfNoEntry: false })?.size ?? 0;
    expect(await tripsOf(() => files.descriptors())).toBe(size > 0 ? 0 : 1);
  });
});
