import { moco } from '@coxswain/protocol';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Cluster, type ClusterNode, contentOf, until, untilEqual } from './cluster.js';

/** Of 10 kB each: more than a second of what a clone may bring. */
const KEYS = 150;

let donor: Cluster;
let recipient: Cluster;

beforeAll(async () => {
  donor = await Cluster.ready({ role: 'leader', nodes: 1, tables: ['first', 'second', 'empty'] });
  recipient = await Cluster.ready({
    role: 'leader',
    nodes: 3,
    // So slow that the donor can die meanwhile.
    flags: ['--maintenance.restore-bytes-per-second=600KiB'],
  });
});

afterAll(async () => {
  await Promise.all([donor?.stop(), recipient?.stop()]);
});

function clone(node: ClusterNode, donorHost: string, donorPort: number): Promise<moco.CloneResponse> {
  const { path, requestSerialize, responseDeserialize } = moco.CloneServiceService.clone;
  const client = new Client(node.endpoint, credentials.createInsecure());
  const request = { external: false, donorHost, donorPort };
  return new Promise<moco.CloneResponse>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      (error, response) => (error === null ? resolve(response!) : reject(error)),
    );
  }).finally(() => client.close());
}

/** A table on a node as keys and values: a clone has revisions of its own (T3). */
async function pairsOf(node: ClusterNode, table: string): Promise<string[]> {
  const content = await contentOf(await node.client(), table);
  return content.map((line) => line.slice(0, line.lastIndexOf(' ')));
}

test('a clone brings every table of a cluster to every node of an empty one, though the donor is killed meanwhile', async () => {
  const client = await donor.client();
  const noise = Array.from({ length: 10_000 }, (_, place) => ((place * 7919) % 94) + 33);
  const value = (seed: number) =>
    String.fromCharCode(...noise.map((code) => ((code * (seed + 3)) % 94) + 33));
  await Promise.all(
    Array.from({ length: KEYS }, (_, index) => client.put('first', `key/${index}`, value(index))),
  );
  await client.put('second', 'one', '1');

  const [host, port] = donor.node(1).endpoint.split(':') as [string, string];
  await clone(recipient.node(2), host, Number(port));
  const metrics = () => recipient.node(2).metrics();
  await until('some of it has come', async () => /coxswain_clone_bytes [1-9]/.test(await metrics()));
  await donor.node(1).kill();
  donor.restart(1);
  await until('the clone is done', async () =>
    (await metrics()).includes('coxswain_clone_state{state="done"} 1'),
  );
  for (const table of ['first', 'second', 'empty']) {
    await untilEqual(table, recipient);
    expect(await pairsOf(recipient.node(1), table)).toEqual(await pairsOf(donor.node(1), table));
  }
  expect((await recipient.node(2).status()).errors).toEqual([]);
  expect(await pairsOf(recipient.node(1), 'first')).toHaveLength(KEYS);
});
