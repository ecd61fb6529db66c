import { health, moco } from '@coxswain/protocol';
import { eventually } from '@coxswain/testing';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { Cluster, type ClusterNode, contentOf, untilEqual } from './cluster.js';

/** Of 10 kB each. */
const KEYS = 150;
/** So slow that the donor can die long before all of them have come. */
const slowly = ['--maintenance.restore-bytes-per-second=50KiB'];
const fast = ['--maintenance.restore-bytes-per-second=600KiB'];

let donor: Cluster;
let recipient: Cluster;

const noise = Array.from({ length: 10_000 }, (_, place) => ((place * 7919) % 94) + 33);
const value = (seed: number) => String.fromCharCode(...noise.map((code) => ((code * (seed + 3)) % 94) + 33));

beforeAll(async () => {
  donor = await Cluster.ready({ role: 'leader', nodes: 1, tables: ['first', 'second', 'empty'] });
  recipient = await Cluster.ready({
    role: 'leader',
    nodes: 3,
    flags: slowly,
  });
  const client = await donor.client();
  await Promise.all(
    Array.from({ length: KEYS }, (_, index) => client.put('first', `key/${index}`, value(index))),
  );
  await client.put('second', 'one', '1');
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

/** Returns the keys and values of a table on a node: a clone has revisions of its own (T3). */
async function pairsOf(node: ClusterNode, table: string): Promise<string[]> {
  const content = await contentOf(await node.client(), table);
  return content.map((line) => line.slice(0, line.lastIndexOf(' ')));
}

/**
 * Asks nodes for their health again and again, as a script that waits for SERVING does. Anything that is no answer
 * counts as not SERVING.
 */
class Probes {
  /** The nodes that answered SERVING in either form, or to a watch. */
  readonly serving: string[] = [];
  asked = 0;
  #isEnded = false;
  readonly #ended: Promise<unknown>;

  constructor(cluster: Cluster) {
    this.#ended = Promise.all(
      cluster.nodes.flatMap((node) => ['', 'moco'].map((name) => this.#follow(node, name))),
    );
  }

  async #follow(node: ClusterNode, service: string): Promise<void> {
    const { SERVING } = health.HealthCheckResponse_ServingStatus;
    while (!this.#isEnded) {
      const statuses = await Promise.all([checkOf(node, service), firstOfWatch(node, service)]);
      // What was asked before the end may be answered after it.
      if (statuses.includes(SERVING) && !this.#isEnded) this.serving.push(`${node.id} ${service}`);
      this.asked++;
      // The pace of the probes: it waits for nothing.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#ended;
  }
}

/** Resolves with undefined for an error, or when nobody is there. */
function checkOf(node: ClusterNode, service: string): Promise<number | undefined> {
  const { path, requestSerialize, responseDeserialize } = health.HealthService.check;
  const client = new Client(node.endpoint, credentials.createInsecure());
  return new Promise<number | undefined>((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (_error, response) =>
      resolve(response?.status),
    );
  }).finally(() => client.close());
}

function firstOfWatch(node: ClusterNode, service: string): Promise<number | undefined> {
  const { path, requestSerialize, responseDeserialize } = health.HealthService.watch;
  const client = new Client(node.endpoint, credentials.createInsecure());
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service });
  return new Promise<number | undefined>((resolve) => {
    stream.on('data', (response: health.HealthCheckResponse) => resolve(response.status));
    stream.on('error', () => resolve(undefined));
    stream.on('end', () => resolve(undefined));
  }).finally(() => {
    stream.cancel();
    client.close();
  });
}

const everyNodeSays = (text: string) =>
  eventually(`every node says: ${text}`, async () => {
    const answers = await Promise.all(recipient.nodes.map((node) => node.readiness()));
    return answers.every((answer) => !answer.isReady && answer.text.includes(text));
  });

test('no probe of any node says SERVING after a clone whose donor is killed for good, until it is forgotten', async () => {
  const [host, port] = donor.node(1).endpoint.split(':') as [string, string];
  await clone(recipient.node(2), host, Number(port));
  // From the answer on.
  const probes = new Probes(recipient);
  await eventually('some of it has come', async () =>
    /coxswain_clone_bytes [1-9]/.test(await recipient.node(2).metrics()),
  );
  await donor.node(1).kill();
  await recipient.node(3).kill();
  recipient.restart(3);
  await everyNodeSays('isUnderCloning=true');
  await eventually('every node says that it failed', async () => {
    const statuses = await Promise.all(recipient.nodes.map((node) => node.status()));
    return statuses.every(({ errors }) =>
      /^the clone of \S+ has failed: table "\w+": /.test(errors[0] ?? ''),
    );
  });
  // The node that filled the cluster, and then one after the other, whichever leads.
  for (const { id } of recipient.nodes) {
    await recipient.node(id).kill();
    recipient.restart(id, { flags: fast });
    await everyNodeSays('hasNoLeader=false');
    await everyNodeSays('isUnderCloning=true');
  }
  // Every node refuses it, and the client takes its time to say so, since it asks them all.
  const { endpoint } = recipient.node(1);
  for (const args of [
    ['put', 'x', 'y', '--table', 'first'],
    ['tables', 'create', 'q1'],
  ]) {
    const refused = await runHere([...args, '--endpoints', endpoint, '--timeout', '2s']);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('coxswain clone forget') });
  }
  await eventually('enough was asked', () => probes.asked > 20);
  await probes.end();
  expect(probes.serving).toEqual([]);

  donor.restart(1);
  const endpoints = recipient.nodes.map(({ endpoint }) => endpoint).join(',');
  expect(await runHere(['clone', 'forget', '--endpoints', endpoints])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^OK: the clone of \S+ is forgotten, which failed: table "\w+": .*\n$/),
  });
  await Promise.all([recipient.untilReady(), donor.untilReady()]);
  expect(await runHere(['clone', 'forget', '--endpoints', endpoints])).toMatchObject({
    exitCode: 0,
    stdout: 'OK: there is no clone that failed\n',
  });
  const client = await recipient.client();
  await client.tables.create('q1');
  const { tables } = await client.tables.list();
  for (const { name } of tables) await client.tables.delete(name);
});

test('a clone brings every table of a cluster to every node of an empty one, though the donor is killed meanwhile', async () => {
  const [host, port] = donor.node(1).endpoint.split(':') as [string, string];
  await clone(recipient.node(2), host, Number(port));
  const metrics = () => recipient.node(2).metrics();
  await eventually('some of it has come', async () => /coxswain_clone_bytes [1-9]/.test(await metrics()));
  await donor.node(1).kill();
  donor.restart(1);
  await eventually('the clone is done', async () =>
    (await metrics()).includes('coxswain_clone_state{state="done"} 1'),
  );
  for (const table of ['first', 'second', 'empty']) {
    await untilEqual(table, recipient);
    expect(await pairsOf(recipient.node(1), table)).toEqual(await pairsOf(donor.node(1), table));
  }
  expect((await recipient.node(2).status()).errors).toEqual([]);
  expect(await pairsOf(recipient.node(1), 'first')).toHaveLength(KEYS);
});
