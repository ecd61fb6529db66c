import { rmSync } from 'node:fs';
import { regatta } from '@coxswain/protocol';
import { findFreePorts, until } from '@coxswain/testing';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { ask, change, commitTs, indented, JSON_TYPE, putOf, untilSynced } from './support/binlog.js';
import { OneNode } from './support/one-node.js';
import type { Rpc } from './support/rpc.js';

const { put, range } = regatta.KVService;
const { status: clusterStatus } = regatta.ClusterService;
const table = Buffer.from('t');

const opened: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/** A node that may be stopped and started again on what it has on disk. */
class Restartable {
  #node: OneNode | undefined;
  #rpc: Rpc | undefined;
  #directory: string | undefined;

  constructor(
    readonly role: 'leader' | 'follower',
    readonly flags: Record<string, string>,
  ) {}

  get node(): OneNode {
    return this.#node!;
  }

  get rpc(): Rpc {
    this.#rpc ??= this.node.rpc();
    return this.#rpc;
  }

  async start(): Promise<void> {
    const isRestart = this.#directory !== undefined;
    const kept = isRestart ? { 'data-dir': this.#directory! } : {};
    this.#node = await OneNode.start({ ...this.flags, ...kept }, { role: this.role });
    // It made a directory for itself.
    if (isRestart) rmSync(this.#node.directory, { recursive: true });
    this.#directory ??= this.#node.directory;
  }

  async stop(): Promise<void> {
    this.#rpc?.close();
    this.#rpc = undefined;
    await this.node.server.stop();
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#directory!, { recursive: true });
  }

  /** The state of the node, as its own Pump or the leader cluster's has it. */
  async stateBy(pump: Restartable, path: string, name: string): Promise<string> {
    const { body } = await ask(pump.node, path);
    return new RegExp(`"nodeId":"${name}",[^}]*?"state":"(\\w+)"`).exec(body)?.[1] ?? 'unknown';
  }

  async tableStatus(): Promise<regatta.TableStatus> {
    const { tables } = await this.rpc.call(clusterStatus, { config: false });
    return tables.get('t')!;
  }
}

async function pair(): Promise<{ pump: Restartable; drainer: Restartable }> {
  const [port] = await findFreePorts(1);
  const pump = new Restartable('leader', {
    'tables.names': 't',
    'memberlist.node-name': 'pump',
    'replication.enabled': 'true',
    'replication.address': `http://127.0.0.1:${port}`,
  });
  const drainer = new Restartable('follower', {
    'memberlist.node-name': 'drainer',
    'replication.leader-address': `127.0.0.1:${port}`,
    'replication.reconcile-interval': '50ms',
    'replication.poll-interval': '50ms',
  });
  for (const each of [pump, drainer]) {
    await each.start();
    opened.push(() => each.remove());
  }
  await putOf(pump.rpc, 't', 'first');
  await untilSynced(pump.node, drainer.node, 't');
  return { pump, drainer };
}

async function untilEqual(pump: Restartable, drainer: Restartable): Promise<void> {
  await until('the table is equal in both', async () => {
    const [there, here] = [await pump.tableStatus(), await drainer.tableStatus()];
    return there.revision === here.revision && there.contentHash === here.contentHash;
  });
}

const done = (action: string) => indented(`apply action ${action} success!`, 200);

describe('a Pump', () => {
  test('that is paused gives nothing, outlives a restart so, and goes on when it is resumed', async () => {
    const { pump, drainer } = await pair();
    expect(await change(pump.node, 'pump', 'pause')).toEqual({
      status: 200,
      type: JSON_TYPE,
      body: done('pause'),
    });
    expect(await pump.stateBy(pump, '/status', 'pump')).toBe('paused');
    expect((await change(pump.node, 'pump', 'close')).body).toBe(
      indented("this pump's state is paused, apply close failed!", 3),
    );
    const before = await drainer.tableStatus();
    // Its own clients read and write.
    await putOf(pump.rpc, 't', 'while paused');
    await until('the Drainer hears that the Pump is paused', async () => {
      const { replication } = await drainer.tableStatus();
      return replication!.error.includes('replication from this node is paused');
    });
    // It is reached, and says which tables there are; that nothing of them comes must show all the same.
    await until('the lag grows', async () => Number((await drainer.tableStatus()).replication!.lagMs) > 200);
    const { body: page } = await ask(drainer.node, '/metrics');
    expect(page).toMatch(/^coxswain_replication_leader_reached 1$/m);
    expect(Number(/^coxswain_replication_lag_seconds\{table="t"\} (\S+)$/m.exec(page)![1])).toBeGreaterThan(
      0.2,
    );
    expect(await ask(drainer.node, '/readyz?role=replication')).toMatchObject({
      status: 503,
      body: expect.stringContaining('isReplicationFailing=true'),
    });
    expect((await ask(drainer.node, '/readyz')).status).toBe(200);
    await pump.stop();
    await pump.start();
    expect(await pump.stateBy(pump, '/status', 'pump')).toBe('paused');
    await until('the Drainer says why', async () =>
      (await drainer.tableStatus()).replication!.error.includes('is paused'),
    );
    expect((await drainer.tableStatus()).contentHash).toBe(before.contentHash);
    const { errors } = await pump.rpc.call(clusterStatus, { config: false });
    expect(errors).toContainEqual(expect.stringContaining('this node is paused'));
    expect((await change(pump.node, 'pump', 'resume')).body).toBe(done('resume'));
    await untilEqual(pump, drainer);
    expect((await drainer.tableStatus()).contentHash).not.toBe(before.contentHash);
    await until(
      'the Drainer is ready',
      async () => (await ask(drainer.node, '/readyz?role=replication')).status === 200,
    );
  });

  test('that is closed under load takes no more writes, stops when followers have all, and is online again', async () => {
    const { pump, drainer } = await pair();
    const acknowledged: string[] = [];
    const refusals: string[] = [];
    let isClosed = false;
    void pump.node.server.closed.then(() => {
      isClosed = true;
    });
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; !isClosed; i++) {
        const key = `${id}/${i}`;
        try {
          await pump.rpc.call(put, { table, key: Buffer.from(key), value: Buffer.alloc(100) });
          acknowledged.push(key);
        } catch (error) {
          const { code, details } = error as { code: number; details: string };
          expect(code).toBe(status.UNAVAILABLE);
          refusals.push(details);
          return;
        }
      }
    };
    const writers = Promise.all(Array.from({ length: 20 }, (_, id) => writer(id)));
    await until('there is load', () => acknowledged.length > 100);
    expect((await change(pump.node, 'pump', 'stop')).body).toBe(done('stop'));
    await writers;
    expect(refusals).toContainEqual(
      'this node is being closed and takes no writes: write through another one',
    );
    await pump.node.server.closed;
    // Not even now, before its process ends: followers would not get it.
    await expect(putOf(pump.rpc, 't', 'late')).rejects.toMatchObject({ code: status.UNAVAILABLE });
    const { kvs } = await drainer.rpc.call(range, {
      table,
      key: Buffer.from([0]),
      rangeEnd: Buffer.from([0]),
      keysOnly: true,
    });
    const there = new Set(kvs.map(({ key }) => key.toString()));
    expect(acknowledged.filter((key) => !there.has(key))).toEqual([]);
    await pump.stop();
    await pump.start();
    await until('the Pump is online', async () => (await pump.stateBy(pump, '/status', 'pump')) === 'online');
    await putOf(pump.rpc, 't', 'after');
    await untilEqual(pump, drainer);
  });

  test('that is closed waits for a Drainer that is paused', async () => {
    const { pump, drainer } = await pair();
    await change(drainer.node, 'drainer', 'pause');
    await until(
      'the Drainer is paused',
      async () => (await drainer.stateBy(pump, '/drainers', 'drainer')) === 'paused',
    );
    await putOf(pump.rpc, 't', 'k');
    expect((await change(pump.node, 'pump', 'close')).body).toBe(done('close'));
    let isClosed = false;
    void pump.node.server.closed.then(() => {
      isClosed = true;
    });
    // It goes on saying that it is closing; reads are served.
    for (let i = 0; i < 5; i++) {
      expect(await pump.stateBy(pump, '/status', 'pump')).toBe('closing');
      expect(isClosed).toBe(false);
    }
    await change(drainer.node, 'drainer', 'resume');
    await pump.node.server.closed;
    const { count } = await drainer.rpc.call(range, { table, key: Buffer.from('k') });
    expect(count).toBe(1n);
  });
});

describe('a Drainer', () => {
  test('that is paused applies nothing, outlives a restart so, and ends equal when it is resumed', async () => {
    const { pump, drainer } = await pair();
    expect((await change(drainer.node, 'drainer', 'pause')).body).toBe(done('pause'));
    const before = await drainer.tableStatus();
    await putOf(pump.rpc, 't', 'while paused');
    // It says so to the leader cluster, whose list is of nodes that were heard.
    await until(
      'the Drainer is paused',
      async () => (await drainer.stateBy(pump, '/drainers', 'drainer')) === 'paused',
    );
    const paused = await drainer.tableStatus();
    expect([paused.contentHash, paused.replication!.state]).toEqual([before.contentHash, 'paused']);
    const { errors } = await drainer.rpc.call(clusterStatus, { config: false });
    expect(errors).toContainEqual(expect.stringContaining('paused on drainer'));
    expect(await ask(drainer.node, '/readyz?role=replication')).toMatchObject({
      status: 503,
      body: expect.stringContaining('isReplicationPaused=true'),
    });
    expect((await ask(drainer.node, '/status')).body).toContain('"Synced":false');
    // A write through it would be done there, and never seen here.
    await expect(putOf(drainer.rpc, 't', 'refused')).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining('replication from the leader cluster is paused'),
    });
    await drainer.stop();
    await drainer.start();
    await until('the Drainer has a position', async () =>
      (await ask(drainer.node, '/status')).body.includes('"PumpPos":{"pump":'),
    );
    expect((await drainer.tableStatus()).contentHash).toBe(before.contentHash);
    expect((await change(drainer.node, 'drainer', 'resume')).body).toBe(done('resume'));
    await untilEqual(pump, drainer);
    expect(await commitTs(drainer.node, 't')).toBe(await commitTs(pump.node, 't'));
  });

  test('that is closed stops, is offline for the leader cluster, and goes on when it is started again', async () => {
    const { pump, drainer } = await pair();
    expect((await change(drainer.node, 'drainer', 'close')).body).toBe(done('close'));
    await drainer.node.server.closed;
    expect(await drainer.stateBy(pump, '/drainers', 'drainer')).toBe('offline');
    await drainer.stop();
    await putOf(pump.rpc, 't', 'meanwhile');
    await drainer.start();
    await untilEqual(pump, drainer);
    await until(
      'the Drainer is online',
      async () => (await drainer.stateBy(pump, '/drainers', 'drainer')) === 'online',
    );
  });
});

describe('what changes a node or shows keys', () => {
  test('wants the maintenance token where there is one, and has an answer of the same shape without', async () => {
    const node = new Restartable('leader', {
      'maintenance.token': 's3cret',
      'tables.names': 't',
      'memberlist.node-name': 'pump',
    });
    await node.start();
    opened.push(() => node.remove());
    const guarded: [string, string][] = [
      ['PUT', '/state/pump/pause'],
      ['GET', '/debug/binlog/1'],
      ['POST', '/debug/gc/trigger'],
    ];
    for (const [method, path] of guarded) {
      const missing = await ask(node.node, path, { method });
      expect(missing).toEqual({
        status: 401,
        type: JSON_TYPE,
        body: indented('Request unauthenticated with bearer', 3),
      });
      const wrong = await ask(node.node, path, { method, headers: { authorization: 'Bearer nonsense' } });
      expect(wrong).toMatchObject({ status: 401, body: indented('Invalid token', 3) });
    }
    const right = { method: 'PUT', headers: { authorization: 'Bearer s3cret' } };
    expect((await ask(node.node, '/state/pump/pause', right)).body).toBe(done('pause'));
    for (const path of ['/status', '/drainers', '/commit_ts', '/metrics']) {
      expect((await ask(node.node, path)).status).toBe(200);
    }
  });
});

describe('an entry', () => {
  test('is found by its TSO on both kinds of cluster, with keys, and values where they are asked for', async () => {
    const { pump, drainer } = await pair();
    const { header } = await putOf(pump.rpc, 't', 'key "1"\n', 'secret');
    const ts = await commitTs(pump.node, 't');
    for (let i = 0; i < 30; i++) await putOf(pump.rpc, 't', `later ${i}`);
    await untilSynced(pump.node, drainer.node, 't');
    for (const { node } of [pump, drainer]) {
      const { status: code, type, body } = await ask(node, `/debug/binlog/${ts}`);
      expect([code, type]).toEqual([200, 'text/plain; charset=utf-8']);
      const [first, , , ...rest] = body.split('\n');
      expect(first).toMatch(
        new RegExp(`^tp:Commit start_ts:\\d+ commit_ts:${ts} prewrite_key:"key \\\\"1\\\\"\\\\n" $`),
      );
      expect(rest.slice(0, 2)).toEqual(['table: "t"', `revision: ${header!.revision}`]);
      expect(body).toContain('put "key \\"1\\"\\n" (6 bytes)');
      expect(body).not.toContain('secret');
      expect((await ask(node, `/debug/binlog/${ts}?values=1`)).body).toContain(
        'put "key \\"1\\"\\n" "secret"',
      );
      expect((await ask(node, '/debug/binlog/abc')).body).toBe('invalid parameter ts: abc');
      expect((await ask(node, '/debug/binlog/9')).body).toMatch(/^fail read binlog by ts: 9: /);
      expect((await ask(node, `/debug/binlog/${ts}?table=none`)).body).toBe(
        `fail read binlog by ts: ${ts}: table not found`,
      );
    }
  });
});

describe('the log', () => {
  test('is compacted when that is asked for, as a script looks for it', async () => {
    const { pump, drainer } = await pair();
    for (const { node } of [pump, drainer]) {
      const { status: code, type, body } = await ask(node, '/debug/gc/trigger', { method: 'POST' });
      expect([code, type]).toEqual([200, 'text/plain; charset=utf-8']);
      expect(body).toMatch(/^trigger gc success\n\d+ bytes of logs were freed\n/);
    }
  });
});
