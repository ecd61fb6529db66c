import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { compare, operation } from '@coxswain/client';
import { findFreePorts } from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import { TemporaryDirectory } from '../support/command.js';
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
    expect(block).toMatch(/^READY\n3\nstatus=ok\n/);
    expect(spawnSync('tar', ['-x', '-C', path], { input: answer.subarray(end) }).status).toBe(0);
    return { path, sid: /\nsid=(.*)\n/.exec(block)![1]! };
  }

  test('full and incremental backups of the agent restore a table exactly as it was at the last of them', async () => {
    const client = await cluster.client();
    await fill(client, 'table', randomModel(500, 300, 'before'));
    const full = await backup('full', 0);

    await fill(client, 'table', randomModel(300, 300, 'between'));
    await client.put('table', 'counted', '1');
    // Whoever runs it again has other revisions and versions (R3).
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
}
