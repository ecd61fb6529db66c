import { compare, operation, StatusCode } from '@coxswain/client';
import { eventually } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { Cluster, type ClusterNode, contentOf, untilEqual } from './cluster.js';
import { ReplicationClient } from './stock/replication-client.js';

const atDebug = ['--log-level=debug'];
/** A table's name may be what a disk, a list or a shell takes for something else (T5). */
const ODD_NAME = '..DOM\\users, "x"';
const clusters: Cluster[] = [];
let leader: Cluster;
let follower: Cluster;

async function started(options: Parameters<typeof Cluster.ready>[0]): Promise<Cluster> {
  const cluster = await Cluster.start(options);
  clusters.push(cluster);
  return cluster;
}

beforeAll(async () => {
  leader = await started({ role: 'leader', nodes: 1, tables: ['first', 'second'], flags: atDebug });
  await leader.untilReady();
  await (await leader.client()).tables.create(ODD_NAME);
  follower = await started({ role: 'follower', nodes: 3, follows: leader, flags: atDebug });
  await follower.untilReady();
  for (const table of ['first', 'second']) await untilEqual(table, leader, follower);
});

afterAll(async () => {
  await Promise.all(clusters.map((cluster) => cluster.stop()));
});

/** A key and a value that stand nowhere else. */
const secrets = { key: 'kiwi-of-the-workload', value: 'quince-of-the-workload' };

/** Looks through what nodes have printed, at level debug, for the secrets as text, in base64, as digits and as bytes. */
function expectSilence(nodes: readonly ClusterNode[]): void {
  const forms = Object.values(secrets)
    .map((text) => Buffer.from(text))
    .flatMap((bytes) => [
      bytes.toString(),
      bytes.toString('base64').replace(/=*$/, '').slice(0, -1),
      bytes.toString('hex'),
      bytes.join(','),
    ]);
  for (const { output } of nodes) {
    expect(output).toContain('"level":"debug"');
    expect(forms.filter((form) => output.includes(form))).toEqual([]);
  }
}

/** How often a cluster was asked for its tables. */
async function asked(cluster: Cluster): Promise<number> {
  const metrics = await cluster.node(1).metrics();
  const lines = metrics.split('\n').filter((line) => line.startsWith('grpc_server_handled_total{'));
  const line = lines.find((each) => each.includes('"replication.v1.Metadata"') && each.includes('"OK"'));
  return Number(line?.split(' ').at(-1) ?? 0);
}

/** Whether a line of a node's log has this event, at this level. */
function says(node: ClusterNode, level: string, event: string): boolean {
  return node.output
    .split('\n')
    .some((line) => line.startsWith(`{"level":"${level}",`) && line.includes(`"event":"${event}"`));
}

async function untilAskedAgain(cluster: Cluster): Promise<void> {
  const before = await asked(cluster);
  await eventually(
    'the tables were looked at again and again',
    async () => (await asked(cluster)) >= before + 5,
  );
}

describe('writes on a follower cluster', () => {
  test('are read where they were written, on every node', async () => {
    for (let turn = 0; turn < 5; turn++) {
      for (const node of follower.nodes) {
        const client = await node.client();
        const value = `${turn} by ${node.id}`;
        const { header } = await client.put('first', 'mine', value);
        // Serializable: from this node's own state, without a word to anyone.
        const read = await client.get('first', 'mine', { linearizable: false });
        expect(read!.value.toString()).toBe(value);
        expect(read!.modRevision).toBe(header!.revision);
      }
    }
    const [one, two] = follower.nodes as [ClusterNode, ClusterNode];
    await (await one.client()).deleteRange('first', 'mine');
    expect(await (await one.client()).get('first', 'mine', { linearizable: false })).toBeUndefined();
    expect(await (await two.client()).get('first', 'mine')).toBeUndefined();
    await untilEqual('first', leader, follower);
  });

  test('compare and swap by the mod_revision that a follower cluster shows', async () => {
    const there = await leader.client();
    await there.put('first', 'shared', 'a');
    await untilEqual('first', leader, follower);
    for (const node of follower.nodes) {
      const client = await node.client();
      const read = await client.get('first', 'shared');
      expect(read).toEqual(await there.get('first', 'shared'));
      const swap = (value: string) =>
        client
          .txn('first')
          .when(compare.modRevision('shared', '=', read!.modRevision))
          .do(operation.put('shared', value))
          .otherwise(operation.range('shared'))
          .commit();
      expect((await swap(`by ${node.id}`)).succeeded).toBe(true);
      const again = await swap('too late');
      expect(again.succeeded).toBe(false);
      const local = await client.get('first', 'shared', { linearizable: false });
      expect(local!.value.toString()).toBe(`by ${node.id}`);
    }
    await untilEqual('first', leader, follower);
  });

  test('of a table of any name', async () => {
    for (const node of follower.nodes) await (await node.client()).put(ODD_NAME, `${node.id}`, ODD_NAME);
    await (await leader.client()).put(ODD_NAME, 'there', ODD_NAME);
    await untilEqual(ODD_NAME, leader, follower);
  });

  test('travel everywhere when they are as large as a request may be (P4)', async () => {
    const client = await follower.node(2).client();
    const value = Buffer.alloc(2 * 1024 * 1024 - 1024, 'v');
    await client.put('second', 'large', value);
    await client
      .txn('second')
      .when(compare.value('large', '=', value.subarray(0, 1024)))
      .do(operation.deleteRange('large'))
      .otherwise(operation.put('larger', value), operation.put('largest', value.subarray(4096)))
      .commit();
    await untilEqual('second', leader, follower);
    const { kvs } = await client.range('second', 'larg', { prefix: true, keysOnly: true });
    expect(kvs.map(({ key }) => key.toString())).toEqual(['large', 'larger', 'largest']);
  });

  test('keep the leader cluster\u2019s errors, and tables are made and deleted there only', async () => {
    const client = await follower.node(1).client();
    await expect(client.put('missing', 'k', 'v')).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
      message: expect.stringContaining('leader error: rpc error: code = NotFound desc = table not found'),
    });
    await expect(client.tables.create('third')).rejects.toMatchObject({
      code: StatusCode.UNIMPLEMENTED,
      message: expect.stringContaining('method Create not implemented for follower'),
    });
    await expect(client.tables.delete('first')).rejects.toMatchObject({
      code: StatusCode.UNIMPLEMENTED,
      message: expect.stringContaining('method Delete not implemented for follower'),
    });
  });

  test('a command that is for the other kind of cluster says so', async () => {
    const ofLeaders = 'only leader clusters do that: give the --endpoints of one';
    for (const args of [
      ['tables', 'create', 'third'],
      ['tables', 'delete', 'first', '--yes'],
      ['restore', '--from-archive', '--tables', 'first', '--yes'],
      ['restore', '--from-archive', '--tables', 'first', '--dry-run'],
      ['clone', 'forget'],
    ]) {
      const refused = await runHere([...args, '--endpoints', follower.node(1).endpoint]);
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(ofLeaders) });
    }
    expect(await runHere(['reset', '--all', '--endpoints', leader.node(1).endpoint])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('only follower clusters do that: give the --endpoints of one'),
    });
  });

  test('a table that is made on the leader cluster is there', async () => {
    const there = await leader.client();
    await there.tables.create('third');
    await there.put('third', 'k', 'v');
    await untilEqual('third', leader, follower);
    await (await follower.node(2).client()).put('third', 'k', 'from here');
    expect((await there.get('third', 'k'))!.value.toString()).toBe('from here');
  });
});

test('no node of either cluster logs a key or a value, whatever is done with them', async () => {
  const { key, value } = secrets;
  for (const node of [leader.node(1), follower.node(1), follower.node(2)]) {
    const client = await node.client();
    await client.put('first', key, value);
    await client.get('first', key, { linearizable: false });
    for await (const _ of client.iterateRange('first', key, { prefix: true }));
    const swap = client
      .txn('first')
      .when(compare.value(key, '=', value))
      .do(operation.put(`${key}-2`, value), operation.range(key))
      .otherwise(operation.deleteRange(key));
    expect((await swap.commit()).succeeded).toBe(true);
    await client.deleteRange('first', key, { prefix: true, prevKv: true });
    // What is refused, here or by the leader cluster, is no excuse either.
    await expect(client.put('missing', key, value)).rejects.toThrow('table not found');
    await expect(client.put('first', key.repeat(100), value)).rejects.toThrow('key length');
    await expect(client.range('first', key, { revision: 1n << 40n })).rejects.toThrow();
    await client.put('first', key, value);
  }
  await untilEqual('first', leader, follower);
  expectSilence([...leader.nodes, ...follower.nodes]);
});

test('every node says how every table is replicated, and the leader cluster who replicates it', async () => {
  const puller = await follower.leaderOf('first');
  for (const { output } of follower.nodes) {
    expect(output).toContain('"event":"peer-connected"');
    expect(output).toContain('"event":"group-leader-changed"');
  }
  await eventually('all nodes agree', async () => {
    for (const { endpoint } of follower.nodes) {
      const { stdout } = await runHere(['status', '--endpoints', endpoint, '--table', 'first']);
      const line = stdout.split('\n').find((each) => each.startsWith(`replicates, ${endpoint}`));
      if (!/, replicating, \d+, 0 entries, [\d.]+ s, $/.test(line ?? '')) return false;
    }
    const states = await Promise.all(follower.nodes.map((node) => node.status()));
    const pullers = states.map(({ tables }) => Number(tables.get('first')!.replication!.replicatedBy));
    return pullers.every((id) => id === puller.id);
  });
  await puller.kill();
  const next = await follower.leaderOf('first');
  const lost = `"peer":${puller.id},"reason":`;
  await eventually('the others have said at debug that the connection is gone', () =>
    follower.nodes.every(({ isRunning, output }) =>
      isRunning
        ? output
            .split('\n')
            .some((line) => line.includes(lost) && line.includes('"event":"peer-disconnected"'))
        : true,
    ),
  );
  await (await leader.client()).put('first', 'after', 'the handover');
  await eventually('the other one is behind no more', async () => {
    const { followers } = await leader.node(1).status();
    const ofTable = followers.filter(
      ({ table, follower: name }) => table === 'first' && !name.includes('moved'),
    );
    const [sighting] = ofTable;
    return (
      ofTable.length === 1 && sighting!.follower.endsWith(`node-${next.id}`) && sighting!.lagEntries === 0n
    );
  });
  follower.restart(puller.id);
  await follower.untilReady();
  await untilEqual('first', leader, follower);
});

describe('coxswain reset', () => {
  const shards = async (): Promise<Map<string, bigint>> => {
    const { tables } = await follower.node(1).status();
    return new Map([...tables].map(([name, { shardId }]) => [name, shardId]));
  };

  test('takes one table anew, or all', async () => {
    const flags = ['--endpoints', follower.node(3).endpoint];
    const before = await shards();
    expect(await runHere(['reset', '--table', 'first', ...flags])).toMatchObject({ exitCode: 0, stderr: '' });
    await eventually(
      'node 1 knows the new shard',
      async () => (await shards()).get('first') !== before.get('first'),
    );
    const after = await shards();
    expect(after.get('second')).toBe(before.get('second'));
    await untilEqual('first', leader, follower);

    expect(await runHere(['reset', '--all', ...flags])).toMatchObject({ exitCode: 0, stderr: '' });
    await eventually('every table has a new shard', async () => {
      const last = await shards();
      return [...after].every(([name, shardId]) => last.get(name) !== shardId);
    });
    for (const table of after.keys()) await untilEqual(table, leader, follower);
    await (await follower.client()).put('first', 'after', 'the reset');
    await untilEqual('first', leader, follower);
  });

  test('refuses a table that is not there, and a leader cluster', async () => {
    await expect((await follower.client()).maintenance.reset({ table: 'missing' })).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
      message: expect.stringContaining('table not found'),
    });
    await expect((await leader.client()).maintenance.reset('all')).rejects.toMatchObject({
      code: StatusCode.UNIMPLEMENTED,
      message: expect.stringContaining('method Reset not implemented'),
    });
  });
});

describe('a follower cluster is no leader cluster (R5)', () => {
  test('nobody gets its log, its snapshots or its tables', async () => {
    const refusal = {
      code: StatusCode.FAILED_PRECONDITION,
      details: 'a follower cluster cannot be a leader cluster',
    };
    const client = new ReplicationClient(follower.node(1).replicationAddress);
    try {
      await expect(client.replicate('first', 1)).rejects.toMatchObject(refusal);
      await expect(client.snapshot('first')).rejects.toMatchObject(refusal);
      await expect(client.tables()).rejects.toMatchObject(refusal);
    } finally {
      client.close();
    }
  });

  test('a follower cluster of it says so, and holds nothing', async () => {
    const second = await started({ role: 'follower', nodes: 1, follows: follower });
    await eventually('it says so', async () => {
      const { errors } = await second.node(1).status();
      return errors.some((error) => error.includes('a follower cluster cannot be a leader cluster'));
    });
    expect((await second.node(1).status()).tables.size).toBe(0);
    await second.killAll();
  });
});

describe('a follower cluster of another leader cluster', () => {
  let itsLeader: Cluster;
  let moved: Cluster;

  beforeAll(async () => {
    itsLeader = await started({ role: 'leader', nodes: 1, only: [], tables: ['first', 'second'] });
    moved = await started({ role: 'follower', nodes: 1, follows: itsLeader });
  });

  test('that starts before its leader cluster waits for it, and says so', async () => {
    await eventually('it says what it waits for', async () => {
      const { errors } = await moved.node(1).status();
      return errors.some((error) => error.startsWith('replication: '));
    });
    await eventually('its log says that it reaches none', () =>
      says(moved.node(1), 'warn', 'leader-cluster-lost'),
    );
    expect(moved.node(1).output).not.toContain('is reached again');
    itsLeader.restart(1);
    await itsLeader.untilReady();
    await (await itsLeader.client()).put('first', 'k', 'v');
    await moved.untilReady();
    await eventually('its log says that it reaches it', () =>
      says(moved.node(1), 'info', 'leader-cluster-reached'),
    );
    for (const table of ['first', 'second']) await untilEqual(table, itsLeader, moved);
  });

  describe('stops with a clear status and deletes nothing when it is pointed at another one (R4),', () => {
    let other: Cluster;
    let before: string[];

    beforeAll(async () => {
      other = await started({ role: 'leader', nodes: 1 });
      await other.untilReady();
      before = await contentOf(await moved.client(), 'first');
      await moved.killAll();
      moved.restart(1, { follows: other });
    });

    test.each([
      ['which is empty', async () => undefined],
      [
        'which has a table of that name',
        async () => {
          const client = await other.client();
          await client.tables.create('first');
          await client.put('first', 'of', 'the other');
        },
      ],
    ])('%s', async (_what, fill) => {
      await fill();
      await untilAskedAgain(other);
      const status = await moved.node(1).status();
      expect(status.errors.join()).toMatch(/belongs to [0-9a-f]{32}: correct replication\.leader-address/);
      await eventually('it serves what it has', () => moved.node(1).isReady());
      expect((await moved.node(1).readiness('replication')).isReady).toBe(false);
      expect(await contentOf(await moved.client(), 'first')).toEqual(before);
      expect([...status.tables.keys()]).toEqual(['first', 'second']);
    });

    test('and goes on where it belongs', async () => {
      await Promise.all([moved.killAll(), other.killAll()]);
      moved.restart(1);
      await moved.untilReady();
      await (await itsLeader.client()).put('first', 'since', 'then');
      await untilEqual('first', itsLeader, moved);
      expect((await moved.node(1).status()).errors).toEqual([]);
      await Promise.all([moved.killAll(), itsLeader.killAll()]);
    });
  });
});

test('whose leader cluster has lost every table deletes nothing (R4)', async () => {
  const before = await contentOf(await follower.client(), 'second');
  const there = await leader.client();
  for (const { name } of (await there.tables.list()).tables) await there.tables.delete(name);
  await untilAskedAgain(leader);
  for (const node of follower.nodes) {
    expect(await contentOf(await node.client(), 'second')).toEqual(before);
    expect([...(await node.status()).tables.keys()]).toEqual([ODD_NAME, 'first', 'second', 'third']);
  }
});

test('whose leader cluster was killed serves what it has, and says how old that is', async () => {
  await leader.killAll();
  for (const node of follower.nodes) {
    await eventually('it is known that the leader cluster is away', async () => {
      const { isReady, text } = await node.readiness('replication');
      return !isReady && text.includes('isLeaderClusterOutOfReach=true');
    });
    expect(await node.readiness()).toEqual({ isReady: true, text: 'ok\n' });
    const metrics = await node.metrics();
    expect(metrics).toMatch(/^coxswain_ready 1$/m);
    expect(metrics).toMatch(/^coxswain_replication_leader_reached 0$/m);
    const ages = async () => (await node.status()).tables.get('first')!.replication!.lagMs;
    const before = await ages();
    expect(before).toBeGreaterThan(0n);
    await eventually('it grows older', async () => (await ages()) > before);
    const client = await node.client();
    expect(await client.get('first', 'after', { linearizable: false })).toBeDefined();
    await eventually('its log says so', () => says(node, 'warn', 'leader-cluster-lost'));
  }
  expectSilence(follower.nodes);
});
