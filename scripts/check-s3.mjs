// Stores, lists, reads and deletes with the archive's S3 store on real servers other than Amazon's: more than a page of
// names, objects in parts, what a crash leaves behind, prefixes, wrong keys, no bucket. What differs from Amazon's is
// printed; docs/compatibility.md, "Object stores" says what it means.
//
//   npm run check:s3 -- [--only NAME]
//
// Looks for rclone, versitygw, moto_server and minio on the PATH, or where RCLONE, VERSITYGW, MOTO_SERVER and MINIO say;
// names those that are missing. Exits with 1 when something does not hold, or where there is no server at all.
import { strict as assert } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { S3Requests } from '../packages/archive/dist/src/adapters/s3-requests.js';
import { S3Upload } from '../packages/archive/dist/src/adapters/s3-upload.js';
import { Deadline } from '../packages/archive/dist/src/deadline.js';
import { ArchiveError, S3Store } from '../packages/archive/dist/src/index.js';
import { findFreePorts } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

const ACCESS_KEY_ID = 'coxswaincheck';
const SECRET_ACCESS_KEY = 'coxswain-check-secret';
const BUCKET = 'bucket';
const PART_BYTES = 16 * 1024 * 1024;
/** More than a page, which is a thousand. */
const NAMES_COUNT = 1_100;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Only keeps what hangs from hanging for ever. */
const HANGS_MS = 120_000;
/** Impatient: what fails here fails for good. */
const limits = { silenceMs: 30_000, attemptsMax: 2, pauseLeastMs: 100, partSizeBytes: PART_BYTES };

/** Ids of backups as scripts make them up, and worse. */
const foreignKeys = [
  '2021-03-17T10:00:00Z',
  'Übung/月曜日',
  'a b+c%2F&=?#[]{}',
  `quotes"'and<brackets>`,
  '/slash',
  'slash',
  'two//slashes',
  'x'.repeat(200),
];

const values = checkOptions('npm run check:s3 -- [--only NAME]', { only: '' });

const root = mkdtempSync(join(tmpdir(), 'coxswain-s3-'));
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** How each server is started, and how it gets its bucket: a directory, a request without or with a signature. */
const servers = [
  {
    name: 'rclone serve s3',
    variable: 'RCLONE',
    program: 'rclone',
    version: ['version'],
    args: (directory, port) => [
      ...['serve', 's3', '--config', '', '--addr', `127.0.0.1:${port}`],
      ...['--auth-key', `${ACCESS_KEY_ID},${SECRET_ACCESS_KEY}`, directory],
    ],
    bucketBy: 'directory',
  },
  {
    name: 'versitygw posix',
    variable: 'VERSITYGW',
    program: 'versitygw',
    version: ['--version'],
    env: { ROOT_ACCESS_KEY: ACCESS_KEY_ID, ROOT_SECRET_KEY: SECRET_ACCESS_KEY },
    args: (directory, port) => ['--port', `127.0.0.1:${port}`, 'posix', directory],
    bucketBy: 'directory',
  },
  {
    name: 'moto_server',
    variable: 'MOTO_SERVER',
    program: 'moto_server',
    version: undefined,
    args: (_, port) => ['-H', '127.0.0.1', '-p', String(port)],
    bucketBy: 'plain request',
    // It knows no users, and every upload began in 2010.
    checksKeys: false,
    knowsWhenUploadsBegan: false,
  },
  {
    name: 'minio',
    variable: 'MINIO',
    program: 'minio',
    version: ['--version'],
    env: { MINIO_ROOT_USER: ACCESS_KEY_ID, MINIO_ROOT_PASSWORD: SECRET_ACCESS_KEY },
    args: (directory, port) => ['server', '--quiet', '--address', `127.0.0.1:${port}`, directory],
    bucketBy: 'signed request',
  },
];

function find({ variable, program }) {
  const given = process.env[variable];
  const { stdout, status } = spawnSync('sh', ['-c', 'command -v "$0"', given || program], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : undefined;
}

async function start(server, path) {
  const directory = mkdtempSync(join(root, 'server-'));
  const [port] = await findFreePorts(1);
  if (server.bucketBy === 'directory') mkdirSync(join(directory, BUCKET));
  const env = { PATH: process.env.PATH, HOME: directory, ...server.env };
  const child = spawn(path, server.args(directory, port), {
    cwd: directory,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => {
      output = (output + text).slice(-4000);
    });
  const endpoint = `http://127.0.0.1:${port}`;
  const deadlineMs = performance.now() + HANGS_MS;
  for (;;) {
    try {
      await (await fetch(endpoint)).arrayBuffer();
      break;
    } catch (cause) {
      if (child.exitCode !== null || performance.now() > deadlineMs)
        throw new Error(`${server.name} does not answer: ${output}`, { cause });
      await sleep(100);
    }
  }
  if (server.bucketBy === 'plain request') await fetch(`${endpoint}/${BUCKET}`, { method: 'PUT' });
  if (server.bucketBy === 'signed request') {
    const task = { deadline: new Deadline(endpoint, 'making a bucket', {}), doing: 'making a bucket' };
    await requestsTo(endpoint).run(task, (client) => client.createBucket());
  }
  const stop = async () => {
    const ended = new Promise((done) => child.once('close', done));
    child.kill('SIGKILL');
    await ended;
    children.delete(child);
    rmSync(directory, { recursive: true, force: true });
  };
  return { endpoint, stop };
}

const requestsTo = (endpoint) =>
  new S3Requests(
    `s3://${BUCKET}`,
    {
      endpoint,
      region: '',
      bucket: BUCKET,
      prefix: '',
      accessKeyId: ACCESS_KEY_ID,
      secretAccessKey: SECRET_ACCESS_KEY,
    },
    limits,
  );

/** Begins to store an object in parts, as a node does that dies then. */
async function leaveUpload(endpoint, key) {
  const url = `s3://${BUCKET}`;
  const deadline = new Deadline(url, `storing ${key}`, {});
  const upload = await S3Upload.begin({ requests: requestsTo(endpoint), url, name: key, key, deadline });
  await upload.add(randomBytes(PART_BYTES));
}

function open(endpoint, options = {}, nowMs = Date.now) {
  const all = {
    endpoint,
    region: '',
    bucket: BUCKET,
    prefix: 'deep/archive',
    accessKeyId: ACCESS_KEY_ID,
    secretAccessKey: SECRET_ACCESS_KEY,
    ...options,
  };
  return new S3Store(all, limits, nowMs);
}

async function collect(sequence) {
  const all = [];
  for await (const each of sequence) all.push(each);
  return all;
}

const hashOf = (content) => createHash('sha256').update(content).digest('hex');
const namesOf = async (store, prefix) => (await collect(store.list(prefix, {}))).map(({ name }) => name);

async function* pieces(content) {
  for (let at = 0; at < content.length; at += 1024 * 1024) yield content.subarray(at, at + 1024 * 1024);
}

async function expectCode(operation, code) {
  const error = await operation.then(
    () => undefined,
    (reason) => reason,
  );
  assert.ok(error instanceof ArchiveError, `an error ${code} was expected, not ${error}`);
  assert.equal(error.code, code, error.message);
  return error.message;
}

/** Each says what holds, and gives what is worth a word. */
const checks = {
  'an object is there, then not': async ({ endpoint }) => {
    const store = open(endpoint);
    for (const content of [Buffer.alloc(0), randomBytes(1000), randomBytes(1024 * 1024)]) {
      const { sha256 } = await store.put('a/object', content, {});
      assert.equal(sha256, hashOf(content));
      assert.equal(hashOf(Buffer.concat(await collect(store.get('a/object', {})))), sha256);
    }
    await store.delete('a/object', {});
    await store.delete('a/object', {});
    await expectCode(collect(store.get('a/object', {})), 'objectMissing');
    assert.deepEqual(await namesOf(store, ''), []);
  },
  'more names than fit a page, in the order of their bytes': async ({ endpoint }) => {
    const store = open(endpoint, { prefix: 'pages' });
    const names = Array.from(
      { length: NAMES_COUNT },
      (_, i) => `c/${i % 3}/a-_.${String(i).padStart(5, '0')}`,
    );
    for (let at = 0; at < names.length; at += 20) {
      await Promise.all(names.slice(at, at + 20).map((name) => store.put(name, Buffer.from('x'), {})));
    }
    await store.put('c/Z', Buffer.from('x'), {});
    await store.put('c/a', Buffer.from('x'), {});
    const expected = [...names, 'c/Z', 'c/a'].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const listed = await namesOf(store, '');
    assert.deepEqual([...listed].sort(), [...expected].sort());
    assert.deepEqual(
      await namesOf(store, 'c/1/'),
      expected.filter((name) => name.startsWith('c/1/')),
    );
    assert.deepEqual((await collect(store.folders('c/', {}))).sort(), ['0', '1', '2']);
    const isSorted = listed.every((name, i) => name === expected[i]);
    return isSorted ? undefined : 'names are not sorted by their bytes';
  },
  'a prefix hides what others keep in the bucket': async ({ endpoint }) => {
    const [one, other] = ['one', 'one-more'].map((prefix) => open(endpoint, { prefix }));
    await one.put('a', Buffer.from('1'), {});
    await other.put('b', Buffer.from('2'), {});
    assert.deepEqual([await namesOf(one, ''), await namesOf(other, '')], [['a'], ['b']]);
  },
  'an object of more than 16 MiB goes in parts': async ({ endpoint }) => {
    const store = open(endpoint);
    const content = randomBytes(2 * PART_BYTES + 5);
    const { sha256 } = await store.put('large', pieces(content), {});
    assert.equal(hashOf(Buffer.concat(await collect(store.get('large', {})))), sha256);
    assert.equal(sha256, hashOf(content));
  },
  'what a crash leaves of an upload is found, and nothing else': async ({ endpoint, server }) => {
    await leaveUpload(endpoint, 'deep/archive/left');
    await leaveUpload(endpoint, 'foreign/left');
    const at = (ageMs) => open(endpoint, {}, () => Date.now() + ageMs);
    if (server.knowsWhenUploadsBegan === false) {
      assert.equal(await at(0).removeLeftovers({}), 1);
      return 'the server says of every upload that it began in 2010: young ones are removed, too';
    }
    assert.equal(await at(0).removeLeftovers({}), 0, 'one that is young was removed');
    const removed = await at(DAY_MS + 60_000).removeLeftovers({});
    assert.equal(removed, 1);
    assert.equal(await at(DAY_MS + 60_000).removeLeftovers({}), 0);
  },
  'keys that somebody else chose are stored as they are, one beside the other': async ({ endpoint }) => {
    const store = open(endpoint, { prefix: '', takesAnyKey: true });
    const refused = [];
    const stored = new Map();
    for (const key of foreignKeys) {
      const content = randomBytes(100);
      try {
        await store.put(key, content, {});
        stored.set(key, hashOf(content));
      } catch (error) {
        // Not every server takes what S3 takes; what it takes must be under that name.
        assert.ok(error instanceof ArchiveError, String(error));
        refused.push(JSON.stringify(key));
      }
    }
    const mixedUp = [];
    for (const [key, sha256] of stored) {
      const isRight = hashOf(Buffer.concat(await collect(store.get(key, {})))) === sha256;
      // In a file system empty names between slashes are none.
      assert.ok(isRight || /^[/]|[/][/]/.test(key), `what is in ${key} is another's`);
      if (!isRight) mixedUp.push(JSON.stringify(key));
    }
    for (const key of stored.keys()) await store.delete(key, {});
    assert.ok(stored.has(foreignKeys[0]), `${foreignKeys[0]} is refused`);
    const words = [
      ...(refused.length === 0 ? [] : [`refused: ${refused.join(', ')}`]),
      ...(mixedUp.length === 0 ? [] : [`taken for another: ${mixedUp.join(', ')}`]),
    ];
    return words.length === 0 ? undefined : words.join('; ');
  },
  'a wrong key is an error of every operation': async ({ endpoint, server }) => {
    if (server.checksKeys === false) return 'the server checks no keys: not tried';
    const said = [];
    for (const wrong of [{ accessKeyId: 'nobody' }, { secretAccessKey: 'wrong' }]) {
      const store = open(endpoint, wrong);
      const operations = [
        store.put('x', Buffer.from('x'), {}),
        collect(store.get('x', {})),
        collect(store.list('', {})),
        store.delete('x', {}),
      ];
      for (const outcome of await Promise.allSettled(operations)) {
        assert.ok(outcome.reason instanceof ArchiveError, `${JSON.stringify(wrong)}: ${outcome.status}`);
        assert.ok(['accessDenied', 'storeFailed'].includes(outcome.reason.code), outcome.reason.message);
        if (outcome.reason.code !== 'accessDenied')
          said.push(outcome.reason.message.replace(/^.*the server/, 'the server'));
      }
    }
    return said.length === 0 ? undefined : [...new Set(said)].join('; ');
  },
  'a bucket that is not there is named': async ({ endpoint }) => {
    const store = open(endpoint, { bucket: 'no-such-bucket' });
    await expectCode(collect(store.list('', {})), 'bucketMissing');
    await expectCode(store.put('x', Buffer.from('x'), {}), 'bucketMissing');
  },
};

let failed = 0;
let found = 0;
for (const server of servers.filter(({ name }) => name.includes(values.only))) {
  const path = find(server);
  if (path === undefined) {
    console.log(
      `${server.name}: left out, there is no ${server.program} on the PATH and none that ${server.variable} names`,
    );
    continue;
  }
  found++;
  const version =
    server.version && spawnSync(path, server.version, { encoding: 'utf8' }).stdout.split('\n')[0];
  console.log(`${server.name}${version ? ` (${version})` : ''}`);
  let running;
  try {
    running = await start(server, path);
    for (const [what, check] of Object.entries(checks)) {
      try {
        const word = await check({ endpoint: running.endpoint, server });
        console.log(`  holds: ${what}${word === undefined ? '' : ` (${word})`}`);
      } catch (error) {
        failed++;
        console.log(`  DOES NOT HOLD: ${what}: ${error.message}`);
      }
    }
  } catch (error) {
    failed++;
    console.log(`  cannot be checked: ${error.message}`);
  } finally {
    await running?.stop();
  }
}
if (found === 0) console.log('nothing was checked');
process.exit(failed === 0 && found > 0 ? 0 : 1);
