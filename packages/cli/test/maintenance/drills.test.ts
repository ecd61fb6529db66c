import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Coxswain, compare, operation } from '@coxswain/client';
import { eventually, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster, untilEqual } from '../clusters/cluster.js';
import type { Outcome } from '../support/command.js';
import { parseReport } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { contentAsText, ModelWriter } from './model-writer.js';

// Each disaster of docs/backup-and-recovery.md, with its commands. The loss of a site is in ../clusters/resume.test.ts.

const done = { exitCode: 0, stderr: '' };

function endpointsOf(cluster: Cluster): string[] {
  return ['--endpoints', cluster.nodes.map(({ endpoint }) => endpoint).join(',')];
}

describe('a node whose disk is lost', () => {
  const clusters: Cluster[] = [];

  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  });

  test('loses nothing, is refused under its old id, and the cluster moves to new nodes', async () => {
    const old = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['orders'] });
    clusters.push(old);
    const writer = new ModelWriter(await old.client(), 'orders');
    writer.start();
    await eventually('it writes', () => writer.points.length > 60);
    const lost = old.node(3);
    await lost.kill();
    rmSync(lost.directory, { recursive: true });
    const before = writer.points.length;
    await eventually('the others go on', () => writer.points.length > before + 60);

    old.restart(3);
    const { exitCode, stderr } = await lost.ended;
    expect(exitCode).toBe(1);
    expect(stderr).toMatch('knows node 3 with another data directory: bring that one back');
    await lost.kill();

    const next = await Cluster.ready({ role: 'follower', nodes: 1, follows: old });
    clusters.push(next);
    await writer.stop();
    await untilEqual('orders', old, next);
    const read = await (await old.client()).get('orders', 'key-1');
    await old.killAll();
    expect(await runHere(['promote', '--yes', ...endpointsOf(next)])).toMatchObject(done);
    const client = await next.client();
    expect(await contentAsText(client, 'orders')).toBe(writer.last.content);
    const swapped = await client
      .txn('orders')
      .when(compare.modRevision('key-1', '=', read!.modRevision))
      .do(operation.put('key-1', 'swapped'))
      .commit();
    expect(swapped.succeeded).toBe(true);
  });
});

describe('a cluster that archives', () => {
  const directory = new TemporaryDirectory();
  const archiveFlags = [
    `--archive.target=${pathToFileURL(join(directory.path, 'archive'))}`,
    '--archive.object-age=100ms',
  ];
  const clusters: Cluster[] = [];
  let cluster: Cluster;
  let client: Coxswain;

  async function started(): Promise<Cluster> {
    const ready = await Cluster.ready({
      role: 'leader',
      nodes: 1,
      tables: ['orders', 'users'],
      flags: archiveFlags,
    });
    clusters.push(ready);
    return ready;
  }

  function restore(of: Cluster, ...flags: string[]): Promise<Outcome> {
    return runHere(['restore', '--yes', ...flags, ...endpointsOf(of)]);
  }

  async function untilArchived(table: string, revision: number): Promise<void> {
    await eventually('it is archived', async () => {
      const leader = await cluster.leaderOf(table);
      const { archive } = (await leader.status()).tables.get(table)!;
      return Number(archive!.archivedIndex) >= revision;
    });
  }

  beforeAll(async () => {
    cluster = await started();
    client = await cluster.client();
  });

  afterAll(async () => {
    await Promise.all(clusters.map((each) => each.stop()));
    directory.remove();
  });

  test('brings a table back that was deleted', async () => {
    const writer = new ModelWriter(client, 'users');
    for (let turn = 0; turn < 80; turn++) await writer.write();
    expect(await runHere(['tables', 'delete', 'users', '--yes', ...endpointsOf(cluster)])).toMatchObject(
      done,
    );
    expect(await restore(cluster, '--tables', 'users', '--from-archive')).toMatchObject(done);
    expect(await contentAsText(client, 'users')).toBe(writer.last.content);
  });

  test('brings keys back that were deleted by mistake, at any moment and at the exact revision', async () => {
    const writer = new ModelWriter(client, 'orders');
    for (let turn = 0; turn < 100; turn++) await writer.write();
    const mistake = await writer.deleteRange('key-1', 'key-3');
    for (let turn = 0; turn < 20; turn++) await writer.write();

    const beside = ['--tables', 'orders', '--into', 'before'];
    expect(await restore(cluster, ...beside, '--to-revision', String(mistake - 1))).toMatchObject(done);
    expect(await contentAsText(client, 'before')).toBe(writer.at(mistake - 1).content);

    const { timeMs } = writer.points[40]!;
    const outcome = await restore(cluster, ...beside, '--to-time', new Date(timeMs).toISOString(), '--json');
    expect(outcome).toMatchObject(done);
    const reached = parseReport(outcome.stdout) as { revision: number; time: string };
    expect(Date.parse(reached.time)).toBeLessThanOrEqual(timeMs);
    expect(await contentAsText(client, 'before')).toBe(writer.at(reached.revision).content);
  });

  test('is restored when all of its nodes are lost: from the archive to its last object, and from a backup', async () => {
    const orders = new ModelWriter(client, 'orders');
    for (let turn = 0; turn < 50; turn++) await orders.write();
    const backup = join(directory.path, 'backup');
    expect(await runHere(['backup', '--dir', backup, ...endpointsOf(cluster)])).toMatchObject(done);
    const backedUp = await contentAsText(client, 'orders');
    orders.start();
    await untilArchived('orders', orders.last.revision + 100);
    const { clusterId } = await cluster.node(1).status();
    // The write that is under way is its last one, answered or not.
    const stopped = orders.stop();
    await cluster.killAll();
    await stopped;
    for (const node of cluster.nodes) rmSync(node.directory, { recursive: true });

    const next = await started();
    const there = await next.client();
    const outcome = await restore(next, '--tables', 'orders', '--from-cluster', clusterId, '--json');
    expect(outcome).toMatchObject(done);
    const { revision } = parseReport(outcome.stdout) as { revision: number };
    expect(revision).toBeGreaterThanOrEqual(orders.points[0]!.revision + 100);
    // Of the write that was under way nobody knows whether it happened.
    expect([orders.at(revision).content, orders.unanswered]).toContain(await contentAsText(there, 'orders'));

    expect(await restore(next, '--dir', backup, '--tables', 'orders')).toMatchObject(done);
    expect(await contentAsText(there, 'orders')).toBe(backedUp);
  });
});
