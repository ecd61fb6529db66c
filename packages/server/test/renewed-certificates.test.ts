import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { regatta } from '@coxswain/protocol';
import { EventRecorder, eventually, findFreePort, TemporaryDirectory } from '@coxswain/testing';
import { afterEach, expect, test } from '@jest/globals';
import { serverEvents } from '../src/events.js';
import { Authority } from './support/certificates.js';
import { OneNode } from './support/one-node.js';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const table = Buffer.from('t');

/** Certificate, key and authority in files of `directory`, from a new authority each time: all of them at once. */
async function renew(directory: string): Promise<void> {
  const authority = await Authority.create('authority');
  const { certFile, keyFile } = await authority.issue('node', ['localhost']);
  copyFileSync(certFile, join(directory, 'cert.pem'));
  copyFileSync(keyFile, join(directory, 'key.pem'));
  copyFileSync(authority.file, join(directory, 'ca.pem'));
  authority.remove();
}

test('nodes and a follower cluster whose certificates were all renewed meet again when one node restarts', async () => {
  const temporary = new TemporaryDirectory();
  closers.push(() => temporary.remove());
  const directory = temporary.path;
  await renew(directory);
  const tls = (option: string) => ({
    [`${option}.cert-filename`]: join(directory, 'cert.pem'),
    [`${option}.key-filename`]: join(directory, 'key.pem'),
    [`${option}.ca-filename`]: join(directory, 'ca.pem'),
  });
  const [one, two] = [`localhost:${await findFreePort()}`, `localhost:${await findFreePort()}`];
  const replication = `localhost:${await findFreePort()}`;
  const recorder = new EventRecorder();
  const { log } = recorder;
  const start = (id: number, raftAddress: string, more: Record<string, string>) =>
    OneNode.start(
      {
        'data-dir': join(directory, `node-${id}`),
        'raft.node-id': String(id),
        'raft.address': raftAddress,
        'raft.initial-members': `1=${one},2=${two}`,
        'raft.rtt': '50ms',
        ...tls('raft'),
        ...more,
      },
      { waitsUntilReady: false, log },
    );
  const startSecond = () =>
    start(2, two, {
      'replication.enabled': 'true',
      'replication.address': `https://${replication}`,
      'replication.client-cert-auth': 'true',
      ...tls('replication'),
    });
  const first = await start(1, one, {});
  closers.push(() => first.stop());
  let second = await startSecond();
  closers.push(() => second.stop());
  await first.untilReady();
  const follower = await OneNode.start(
    { 'replication.leader-address': `https://${replication}`, ...tls('replication') },
    { role: 'follower', waitsUntilReady: false, log },
  );
  closers.push(() => follower.stop());

  const [rpc, followerRpc] = [first.rpc(), follower.rpc()];
  closers.push(() => rpc.close());
  closers.push(() => followerRpc.close());
  await first.createTable(rpc, 't');
  /** Writes until that is done, and waits until the follower cluster has it. */
  const write = async (key: string): Promise<void> => {
    const pair = { table, key: Buffer.from(key) };
    await eventually('the write is done', () =>
      rpc.call(regatta.KVService.put, { ...pair, value: Buffer.from('v') }),
    );
    await eventually('the follower cluster has it', async () => {
      const { count } = await followerRpc.call(regatta.KVService.range, pair);
      return count > 0n;
    });
  };
  await write('before');
  const expiries = /^coxswain_certificate_expiry_seconds\{listener="([^"]+)",kind="([^"]+)"\} (\S+)$/gm;
  for (const [node, ...listeners] of [
    [first, 'raft'],
    [second, 'raft', 'replication'],
    [follower, 'leader-cluster'],
  ] as const) {
    const series = [...(await node.get('/metrics')).text.matchAll(expiries)];
    const names = series.map(([, listener, kind]) => `${listener} ${kind}`);
    expect(names).toEqual(listeners.flatMap((name) => [`${name} certificate`, `${name} authority`]));
    for (const [, , , seconds] of series) {
      // The test's certificates live for a day.
      expect(Number(seconds)).toBeGreaterThan(0);
      expect(Number(seconds)).toBeLessThanOrEqual(86_400);
    }
  }

  await renew(directory);
  await second.stop();
  second = await startSecond();
  await first.untilReady();
  await write('after');
  const logged = recorder.of(serverEvents.certificatesReloaded);
  expect(new Set(logged.map((fields) => fields['listener']))).toEqual(new Set(['raft', 'leader-cluster']));
});
