import { connect } from 'node:net';
import type { Node } from '@coxswain/node';
import { maintenance } from '@coxswain/protocol';
import type { EventFields, Log } from '@coxswain/runtime';
import { turns, until } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { loadConfig } from '../src/config/config.js';
import { Listeners } from '../src/parts/listeners.js';
import { Shared } from '../src/parts/shared.js';
import { EventJournal } from '../src/process/event-journal.js';
import type { SnapshotHttp } from '../src/rest/snapshot-http.js';
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

/** A node of a follower cluster that listens for followers once `promote` is called, with the ports that it has opened. */
async function promotable() {
  const { config } = loadConfig({ flags: {}, environment: {}, configFile: '', readFile: () => undefined });
  const ports: number[] = [];
  const promoted = { is: false };
  const shared = new Shared({
    config: {
      ...config,
      // None at first, as of each follower cluster; then a free one, in place of the port that other processes may have.
      get 'replication.address'() {
        return promoted.is ? 'http://127.0.0.1:0' : '';
      },
    },
    role: 'follower',
    journal: new EventJournal({
      write: ({ kind, fields }) => {
        if (kind.code === 'listener-opened') ports.push(Number(new URL(String(fields['address'])).port));
      },
    }),
    fatal: (error) => {
      throw error;
    },
  });
  const listening = new Set<() => void>();
  const cluster = {
    role: 'leader',
    onChange: (listener: () => void) => {
      listening.add(listener);
      return () => listening.delete(listener);
    },
  };
  await new Listeners(shared).openForFollowers({ cluster } as unknown as Node, [], {} as SnapshotHttp);
  const promote = (): void => {
    promoted.is = true;
    for (const listener of [...listening]) listener();
  };
  return { ports, parts: shared.parts, promote };
}

/** Whether somebody listens at a port of this machine. */
function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false)).on('connect', () => socket.destroy());
  });
}

test('a replication listener that is being opened while the node stops is closed when it has stopped', async () => {
  const { ports, parts, promote } = await promotable();
  promote();
  // It takes a turn of the event loop to open, and so it is not open when the node is asked to stop.
  expect(ports).toEqual([]);
  await parts.stop();
  await turns(20);
  for (const port of ports) expect(await isOpen(port)).toBe(false);
});

test('a node that is promoted listens until it stops, and one that is promoted after its stop never listens', async () => {
  const { ports, parts, promote } = await promotable();
  promote();
  await until('it listens', () => ports.length > 0);
  expect(await isOpen(ports[0]!)).toBe(true);
  await parts.stop();
  expect(await isOpen(ports[0]!)).toBe(false);

  const late = await promotable();
  await late.parts.stop();
  late.promote();
  await turns(20);
  expect(late.ports).toEqual([]);
});
