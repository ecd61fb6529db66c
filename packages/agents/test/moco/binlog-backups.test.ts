import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { DEFAULT_S3_LIMITS, gapName, logName, MemoryObjectStore, S3Store } from '@coxswain/archive';
import { errors, systemClock } from '@coxswain/node';
import { MemoryNode } from '@coxswain/node/testing';
import { moco } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import { EventRecorder, ScriptedS3, until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { agentEvents } from '../../src/events.js';
import { BinlogBackups } from '../../src/moco/binlog-backups.js';
import { OneAtATime } from '../../src/moco/one-at-a-time.js';

const s3 = new ScriptedS3();
/** Nothing here is silent: a busy machine must not be taken for that. */
const LIMITS = { ...DEFAULT_S3_LIMITS, silenceMs: 600_000, attemptsMax: 2, pauseLeastMs: 1 };

let node: MemoryNode;
let store: MemoryObjectStore;
let requests: OneAtATime;
let backups: BinlogBackups;
let flushed: () => Promise<void>;
let isCloning: boolean;
let recorder: EventRecorder;

beforeEach(async () => {
  s3.objects.clear();
  s3.intercept = () => false;
  await s3.start();
  node = new MemoryNode();
  store = new MemoryObjectStore();
  isCloning = false;
  requests = new OneAtATime(() => isCloning);
  flushed = () => Promise.resolve();
  recorder = new EventRecorder();
  backups = new BinlogBackups(node.parts, {
    clock: systemClock,
    log: recorder.log,
    requests,
    archive: { store, flush: () => flushed() },
    openBucket: (options) => new S3Store(options, LIMITS),
    followedUpTo: async () => new Map([['t', 5]]),
  });
});

afterEach(async () => {
  await backups.stop();
  await s3.stop();
});

const call = () => ({ deadlineMs: systemClock.monotonicMs() + 600_000 });

function request(more: Partial<moco.FlushAndBackupBinlogRequest> = {}): moco.FlushAndBackupBinlogRequest {
  return moco.FlushAndBackupBinlogRequest.fromPartial({
    backupId: 'monday',
    bucketHost: '127.0.0.1',
    bucketPort: Number(new URL(s3.endpoint).port),
    bucketName: s3.bucket,
    bucketRegion: s3.region,
    accessKeyId: s3.accessKeyId,
    secretAccessKey: s3.secretAccessKey,
    ...more,
  });
}

/** Puts an object of a shard's log into the archive. */
function archive(shardId: number, first: number, last: number): Buffer {
  const content = Buffer.from(`${shardId}: ${first} to ${last}`);
  const sha256 = createHash('sha256').update(content).digest('hex');
  store.objects.set(logName({ clusterId: 'c1', shardId }, first, last, sha256), content);
  return content;
}

async function run(more: Partial<moco.FlushAndBackupBinlogRequest> = {}): Promise<void> {
  await backups.begin(request(more), call());
  await until('the backup has ended', () => backups.status.state !== 'running');
}

const names = (): string[] => [...s3.objects.keys()].sort();
const content = (name: string): string => gunzipSync(s3.objects.get(name)!).toString();

describe('FlushAndBackupBinlog', () => {
  test('stores what the archive has, gzipped and numbered, and last the list of it', async () => {
    archive(10_002, 1, 9);
    archive(10_001, 11, 20);
    archive(10_001, 1, 10);
    const gap = Buffer.from('{"gap":true}\n');
    store.objects.set(gapName({ clusterId: 'c1', shardId: 10_001 }, 21, 25), gap);
    archive(10_001, 26, 30);
    store.objects.set('c2/10001/log/of-another-cluster.log', Buffer.from('no'));
    await run();
    expect(backups.status).toMatchObject({ state: 'done', objects: 5, objectsDone: 5, error: undefined });
    const parts = [0, 1, 2, 3, 4].map((place) => `monday-00000${place}`);
    expect(names()).toEqual(['monday', ...parts]);
    expect(s3.objects.get('monday')!.toString()).toBe(parts.join('\n'));
    expect(parts.map(content)).toEqual([
      '10001: 1 to 10',
      '10001: 11 to 20',
      '{"gap":true}\n',
      '10001: 26 to 30',
      '10002: 1 to 9',
    ]);
  });

  test('goes on behind the last backup, whichever node made it, and into whichever bucket', async () => {
    archive(10_001, 1, 10);
    await run();
    archive(10_001, 11, 20);
    archive(10_002, 1, 5);
    await run({ backupId: 'week/tuesday' });
    expect(s3.objects.get('week/tuesday')!.toString()).toBe('week/tuesday-000000\nweek/tuesday-000001');
    expect(content('week/tuesday-000000')).toBe('10001: 11 to 20');
    await run({ backupId: 'wednesday' });
    expect(s3.objects.get('wednesday')).toHaveLength(0);
  });

  test('marks what was pruned since the last backup, in its place, in the log, and once', async () => {
    const table = await node.createTable('t');
    const { shardId } = table;
    archive(shardId, 1, 10);
    archive(10_099, 1, 5);
    await run();
    // One shard has entries left after the hole; the table has none, though they were archived.
    archive(10_099, 21, 30);
    node.archived.set(shardId, 40);
    for (const name of [...store.objects.keys()])
      if (name.includes('-0000000000000010-')) store.objects.delete(name);
    await run({ backupId: 'tuesday' });
    expect(backups.status).toMatchObject({ state: 'done', objects: 3, objectsDone: 3 });
    const parts = ['tuesday-000000', 'tuesday-000001', 'tuesday-000002'];
    expect(s3.objects.get('tuesday')!.toString()).toBe(parts.join('\n'));
    const mark = { format: 1, gap: 'pruned', clusterId: 'c1' };
    const contents = parts.map(content);
    const marks = contents.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text) as object);
    expect(marks).toEqual([
      { ...mark, shardId, first: 11, last: 40 },
      { ...mark, shardId: 10_099, first: 6, last: 20 },
    ]);
    expect(contents.at(-1)).toBe('10099: 21 to 30');
    expect(recorder.of(agentEvents.archiveBackupIncomplete)).toMatchObject([
      { shard: shardId, first: 11, last: 40 },
      { shard: 10_099, first: 6, last: 20 },
    ]);
    await run({ backupId: 'wednesday' });
    expect(s3.objects.get('wednesday')).toHaveLength(0);
  });

  test('that breaks off is none: the next one has all of it', async () => {
    archive(10_001, 1, 10);
    archive(10_001, 11, 20);
    s3.intercept = ({ method, key }, response) => {
      if (method !== 'PUT' || key !== 'monday-000001') return false;
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
      return true;
    };
    await run();
    expect(backups.status).toMatchObject({
      state: 'failed',
      error:
        'the bucket cannot be written to: the keys are refused: correct access_key_id and secret_access_key',
    });
    expect(names()).toEqual(['monday-000000']);
    s3.intercept = () => false;
    await run();
    expect(names()).toEqual(['monday', 'monday-000000', 'monday-000001']);
  });

  test('does not take an object that was damaged in the archive for a backup', async () => {
    archive(10_001, 1, 10).write('X', 2);
    await run();
    expect(backups.status.state).toBe('failed');
    expect(backups.status.error).toContain('is damaged: its bytes are not those that were stored');
    expect(names()).not.toContain('monday');
  });

  test('of an id that is there is refused', async () => {
    await run();
    await expect(backups.begin(request(), call())).rejects.toEqual(errors.backupExists('monday'));
    expect(errors.backupExists('monday').message).toBe(
      'the requested backup has already completed: BackupId=monday',
    );
    // Ids are compared as a whole.
    await run({ backupId: 'mon' });
    expect(backups.status.state).toBe('done');
  });

  test.each<[Partial<moco.FlushAndBackupBinlogRequest>, string]>([
    [{ bucketName: 'nowhere' }, 'there is no bucket "nowhere": create it, or correct bucket_name'],
    [{ bucketName: '../x' }, 'bucket_name is no name of a bucket'],
    [{ secretAccessKey: 'wrong' }, 'the keys are refused: correct access_key_id and secret_access_key'],
    [{ accessKeyId: 'nobody' }, 'the keys are refused: correct access_key_id and secret_access_key'],
    [{ accessKeyId: '' }, 'access_key_id and secret_access_key must be set'],
    [{ bucketPort: 0 }, 'bucket_host and bucket_port are no address'],
    [{ bucketPort: 70_000 }, 'bucket_host and bucket_port are no address'],
    [{ bucketHost: '' }, 'bucket_host and bucket_port are no address'],
    [{ bucketHost: 'user@host' }, 'bucket_host and bucket_port are no address'],
  ])('says what is wrong with a bucket before it begins: %j', async (more, reason) => {
    archive(10_001, 1, 10);
    const failure = backups.begin(request(more), call());
    await expect(failure).rejects.toEqual(errors.bucketFailed(reason));
    expect(backups.status.state).toBe('none');
    expect(store.objects.size).toBe(1);
    // Nothing is held.
    requests.take()();
  });

  test('says so where nobody answers', async () => {
    const nobody = request();
    await s3.stop();
    const reason = 'nobody answers there: correct bucket_host and bucket_port';
    await expect(backups.begin(nobody, call())).rejects.toEqual(errors.bucketFailed(reason));
    await s3.start(nobody.bucketPort);
  });

  test.each([
    '2021-03-17T10:00:00Z',
    'a b+c%2F&<d>"\'#?=*~',
    'Übung/月曜日 🗓',
    '/begins/with a slash//and has two',
    'x'.repeat(900),
    '.x/..y/z.',
    ' ',
  ])('takes any id that S3 takes as a key: %j', async (backupId) => {
    archive(10_001, 1, 10);
    await run({ backupId });
    expect(backups.status).toMatchObject({ state: 'done', objects: 1 });
    expect(names()).toEqual([backupId, `${backupId}-000000`]);
    expect(s3.objects.get(backupId)!.toString()).toBe(`${backupId}-000000`);
    await expect(backups.begin(request({ backupId }), call())).rejects.toEqual(errors.backupExists(backupId));
  });

  test('says so of an id that is none, before anything else', async () => {
    for (const backupId of [
      '',
      '../x',
      'a/..',
      '.',
      'a/./b',
      'two\nlines',
      '\0',
      'x'.repeat(901),
      'ü'.repeat(451),
    ]) {
      await expect(backups.begin(request({ backupId }), call())).rejects.toEqual(errors.backupIdInvalid());
    }
  });

  test('never replaces what is no part of it: the list of a backup whose id ends as the names of parts do', async () => {
    archive(10_001, 1, 10);
    await run({ backupId: 'nightly-000000' });
    const before = names();
    const begun = backups.begin(request({ backupId: 'nightly' }), call());
    await expect(begun).rejects.toEqual(errors.backupIdTaken('nightly', 'nightly-000000'));
    await run({ backupId: 'weekly-000001' });
    archive(10_001, 11, 20);
    archive(10_001, 21, 30);
    await run({ backupId: 'weekly' });
    expect(backups.status.error).toBe(errors.backupIdTaken('weekly', 'weekly-000001').message);
    expect(names()).toEqual([...before, 'weekly-000000', 'weekly-000001']);
    expect(s3.objects.get('weekly-000001')).toHaveLength(0);
    await run({ backupId: 'again' });
    expect(backups.status).toMatchObject({ state: 'done', objects: 2 });
  });

  test('waits for what was written by now, also for what other nodes store, and not for what changes nothing', async () => {
    const table = await node.createTable('t');
    await table.put('a', '1');
    await table.append({}, CommandKind.None);
    await backups.begin(request(), call());
    await expect(backups.flush({ delete: false }, call())).rejects.toEqual(errors.anotherRequest());
    // It has asked twice more how far the archive is, and still waits.
    let askedCount = 0;
    const archivedIndex = node.archivedIndex.bind(node);
    node.archivedIndex = (shardId) => {
      askedCount++;
      return archivedIndex(shardId);
    };
    await until('it has asked twice', () => askedCount >= 2);
    expect(backups.status.state).toBe('running');
    archive(table.shardId, 1, 1);
    node.archived.set(table.shardId, 1);
    await until('the backup has ended', () => backups.status.state !== 'running');
    expect(s3.objects.get('monday')!.toString()).toBe('monday-000000');
  });

  test('waits for its turn while a clone fills the cluster, whichever node has begun it', async () => {
    isCloning = true;
    await expect(backups.begin(request(), call())).rejects.toEqual(errors.anotherRequest());
    await expect(backups.flush({ delete: false }, call())).rejects.toEqual(errors.anotherRequest());
    isCloning = false;
    await run();
    expect(backups.status.state).toBe('done');
  });

  test('never logs a secret', async () => {
    await run({ secretAccessKey: s3.secretAccessKey });
    await run({ backupId: 'other', secretAccessKey: 'wrong' }).catch(() => undefined);
    const logged = JSON.stringify(recorder.events);
    expect(logged).toContain('monday');
    expect(logged).not.toContain(s3.secretAccessKey);
  });
});

describe('FlushBinlog', () => {
  test('compacts logs only when asked, up to where followers are', async () => {
    await backups.flush({ delete: false }, call());
    expect(node.compactions).toEqual([]);
    await backups.flush({ delete: true }, call());
    expect(node.compactions).toEqual([new Map([['t', 5]])]);
  });

  test('says so when the archive is too slow, and leaves logs alone', async () => {
    await (await node.createTable('t')).put('a', '1');
    const soon = { deadlineMs: systemClock.monotonicMs() + 30 };
    await expect(backups.flush({ delete: true }, soon)).rejects.toEqual(errors.flushTooSlow());
    expect(node.compactions).toEqual([]);
    requests.take()();
  });

  test('is for leader clusters', async () => {
    node.role = 'follower';
    const refusal = (method: string) => errors.notForThisRole(method);
    await expect(backups.flush({ delete: false }, call())).rejects.toEqual(refusal('FlushBinlog'));
    await expect(backups.begin(request(), call())).rejects.toEqual(refusal('FlushAndBackupBinlog'));
  });
});
