// Replicates between Coxswain and the real servers that speak its protocol, in both directions, by log and by snapshot,
// while tables are deleted and made again and either side is killed, and compares the tables key by key.
//
//   npm run check:peers -- [--only regatta|armada] [--direction below|above|backup]
//
// REGATTA names the binary of Regatta 0.5.2 (`go build github.com/jamf/regatta` at v0.5.2), else it is looked for on the
// PATH; ARMADA that of Armada, which is left out without it. `below`: our follower cluster of three nodes below a stock
// leader; `above`: a stock follower below our leader cluster; `backup`: what `coxswain backup` makes of a stock leader, restored
// into it and into a cluster of ours; default: all three. One line a step; exits with 1 when a step has failed.
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ProcessCluster } from '../bench/dist/src/faults/process-cluster.js';
import { eventually } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';
import { untilEqual } from './peers/content.mjs';
import { StockProcess } from './peers/stock-process.mjs';
import { acknowledged, putMany, writeAllKinds, writeRevisionTxns, writeWhile } from './peers/writes.mjs';

const CALL_TIMEOUT_MS = 30_000;
/** Enough to pass what both sides keep of their logs, by the flags below. */
const ENTRIES_PAST_COMPACTION = 600;
/** Logs are compacted often, so that snapshots are needed. */
const compactionFlags = { 'raft.snapshot-entries': '200', 'raft.compaction-overhead': '20' };
const followerFlags = { 'replication.reconcile-interval': '1s', 'replication.poll-interval': '200ms' };
const stockFollowerFlags = {
  ...followerFlags,
  'replication.lease-interval': '1s',
  'replication.cert-filename': '',
  'replication.key-filename': '',
  'replication.ca-filename': '',
  'replication.insecure-skip-verify': 'true',
};

const options = checkOptions(
  'npm run check:peers -- [--only regatta|armada] [--direction below|above|backup]',
  {
    only: '',
    direction: '',
  },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The peer's binary: named by the variable, or on the PATH; undefined: nowhere. Ends the process where the variable names none. */
function findPeer(name, variable) {
  const named = process.env[variable];
  if (named && !isExecutable(named)) {
    console.log(`${variable}=${named} is no program that can be run`);
    process.exit(1);
  }
  const onPath = (process.env.PATH ?? '')
    .split(delimiter)
    .map((directory) => join(directory, name.toLowerCase()));
  const path = named || onPath.find(isExecutable);
  return path && { name, path };
}

let failures = 0;

/** Runs steps in order until one fails, and says of each what it found. */
async function scenario(title, run) {
  const undo = [];
  const step = async (what, act) => {
    const startedMs = performance.now();
    const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(1);
    try {
      const figures = await act();
      console.log(`${title}: ok, ${what}: ${figures} (${seconds()} s)`);
    } catch (error) {
      console.log(`${title}: FAILED, ${what} (${seconds()} s): ${error.message}`);
      throw new StepFailed('', { cause: error });
    }
  };
  try {
    await run(step, (dispose) => undo.push(dispose));
  } catch (error) {
    failures++;
    if (!(error instanceof StepFailed)) console.log(`${title}: FAILED: ${error.stack}`);
  } finally {
    for (const dispose of undo.reverse()) await dispose();
  }
}

class StepFailed extends Error {}

/** Throws when something that was acknowledged is not there. */
function checkKept(pairs, keys) {
  const lost = [...keys].filter(([key, value]) => pairs.get(key)?.value !== value).map(([key]) => key);
  if (lost.length > 0) throw new Error(`${lost.length} acknowledged writes are gone: ${lost.slice(0, 5)}`);
}

const clientsOf = (cluster) => cluster.nodes.map(({ client }) => client);

async function deleteAndMake(client, table, between) {
  await client.deleteTable(table, CALL_TIMEOUT_MS);
  await between?.();
  await makeTable(client, table);
}

/** A stock server makes tables only a while after its start, and serves them a moment after it has made them. */
async function makeTable(client, table) {
  await eventually(`table '${table}' is made`, async () => {
    await client.createTable(table, CALL_TIMEOUT_MS);
    return true;
  });
  await eventually(`table '${table}' takes reads`, async () => {
    await client.forTable(table).count(CALL_TIMEOUT_MS);
    return true;
  });
}

/** What one of our nodes says of its tables' replication. */
async function replicationOf(node, table) {
  return (await node.client.tables(CALL_TIMEOUT_MS)).get(table)?.replication;
}

/** The node of our follower cluster that replicates the table. */
function pullerOf(cluster, table) {
  return eventually(`a node replicates '${table}'`, async () => {
    for (const node of cluster.nodes) {
      if (node.process.isRunning && (await isPuller(node, table))) return node;
    }
    return undefined;
  });
}

async function isPuller(node, table) {
  const state = (await replicationOf(node, table))?.state;
  return state !== undefined && state !== 'elsewhere';
}

const snapshotsTaken = (cluster) => metricSum(cluster, 'snapshots');

/** Snapshots taken or commands applied by all nodes since each was started. */
async function metricSum(cluster, what) {
  const counts = await Promise.all(
    cluster.nodes.map(({ process }) => process.metric(`coxswain_replication_${what}_total`)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What our nodes say of a table, for a step that has failed. */
async function describeTable(cluster, table) {
  const lines = await Promise.all(
    cluster.nodes.map(async (node) => {
      const { state, leaderIndex, error } = (await replicationOf(node, table).catch(() => undefined)) ?? {};
      return `node ${node.process.nodeId}: ${state ?? 'no answer'} at ${leaderIndex ?? '?'} ${error ?? ''}`;
    }),
  );
  return lines.join('; ');
}

/** Our follower cluster below a stock leader. */
async function checkBelow(peer) {
  await scenario(`Coxswain below ${peer.name}`, async (step, onEnd) => {
    const leader = await StockProcess.start(peer, 'leader', compactionFlags);
    onEnd(() => leader.dispose());
    const table = (name) => leader.client.forTable(name);
    let cluster;
    const equal = (name) =>
      untilEqual(name, leader.client, clientsOf(cluster)).catch(async (error) => {
        throw new Error(`${error.message} (${await describeTable(cluster, name)})`, { cause: error });
      });

    await step('a table whose log does not reach back any more comes by snapshot', async () => {
      await makeTable(leader.client, 'old');
      await putMany(table('old'), 'large/', 80, 'v'.repeat(64 * 1024));
      await putMany(table('old'), 'small/', ENTRIES_PAST_COMPACTION);
      await makeTable(leader.client, 'log');
      cluster = await ProcessCluster.startFollower([leader.replicationAddress], 3, followerFlags);
      onEnd(() => cluster.dispose());
      const { pairs } = await equal('old');
      const snapshots = await snapshotsTaken(cluster);
      if (snapshots === 0) throw new Error('no snapshot was taken');
      return `${pairs.size} keys equal on 3 nodes, ${snapshots} snapshot(s)`;
    });

    await step('writes of every kind come by log', async () => {
      const before = await metricSum(cluster, 'commands');
      await writeAllKinds(table('log'), 150, 1);
      await equal('log');
      const { revision } = await acknowledged(table('log').put('last', 'one', CALL_TIMEOUT_MS));
      const { pairs } = await equal('log');
      for (const client of clientsOf(cluster)) {
        const { pair } = await client
          .forTable('log')
          .get('last', { linearizable: true, timeoutMs: CALL_TIMEOUT_MS });
        if (pair.revision !== revision)
          throw new Error(`revision ${pair.revision} is ${revision} in the leader cluster`);
      }
      const applied = (await metricSum(cluster, 'commands')) - before;
      if (applied < 150) throw new Error(`only ${applied} commands were applied from the log`);
      return `150 writes, ${pairs.size} keys equal on 3 nodes, revision ${revision} too`;
    });

    await step('writes through the follower cluster', async () => {
      for (const [index, client] of clientsOf(cluster).entries()) {
        await writeAllKinds(client.forTable('log'), 30, 10 + index);
      }
      const { pairs } = await equal('log');
      return `90 writes, ${pairs.size} keys equal`;
    });

    await step('kill -9 of the node that replicates, while the leader cluster is written to', async () => {
      const node = await pullerOf(cluster, 'log');
      const { keys } = await writeWhile([table('log')], 'puller/', 150, async () => {
        await node.process.kill();
        node.process.start();
        await node.process.untilReady();
      });
      const { pairs } = await equal('log');
      checkKept(pairs, keys);
      return `${keys.size} writes, ${pairs.size} keys equal on 3 nodes`;
    });

    await step('kill -9 of the leader, while both clusters are written to', async () => {
      const clients = [table('log'), ...clientsOf(cluster).map((client) => client.forTable('log'))];
      const { keys, others } = await writeWhile(clients, 'leader/', 150, async () => {
        await leader.kill();
        await leader.restart();
      });
      const { pairs } = await equal('log');
      checkKept(pairs, keys);
      return `${keys.size} writes acknowledged and kept, ${others} not acknowledged, ${pairs.size} keys equal`;
    });

    await step('the follower cluster is down while the log is compacted', async () => {
      for (const { process } of cluster.nodes) await process.kill();
      await writeAllKinds(table('log'), 100, 20);
      await putMany(table('log'), 'meanwhile/', ENTRIES_PAST_COMPACTION);
      for (const { process } of cluster.nodes) process.start();
      await cluster.untilReady();
      const { pairs } = await equal('log');
      const snapshots = await snapshotsTaken(cluster);
      if (snapshots === 0) throw new Error('no snapshot was taken');
      return `${pairs.size} keys equal on 3 nodes, ${snapshots} snapshot(s)`;
    });

    await step('a table is deleted, seen to be gone, and made again', async () => {
      await makeTable(leader.client, 'again');
      await putMany(table('again'), 'first/', 50);
      await equal('again');
      await deleteAndMake(leader.client, 'again', async () => {
        // Nothing says on the follower's side that it has looked: three intervals are a wait, not a verdict.
        await new Promise((done) => setTimeout(done, 3_000));
      });
      await putMany(table('again'), 'second/', 10);
      const { pairs } = await equal('again');
      return `${pairs.size} keys equal on 3 nodes`;
    });

    await step('a table is deleted and made again at once, its new log the longer one', async () => {
      await makeTable(leader.client, 'longer');
      await putMany(table('longer'), 'first/', 30);
      await equal('longer');
      await deleteAndMake(leader.client, 'longer');
      await putMany(table('longer'), 'second/', 90);
      const { pairs } = await equal('longer');
      return `${pairs.size} keys equal on 3 nodes`;
    });

    await step('a table is deleted and made again at once, its new log the shorter one', async () => {
      await makeTable(leader.client, 'shorter');
      await putMany(table('shorter'), 'first/', 90);
      await equal('shorter');
      await deleteAndMake(leader.client, 'shorter');
      await putMany(table('shorter'), 'second/', 10);
      // It may be stopped with a reason, and wants an operator then, or be seen to be another one.
      let how = 'noticed by itself';
      let isEqual = false;
      const equality = equal('shorter').then((result) => {
        isEqual = true;
        return result;
      });
      equality.catch(() => undefined);
      await eventually('the table is stopped, or equal', async () => {
        if (isEqual) return true;
        for (const node of cluster.nodes) {
          const { state, error } = (await replicationOf(node, 'shorter')) ?? {};
          if (state !== 'stopped') continue;
          if (!error.includes('coxswain reset --table shorter')) throw new Error(`stopped with: ${error}`);
          await node.client.forTable('shorter').reset(CALL_TIMEOUT_MS);
          how = 'stopped with its reason, and reset';
          return true;
        }
        return false;
      });
      const { pairs } = await equality;
      return `${how}; ${pairs.size} keys equal on 3 nodes`;
    });

    await step('at the end', async () => {
      const sizes = [];
      for (const name of ['old', 'log', 'again', 'longer', 'shorter']) {
        sizes.push(`${name} ${(await equal(name)).pairs.size}`);
      }
      return `keys equal on 3 nodes: ${sizes.join(', ')}`;
    });
  });
}

const command = fileURLToPath(new URL('../packages/cli/bin/coxswain.cjs', import.meta.url));

/** Runs the command of ours against the server, and gives what it printed. Throws when it fails, with its reason. */
async function coxswain(address, ...args) {
  const { stdout } = await promisify(execFile)(process.execPath, [command, ...args, '--endpoints', address]);
  return stdout;
}

/** Our backup and restore of a stock cluster, which says less of both than one of ours. */
async function checkBackup(peer) {
  await scenario(`a backup of ${peer.name}`, async (step, onEnd) => {
    const stock = await StockProcess.start(peer, 'leader', {});
    onEnd(() => stock.dispose());
    const directory = join(stock.directory, 'backup');
    const full = ['one', 'two', 'three', 'four'];

    await step('every table, one without a key among them', async () => {
      for (const name of [...full, 'empty']) await makeTable(stock.client, name);
      for (const name of full) await putMany(stock.client.forTable(name), `${name}/`, 200);
      const printed = await coxswain(stock.address, 'backup', '--dir', directory, '--output', 'simple');
      const tables = printed.trim().split('\n').length;
      if (tables !== full.length + 1) throw new Error(`it printed ${JSON.stringify(printed)}`);
      return `${tables} tables`;
    });

    await step('restored into the same cluster, whose tables were written to since', async () => {
      for (const name of full) await putMany(stock.client.forTable(name), 'later/', 20);
      await coxswain(stock.address, 'restore', '--dir', directory, '--yes', '--parallel', '4');
      for (const name of full) await untilCount(stock.client.forTable(name), 200);
      await untilCount(stock.client.forTable('empty'), 0);
      return `${full.length} tables of 200 keys, and one of none`;
    });

    await step('restored into a cluster of ours', async () => {
      const cluster = await ProcessCluster.start(1, {});
      onEnd(() => cluster.dispose());
      const { client, address } = cluster.nodes[0];
      await coxswain(address, 'restore', '--dir', directory, '--yes');
      for (const name of full) await untilEqual(name, stock.client, [client]);
      await untilCount(client.forTable('empty'), 0);
      return 'keys and values equal';
    });
  });
}

function untilCount(client, count) {
  return eventually(`a table has ${count} keys`, async () => {
    return (await client.count(CALL_TIMEOUT_MS)) === count;
  });
}

/** A stock follower below our leader cluster. */
async function checkAbove(peer) {
  await scenario(`${peer.name} below Coxswain`, async (step, onEnd) => {
    const cluster = await ProcessCluster.start(3, compactionFlags);
    onEnd(() => cluster.dispose());
    const [first, second] = cluster.nodes;
    const table = (name) => first.client.forTable(name);
    let follower;
    const equal = (name) => untilEqual(name, first.client, [follower.client]);

    await step('a table whose log does not reach back any more comes by snapshot', async () => {
      await makeTable(first.client, 'old');
      await putMany(table('old'), 'large/', 80, 'v'.repeat(64 * 1024));
      await putMany(table('old'), 'small/', ENTRIES_PAST_COMPACTION);
      await makeTable(first.client, 'log');
      follower = await StockProcess.start(peer, 'follower', {
        ...stockFollowerFlags,
        ...(peer.name === 'Armada' ? {} : { 'memberlist.node-name': 'follower' }),
        'replication.leader-address': `http://${second.replicationAddress}`,
      });
      onEnd(() => follower.dispose());
      const { pairs } = await equal('old');
      return `${pairs.size} keys equal`;
    });

    await step('writes of every kind come by log, transactions over revisions too', async () => {
      await writeAllKinds(table('log'), 150, 1);
      const held = await writeRevisionTxns(table('log'), 50);
      const { pairs } = await equal('log');
      return `200 writes (${held} of 50 such transactions held), ${pairs.size} keys equal`;
    });

    await step('writes through the follower', async () => {
      const client = follower.client.forTable('log');
      await writeAllKinds(client, 50, 10);
      const { pairs } = await equal('log');
      return `50 writes, ${pairs.size} keys equal`;
    });

    await step('requests as large as they may be', async () => {
      const value = 'w'.repeat(2 * 1024 * 1024 - 1024);
      await makeTable(first.client, 'large');
      await acknowledged(table('large').put('one', value, CALL_TIMEOUT_MS));
      await putMany(table('large'), 'more/', 5, value.slice(0, 1_500_000));
      const { pairs } = await equal('large');
      return `${pairs.size} keys of up to ${value.length} bytes equal`;
    });

    await step('kill -9 of the node that it asks, while all nodes are written to', async () => {
      const clients = clientsOf(cluster).map((client) => client.forTable('log'));
      const { keys, others } = await writeWhile(clients, 'leader/', 150, async () => {
        await second.process.kill();
        second.process.start();
        await second.process.untilReady();
      });
      const { pairs } = await equal('log');
      checkKept(pairs, keys);
      return `${keys.size} writes acknowledged and kept, ${others} not acknowledged, ${pairs.size} keys equal`;
    });

    await step('kill -9 of the follower, while the leader cluster is written to', async () => {
      const { keys } = await writeWhile([table('log')], 'follower/', 150, async () => {
        await follower.kill();
        await follower.restart();
      });
      const { pairs } = await equal('log');
      checkKept(pairs, keys);
      return `${keys.size} writes, ${pairs.size} keys equal`;
    });

    await step('the follower is down while the log is compacted', async () => {
      await follower.kill();
      await writeAllKinds(table('log'), 100, 20);
      await putMany(table('log'), 'meanwhile/', ENTRIES_PAST_COMPACTION);
      await follower.restart();
      const { pairs } = await equal('log');
      return `${pairs.size} keys equal`;
    });

    await step('a table is deleted, gone there, and made again', async () => {
      await makeTable(first.client, 'again');
      await putMany(table('again'), 'first/', 50);
      await equal('again');
      await deleteAndMake(first.client, 'again', () =>
        eventually(
          'it is gone there',
          async () => !(await follower.client.tables(CALL_TIMEOUT_MS)).has('again'),
        ),
      );
      await putMany(table('again'), 'second/', 10);
      const { pairs } = await equal('again');
      return `${pairs.size} keys equal`;
    });

    for (const [name, before, after] of [
      ['longer', 30, 90],
      ['shorter', 90, 10],
    ]) {
      await step(`a table is deleted and made again at once, its new log the ${name} one`, async () => {
        await makeTable(first.client, name);
        await putMany(table(name), 'first/', before);
        await equal(name);
        await deleteAndMake(first.client, name);
        await putMany(table(name), 'second/', after);
        const { pairs } = await equal(name);
        return `${pairs.size} keys equal`;
      });
    }

    await step('at the end', async () => {
      const sizes = [];
      for (const name of ['old', 'log', 'large', 'again', 'longer', 'shorter']) {
        sizes.push(`${name} ${(await equal(name)).pairs.size}`);
      }
      return `keys equal: ${sizes.join(', ')}`;
    });
  });
}

const all = [findPeer('Regatta', 'REGATTA'), findPeer('Armada', 'ARMADA')];
const peers = all.filter((peer) => peer?.name.toLowerCase().includes(options.only));
if (all[0] === undefined)
  console.log('Regatta is left out: REGATTA names no binary, and none is on the PATH.');
if (all[1] === undefined) console.log('Armada is left out: ARMADA names no binary, and none is on the PATH.');
if (peers.length === 0) console.log('Nothing was checked.');
for (const peer of peers) {
  const isAsked = (direction) => options.direction === '' || options.direction === direction;
  if (isAsked('below')) await checkBelow(peer);
  if (isAsked('above')) await checkAbove(peer);
  if (isAsked('backup')) await checkBackup(peer);
}
process.exit(failures === 0 ? 0 : 1);
