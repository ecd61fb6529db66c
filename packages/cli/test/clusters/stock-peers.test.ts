import { type Coxswain, compare, operation } from '@coxswain/client';
import { mvcc } from '@coxswain/protocol';
import { eventually } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Cluster, contentOf } from './cluster.js';
import { askForLog } from './stock/replication-client.js';
import { StockFollower } from './stock/stock-follower.js';
import { StockLeader } from './stock/stock-leader.js';

const { DELETE, PUT_BATCH, DELETE_BATCH, TXN, SEQUENCE, GC } = mvcc.Command_CommandType;
const bytes = (text: string): Buffer => Buffer.from(text);
const pair = (key: string, value = '') => mvcc.KeyValue.fromPartial({ key: bytes(key), value: bytes(value) });

/** A transaction that puts one of two values, by the value that a key has. */
function ifEquals(key: string, value: string, then: string, otherwise: string): Partial<mvcc.Command> {
  return {
    type: TXN,
    txn: mvcc.Txn.fromPartial({
      compare: [{ key: bytes(key), targetUnion: { $case: 'value', value: bytes(value) } }],
      success: [{ request: { $case: 'requestPut', value: { key: bytes(key), value: bytes(then) } } }],
      failure: [{ request: { $case: 'requestPut', value: { key: bytes(key), value: bytes(otherwise) } } }],
    }),
  };
}

describe('our follower cluster after a stock leader', () => {
  const kinds = [
    { kind: 'of version 0.5', hasTerminal: true, hasInnerIndex: true },
    { kind: 'of version 0.5 whose commands hold no index', hasTerminal: true, hasInnerIndex: false },
    { kind: 'of the seed', hasTerminal: false, hasInnerIndex: true },
  ] as const;
  /** Each kind of leader has two tables, one of which begins as a snapshot. */
  const tablesOf = kinds.map((_, index) => ({ log: `log-${index}`, snapshot: `snapshot-${index}` }));
  let leader: StockLeader;
  let follower: Cluster;
  let client: Coxswain;

  beforeAll(async () => {
    leader = await StockLeader.start();
    leader.localTables.push('local');
    for (const [index, { log, snapshot }] of tablesOf.entries()) {
      leader.create(log, kinds[index]);
      leader.create(snapshot, kinds[index]);
      leader.tables.get(snapshot)!.brokenSnapshots.push('end', 'error');
      for (let key = 1; key <= 30; key++) leader.put(snapshot, `key/${key}`, `${key}`);
      leader.append(snapshot, { type: DELETE, kv: pair('key/1'), rangeEnd: bytes('key/2') });
      leader.compact(snapshot);
    }
    follower = await Cluster.ready({ role: 'follower', nodes: 1, follows: leader.address });
    client = await follower.client();
  });

  afterAll(async () => {
    await follower?.stop();
    leader?.stop();
  });

  /** Waits until both hold the same keys and values, up to the leader's last index. */
  async function untilEqual(table: string): Promise<void> {
    const log = leader.log(table);
    await eventually(`table ${table} is equal`, async () => {
      const { tables } = await follower.node(1).status();
      return tables.get(table)?.replication?.leaderIndex === BigInt(log.appliedIndex);
    });
    const ours = (await contentOf(client, table)).map((line) => line.replace(/ [^ ]*$/, ''));
    expect(ours).toEqual(log.state.content());
  }

  test.each(kinds.map(({ kind }, index) => ({ kind, ...tablesOf[index]! })))(
    '$kind ends with equal content, revisions being the indices of the leader',
    async ({ log, snapshot }) => {
      await untilEqual(snapshot);
      expect(leader.tables.get(snapshot)!.brokenSnapshots).toEqual([]);
      // T3: a stock leader sends no revisions, so they are what the snapshot stands for.
      expect(await client.get(snapshot, 'key/2')).toMatchObject({ createRevision: 31n, modRevision: 31n });

      leader.put(log, 'a', '1');
      leader.append(log, { type: mvcc.Command_CommandType.DUMMY });
      const index = leader.append(log, {
        type: PUT_BATCH,
        batch: [pair('b', '1'), pair('c', '1'), pair('d')],
      });
      leader.append(log, { type: DELETE_BATCH, batch: [pair('d'), pair('missing')] });
      leader.append(log, ifEquals('a', '1', 'right', 'wrong'));
      leader.append(log, ifEquals('a', '1', 'wrong', 'right again'));
      leader.append(log, {
        type: SEQUENCE,
        sequence: [pair('e', '1'), pair('e', '2')].map((kv) => mvcc.Command.fromPartial({ kv })),
      });
      leader.append(log, { type: DELETE, kv: pair('x'), rangeEnd: bytes('\0') });
      // Armada, which proposes it each time that it has compacted its log.
      leader.append(log, { type: GC, leaderIndex: 2n });
      await untilEqual(log);
      expect(await client.get(log, 'b')).toMatchObject({
        createRevision: BigInt(index),
        modRevision: BigInt(index),
        version: 1n,
      });
      expect(await client.get(log, 'a')).toMatchObject({ value: bytes('right again'), version: 3n });

      // Written here, by way of the leader, and read here at once.
      const { header } = await client.put(snapshot, 'key/3', 'forwarded');
      expect(header!.revision).toBe(32n);
      const read = await client.get(snapshot, 'key/3', { linearizable: false });
      expect(read).toMatchObject({ value: bytes('forwarded'), modRevision: 32n, version: 2n });
      await client.deleteRange(snapshot, 'key/4');
      await client
        .txn(snapshot)
        .when(compare.value('key/3', '=', 'forwarded'))
        .do(operation.put('key/3', 'as it was compared'))
        .commit();
      await untilEqual(snapshot);
    },
  );

  test('of every kind goes on after an outage, by log and by snapshot', async () => {
    await follower.killAll();
    for (const { snapshot } of tablesOf) {
      leader.put(snapshot, 'key/5', 'during an outage');
      leader.compact(snapshot);
      leader.put(snapshot, 'key/6', 'after it');
    }
    for (const { log } of tablesOf) leader.put(log, 'during', 'an outage');
    follower.restart(1);
    await follower.untilReady();
    client = await follower.client();
    for (const table of tablesOf.flatMap(({ log, snapshot }) => [log, snapshot])) await untilEqual(table);
    const status = await follower.node(1).status();
    expect([...status.tables.keys()]).toEqual([...leader.tables.keys()].sort());
  });
});

test('our follower cluster keeps its tables when a stock leader tells none, and one that lost its data is LEADER_BEHIND (R4)', async () => {
  const leader = await StockLeader.start();
  leader.create('table');
  for (let index = 1; index <= 9; index++) leader.put('table', `key/${index}`, 'value');
  const follower = await Cluster.ready({ role: 'follower', nodes: 1, follows: leader.address });
  try {
    const client = await follower.client();
    const replication = async () => (await follower.node(1).status()).tables.get('table')!.replication!;
    await eventually('the table is there', async () => (await replication()).leaderIndex === 9n);
    const before = await contentOf(client, 'table');
    const table = leader.tables.get('table')!;
    leader.tables.delete('table');
    await eventually('the list was looked at again', async () => (await replication()).error !== '');
    await eventually('and a few times more', () => leader.metadataCalls >= 5);
    expect(await contentOf(client, 'table')).toEqual(before);

    leader.tables.set('table', table);
    leader.forget('table', 3);
    await eventually('replication stops', async () => (await replication()).state === 'stopped');
    expect((await replication()).error).toMatch(/coxswain reset --table table/);
    // What it has is served.
    await eventually('it serves', () => follower.node(1).isReady());
    expect(await follower.node(1).readiness('replication')).toMatchObject({
      isReady: false,
      text: expect.stringContaining('hasIOThreadError=true') as unknown as string,
    });
    expect(await contentOf(client, 'table')).toEqual(before);

    await client.maintenance.reset({ table: 'table' });
    await eventually('it goes on', async () => (await replication()).state === 'replicating');
    expect(await contentOf(client, 'table')).toEqual([1, 2, 3].map((key) => `key/${key}=value 3/3/1`));
  } finally {
    await follower.stop();
    leader.stop();
  }
});

describe('a stock follower after our leader cluster', () => {
  let leader: Cluster;
  let client: Coxswain;
  let follower: StockFollower;

  beforeEach(async () => {
    leader = await Cluster.ready({
      role: 'leader',
      nodes: 1,
      tables: ['log', 'large', 'gone'],
      flags: ['--raft.snapshot-entries=100', '--raft.compaction-overhead=10'],
    });
    client = await leader.client();
  });

  afterEach(async () => {
    await follower?.stop();
    await leader?.stop();
  });

  async function untilEqual(table: string): Promise<void> {
    const ours = (await contentOf(client, table)).map((line) => line.replace(/ [^ ]*$/, ''));
    await eventually(`table ${table} is equal`, () => {
      const theirs = follower.contentOf(table);
      return theirs.length === ours.length && theirs.every((line, index) => line === ours[index]);
    });
  }

  test('ends with equal content, by log and by snapshot', async () => {
    // More than the 3 MiB at which its loader drops a record, so that only a repeated one survives.
    const value = Buffer.alloc(64 * 1024, 'v');
    await Promise.all(Array.from({ length: 130 }, (_, index) => client.put('large', `key/${index}`, value)));
    const address = leader.node(1).replicationAddress;
    await eventually('the log begins later', async () => {
      await client.put('large', 'more', 'and more');
      return (await askForLog(address, 'large', 1)).error === 'USE_SNAPSHOT';
    });
    follower = new StockFollower(address);
    await untilEqual('large');
    expect(follower.snapshotsTaken).toBe(1);
    expect(follower.recordsDropped).toBeGreaterThan(1);

    await client.put('log', 'a', '1');
    await client.put('log', 'b', '1');
    const { kvs } = await client.range('log', 'a');
    // R3: compares that it does not know, which it would take for tests of existence and go the other way.
    const mod = kvs[0]!.modRevision;
    for (const [when, isHeld] of [
      [compare.modRevision('a', '=', mod), true],
      [compare.modRevision('a', '=', mod), false],
      [compare.version('a', '>', 5), false],
      [compare.version('missing', '=', 0), true],
      [compare.createRevision('a', '<', 1), false],
      [compare.value('b', '=', '1'), true],
      [compare.value('missing', '!=', '1'), false],
      [compare.exists('b'), true],
    ] as const) {
      const { succeeded } = await client
        .txn('log')
        .when(when)
        .do(operation.put('a', `held ${mod}`), operation.deleteRange('b/', { rangeEnd: 'c' }))
        .otherwise(operation.put('a', 'did not hold'), operation.put('b/1', 'x'))
        .commit();
      expect(succeeded).toBe(isHeld);
      await untilEqual('log');
    }
    await client.deleteRange('log', 'a', { prefix: true });
    await untilEqual('log');

    // P4: as large as a request may be, in one entry and on one message.
    const large = Buffer.alloc(2 * 1024 * 1024 - 1024, 'w');
    await client.put('log', 'large', large);
    await client.txn('log').do(operation.put('large', large), operation.put('larger', large)).commit();
    await untilEqual('log');

    await client.put('gone', 'k', 'v');
    await untilEqual('gone');
    await client.tables.delete('gone');
    await eventually('it is gone there', () => !follower.tables.has('gone'));
    await client.tables.create('gone');
    await client.put('gone', 'other', 'v');
    await untilEqual('gone');
    expect(follower.errors).toEqual([]);
  });
});
