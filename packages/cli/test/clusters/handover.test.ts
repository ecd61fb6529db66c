import { afterEach, expect, test } from '@jest/globals';
import { Cluster, contentOf, until, untilEqual } from './cluster.js';

let cluster: Cluster;

afterEach(() => cluster.stop());

test('SIGTERM has a leader hand over: another leads before it ends, and every write is answered and done once', async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default'] });
  const client = await cluster.client();
  const leader = await cluster.leaderOf('default');
  let isOver = false;
  let written = 0;
  // Each key once: what was applied twice would show in its version, what was lost in the count.
  const write = async () => {
    while (!isOver) await client.put('default', `key-${written++}`, 'value');
  };
  // A write whose outcome is unknown ends the writer with an error.
  const writer = write();
  try {
    await until('some writes', () => written > 20);
    const command = leader.ended;
    leader.signal('SIGTERM');
    const { exitCode, stdout, stderr } = await command;
    expect(exitCode).toBe(0);
    // Only said when each of its groups had another leader while this process still ran.
    expect(stdout + stderr).toContain('leadership was handed over');
    await leader.kill();
    expect((await cluster.leaderOf('default')).id).not.toBe(leader.id);
    const count = written;
    await until('writes go on', () => written > count + 20);
  } finally {
    isOver = true;
    await writer;
  }
  await untilEqual('default', cluster);
  const [other] = cluster.nodes.filter(({ isRunning }) => isRunning);
  const content = await contentOf(await other!.client(), 'default');
  expect(content).toHaveLength(written);
  expect(content.filter((pair) => !pair.endsWith('/1'))).toEqual([]);
});
