import { cpSync, renameSync, rmSync } from 'node:fs';
import { afterEach, expect, test } from '@jest/globals';
import { Cluster, contentOf, untilEqual } from './cluster.js';

let cluster: Cluster;

afterEach(() => cluster.stop());

async function write(from: number, to: number): Promise<void> {
  const client = await cluster.client();
  for (let i = from; i < to; i++) await client.put('default', `key-${i}`, 'value');
}

/** Puts `copy` in the place of the node's data directory, and starts it; then brings the newest one back. */
async function expectRefused(id: number, copy: string): Promise<void> {
  const { directory } = cluster.node(id);
  renameSync(directory, `${directory}-newest`);
  renameSync(copy, directory);
  // Whoever starts it again and again has no more luck.
  for (let i = 0; i < 2; i++) {
    cluster.restart(id);
    const { exitCode, stdout, stderr } = await cluster.node(id).ended;
    expect(stdout + stderr).toContain(`the data directory of node ${id} was put back to an earlier state`);
    expect(stdout + stderr).toContain('Bring its newest data directory back');
    expect(exitCode).toBe(1);
  }
  rmSync(directory, { recursive: true });
  renameSync(`${directory}-newest`, directory);
  cluster.restart(id);
  await cluster.untilReady();
  await untilEqual('default', cluster);
}

test('a data directory that is put back to an earlier state is refused, and the newest one is taken (T4)', async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default'] });
  await write(0, 20);
  const { directory } = cluster.node(1);
  // Taken while the node was stopped: it starts once more after that.
  await cluster.node(1).kill('SIGTERM');
  cpSync(directory, `${directory}-stopped`, { recursive: true });
  cluster.restart(1);
  await cluster.untilReady();
  // Taken while it runs, and put back before it starts once more.
  cpSync(directory, `${directory}-running`, { recursive: true });
  rmSync(`${directory}-running/coxswain.pid`, { force: true });
  await write(20, 40);
  await untilEqual('default', cluster);
  await cluster.node(1).kill();
  await expectRefused(1, `${directory}-running`);
  await cluster.node(1).kill('SIGTERM');
  await expectRefused(1, `${directory}-stopped`);
  expect((await contentOf(await cluster.node(1).client(), 'default')).length).toBe(40);
});
