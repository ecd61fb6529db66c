import { maintenance } from '@coxswain/protocol';
import type { EventFields, Log } from '@coxswain/runtime';
import { until } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { OneNode } from './support/one-node.js';
import { Rpc } from './support/rpc.js';

const { promote } = maintenance.MaintenanceService;
const IS_OPEN = 'listener-opened replication';
/** Where another process has the port that the test cannot choose. */
const IS_TAKEN = 'listener-not-opened replication';

/** A node of a follower cluster whose leader cluster is away, with what it has logged. */
async function follower(flags: Record<string, string>) {
  const logged: string[] = [];
  const log: Log = ({ code }, fields) => {
    logged.push(`${code} ${(fields as EventFields)?.['listener'] ?? 'replication'}`);
  };
  const node = await OneNode.start(
    { 'replication.enabled': 'true', 'replication.leader-address': '127.0.0.1:1', ...flags },
    { role: 'follower', log },
  );
  return { node, logged };
}

test('a node of a follower cluster leaves the replication port alone until the cluster is promoted (R5)', async () => {
  const { node, logged } = await follower({});
  const rpc = new Rpc(node.target);
  try {
    expect(logged).toContain('listener-opened api');
    expect(logged.filter((line) => [IS_OPEN, IS_TAKEN].includes(line))).toEqual([]);
    await rpc.call(promote, {});
    await until('it listens', () => logged.includes(IS_OPEN) || logged.includes(IS_TAKEN));
  } finally {
    rpc.close();
    await node.stop();
  }
});

test('a node of a follower cluster that is given a replication address listens there from the start', async () => {
  const { node, logged } = await follower({ 'replication.address': 'http://127.0.0.1:0' });
  expect(logged).toContain(IS_OPEN);
  await node.stop();
});
