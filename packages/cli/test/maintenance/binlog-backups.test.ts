import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Coxswain, compare, operation } from '@coxswain/client';
import { moco } from '@coxswain/protocol';
import { eventually, TemporaryDirectory } from '@coxswain/testing';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster } from '../clusters/cluster.js';
import type { Outcome } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { contentOf, difference, fill, type Model, randomModel } from './backups.js';
import { Bucket } from './bucket.js';

const FIRST = '2021-03-17T10:00:00Z';
const SECOND = '2021-03-18T10:00:00+09:00';

/** FlushAndBackupBinlog over a real S3 server, and `coxswain restore --from-binlog-backup` (docs/operations-protocols.md §2). */
describe('backups of the archive', () => {
  const directory = new TemporaryDirectory();
  let bucket: Bucket;
  let cluster: Cluster;
  let other: Cluster;
  let client: Coxswain;
  /** What each table held when each backup was made. */
  const then = new Map<string, Model>();

  beforeAll(async () => {
    bucket = await Bucket.start();
    cluster = await Cluster.ready({
      role: 'leader',
      nodes: 1,
      tables: ['users', 'orders', 'empty'],
      flags: [...bucket.flags('archive'), '--archive.object-age=1h'],
    });
    other = await Cluster.ready({ role: 'leader', nodes: 1 });
    client = await cluster.client();
    await writeMuch('first');
    await backUp(FIRST);
    await keep(FIRST);
    const toFirst = await runHere([
      'backup',
      '--endpoints',
      endpointOf(cluster),
      '--dir',
      directoryOf('full'),
    ]);
    expect(toFirst).toMatchObject({ exitCode: 0 });
    await writeMuch('second');
    await client.tables.create('late');
    await client.put('late', 'k', 'v');
    await backUp(SECOND);
    await keep(SECOND);
  });

  afterAll(async () => {
    await Promise.all([cluster?.stop(), other?.stop()]);
    await bucket?.stop();
    directory.remove();
  });

  const directoryOf = (name: string): string => join(directory.path, name);
  const endpointOf = (of: Cluster): string => of.node(1).endpoint;
  const url = (id: string): string => `s3://${bucket.name}/${id}`;

  /** Puts, overwrites, deletions of keys and of ranges, and transactions that go one way or the other. */
  async function writeMuch(seed: string): Promise<void> {
    const model = randomModel(60, 1_000, seed);
    await fill(client, 'users', model);
    const keys = [...model.keys()].map((key) => Buffer.from(key, 'latin1'));
    await Promise.all([
      ...keys.slice(0, 10).map((key) => client.put('users', key, `${seed} again`)),
      ...keys.slice(20, 30).map((key) => client.deleteRange('users', key)),
    ]);
    await client.deleteRange('users', keys[31]!, {
      rangeEnd: Buffer.concat([keys[31]!, Buffer.from([0xff])]),
    });
    for (const value of [seed, 'nothing that is there']) {
      const key = keys[40]!;
      await client.put('users', key, seed);
      await client
        .txn('users')
        .when(compare.value(key, '=', value))
        .do(operation.put(`held/${value}`, seed))
        .otherwise(operation.put(`not/${value}`, seed))
        .commit();
    }
    // R3: what a key's version or revision decided here must not be decided again elsewhere, where those are others.
    await client
      .txn('users')
      .when(compare.modRevision(keys[40]!, '>', 20))
      .do(operation.put(`held/revision ${seed}`, seed))
      .otherwise(operation.put(`not/revision ${seed}`, seed))
      .commit();
    await client.put('orders', `order/${seed}`, seed);
  }

  async function keep(id: string): Promise<void> {
    for (const { name } of (await client.tables.list()).tables) {
      then.set(`${id} ${name}`, await contentOf(client, name));
    }
  }

  async function backUp(backupId: string): Promise<void> {
    const { path, requestSerialize, responseDeserialize } =
      moco.BackupBinlogServiceService.flushAndBackupBinlog;
    const grpc = new Client(endpointOf(cluster), credentials.createInsecure());
    const request = moco.FlushAndBackupBinlogRequest.fromPartial({
      backupId,
      bucketHost: bucket.host,
      bucketPort: bucket.port,
      bucketName: bucket.name,
      bucketRegion: 'us-east-1',
      accessKeyId: bucket.key,
      secretAccessKey: bucket.key,
    });
    await new Promise<void>((resolve, reject) => {
      grpc.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), (error) =>
        error === null ? resolve() : reject(error),
      );
    }).finally(() => grpc.close());
    await eventually('the backup is done', async () => {
      expect((await cluster.node(1).status()).errors).toEqual([]);
      return (await cluster.node(1).metrics()).includes('coxswain_binlog_backup_state{state="done"} 1');
    });
  }

  function restore(into: Cluster, ids: readonly string[], ...flags: string[]): Promise<Outcome> {
    const env = {
      COXSWAIN_ARCHIVE_S3_ACCESS_KEY_ID: bucket.key,
      COXSWAIN_ARCHIVE_S3_SECRET_ACCESS_KEY: bucket.key,
    };
    const from = ['--from-binlog-backup', ...ids.map(url), '--s3-endpoint', bucket.endpoint];
    return runHere(['restore', '--endpoints', endpointOf(into), ...from, ...flags], { env });
  }

  async function expectRestored(id: string, table: string, as = table): Promise<void> {
    const restored = await contentOf(await other.client(), as).catch((cause: unknown) => {
      throw new Error(`table "${as}" cannot be read; the node says:\n${other.node(1).output}`, { cause });
    });
    expect(difference(restored, then.get(`${id} ${table}`)!)).toBeUndefined();
    expect(hashOf(restored)).toBe(hashOf(then.get(`${id} ${table}`)!));
  }

  const hashOf = (model: Model): string =>
    createHash('sha256')
      .update(JSON.stringify([...model].sort()))
      .digest('hex');

  test('restore all that was written, to the same content, in another cluster', async () => {
    const dry = await restore(other, [FIRST, SECOND], '--dry-run');
    expect(dry).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: expect.stringContaining('revisions 1 to '),
    });
    expect((await (await other.client()).tables.list()).tables).toEqual([]);

    expect(await restore(other, [FIRST])).toMatchObject({ exitCode: 0, stderr: '' });
    for (const table of ['users', 'orders']) await expectRestored(FIRST, table);
    // Both, in their order, over what is there by now.
    expect(await restore(other, [FIRST, SECOND])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('nothing was changed'),
    });
    expect(await restore(other, [FIRST, SECOND], '--yes')).toMatchObject({ exitCode: 0, stderr: '' });
    for (const table of ['users', 'orders', 'late']) await expectRestored(SECOND, table);
    // A table that was never written to is in no log.
    expect((await (await other.client()).tables.list()).tables.map(({ name }) => name)).not.toContain(
      'empty',
    );
  });

  test('make what the archive itself makes, revision by revision (A6)', async () => {
    const endpoint = ['--endpoints', endpointOf(cluster), '--tables', 'users'];
    expect(await runHere(['restore', ...endpoint, '--from-archive', '--into', 'by-archive'])).toMatchObject({
      exitCode: 0,
    });
    const into = ['--tables', 'users', '--into', 'by-backup'];
    expect(await restore(cluster, [FIRST, SECOND], ...into)).toMatchObject({ exitCode: 0, stderr: '' });
    const { tables } = await cluster.node(1).status();
    expect(tables.get('by-backup')).toMatchObject({ contentHash: tables.get('by-archive')!.contentHash });
    expect(tables.get('by-backup')!.contentHash).not.toBe('');
  });

  test('go on after a full backup, and not without it where they do not reach back to the first write', async () => {
    const alone = await restore(other, [SECOND], '--tables', 'users', '--into', 'alone');
    expect(alone).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(
        /table "users" cannot be restored .* its log begins with revision \d+ .* give a full backup/,
      ),
    });
    const full = ['--dir', directoryOf('full')];
    const into = ['--tables', 'users', '--into', 'continued'];
    expect(await restore(other, [SECOND], ...full, ...into)).toMatchObject({ exitCode: 0, stderr: '' });
    await expectRestored(SECOND, 'users', 'continued');
    expect((await (await other.client()).tables.list()).tables.map(({ name }) => name)).not.toContain(
      'alone',
    );
  });

  test.each([
    [['never made'], [], 1, 'there is no backup "never made", or it was not finished'],
    [[FIRST], ['--tables', 'nobody'], 1, 'the backups have no table nobody'],
    [[FIRST], ['--from-archive'], 2, 'but not both'],
    [[FIRST], ['--incremental', 'somewhere'], 2, 'name the directory of the backup'],
    [[FIRST], ['--s3-endpoint', 'nowhere'], 2, '--s3-endpoint: must be http'],
  ] as const)('%j %j changes nothing, and says why', async (ids, flags, exitCode, text) => {
    const outcome = await restore(other, ids, ...flags);
    expect(outcome).toMatchObject({ exitCode, stderr: expect.stringContaining(text) });
  });

  test('that were tampered with are refused before anything is replaced', async () => {
    // s3rver keeps an object in a file of that name, followed by its metadata.
    const files = readdirSync(bucket.path, { recursive: true }).map(String);
    const part = files.find((file) => file.includes(`${FIRST}-000000`) && file.endsWith('_S3rver_object'))!;
    rmSync(join(bucket.path, part));
    const outcome = await restore(other, [FIRST, SECOND], '--yes');
    expect(outcome).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`${FIRST}-000000`) });
    await expectRestored(SECOND, 'users');
  });
});
