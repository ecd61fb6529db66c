import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { compare, operation } from '@coxswain/client';
import {
  findFreePorts,
  TemporaryDirectory,
  XtrabackupClient,
  type XtrabackupRequest,
} from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import { contentOf, difference, fill, randomModel, runToEnd, tableIn } from './backups.js';

// Registers the tests of ./maintenance-commands.test.ts.
export function agentBackup(): void {
  const directory = new TemporaryDirectory();
  let port: number;
  let cluster: Cluster;

  beforeAll(async () => {
    [port] = (await findFreePorts(1)) as [number];
    const flags = [`--backup-agent.address=:${port}`];
    cluster = await Cluster.ready({ role: 'leader', nodes: 1, tables: ['idle', 'table'], flags });
  });

  afterAll(async () => {
    await cluster?.stop();
    directory.remove();
  });

  /** Has the agent send a backup, unpacks it as any tool would, and gives where, and its sid. */
  async function backup(name: string, level: 0 | 1, sid = ''): Promise<{ path: string; sid: string }> {
    const path = join(directory.path, name);
    mkdirSync(path);
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.write(`0.76.1\n3\naction=copy from\nbackup-level=${level}\nsid=${sid}\n\n`);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    const answer = Buffer.concat(pieces);
    const end = answer.indexOf('\n\n') + 2;
    const block = answer.toString('utf8', 0, end);
    expect(block).toMatch(/^READY\n5\nstatus=SENDING\n/);
    expect(spawnSync('tar', ['-x', '-C', path], { input: answer.subarray(end) }).status).toBe(0);
    return { path, sid: /\nsid=(.*)\n/.exec(block)![1]! };
  }

  test('full and incremental backups of the agent restore a table exactly as it was at the last of them', async () => {
    const client = await cluster.client();
    await fill(client, 'table', randomModel(500, 300, 'before'));
    const full = await backup('full', 0);

    await fill(client, 'table', randomModel(300, 300, 'between'));
    await client.put('table', 'counted', '1');
    // Where this is run again, revisions and versions are others (R3).
    await client
      .txn('table')
      .when(compare.version('counted', '=', 1))
      .do(operation.put('counted', 'held'))
      .otherwise(operation.put('counted', 'did not hold'))
      .commit();
    const first = await backup('first', 1, full.sid);
    await client.deleteRange('table', '\u0000', { rangeEnd: '0' });
    await client.put('table', 'counted', 'twice');
    const second = await backup('second', 1, first.sid);
    const expected = await contentOf(client, 'table', tableIn(second.path, 'table').revision);

    await client.put('table', 'counted', 'too late');
    const incremental = ['--incremental', first.path, '--incremental', second.path];
    const outcome = await runToEnd('restore', cluster, full.path, ...incremental);
    expect(outcome).toMatchObject({ exitCode: 0 });
    expect(difference(await contentOf(client, 'table'), expected)).toBeUndefined();
    expect((await contentOf(client, 'idle')).size).toBe(0);
  });

  test('a table that was deleted before the last of them stays deleted, and one whose changes are missing is left alone', async () => {
    const client = await cluster.client();
    await client.tables.create('short-lived');
    const full = await backup('with', 0);
    await client.tables.delete('short-lived');
    await client.put('table', 'changed', 'once');
    const first = await backup('without', 1, full.sid);
    await client.put('table', 'changed', 'twice');
    const second = await backup('without-2', 1, first.sid);
    const restored = await runToEnd('restore', cluster, full.path, '--incremental', first.path, '--json');
    expect(restored).toMatchObject({ exitCode: 0, stdout: expect.not.stringContaining('short-lived') });
    expect((await client.tables.list()).tables.map(({ name }) => name)).not.toContain('short-lived');
    // Without the one between.
    const broken = ['--incremental', second.path];
    expect(await runToEnd('restore', cluster, full.path, ...broken)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("of table 'table' it begins after revision"),
    });
    expect(await runToEnd('restore', cluster, full.path, ...broken, '--tables', 'idle')).toMatchObject({
      exitCode: 0,
    });
  });
  test.each([
    {},
    { encoding: 'base64', inlineCompress: 'gzip -c' },
    { encoding: 'null' },
  ] as Partial<XtrabackupRequest>[])(
    'the real client unpacks what restores a table as it was: %j',
    async (way) => {
      const client = await cluster.client();
      const agent = new XtrabackupClient({ port });
      const run = async (name: string, request: Partial<XtrabackupRequest>): Promise<string> => {
        const path = join(directory.path, JSON.stringify(way), name);
        const { exitCode, error, block } = await agent.run({
          level: '0',
          directory: path,
          ...way,
          ...request,
        });
        expect([exitCode, error, block['status']]).toEqual([0, undefined, 'SENDING']);
        return path;
      };
      /** As a script has it that puts the point of the last backup into its index. */
      const pointIn = (path: string): string =>
        JSON.parse(readFileSync(join(path, 'manifest.json'), 'utf8')).sid;

      await fill(client, 'table', randomModel(300, 300, `full ${JSON.stringify(way)}`));
      const full = await run('full', {});
      await fill(client, 'table', randomModel(200, 300, `first ${JSON.stringify(way)}`));
      const first = await run('first', { level: '1', binlog: pointIn(full) });
      await client.deleteRange('table', '\u0000', { rangeEnd: '0' });
      const second = await run('second', { level: '1', binlog: pointIn(first) });
      const expected = await contentOf(client, 'table', tableIn(second, 'table').revision);

      await client.put('table', 'late', 'too late');
      const outcome = await runToEnd(
        'restore',
        cluster,
        full,
        '--incremental',
        first,
        '--incremental',
        second,
      );
      expect(outcome).toMatchObject({ exitCode: 0 });
      expect(difference(await contentOf(client, 'table'), expected)).toBeUndefined();
    },
  );

  test('the real client exits with 1 where it is refused', async () => {
    const request = { level: '0', directory: join(directory.path, 'refused') };
    const refused = { exitCode: 1, block: {} };
    expect(await new XtrabackupClient({ port, version: '1.0.0' }).run(request)).toMatchObject(refused);
    expect(await new XtrabackupClient({ port }).run({ ...request, level: '2' })).toMatchObject(refused);
  });
}
