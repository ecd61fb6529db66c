// Shows how long a node stays cut off after its packets were lost without a word: three real nodes, one of them in a
// network namespace of its own, all of whose raft packets vanish for a while, in both directions and in one. Then the
// path is back, and the check measures how long until a put through that node is acknowledged. The same with TCP
// proxies before the raft ports, which freeze the flows that they have and serve new ones.
//
//   npm run check:silent-network -- [--seconds 150] [--rounds 1] [--only network|proxy]
//
// The namespace needs Linux, root and the `ip` command. Exits with 1 when a round takes longer than 5 s.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { NodeClient } from '../bench/dist/src/faults/node-client.js';
import { findFreePorts } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

const TARGET_MS = 5_000;
const TABLE_NAME = 'default';
const command = fileURLToPath(new URL('../packages/cli/bin/coxswain.cjs', import.meta.url));
/** Nobody's link address (locally administered): the receiver's kernel drops what is sent to it, without an answer. */
const NO_LINK_ADDRESS = '02:00:00:00:00:00';
const directions = ['both directions', 'to the node', 'from the node'];

const values = checkOptions(
  'npm run check:silent-network -- [--seconds 150] [--rounds 1] [--only network|proxy]',
  { seconds: '150', rounds: '1', only: '' },
);
const cutMs = Number(values.seconds) * 1000;
const rounds = Number(values.rounds);

const undo = [];
process.on('exit', () => {
  for (const step of undo.reverse()) step();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function ip(...args) {
  const { status, error, stdout, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (error || status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

const linkAddress = (args, device) => JSON.parse(ip(...args, '-j', 'link', 'show', device))[0].address;

/** A namespace with one pair of devices for raft, which is cut, and one for clients, which stays. */
function makeNetwork() {
  const id = process.pid % 100_000;
  const namespace = `coxswain-${id}`;
  ip('netns', 'add', namespace);
  undo.push(() => spawnSync('ip', ['netns', 'delete', namespace]));
  const inside = ['-n', namespace];
  const pair = (letter, subnet) => {
    const [here, there] = [`cx${letter}${id}h`, `cx${letter}${id}t`];
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', namespace);
    undo.push(() => spawnSync('ip', ['link', 'delete', here]));
    // Addresses for benchmarks (RFC 2544): nobody else has them.
    ip('address', 'add', `198.18.${subnet}.1/30`, 'dev', here);
    ip(...inside, 'address', 'add', `198.18.${subnet}.2/30`, 'dev', there);
    ip('link', 'set', here, 'up');
    ip(...inside, 'link', 'set', there, 'up');
    return { here, there, outer: `198.18.${subnet}.1`, inner: `198.18.${subnet}.2` };
  };
  ip(...inside, 'link', 'set', 'lo', 'up');
  const raft = pair('r', 230);
  const clients = pair('c', 231);
  const links = { here: linkAddress([], raft.here), there: linkAddress(inside, raft.there) };
  const sendFromHere = (address) =>
    ip('neigh', 'replace', raft.inner, 'lladdr', address, 'nud', 'permanent', 'dev', raft.here);
  const sendFromThere = (address) =>
    ip(...inside, 'neigh', 'replace', raft.outer, 'lladdr', address, 'nud', 'permanent', 'dev', raft.there);
  const heal = () => {
    sendFromHere(links.there);
    sendFromThere(links.here);
  };
  heal();
  return {
    namespace,
    raft,
    clients,
    heal,
    cut(direction) {
      if (direction !== 'from the node') sendFromHere(NO_LINK_ADDRESS);
      if (direction !== 'to the node') sendFromThere(NO_LINK_ADDRESS);
    },
  };
}

/** A TCP proxy; `freeze` leaves its flows open and passes nothing more of them on. New flows work. */
async function startProxy(port, targetPort) {
  const flows = new Set();
  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    const flow = { near, far, frozen: '' };
    flows.add(flow);
    const pass = (from, to, direction) => {
      const isFrozen = () => flow.frozen === 'both directions' || flow.frozen === direction;
      from.setNoDelay(true);
      from.on('data', (chunk) => isFrozen() || to.destroyed || to.write(chunk));
      from.on('error', () => undefined);
      // What a frozen flow would say of its end is lost too.
      from.on('close', () => flow.frozen !== '' || to.destroy());
    };
    pass(near, far, 'to the node');
    pass(far, near, 'from the node');
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return {
    freeze(direction) {
      for (const flow of flows) flow.frozen = direction;
    },
    close() {
      for (const { near, far } of flows) for (const socket of [near, far]) socket.destroy();
      server.close();
    },
  };
}

function startNode(directory, nodeId, namespace, flags) {
  const dataDirectory = join(directory, `node-${nodeId}`);
  mkdirSync(dataDirectory, { recursive: true });
  const output = openSync(join(dataDirectory, 'output.log'), 'a');
  const all = { 'data-dir': dataDirectory, 'raft.node-id': nodeId, 'tables.names': TABLE_NAME, ...flags };
  const line = [command, 'leader', '--replication.enabled=false'];
  for (const [name, value] of Object.entries(all)) line.push(`--${name}=${value}`);
  const enter = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
  const [program, ...args] = [...enter, process.execPath, ...line];
  const child = spawn(program, args, { cwd: dataDirectory, stdio: ['ignore', output, output] });
  closeSync(output);
  return child;
}

/** Three nodes, the third of which is cut off; `hosts` gives per node where raft and the API are. */
async function withCluster(hosts, use) {
  const directory = mkdtempSync(join(tmpdir(), 'coxswain-silent-'));
  const ports = await findFreePorts(9);
  const members = hosts.map(({ raftAddress, raft }, index) => raftAddress ?? `${raft}:${ports[index]}`);
  const children = hosts.map(({ raft, raftPort, api, namespace }, index) =>
    startNode(directory, index + 1, namespace, {
      'raft.address': members[index],
      'raft.listen-address': `${raft}:${raftPort ?? ports[index]}`,
      'raft.initial-members': members.map((address, member) => `${member + 1}=${address}`).join(','),
      'api.address': `http://${api}:${ports[3 + index]}`,
      'rest.address': `http://${api}:${ports[6 + index]}`,
    }),
  );
  const kill = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  undo.push(kill);
  const client = NodeClient.to(`${hosts[2].api}:${ports[5]}`, TABLE_NAME);
  try {
    await untilFormed(client);
    await use(client);
  } finally {
    client.close();
    kill();
    await Promise.all(
      children.map((child) => child.exitCode ?? new Promise((done) => child.once('exit', done))),
    );
    rmSync(directory, { recursive: true, force: true });
  }
}

let putCount = 0;
const put = (client) => client.put(`put-${putCount++}`, 'value', 1_000);

/** A cluster that has just formed has no table yet. */
async function untilFormed(client) {
  const deadlineMs = performance.now() + 600_000;
  for (;;) {
    try {
      await untilAcknowledged(client, 600_000);
      return;
    } catch (error) {
      if (error.cause?.code !== 5 || performance.now() > deadlineMs) throw error;
      await sleep(100);
    }
  }
}

/** Resolves with the time in ms until a put is acknowledged. */
async function untilAcknowledged(client, withinMs) {
  const startedMs = performance.now();
  for (;;) {
    const outcome = await put(client);
    const elapsedMs = performance.now() - startedMs;
    if (outcome.kind === 'acknowledged') return elapsedMs;
    if (elapsedMs > withinMs)
      throw new Error(`no put was acknowledged within ${withinMs / 1000} s: ${outcome.reason}`);
    await sleep(20);
  }
}

const results = [];
function report(what, measuredMs) {
  const worstMs = Math.max(...measuredMs);
  const met = measuredMs.filter((ms) => ms <= TARGET_MS).length;
  const list = measuredMs.map((ms) => (ms / 1000).toFixed(1)).join(' ');
  results.push(met === measuredMs.length);
  console.log(
    `${what}: ${met} of ${measuredMs.length} within 5 s, worst ${(worstMs / 1000).toFixed(1)} s (${list})`,
  );
}

async function checkNetwork() {
  let network;
  try {
    network = makeNetwork();
  } catch (error) {
    console.log(`no network namespace can be made here, this part is left out: ${error.message}`);
    return;
  }
  const { raft, clients, namespace } = network;
  const outer = { raft: raft.outer, api: '127.0.0.1' };
  const hosts = [outer, outer, { raft: raft.inner, api: clients.inner, namespace }];
  await withCluster(hosts, async (client) => {
    for (const direction of directions) {
      const measuredMs = [];
      for (let round = 0; round < rounds; round++) {
        network.cut(direction);
        await sleep(cutMs);
        const outcome = await put(client);
        if (outcome.kind === 'acknowledged') throw new Error(`the path was not cut: ${direction}`);
        network.heal();
        measuredMs.push(await untilAcknowledged(client, 300_000));
        await sleep(1_000);
      }
      report(`packets lost for ${cutMs / 1000} s, ${direction}`, measuredMs);
    }
  });
}

async function checkProxies() {
  const ports = await findFreePorts(6);
  const proxies = await Promise.all([0, 1, 2].map((index) => startProxy(ports[index], ports[index + 3])));
  const hosts = [0, 1, 2].map((index) => ({
    raft: '127.0.0.1',
    raftAddress: `127.0.0.1:${ports[index]}`,
    raftPort: ports[index + 3],
    api: '127.0.0.1',
  }));
  await withCluster(hosts, async (client) => {
    for (const direction of directions) {
      const measuredMs = [];
      for (let round = 0; round < rounds; round++) {
        for (const proxy of proxies) proxy.freeze(direction);
        measuredMs.push(await untilAcknowledged(client, 300_000));
        await sleep(1_000);
      }
      report(`flows frozen in proxies, ${direction}`, measuredMs);
    }
  });
  for (const proxy of proxies) proxy.close();
}

if (values.only !== 'proxy') await checkNetwork();
if (values.only !== 'network') await checkProxies();
process.exit(results.every(Boolean) ? 0 : 1);
