import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster, contentOf, untilEqual } from './cluster.js';

const KEYS = 20;
/** LevelDB reads blocks without their checksums: of compressed ones it notices damage all the same. */
const value = (i: number) => `${i} `.repeat(20_000);

/** The tables of the first test, whose shards begin at 10001, and those of the second. */
const [first, second] = [
  ['a', 'b', 'c'],
  ['d', 'e', 'f'],
];
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: [...first, ...second] });
});

afterAll(() => cluster?.stop());

const tableFile = /^\d+\.ldb$/;

function filesOf(directory: string, pattern: RegExp): string[] {
  return readdirSync(directory)
    .filter((name) => pattern.test(name))
    .map((name) => join(directory, name));
}

function change(path: string, edit: (content: Buffer) => void): void {
  const content = readFileSync(path);
  edit(content);
  writeFileSync(path, content);
}

const rebuilt = (output: string, shard: number): boolean =>
  output.split('\n').some((line) => line.includes('"event":"table-damaged"') && line.includes(`${shard}`));

describe('D4: a replica whose LevelDB files are damaged is rebuilt from its peers', () => {
  test('found at the start or while it runs, and nothing else stops for it', async () => {
    const client = await cluster.client();
    const keys = Array.from({ length: KEYS }, (_, i) => i);
    for (const table of first) {
      await Promise.all(keys.map((i) => client.put(table, `key-${i}`, value(i))));
    }
    const node = cluster.node(1);
    const shard = (id: number) => join(node.directory, 'tables', `shard-${id}`);
    await node.kill('SIGTERM');

    // Of the meta group, and of each table in another way.
    for (const path of filesOf(shard(1000), /^MANIFEST/)) rmSync(path);
    change(join(shard(10001), 'CURRENT'), (content) => {
      content[3]! ^= 1;
    });
    const tableFiles = filesOf(shard(10002), tableFile);
    expect(tableFiles.length).toBeGreaterThan(0);
    for (const path of tableFiles) truncateSync(path, Math.floor(statSync(path).size / 2));
    cluster.restart(1);
    await cluster.untilReady();
    for (const id of [1000, 10001, 10002]) {
      await eventually(`shard ${id} is rebuilt`, () => rebuilt(node.output, id));
    }
    for (const table of first) await untilEqual(table, cluster);

    // Written over while the node has it open: a read finds it.
    const running = filesOf(shard(10003), tableFile).filter((path) => statSync(path).size > 10_000);
    expect(running.length).toBeGreaterThan(0);
    for (const path of running) change(path, (content) => content.fill(0xff, 0, content.length - 2_000));
    await eventually('a read finds the damage', async () => {
      await contentOf(await node.client(), 'c').catch(() => undefined);
      return node.output
        .split('\n')
        .some((line) => line.includes('"event":"table-damaged"') && line.includes('10003'));
    });
    expect(await client.get('a', 'key-1')).toBeDefined();
    await cluster.untilReady();
    await untilEqual('c', cluster);
    expect((await contentOf(await node.client(), 'c')).length).toBe(KEYS);
  });

  test("LevelDB's own log, half of it and all of it, holds nothing that is missed", async () => {
    const client = await cluster.client();
    const node = cluster.node(1);
    for (const table of second) {
      for (let i = 0; i < 10; i++) await client.put(table, `key-${i}`, value(i));
      await untilEqual(table, cluster);
    }
    // A clean stop leaves nothing in memory alone.
    await node.kill('SIGTERM');
    const tables = join(node.directory, 'tables');
    const logOf = (shard: number): string => filesOf(join(tables, `shard-${shard}`), /^\d+\.log$/)[0]!;
    truncateSync(logOf(10005), Math.floor(statSync(logOf(10005)).size / 2));
    rmSync(logOf(10006));
    cluster.restart(1);
    await cluster.untilReady();
    for (const table of second) await untilEqual(table, cluster);
    expect(node.output).not.toMatch(/node-failed|the node stops/);
  });

  test('what was in memory alone when a node was killed comes from its log', async () => {
    const client = await cluster.client();
    const node = cluster.node(1);
    for (let i = 0; i < 10; i++) await client.put('d', `key-${i}`, `again ${i}`);
    await untilEqual('d', cluster);
    await node.kill('SIGKILL');
    cluster.restart(1);
    await cluster.untilReady();
    await untilEqual('d', cluster);
    expect((await contentOf(await node.client(), 'd')).length).toBe(10);
  });
});
