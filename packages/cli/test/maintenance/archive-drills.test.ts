import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DirectoryStore, findShards, verifyShard } from '@coxswain/archive';
import type { Coxswain } from '@coxswain/client';
import { maintenance, type regatta } from '@coxswain/protocol';
import { eventually, TemporaryDirectory } from '@coxswain/testing';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster, type ClusterNode } from '../clusters/cluster.js';
import { askForLog } from '../clusters/stock/replication-client.js';
import { parseReport } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { Bucket } from './bucket.js';
import { contentAsText, ModelWriter, type Point } from './model-writer.js';

const { restoreArchive } = maintenance.MaintenanceService;

/** Restores, and resolves with the point that was reached. Rejects with the error of the call. */
function restore(
  node: ClusterNode,
  request: Partial<maintenance.RestoreArchiveRequest>,
): Promise<maintenance.RestoredPoint> {
  const client = new Client(node.endpoint, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = restoreArchive;
  const message = maintenance.RestoreArchiveRequest.fromPartial(request);
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message);
  return new Promise<maintenance.RestoredPoint>((resolve, reject) => {
    let done: maintenance.RestoredPoint | undefined;
    call.on('data', (progress: maintenance.RestoreArchiveProgress) => {
      done = progress.done;
    });
    call.once('error', reject);
    call.once('end', () => done && resolve(done));
  }).finally(() => client.close());
}

const bytes = (text: string): Buffer => Buffer.from(text);
const toRevision = (value: number) => ({ $case: 'toRevision', value: BigInt(value) }) as const;
const toTime = (value: number) => ({ $case: 'toTimeMs', value: BigInt(value) }) as const;

/** Returns the report of the node that archives a table. */
async function archiveOf(cluster: Cluster, table: string): Promise<regatta.TableArchive> {
  const leader = await cluster.leaderOf(table);
  return (await leader.status()).tables.get(table)!.archive!;
}

describe('the archive of a cluster of three', () => {
  const directory = new TemporaryDirectory();
  let cluster: Cluster;
  let client: Coxswain;

  beforeAll(async () => {
    cluster = await Cluster.ready({
      role: 'leader',
      nodes: 3,
      tables: ['kept'],
      flags: [
        `--archive.target=${pathToFileURL(join(directory.path, 'archive'))}`,
        '--archive.object-age=100ms',
        '--archive.base-interval=2s',
      ],
    });
    client = await cluster.client();
  });

  afterAll(async () => {
    await cluster.stop();
    directory.remove();
  });

  test('has every write at its revision and its time, however often its leader is killed', async () => {
    const writer = new ModelWriter(client, 'kept');
    writer.start();
    for (let kill = 1; kill <= 2; kill++) {
      const before = writer.points.length;
      await eventually('some is archived', async () => {
        const { archivedIndex } = await archiveOf(cluster, 'kept');
        return (
          writer.points.length > before + 100 && Number(archivedIndex) > writer.points[before + 50]!.revision
        );
      });
      const leader = await cluster.leaderOf('kept');
      await leader.kill();
      const count = writer.points.length;
      await eventually('another leads', () => writer.points.length > count + 50);
      cluster.restart(leader.id);
    }
    await cluster.untilReady();
    await writer.stop();
    const { points, last } = writer;
    for (const at of [0.1, 0.5, 0.95].map((part) => Math.floor(part * points.length))) {
      const { revision, timeMs, content } = points[at]!;
      const byRevision = await restore(cluster.node(1), {
        table: bytes('kept'),
        into: bytes('copy'),
        limit: toRevision(revision),
      });
      expect(Number(byRevision.revision)).toBe(revision);
      expect(await contentAsText(client, 'copy')).toBe(content);
      const byTime = await restore(cluster.node(2), {
        table: bytes('kept'),
        into: bytes('copy'),
        limit: toTime(Number(byRevision.timeMs)),
      });
      expect(Number(byTime.timeMs)).toBeLessThanOrEqual(timeMs);
      expect(Number(byTime.revision)).toBeGreaterThanOrEqual(revision);
      const reached = points.findLast((point) => point.revision <= Number(byTime.revision))!;
      expect(await contentAsText(client, 'copy')).toBe(reached.content);
    }
    const all = await restore(cluster.node(3), { table: bytes('kept'), into: bytes('copy') });
    expect(Number(all.revision)).toBeGreaterThanOrEqual(last.revision);
    expect(await contentAsText(client, 'copy')).toBe(last.content);
    expect(await archiveOf(cluster, 'kept')).toMatchObject({ gapCount: 0n, error: '' });
    // What several leaders stored of the same entries is the same, and nothing is missing.
    const store = new DirectoryStore(join(directory.path, 'archive'));
    for (const shard of await findShards(store, { table: 'kept' }, {})) {
      const verified = await verifyShard(store, shard, {}, {});
      expect(verified.problems).toEqual([]);
      expect(verified.restorable).toHaveLength(1);
      expect(verified.restorable[0]!.last).toBeGreaterThanOrEqual(last.revision);
    }
  });
});

describe('a bucket that is away', () => {
  let bucket: Bucket;
  let cluster: Cluster;
  let client: Coxswain;

  beforeAll(async () => {
    bucket = await Bucket.start();
    cluster = await Cluster.ready({
      role: 'leader',
      nodes: 1,
      tables: ['kept', 'gap'],
      flags: [
        ...bucket.flags('a/prefix'),
        '--archive.object-age=50ms',
        '--archive.max-backlog=2MiB',
        '--raft.snapshot-entries=20',
        '--raft.compaction-overhead=5',
      ],
    });
    client = await cluster.client();
  });

  afterAll(async () => {
    await Promise.all([cluster.stop(), bucket.stop()]);
  });

  const write = async (writer: ModelWriter, count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn++) await writer.write(randomBytes(10_000).toString('hex'));
  };
  const isArchived = async (table: string, { revision }: Point): Promise<boolean> =>
    Number((await archiveOf(cluster, table)).archivedIndex) >= revision;

  test('holds no write up: what waits is told, and archived when it is back', async () => {
    const writer = new ModelWriter(client, 'kept');
    await write(writer, 5);
    await eventually('it is archived', () => isArchived('kept', writer.last));
    await bucket.kill();
    await write(writer, 50);
    await eventually('it is told', async () => {
      const { state, backlogBytes, error } = await archiveOf(cluster, 'kept');
      return state === 'retrying' && backlogBytes > 900_000n && error !== '';
    });
    const { errors } = await cluster.node(1).status();
    expect(errors.join()).toMatch("archive: table 'kept' is not archived");
    const { stdout } = await runHere(['status', '--endpoints', cluster.node(1).endpoint]);
    expect(stdout).toMatch(/^archives, \S+, kept, retrying, \d+, 20\S+Z, \d/m);
    expect(await cluster.node(1).metrics()).toMatch(/coxswain_archive_failing\{table="kept"\} 1/);
    await bucket.restart();
    await eventually('it is archived, and all is well', async () => {
      const { state, backlogBytes } = await archiveOf(cluster, 'kept');
      return state === 'archiving' && backlogBytes === 0n && isArchived('kept', writer.last);
    });
    expect((await archiveOf(cluster, 'kept')).gapCount).toBe(0n);
    await restore(cluster.node(1), { table: bytes('kept'), into: bytes('copy') });
    expect(await contentAsText(client, 'copy')).toBe(writer.last.content);
  });

  test('for too long leaves a gap, which no restore crosses, and a base behind it', async () => {
    const writer = new ModelWriter(client, 'gap');
    await write(writer, 5);
    const before = writer.last;
    await eventually('it is archived', () => isArchived('gap', before));
    await bucket.kill();
    await write(writer, 150);
    const [node] = cluster.nodes as [ClusterNode];
    await eventually('the log lets go of what waits', async () => {
      const { error } = await askForLog(node.replicationAddress, 'gap', before.revision + 1);
      return error === 'USE_SNAPSHOT';
    });
    // The object that is about to be stored may still hold everything; the one after it finds the gap.
    const failures = async (): Promise<number> =>
      Number(/^coxswain_archive_errors_total (\d+)$/m.exec(await node.metrics())![1]);
    const failed = await failures();
    await eventually(
      'the object that is about to be stored is given up',
      async () => (await failures()) > failed + 1,
    );
    await bucket.restart();
    await eventually('the gap is marked', async () => (await archiveOf(cluster, 'gap')).gapCount > 0n);
    await eventually('all is archived', () => isArchived('gap', writer.last));
    await write(writer, 5);
    await eventually('there is a base', async () =>
      /coxswain_archive_bases_total [1-9]/.test(await cluster.node(1).metrics()),
    );
    const to = (limit: maintenance.RestoreArchiveRequest['limit']) =>
      restore(cluster.node(1), { table: bytes('gap'), into: bytes('copy'), limit });
    // The object that was about to be stored when the bucket went was stored when it was back: the gap begins after it.
    const listed = await runHere(['archive', 'list', '--json', '--table=gap', ...bucket.flags('a/prefix')]);
    const [shard] = (parseReport(listed.stdout) as { shards: { restorable: { last: number }[] }[] }).shards;
    const { last } = shard!.restorable[0]!;
    expect(last).toBeGreaterThanOrEqual(before.revision);
    const across = await to(toRevision(last + 1)).catch((error: ServiceError) => error);
    expect((across as ServiceError).details).toMatch('are a gap');
    await to(toRevision(last));
    expect(await contentAsText(client, 'copy')).toBe(writer.at(last).content);
    await to(undefined);
    expect(await contentAsText(client, 'copy')).toBe(writer.last.content);
    const { errors } = await cluster.node(1).status();
    expect(errors.join()).toMatch(/the archive of table 'gap' has (a gap|\d gaps)/);
  });
});
