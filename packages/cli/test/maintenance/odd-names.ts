import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Coxswain } from '@coxswain/client';
import { moco } from '@coxswain/protocol';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import { runHere } from '../support/command-here.js';
import { contentOf, runToEnd } from './backups.js';

// Registers the tests of ./maintenance-commands.test.ts.
export function oddNames(): void {
  /** Table names that T5 allows and a disk, a shell, a list or a tar may not. */
  const NAMES = [
    'DOM\\users',
    '..',
    '.hidden',
    'a,b',
    'Users',
    'users',
    'manifest.json',
    '"q"',
    'ü'.repeat(127),
  ];

  const directory = new TemporaryDirectory();
  let agentPort: number;
  let source: Cluster;
  let other: Cluster;

  beforeAll(async () => {
    [agentPort] = (await findFreePorts(1)) as [number];
    const flags = [
      `--archive.target=${pathToFileURL(join(directory.path, 'archive'))}`,
      '--archive.object-age=50ms',
      `--backup-agent.address=:${agentPort}`,
    ];
    [source, other] = await Promise.all([
      Cluster.ready({ role: 'leader', nodes: 1, flags }),
      Cluster.ready({ role: 'leader', nodes: 1 }),
    ]);
    const client = await source.client();
    for (const name of NAMES) {
      await client.tables.create(name);
      await client.put(name, 'is', name);
    }
  });

  afterAll(async () => {
    await Promise.all([source?.stop(), other?.stop()]);
    directory.remove();
  });

  async function expectEach(client: Coxswain): Promise<void> {
    for (const name of NAMES) {
      expect([...(await contentOf(client, name))]).toEqual([['is', Buffer.from(name).toString('latin1')]]);
    }
  }

  async function deleteAll(client: Coxswain): Promise<void> {
    const { tables } = await client.tables.list();
    for (const { name } of tables) await client.tables.delete(name);
  }

  test('a clone brings tables of any name', async () => {
    const [donorHost, port] = source.node(1).endpoint.split(':') as [string, string];
    const caller = new Client(other.node(1).endpoint, credentials.createInsecure());
    const { path, requestSerialize, responseDeserialize } = moco.CloneServiceService.clone;
    const request = { external: false, donorHost, donorPort: Number(port) };
    await new Promise<void>((resolve, reject) => {
      caller.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    caller.close();
    await eventually('the clone is done', async () =>
      (await other.node(1).metrics()).includes('coxswain_clone_state{state="done"} 1'),
    );
    const client = await other.client();
    await expectEach(client);
    await deleteAll(client);
  });

  test('tables of any name are backed up and restored, all of them or those that are named', async () => {
    const backup = join(directory.path, 'backup');
    const named = await runToEnd('backup', source, backup, '--dry-run', '--json', '--tables', '"a,b",users');
    expect((JSON.parse(named.stdout).tables as { name: string }[]).map(({ name }) => name)).toEqual([
      'a,b',
      'users',
    ]);
    expect(await runToEnd('backup', source, backup)).toMatchObject({ exitCode: 0, stderr: '' });
    const client = await other.client();
    const some = ['--tables', '"a,b",users', '--tables', '"""q"""'];
    const restored = await runToEnd('restore', other, backup, ...some, '--json');
    expect(restored).toMatchObject({ exitCode: 0, stderr: '' });
    const names = (JSON.parse(restored.stdout).tables as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual(['"q"', 'a,b', 'users']);
    expect(await runToEnd('restore', other, backup, '--tables', 'a,b')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('has no table a: a name with a comma is written in double quotes'),
    });
    expect(await runToEnd('restore', other, backup, '--tables', '"a')).toMatchObject({ exitCode: 2 });
    await deleteAll(client);
    expect(await runToEnd('restore', other, backup)).toMatchObject({ exitCode: 0, stderr: '' });
    await expectEach(client);
    await deleteAll(client);
  });

  test('the backup agent sends tables of any name as files beside each other', async () => {
    const path = join(directory.path, 'agent');
    mkdirSync(path);
    const socket = createConnection({ port: agentPort, host: '127.0.0.1' });
    socket.write('0.76.1\n3\naction=copy from\nbackup-level=0\nsid=\n\n');
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    const answer = Buffer.concat(pieces);
    const input = answer.subarray(answer.indexOf('\n\n') + 2);
    expect(spawnSync('tar', ['-x', '-C', path], { input }).status).toBe(0);
    const files = readdirSync(path).map((file) => file.normalize('NFC').toLowerCase());
    expect(new Set(files).size).toBe(NAMES.length + 1);
    expect(files.filter((file) => file.startsWith('.') || file.includes('\\'))).toEqual([]);
    expect(await runToEnd('restore', other, path)).toMatchObject({ exitCode: 0, stderr: '' });
    await expectEach(await other.client());
  });

  test('tables of any name come back from the archive', async () => {
    const client = await source.client();
    for (const name of NAMES) {
      const into = `${name.slice(0, 100)}-again`;
      const quoted = `"${name.replaceAll('"', '""')}"`;
      const flags = [
        '--endpoints',
        source.node(1).endpoint,
        '--tables',
        quoted,
        '--from-archive',
        '--into',
        into,
      ];
      expect(await runHere(['restore', ...flags])).toMatchObject({ exitCode: 0, stderr: '' });
      expect([...(await contentOf(client, into))]).toEqual([['is', Buffer.from(name).toString('latin1')]]);
    }
  });
}
