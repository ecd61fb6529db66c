import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import type { Outcome } from '../support/command.js';
import { parseReport } from '../support/command.js';
import { runHere } from '../support/command-here.js';

// Registers the tests of ./maintenance-commands.test.ts.
export function archiveCommands(): void {
  interface Listed {
    readonly url: string;
    readonly shards: readonly {
      readonly table: string;
      readonly clusterId: string;
      readonly shardId: number;
      readonly restorable: readonly { readonly first: number; readonly last: number }[];
      readonly logCount: number;
      readonly baseCount: number;
      readonly firstTimeMs: number;
      readonly lastTimeMs: number;
      readonly problems?: readonly { readonly kind: string; readonly detail: string }[];
    }[];
  }

  const directory = new TemporaryDirectory();
  const root = join(directory.path, 'archive');
  const target = pathToFileURL(root).href;
  /** Of the table `users`. */
  let lastRevision: number;
  let cluster: Cluster;
  let beganMs: number;

  beforeAll(async () => {
    beganMs = Date.now();
    const flags = [`--archive.target=${target}`, '--archive.object-age=50ms', '--archive.base-interval=1s'];
    cluster = await Cluster.ready({ role: 'leader', nodes: 1, tables: ['users', 'orders'], flags });
    const client = await cluster.client();
    await client.put('orders', 'a', '1');
    // Two log objects at least, however much of it the first base holds.
    do await writeAndArchive('key');
    while ((await usersArchived()).logCount < 2);
  });

  async function writeAndArchive(key: string): Promise<void> {
    const client = await cluster.client();
    const { header } = await client.put('users', key, 'value');
    lastRevision = Number(header!.revision);
    await eventually(
      'all is archived',
      async () => (await usersArchived()).restorable.at(-1)?.last === lastRevision,
    );
  }

  async function usersArchived(): Promise<Listed['shards'][number]> {
    return (await listed('list', '--table', 'users')).shards[0]!;
  }

  afterAll(async () => {
    await cluster.stop();
    directory.remove();
  });

  const archive = (...args: string[]): Promise<Outcome> =>
    runHere(['archive', ...args, '--config=', `--archive.target=${target}`]);

  async function listed(command = 'list', ...args: string[]): Promise<Listed> {
    const { stdout, stderr, exitCode } = await archive(command, '--json', ...args);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    return parseReport(stdout) as Listed;
  }

  function fileOf(table: Listed['shards'][number], kind: string): string {
    const folder = join(root, table.clusterId, String(table.shardId), kind);
    return join(folder, readdirSync(folder).sort()[0]!);
  }

  const failure = (exitCode: number, text: string): object => ({
    exitCode,
    stderr: expect.stringMatching(new RegExp(`^coxswain: [^\\n]*${text}[^\\n]*\\n$`)),
  });

  describe('coxswain archive', () => {
    test('lists what of each table can be restored, exactly to the last write', async () => {
      const { url, shards } = await listed();
      expect(url).toBe(target);
      expect(shards.map(({ table }) => table).sort()).toEqual(['orders', 'users']);
      const users = shards.find(({ table }) => table === 'users')!;
      expect(users.restorable).toHaveLength(1);
      expect(users.logCount).toBeGreaterThan(1);
      expect(users.firstTimeMs).toBeGreaterThanOrEqual(beganMs);
      expect(users.lastTimeMs).toBeGreaterThanOrEqual(users.firstTimeMs);
      expect(users.lastTimeMs).toBeLessThanOrEqual(Date.now());
    });

    test('shows it as a table', async () => {
      const { stdout, exitCode } = await archive('list');
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(/│ TABLE +│ CLUSTER +│ SHARD +│ REVISIONS +│ FROM +│ TO +│ BASES/);
      expect(stdout).toMatch(new RegExp(`│ users +│ \\w+ +│ \\d+ +│ \\d+–${lastRevision} +│ 20\\d\\d-`));
      expect((await archive('list', '-o', 'simple', '--table', 'users')).stdout).toMatch(
        /^users, \w+, \d+, [^\n]*\n$/,
      );
    });

    test('verifies what a node archived while it goes on', async () => {
      const { stdout, exitCode, stderr } = await archive('verify');
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout.match(/│ ok +│\n/g)).toHaveLength(2);
    });

    test('finds one flipped bit, names the object and exits with 1', async () => {
      const users = (await listed('list', '--table', 'users')).shards[0]!;
      const file = fileOf(users, 'log');
      const content = readFileSync(file);
      const flipped = Buffer.from(content);
      flipped[flipped.length - 5]! ^= 4;
      writeFileSync(file, flipped);
      const { stdout, ...outcome } = await archive('verify', '--json');
      expect(outcome).toMatchObject(failure(1, 'problems in .*: what cannot be read cannot be restored'));
      const { shards } = JSON.parse(stdout) as Listed;
      const problems = shards.flatMap(({ problems: some }) => some!);
      expect(problems).toContainEqual({
        kind: 'damaged',
        detail: expect.stringContaining(file.slice(root.length + 1)),
      });
      expect((await archive('verify', '--table', 'users')).stdout).toContain(
        `damaged: object ${file.slice(root.length + 1)} is damaged`,
      );
      writeFileSync(file, content);
    });

    test('prunes by age and count, and first says what', async () => {
      const client = await cluster.client();
      await eventually('there are two bases', async () => {
        await client.put('users', 'more', 'value');
        return (await listed('list', '--table', 'users')).shards[0]!.baseCount > 1;
      });
      expect(await archive('prune')).toMatchObject(failure(2, 'archive.retention-age is 0'));
      const retention = ['--archive.retention-age=1ms', '--archive.retention-bases=1', '--table=users'];
      const before = (await listed('list', '--table', 'users')).shards[0]!;
      const dry = await archive('prune', ...retention, '--dry-run');
      expect(dry).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/WOULD FREE/) });
      expect((await listed('list', '--table', 'users')).shards[0]!.restorable[0]!.first).toBe(
        before.restorable[0]!.first,
      );
      // What FlushAndBackupBinlog has stored elsewhere, where it is used: nothing of this table.
      const record = join(root, before.clusterId, 'binlog-backup.json');
      writeFileSync(record, JSON.stringify({ format: 1, backupId: 'monday', shards: [] }));
      const unbacked = await archive('prune', ...retention, '--dry-run');
      expect(unbacked.stderr).toMatch(
        /^coxswain: .*users.*: no backup by FlushAndBackupBinlog holds revisions \d+–\d+, which would be removed\n$/,
      );
      const { stdout, exitCode } = await archive('prune', ...retention, '--json');
      expect(exitCode).toBe(0);
      expect(parseReport(stdout)).toMatchObject({
        dryRun: false,
        shards: [{ table: 'users', logCount: expect.any(Number) }],
      });
      const after = (await listed('list', '--table', 'users')).shards[0]!;
      expect(after.restorable[0]!.first).toBeGreaterThan(before.restorable[0]!.first);
      expect(await archive('verify')).toMatchObject({ exitCode: 0 });
    });

    test('takes its options from the environment and from the configuration file of a node', async () => {
      const file = join(directory.path, 'node.yaml');
      writeFileSync(file, `archive:\n  target: ${target}\n  retention-age: 9000h\nraft.node-id: 3\n`);
      expect(await runHere(['archive', 'prune', '--config', file, '--dry-run'])).toMatchObject({
        exitCode: 0,
      });
      const env = { COXSWAIN_ARCHIVE_TARGET: target };
      expect((await runHere(['archive', 'list', '--config='], { env })).stdout).toContain('users');
    });

    test('says what to do where it is called wrongly, or there is nothing', async () => {
      const [port] = await findFreePorts(1);
      const s3 = ['--archive.target=s3://bucket', `--archive.s3-endpoint=http://127.0.0.1:${port}`];
      const list = (...args: string[]): Promise<Outcome> =>
        runHere(['archive', 'list', '--config=', ...args]);
      expect(await list()).toMatchObject(failure(2, 'archive.target is not set: give --archive.target'));
      expect(await list('--archive.target=ftp://x')).toMatchObject(
        failure(1, 'archive.target must be file:///directory'),
      );
      expect(await list(...s3)).toMatchObject(
        failure(1, 'set archive.s3-access-key-id and archive.s3-secret-access-key'),
      );
      const refused = await list(
        ...s3,
        '--archive.s3-access-key-id=id',
        '--archive.s3-secret-access-key=hidden',
      );
      expect(refused).toMatchObject(
        failure(1, `the endpoint cannot be reached \\(http://127.0.0.1:${port}: ECONNREFUSED\\)`),
      );
      expect(refused.stderr).not.toContain('hidden');
      mkdirSync(join(directory.path, 'empty'));
      const empty = `--archive.target=${pathToFileURL(join(directory.path, 'empty')).href}`;
      expect(await list(empty)).toMatchObject({
        exitCode: 0,
        stdout: expect.stringMatching(/^nothing is archived in /),
      });
      expect(await runHere(['archive', 'verify', '--config=', empty])).toMatchObject(
        failure(1, 'nothing is archived of that'),
      );
      expect(await list('--shard=x', empty)).toMatchObject(failure(2, '--shard: must be a number'));
    });
  });
}
