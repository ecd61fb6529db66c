import { join } from 'node:path';
import { TemporaryDirectory } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { NodeWalDisk } from '../src/adapters/node-wal-disk.js';
import { describeWalDisk } from './disk-conformance.js';
import { FaultyDisk } from './faulty-disk.js';
import { contentOf, entriesOf, hardState, newGroup, openWal, point } from './support.js';

async function temporaryDisk(): Promise<{
  disk: NodeWalDisk;
  directory: string;
  dispose: () => Promise<void>;
}> {
  const parent = new TemporaryDirectory();
  const directory = join(parent.path, 'made', 'on demand');
  const disk = await NodeWalDisk.open(directory);
  return { disk, directory, dispose: async () => parent.remove() };
}

describeWalDisk('the disk of tests', async () => ({
  disk: new FaultyDisk(),
  dispose: async () => undefined,
}));
describeWalDisk('the disk of production', temporaryDisk);

test('the log works on the disk of production, over restarts, large entries and reuse of segments', async () => {
  const { disk, directory, dispose } = await temporaryDisk();
  const sizes = { segmentSizeBytes: 1024 * 1024, entryCacheBytesMax: 10_000 };
  let wal = await openWal(disk, sizes);
  await wal.append([newGroup(1), { ...newGroup(2), hardState: hardState(3, 2) }]);
  for (let index = 1; index <= 40; index++) {
    await wal.append([
      { group: 1, entries: entriesOf(1, index, index, 200_000) },
      { group: 2, entries: entriesOf(1, index, index, 50) },
    ]);
    if (index % 5 === 0) await wal.append([{ group: 1, compact: point(index - 2, 1) }]);
  }
  const before = contentOf(wal);
  expect(wal.group(1)!.firstIndex()).toBe(39);
  expect((await disk.list()).length).toBeLessThan(12);
  await wal.close();
  wal = await openWal(await NodeWalDisk.open(directory), sizes);
  expect(contentOf(wal)).toEqual(before);
  await wal.close();
  await dispose();
});
