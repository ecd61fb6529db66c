import { eventually, StockReplica } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { Cluster, type ClusterNode, contentOf, untilEqual } from './cluster.js';
import { askForLog } from './stock/replication-client.js';
import { StockFollower } from './stock/stock-follower.js';
import { Writer } from './writer.js';

/** Limits so low that after a few hundred writes the log no longer has its beginning. */
const compaction = ['--raft.snapshot-entries=200', '--raft.compaction-overhead=20'];

let leader: Cluster;
let follower: Cluster;
/** Another follower cluster, once it was started. */
let sibling: Cluster | undefined;

beforeAll(async () => {
  leader = await Cluster.ready({
    role: 'leader',
    nodes: 3,
    tables: ['first', 'second', 'again'],
    flags: compaction,
  });
  follower = await Cluster.ready({ role: 'follower', nodes: 3, follows: leader, flags: compaction });
});

afterAll(async () => {
  await Promise.all([sibling?.stop(), follower?.stop(), leader?.stop()]);
});

/** What a table's shard is in the follower cluster: another one after a snapshot. */
async function shardIn(node: ClusterNode, table: string): Promise<bigint | undefined> {
  return (await node.status()).tables.get(table)?.shardId;
}

async function fill(table: string, count: number): Promise<void> {
  const client = await leader.client();
  await Promise.all(
    Array.from({ length: count }, (_, index) => client.put(table, `fill/${index}`, `${index}`)),
  );
}

/** Lets a writer do so much while something happens. */
async function whileWriting(table: string, act: (writer: Writer) => Promise<void>): Promise<void> {
  const writer = new Writer(await leader.client(), table);
  try {
    await eventually('the writer has begun', () => writer.written >= 20);
    await act(writer);
    const enough = writer.written + 20;
    await eventually('the writer goes on', () => writer.written >= enough);
  } finally {
    await writer.stop();
  }
}

describe('the stream to a follower cluster resumes exactly once after', () => {
  test('follower leader change (R1)', async () => {
    const led = await follower.leaderOf('first');
    await whileWriting('first', async () => {
      await led.kill();
      await eventually('another node replicates', async () => (await follower.leaderOf('first')) !== led);
    });
    await untilEqual('first', leader, follower);
    // It comes back after the outage, with the others.
  });

  test('leader-cluster leader change', async () => {
    const led = await leader.leaderOf('first');
    await whileWriting('first', async () => {
      await led.kill();
      await eventually('another node leads', async () => (await leader.leaderOf('first')) !== led);
    });
    await untilEqual('first', leader, follower);
    leader.restart(led.id);
    await untilEqual('first', leader, follower);
  });

  describe('an outage of the whole follower cluster, and meanwhile', () => {
    /** What the tables' shards were before it. */
    const shardIds = new Map<string, bigint>();

    beforeAll(async () => {
      const client = await leader.client();
      await Promise.all(
        Array.from({ length: 30 }, (_, index) => client.put('again', `old/${index}`, 'content')),
      );
      for (const table of ['second', 'again']) await untilEqual(table, leader, follower);
      const { tables } = await follower.nodes.find(({ isRunning }) => isRunning)!.status();
      for (const [name, { shardId }] of tables) shardIds.set(name, shardId);
      const next = Number(tables.get('second')!.replication!.leaderIndex) + 1;
      await follower.killAll();
      await fill('second', 300);
      await eventually('the log of the leader cluster begins later', async () => {
        await fill('second', 20);
        const answers = await Promise.all(
          leader.nodes.map((node) => askForLog(node.replicationAddress, 'second', next)),
        );
        return answers.every(({ error }) => error === 'USE_SNAPSHOT');
      });
      // No follower is connected that could hear of it.
      await client.tables.delete('again');
      await client.tables.create('again');
      // More than the old table had: if indices began again, the old cursor would fit into the new log.
      await Promise.all(
        Array.from({ length: 40 }, (_, index) => client.put('again', `new/${index}`, 'content')),
      );
      for (const { id } of follower.nodes) follower.restart(id);
      await follower.untilReady();
    });

    test('compaction past its position, which forces a snapshot (T2)', async () => {
      await untilEqual('second', leader, follower);
      expect(await shardIn(follower.node(1), 'second')).not.toBe(shardIds.get('second'));
    });

    test('a table deleted and made again under the same name (T1)', async () => {
      await untilEqual('again', leader, follower);
      expect(await shardIn(follower.node(1), 'again')).not.toBe(shardIds.get('again'));
      const content = await contentOf(await follower.client(), 'again');
      expect(content).toHaveLength(40);
      expect(content.every((line) => /^new\/\d+=content \d+\/\d+\/1$/.test(line))).toBe(true);
    });

    test('nothing in a table that goes on where it was (R1)', async () => {
      await untilEqual('first', leader, follower);
      expect(await shardIn(follower.node(1), 'first')).toBe(shardIds.get('first'));
    });
  });
});

test('a snapshot is taken while writes go on (T2)', async () => {
  const shardId = await shardIn(follower.node(1), 'first');
  await whileWriting('first', async () => {
    await (await follower.client()).maintenance.reset({ table: 'first' });
    await eventually(
      'another shard took over',
      async () => (await shardIn(follower.node(1), 'first')) !== shardId,
    );
  });
  await untilEqual('first', leader, follower);
});

test('deletes during an outage arrive', async () => {
  const client = await leader.client();
  await fill('second', 50);
  await untilEqual('second', leader, follower);
  for (const node of follower.nodes) node.signal('SIGSTOP');
  await client.deleteRange('second', 'fill/1', { prefix: true });
  await client.deleteRange('again', 'new/5');
  for (const node of follower.nodes) node.signal('SIGCONT');
  for (const table of ['second', 'again']) await untilEqual(table, leader, follower);
  const there = await follower.client();
  const keys = [...(await contentOf(there, 'second')), ...(await contentOf(there, 'again'))];
  expect(keys.some((key) => key.startsWith('fill/1') || key.startsWith('new/5='))).toBe(false);
  expect(keys.length).toBeGreaterThan(30);
});

test('a slow table of a follower cluster does not slow others', async () => {
  const client = await leader.client();
  sibling = await Cluster.ready({ role: 'follower', nodes: 1, follows: leader });
  const slow = sibling;
  // It comes by the log, which is not held back, and takes minutes as a snapshot, once that is.
  const value = Array.from({ length: 20_000 }, () => Math.random().toString(36)).join('');
  await client.put('second', 'large', value);
  await untilEqual('second', leader, slow);
  await untilEqual('first', leader, slow);
  await slow.killAll();
  slow.restart(1, { flags: ['--replication.max-snapshot-recv-bytes-per-second=2KiB'] });
  await slow.untilReady();
  const there = await slow.client();
  await there.maintenance.reset({ table: 'second' });
  const stateOf = async (table: string) =>
    (await slow.node(1).status()).tables.get(table)!.replication!.state;
  await eventually('the reset is under way', async () => (await stateOf('second')) === 'resetting');
  for (let write = 0; write < 20; write++) {
    // Answered when it was applied here too.
    await there.put('first', 'beside', String(write));
  }
  await untilEqual('first', leader, slow);
  expect(await stateOf('second')).toBe('resetting');

  // What was asked for once is done, whatever comes between.
  const shardId = await shardIn(slow.node(1), 'second');
  await slow.killAll();
  slow.restart(1, { flags: [] });
  await slow.untilReady();
  await eventually(
    'another shard took over',
    async () => (await shardIn(slow.node(1), 'second')) !== shardId,
  );
  await untilEqual('second', leader, slow);
});

describe('when the site of the leader cluster is lost (R5)', () => {
  let promoted: Cluster;

  beforeAll(async () => {
    for (const table of ['first', 'second', 'again']) await untilEqual(table, leader, follower, sibling!);
  });

  test('promote makes the follower cluster take writes, and keeps what it had', async () => {
    const before = await contentOf(await leader.client(), 'first');
    const { contentHash, revision } = (await leader.node(1).status()).tables.get('first')!;
    await leader.killAll();
    await eventually('writes are refused', async () => {
      const client = await follower.client();
      return client.put('first', 'k', 'v', { timeoutMs: 500 }).then(
        () => false,
        () => true,
      );
    });
    const outcome = await runHere(['promote', '--yes', '--endpoints', follower.node(2).endpoint]);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    promoted = follower;
    const client = await promoted.client();
    expect(await contentOf(client, 'first')).toEqual(before);
    const { header } = await client.put('first', 'written after', 'the loss');
    expect(Number(header!.revision)).toBeGreaterThan(Number(revision));
    await client.tables.create('third');
    await client.put('third', 'k', 'v');
    const status = await promoted.node(1).status();
    expect(status).toMatchObject({ role: 'leader', errors: [] });
    expect(status.tables.get('first')!.contentHash).not.toBe(contentHash);
  });

  test('its nodes start as leader cluster, with either command', async () => {
    const [one, two] = promoted.nodes as [ClusterNode, ClusterNode];
    await one.kill('SIGTERM');
    await two.kill('SIGTERM');
    promoted.restart(1, { role: 'leader', follows: undefined });
    promoted.restart(2);
    await promoted.untilReady();
    await (await promoted.client()).put('third', 'k', 'again');
    expect((await one.status()).role).toBe('leader');
    expect((await two.status()).role).toBe('leader');
  });

  test('a new follower cluster follows it', async () => {
    const next = await Cluster.ready({ role: 'follower', nodes: 1, follows: promoted });
    try {
      for (const table of ['first', 'second', 'again', 'third']) await untilEqual(table, promoted, next);
      await (await next.client()).put('third', 'from', 'afar');
      await untilEqual('third', promoted, next);
    } finally {
      await next.stop();
    }
  });

  test('another follower cluster of the lost one is pointed at it, and reset by whoever means it (R4)', async () => {
    const site = sibling!;
    await site.killAll();
    site.restart(1, { follows: promoted, flags: [] });
    const [node] = site.nodes as [ClusterNode];
    await eventually('it says whom it belongs to', async () => {
      const { errors } = await node.status();
      return errors.some((error) => error.includes('run "coxswain reset --all"'));
    });
    const outcome = await runHere(['reset', '--all', '--endpoints', node.endpoint]);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    for (const table of ['first', 'second', 'again', 'third']) await untilEqual(table, promoted, site);
    expect((await node.status()).errors).toEqual([]);
  });

  test('a stock follower of the lost one recovers from it by itself (T1)', async () => {
    const stock = new StockFollower(promoted.node(2).replicationAddress);
    try {
      // Where it was in the log of the lost one: to our leader that is far below the beginning.
      stock.tables.set('first', new StockReplica(40));
      const client = await promoted.client();
      await client.put('first', 'for', 'all');
      const content = (await contentOf(client, 'first')).map((line) => line.replace(/ \d+\/\d+\/\d+$/, ''));
      await eventually('it is equal', () => stock.contentOf('first').join() === content.join());
      expect(stock.errors).toEqual([]);
    } finally {
      await stock.stop();
    }
  });

  test('the data of the lost leader cluster is refused as a follower cluster', async () => {
    const node = leader.node(1);
    leader.restart(1, { role: 'follower', tables: undefined, follows: promoted });
    const outcome = await node.ended;
    expect(outcome.exitCode).toBe(1);
    expect(outcome.stderr).toBe(
      `coxswain: cannot use the data directory ${node.directory}: the data belongs to a leader cluster, and a follower cluster would replace it: start the node with "coxswain leader", or give it an empty data directory\n`,
    );
    expect(outcome.stdout).not.toMatch(/ at .*:\d+:\d+/);
  });
});
