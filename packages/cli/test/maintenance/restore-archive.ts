import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Coxswain } from '@coxswain/client';
import { TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import type { Outcome } from '../support/command.js';
import { parseReport } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { contentOf } from './backups.js';

// Registers the tests of ./maintenance-commands.test.ts.
export function restoreArchive(): void {
  const directory = new TemporaryDirectory();
  /** The revision of each write, and when it was answered. */
  const writes: { readonly revision: number; readonly answered: string }[] = [];
  let cluster: Cluster;
  let client: Coxswain;

  beforeAll(async () => {
    cluster = await Cluster.ready({
      role: 'leader',
      nodes: 1,
      tables: ['users'],
      flags: [
        `--archive.target=${pathToFileURL(join(directory.path, 'archive'))}`,
        '--archive.object-age=50ms',
      ],
    });
    client = await cluster.client();
    for (let turn = 0; turn < 10; turn++) {
      const { header } = await client.put('users', `user-${turn}`, `${turn}`);
      writes.push({ revision: Number(header!.revision), answered: new Date().toISOString() });
      // Each at a time of its own.
      while (Date.now() <= Date.parse(writes.at(-1)!.answered));
    }
  });

  afterAll(async () => {
    await cluster.stop();
    directory.remove();
  });

  const restore = (...flags: string[]): Promise<Outcome> =>
    runHere(['restore', '--endpoints', cluster.node(1).endpoint, '--tables', 'users', ...flags]);

  const expected = (count: number): [string, string][] =>
    Array.from({ length: count }, (_, turn) => [`user-${turn}`, `${turn}`]);

  test('a table as it was at a revision or at a moment, beside the one that there is', async () => {
    const { revision } = writes[3]!;
    const byRevision = await restore('--to-revision', String(revision), '--into', 'before');
    expect(byRevision).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringMatching(
        new RegExp(`^before, 4 keys, as of revision ${revision}, 20[^ ]+Z, shard 10001\n$`),
      ),
    });
    expect([...(await contentOf(client, 'before'))]).toEqual(expected(4));

    const into = ['--to-time', writes[6]!.answered, '--into', 'before', '--json'];
    expect(await restore(...into)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/nothing was changed: .*loses table 'before' \(4 keys, revision \d+\)/),
    });
    expect([...(await contentOf(client, 'before'))]).toEqual(expected(4));
    const byTime = await restore(...into, '--yes');
    expect(parseReport(byTime.stdout)).toMatchObject({
      table: 'before',
      from: 'users',
      revision: writes[6]!.revision,
      keys: 7,
      shard: 10_001,
      // Where a clock ran ahead that may be more than was meant, so it is always said (A7).
      leftOut: { revision: writes[7]!.revision, time: expect.stringMatching(/^20[^ ]+Z$/) },
    });
    const { stdout } = await restore('--to-time', writes[6]!.answered, '--dry-run', '-o', 'simple');
    expect(stdout).toMatch(
      new RegExp(`, without revision ${writes[7]!.revision}, of 20[^ ]+Z, and what followed\n$`),
    );
    expect([...(await contentOf(client, 'before'))]).toEqual(expected(7));
    expect((await contentOf(client, 'users')).size).toBe(10);
  });

  test('nothing is changed by a look, nor by what cannot be had', async () => {
    const look = await restore('--from-archive', '--dry-run');
    expect(look).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(`users, not restored, as of revision ${writes.at(-1)!.revision}`),
    });
    const early = await restore('--to-time', '2001-01-01T00:00:00Z', '--yes');
    expect(early).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('nothing was changed') });
    expect((await contentOf(client, 'users')).size).toBe(10);
  });

  test('a table that was deleted is there again', async () => {
    await client.tables.delete('users');
    expect(await restore('--from-archive')).toMatchObject({ exitCode: 0, stderr: '' });
    expect([...(await contentOf(client, 'users'))]).toEqual(expected(10));
  });

  test.each([
    [['--to-time', 'yesterday'], 'must be a moment such as'],
    [['--to-time', '2026-03-01'], 'must be a moment such as'],
    [['--to-revision', '-1'], 'must be a number'],
    [['--to-revision', '1', '--to-time', '2026-03-01T00:00:00Z'], 'but not both'],
    [['--from-archive', '--dir', 'somewhere'], 'but not both'],
    [['--from-archive', '--tables', 'users,orders'], 'one table is restored at a time'],
    [[], 'name the directory of the backup'],
    [['--dir', 'somewhere', '--s3-region', 'eu-1'], 'say where --from-binlog-backup reads'],
  ])('%j is wrong usage', async (flags, text) => {
    expect(await restore(...flags)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(text) });
  });
}
