import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BackupReader } from '@coxswain/backup';
import {
  type ActionAnswer,
  type ArchiveAnswer,
  type ChangeAnswer,
  type RangeAnswer,
  SAMPLE_FIELDS,
  STAGES,
  type TxnAnswer,
} from '@coxswain/console';
import { regatta } from '@coxswain/protocol';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { base64, ConsoleClient, type Extra, type LiveMessage } from './support/console-client.js';
import { OneNode } from './support/one-node.js';
import type { Rpc } from './support/rpc.js';
import { unzipStored } from './support/unzip.js';

const TOKEN = 'a token';

let node: OneNode;
let rpc: Rpc;
/** As an operator with the token, and as somebody without. */
let operator: ConsoleClient;
let stranger: ConsoleClient;

beforeAll(async () => {
  node = await OneNode.start({ 'tables.names': 'default,other', 'maintenance.token': TOKEN });
  rpc = node.rpc();
  operator = new ConsoleClient(node.server.restUrl, TOKEN);
  stranger = new ConsoleClient(node.server.restUrl);
});

afterAll(async () => {
  rpc?.close();
  await node?.stop();
});

const absent = { isAbsent: true };

function put(key: string, value: string, expected: object = absent): Promise<ChangeAnswer> {
  const body = { table: 'default', key: base64(key), value: base64(value), expected };
  return operator.post<ChangeAnswer>('/put', body).then((reply) => reply.body);
}

async function read(key: string): Promise<RangeAnswer['pairs'][number]> {
  const { body } = await operator.post<RangeAnswer>('/range', { table: 'default', key: base64(key) });
  return body.pairs[0]!;
}

describe('the page', () => {
  test('is served to everybody, with a policy under which it can only run itself and ask this node', async () => {
    const response = await fetch(`${node.server.restUrl}/`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('referrer-policy')).toBe('no-referrer');
    const page = await response.text();
    expect(page).not.toMatch(/<script(?![^>]*src=)|style=|https?:/);
    const [, script] = /src="(console\/console-\w+\.js)"/.exec(page)!;
    const file = await fetch(`${node.server.restUrl}/${script}`);
    expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(file.headers.get('content-encoding')).toBe('gzip');
    const plain = await fetch(`${node.server.restUrl}/${script}`, {
      headers: { 'accept-encoding': 'identity' },
    });
    expect(plain.headers.get('content-encoding')).toBeNull();
    expect(await plain.text()).toBe(await file.text());
    const etag = file.headers.get('etag')!;
    const again = await fetch(`${node.server.restUrl}/${script}`, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
  });

  test('no other file is served', async () => {
    for (const path of ['/console/', '/console/nothing.js', '/console/..%2Findex.js', '/console/%2e%2e/x'])
      expect((await fetch(node.server.restUrl + path)).status).toBe(404);
  });
});

describe('who is answered', () => {
  test('whoever has the token, and nobody else', async () => {
    expect((await operator.get('/config')).status).toBe(200);
    expect(await stranger.refusal(stranger.get('/config'))).toBe('401 noToken');
    const wrong = new ConsoleClient(node.server.restUrl, 'another');
    for (const path of ['/config', '/live', '/archive?table=default'])
      expect(await wrong.refusal(wrong.get(path))).toBe('401 invalidToken');
    for (const path of ['/range', '/put', '/delete', '/txn', '/tables/create', '/actions/gc'])
      expect(await wrong.refusal(wrong.post(path, {}))).toBe('401 invalidToken');
  });

  test.each<[string, Extra, string | undefined]>([
    ['a page of its own', { 'sec-fetch-site': 'same-origin' }, undefined],
    ['the address bar', { 'sec-fetch-site': 'none' }, undefined],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }, '403 foreignOrigin'],
    ['a page of another port', { 'sec-fetch-site': 'same-site' }, '403 foreignOrigin'],
    ['another origin', { origin: 'http://evil.example' }, '403 foreignOrigin'],
    ['a sandboxed frame', { origin: 'null' }, '403 foreignOrigin'],
    ['localhost', { host: 'localhost:8079' }, undefined],
    ['an IPv6 address', { host: '[::1]:8079' }, undefined],
    ['a name of another site that leads here', { host: 'evil.example' }, '403 foreignHost'],
    ['a name that only begins like one of ours', { host: 'localhost.evil.example' }, '403 foreignHost'],
  ])('a request from %s', async (_, headers, refusal) => {
    const reply = operator.get('/config', headers);
    if (refusal === undefined) expect((await reply).status).toBe(200);
    else expect(await operator.refusal(reply)).toBe(refusal);
  });

  test('a page reached by its own origin may write', async () => {
    const host = new URL(node.server.restUrl).host;
    const body = { table: 'default', key: base64('origin'), value: '', expected: absent };
    const headers = { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' };
    expect((await operator.post('/put', body, headers)).body).toMatchObject({ isDone: true });
  });

  test('a form of another site cannot send what is taken', async () => {
    const forms = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', undefined];
    for (const type of forms) {
      const reply = operator.post('/range', '{"table":"default","key":"YQ=="}', { 'content-type': type });
      expect(await operator.refusal(reply)).toBe('400 badRequest');
    }
  });

  test('without a token reading works, and nothing can be changed', async () => {
    const open = await OneNode.start({ 'rest.host-names': 'console.example, other.example' });
    const client = new ConsoleClient(open.server.restUrl);
    try {
      await open.createTable(open.rpc(), 'default');
      const range = { table: 'default', key: base64('\0'), rangeEnd: base64('\0') };
      expect((await client.post('/range', range)).body).toMatchObject({ pairs: [] });
      expect((await client.get('/config', { host: 'Console.example:1' })).status).toBe(200);
      const key = base64('a');
      const reading = { table: 'default', compare: [], success: [{ range: { key } }], failure: [] };
      expect((await client.post('/txn', reading)).status).toBe(200);
      const refused: [string, object][] = [
        ['/put', { table: 'default', key, value: key, expected: absent }],
        ['/delete', { table: 'default', key, expected: absent }],
        ['/txn', { ...reading, success: [{ put: { key, value: key } }] }],
        ['/tables/create', { table: 'more' }],
        ['/tables/delete', { table: 'default' }],
        ['/actions/gc', {}],
        ['/actions/pause', { member: 1 }],
        ['/actions/resume', { member: 1 }],
        ['/actions/transfer', { table: 'default', member: 1 }],
        ['/actions/backup', { tables: [] }],
      ];
      for (const [path, body] of refused)
        expect(await client.refusal(client.post(path, body))).toBe('403 changesNeedToken');
      expect((await client.post('/range', range)).body).toMatchObject({ pairs: [] });
    } finally {
      await open.stop();
    }
  });

  test('what an option switches off is refused, and the text names the option', async () => {
    const flags = { 'maintenance.enabled': 'false', 'tables.enabled': 'false', 'maintenance.token': TOKEN };
    const other = await OneNode.start(flags);
    const client = new ConsoleClient(other.server.restUrl, TOKEN);
    try {
      const reply = await client.post('/actions/gc', {});
      expect(reply.status).toBe(403);
      expect(reply.body).toMatchObject({ error: { code: 'notServed' } });
      expect(JSON.stringify(reply.body)).toContain('maintenance.enabled');
      expect(await client.refusal(client.post('/tables/create', { table: 'x' }))).toBe('403 notServed');
    } finally {
      await other.stop();
    }
  });

  test('a path that is not there, and a body that is none or too large, have an answer', async () => {
    expect(await operator.refusal(operator.get('/nothing'))).toBe('404 pathUnknown');
    expect(await operator.refusal(operator.post('/range', '{'))).toBe('400 badRequest');
    const large = JSON.stringify({ table: 'x'.repeat(4 * 1024 * 1024) });
    expect(await operator.refusal(operator.post('/range', large))).toBe('413 bodyTooLarge');
  });
});

describe('the data browser', () => {
  test('pages through a range, cuts values, and counts', async () => {
    for (let i = 0; i < 5; i++) await put(`page/${i}`, 'x'.repeat(100));
    const range = { table: 'default', key: base64('page/'), rangeEnd: base64('page0') };
    const first = await operator.post<RangeAnswer>('/range', { ...range, limit: 2, valueBytesMax: 10 });
    expect(first.body.pairs.map(({ key }) => Buffer.from(key, 'base64').toString())).toEqual([
      'page/0',
      'page/1',
    ]);
    expect(first.body.pairs[0]).toMatchObject({
      value: base64('x'.repeat(10)),
      valueBytes: 100,
      version: '1',
    });
    expect(first.body.hasMore).toBe(true);
    const counted = await operator.post<RangeAnswer>('/range', { ...range, isCountOnly: true });
    expect(counted.body).toMatchObject({ count: 5, pairs: [] });
    const local = await operator.post<RangeAnswer>('/range', { ...range, isLocal: true });
    expect(local.body.pairs).toHaveLength(5);
  });

  test('a new pair is stored only where its key is absent', async () => {
    expect(await put('new', 'one')).toMatchObject({ isDone: true });
    expect(await put('new', 'two')).toMatchObject({ isDone: false });
    expect((await read('new')).value).toBe(base64('one'));
  });

  test('a change is made only to what was read: nobody’s change is lost', async () => {
    await put('cas', 'first');
    const { modRevision } = await read('cas');
    await rpc.call(regatta.KVService.put, {
      table: Buffer.from('default'),
      key: Buffer.from('cas'),
      value: Buffer.from('of somebody else'),
    });
    expect(await put('cas', 'mine', { modRevision })).toMatchObject({ isDone: false });
    const body = { table: 'default', key: base64('cas') };
    const kept = await operator.post<ChangeAnswer>('/delete', { ...body, expected: { modRevision } });
    expect(kept.body.isDone).toBe(false);
    const now = await read('cas');
    expect(now.value).toBe(base64('of somebody else'));
    expect(await put('cas', 'by value', { value: base64('wrong') })).toMatchObject({ isDone: false });
    expect(await put('cas', 'by value', { value: now.value })).toMatchObject({ isDone: true });
    const { modRevision: latest } = await read('cas');
    const gone = await operator.post<ChangeAnswer>('/delete', { ...body, expected: { modRevision: latest } });
    expect(gone.body.isDone).toBe(true);
    expect(await read('cas')).toBeUndefined();
  });

  test('what the API checks is checked here too', async () => {
    const key = base64('k');
    expect(await operator.refusal(operator.post('/range', { table: 'nothing', key }))).toBe(
      '404 tableNotFound',
    );
    expect(await operator.refusal(operator.post('/range', { table: 'default', key: '' }))).toBe(
      '400 keyNotSet',
    );
    const long = { table: 'default', key: base64('k'.repeat(1025)), value: '', expected: absent };
    expect(await operator.refusal(operator.post('/put', long))).toBe('409 keyTooLong');
    expect((await operator.post('/put', { ...long, key, value: base64('v') })).status).toBe(200);
  });

  test.each<[string, object]>([
    ['key', { table: 'default' }],
    ['key', { table: 'default', key: 'not base64' }],
    ['table', { table: 1, key: '' }],
    ['limit', { table: 'default', key: '', limit: 1001 }],
    ['valueBytesMax', { table: 'default', key: '', valueBytesMax: -1 }],
    ['isLocal', { table: 'default', key: '', isLocal: 'yes' }],
  ])('a request whose %s is wrong is refused, and the text says so', async (field, body) => {
    const reply = await operator.post('/range', body);
    expect(reply.status).toBe(400);
    expect(JSON.stringify(reply.body)).toContain(`${field} must be`);
  });

  test('a transaction compares, and does one or the other', async () => {
    await put('txn', 'one');
    const key = base64('txn');
    const txn = {
      table: 'default',
      compare: [{ key, target: 'value', result: 'equal', operand: base64('one') }],
      success: [{ put: { key, value: base64('two'), prevKv: true } }, { range: { key } }],
      failure: [{ delete: { key, count: true } }],
    };
    const first = await operator.post<TxnAnswer>('/txn', txn);
    expect(first.body).toMatchObject({
      succeeded: true,
      responses: [
        { put: { prevKv: { value: base64('one') } } },
        { range: { pairs: [{ value: base64('two') }] } },
      ],
    });
    const second = await operator.post<TxnAnswer>('/txn', txn);
    expect(second.body).toMatchObject({ succeeded: false, responses: [{ delete: { deleted: '1' } }] });
    for (const [target, operand, succeeded] of [
      ['version', '0', true],
      ['mod', '0', true],
      ['create', '1', false],
      ['exists', undefined, false],
    ] as const) {
      const compare = [{ key, target, result: 'equal', operand }];
      const { body } = await operator.post<TxnAnswer>('/txn', { ...txn, compare, success: [], failure: [] });
      expect([target, body.succeeded]).toEqual([target, succeeded]);
    }
  });
});

describe('the live stream', () => {
  const states = (messages: readonly LiveMessage[]) => messages.filter(({ kind }) => kind === 'state');

  test('begins with everything, and goes on with what has changed', async () => {
    const messages = await operator.live(
      (seen) => states(seen).some(({ data }) => data['isFull'] === false && data['tables'] !== undefined),
      () => put(`live/${Date.now()}`, 'x'),
    );
    const [first, ...rest] = states(messages);
    expect(first!.data).toMatchObject({
      isFull: true,
      node: {
        id: 1,
        isReady: true,
        problems: [],
        allows: { changes: true, maintenance: true, tables: true },
      },
      members: [{ id: 1, isSelf: true, isConnected: true, leadsMeta: true, tablesLed: 2, state: 'online' }],
      cluster: { role: 'leader', tableCount: 2, leaderlessCount: 0 },
      tables: {
        changed: [
          { name: 'default', leader: 1, role: 'leader' },
          { name: 'other', problem: '' },
        ],
      },
      archive: null,
    });
    const changed = rest.find(({ data }) => data['tables'] !== undefined)!.data['tables'] as {
      changed: { name: string }[];
    };
    expect(changed.changed.map(({ name }) => name)).toEqual(['default']);
  });

  test('has a sample each second, with the stages of a write', async () => {
    const values = await until('a sample with a write', async () => {
      const messages = await operator.live(
        (seen) => seen.filter(({ kind }) => kind === 'sample').length > 1,
        () => put(`sample/${Date.now()}`, 'x'),
      );
      const samples = messages.filter(({ kind }) => kind === 'sample').at(-1)!.data['samples'] as {
        values: (number | null)[];
      }[];
      const found = samples.at(-1)!.values;
      return found[SAMPLE_FIELDS.indexOf('writes')]! > 0 ? found : undefined;
    });
    expect(values).toHaveLength(SAMPLE_FIELDS.length);
    for (const stage of STAGES.filter((each) => each !== 'answer'))
      expect(values[SAMPLE_FIELDS.indexOf(`${stage}.p50`)]).toBeGreaterThan(0);
    expect(values[SAMPLE_FIELDS.indexOf('resident')]).toBeGreaterThan(1e6);
  });

  test('a table that is made, and one that is deleted, are told at once', async () => {
    const made = await operator.live(
      (seen) => JSON.stringify(states(seen).at(-1)!.data['tables'] ?? '').includes('short-lived'),
      async () => {
        const reply = await operator.post<ActionAnswer>('/tables/create', { table: 'short-lived' });
        expect(reply.body.message).toBe('Table short-lived was created.');
      },
    );
    expect(states(made).at(-1)!.data['isFull']).toBe(false);
    await operator.live(
      (seen) =>
        JSON.stringify(states(seen).at(-1)!.data['tables'] ?? '').includes('"removed":["short-lived"]'),
      async () => {
        expect((await operator.post('/tables/delete', { table: 'short-lived' })).status).toBe(200);
      },
    );
  });

  test('a node serves sixteen pages, and refuses the next', async () => {
    const aborter = new AbortController();
    const headers = { authorization: `Bearer ${TOKEN}` };
    const open = () => fetch(`${node.server.restUrl}/api/v1/live`, { headers, signal: aborter.signal });
    const streams = await Promise.all(Array.from({ length: 16 }, open));
    expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
    expect(await operator.refusal(operator.get('/live'))).toBe('503 tooManyStreams');
    aborter.abort();
    await until('there is room again', async () => {
      const aborter = new AbortController();
      const { status } = await fetch(`${node.server.restUrl}/api/v1/live`, {
        headers,
        signal: aborter.signal,
      });
      aborter.abort();
      return status === 200;
    });
  });
});

describe('actions', () => {
  test('pause and resume change the state of the member', async () => {
    const paused = await operator.post<ActionAnswer>('/actions/pause', { member: 1 });
    expect(paused.body.message).toContain('node-1');
    expect((await node.get('/status')).text).toContain('"state":"paused"');
    expect(await operator.refusal(operator.post('/actions/pause', { member: 1 }))).toBe('409 actionRefused');
    expect((await operator.post('/actions/resume', { member: 1 })).status).toBe(200);
    expect((await node.get('/status')).text).toContain('"state":"online"');
    expect(await operator.refusal(operator.post('/actions/pause', { member: 7 }))).toBe('404 memberUnknown');
  });

  test('logs are compacted', async () => {
    const { body } = await operator.post<ActionAnswer>('/actions/gc', {});
    expect(body.message).toMatch(/^The logs of this node were compacted: \d+ bytes of logs were freed\.$/);
  });

  test('a transfer to nobody is refused, and one to the leader does nothing', async () => {
    const body = { table: 'default', member: 1 };
    const done = await operator.post<ActionAnswer>('/actions/transfer', body);
    expect(done.body.message).toBe('Node 1 leads table default already.');
    const other = { ...body, member: 2 };
    expect(await operator.refusal(operator.post('/actions/transfer', other))).toBe('404 memberUnknown');
    const nothing = { ...body, table: 'nothing' };
    expect(await operator.refusal(operator.post('/actions/transfer', nothing))).toBe('404 tableNotFound');
  });

  test('a backup is one download of a backup directory, which a restore takes', async () => {
    await put('backup', 'kept');
    const { body } = await operator.post<{ path: string }>('/actions/backup', { tables: ['default'] });
    const path = body.path.replace('/api/v1', '');
    // Its path is the secret: a browser sends no token with a download.
    const download = await stranger.get(path);
    expect(download.status).toBe(200);
    expect(download.headers['content-disposition']).toMatch(/^attachment; filename="coxswain-[\w-]+\.zip"$/);
    expect(await stranger.refusal(stranger.get(path))).toBe('404 downloadUnknown');
    const evil = { 'sec-fetch-site': 'cross-site' };
    expect(await stranger.refusal(stranger.get('/backups/x', evil))).toBe('403 foreignOrigin');
    const directory = new TemporaryDirectory();
    try {
      const files = unzipStored(download.body as Buffer);
      expect([...files.keys()]).toEqual(['default.bak', 'manifest.json']);
      for (const [name, content] of files) writeFileSync(join(directory.path, name), content);
      const reader = await BackupReader.open(directory.path);
      const [table] = reader.manifest.tables;
      expect(table).toMatchObject({ name: 'default', type: 'FULL', revision: expect.any(Number) });
      // The file is whole, by the hash in the manifest.
      expect(await reader.check(table!)).toBe(files.get('default.bak')!.length);
    } finally {
      directory.remove();
    }
    const nothing = operator.post('/actions/backup', { tables: ['nothing'] });
    expect(await operator.refusal(nothing)).toBe('404 tableNotFound');
  });

  test('without an archive there is nothing to say of one', async () => {
    expect(await operator.refusal(operator.get('/archive?table=default'))).toBe('404 noArchive');
  });

  test('what can be restored is read from the archive', async () => {
    const directory = new TemporaryDirectory();
    const archived = await OneNode.start({
      'tables.names': 'default',
      'archive.target': `file://${directory.path}`,
      'archive.object-age': '50ms',
    });
    const client = new ConsoleClient(archived.server.restUrl);
    const key = Buffer.from('k');
    const other = archived.rpc();
    try {
      await other.call(regatta.KVService.put, { table: Buffer.from('default'), key, value: key });
      const shard = await until('the write is archived', async () => {
        const { body } = await client.get('/archive?table=default');
        const { shards } = body as ArchiveAnswer;
        return shards[0]?.restorable[0]?.last === 2 ? shards[0] : undefined;
      });
      expect(shard.firstTimeMs).toBeGreaterThan(0);
      expect(shard.lastTimeMs).toBeGreaterThanOrEqual(shard.firstTimeMs!);
      expect(shard).toMatchObject({ logCount: expect.any(Number), gaps: [] });
      const nothing = await client.get('/archive?table=nothing');
      expect(nothing.body).toEqual({ shards: [] });
      const [first] = await client.live(() => true);
      expect(first!.data['archive']).toMatchObject({
        target: `file://${directory.path}`,
        tables: [{ name: 'default', state: 'archiving', gapCount: 0 }],
      });
    } finally {
      other.close();
      await archived.stop();
      directory.remove();
    }
  });

  test('options are shown, secrets are not', async () => {
    const { body } = await operator.get('/config');
    expect(body).toMatchObject({ options: { 'raft.node-id': 1, 'maintenance.token': '**********' } });
    expect(JSON.stringify(body)).not.toContain(TOKEN);
  });
});

describe('between clusters', () => {
  test('each side shows the other, and what is changed through a follower cluster is compared by value', async () => {
    const leader = await OneNode.start({
      'tables.names': 'default',
      'replication.enabled': 'true',
      'replication.address': 'http://127.0.0.1:0',
    });
    const follower = await OneNode.start(
      {
        'rest.console-token': TOKEN,
        'replication.leader-address': leader.server.replicationUrl.replace('http://', ''),
        'replication.reconcile-interval': '100ms',
        'replication.poll-interval': '100ms',
      },
      { role: 'follower' },
    );
    const there = new ConsoleClient(follower.server.restUrl, TOKEN);
    const body = { table: 'default', key: base64('k') };
    try {
      await until('the table is there', async () => {
        return (await there.post('/put', { ...body, value: base64('one'), expected: absent })).status === 200;
      });
      const byRevision = { ...body, value: base64('two'), expected: { modRevision: '1' } };
      expect(await there.refusal(there.post('/put', byRevision))).toBe('400 badRequest');
      const changed = { ...body, value: base64('two'), expected: { value: base64('one') } };
      expect((await there.post<ChangeAnswer>('/put', changed)).body.isDone).toBe(true);
      expect((await there.post<ChangeAnswer>('/put', changed)).body.isDone).toBe(false);
      const pair = (await there.post<RangeAnswer>('/range', { ...body, isLocal: true })).body.pairs[0];
      expect(pair?.value).toBe(base64('two'));
      expect(await there.refusal(there.post('/tables/create', { table: 'x' }))).toBe('501 notForFollower');
      expect(await there.refusal(there.post('/actions/backup', { tables: [] }))).toBe('501 notForThisRole');

      const shows = (text: string) => (messages: readonly LiveMessage[]) =>
        messages.some(
          ({ kind, data }) => kind === 'state' && JSON.stringify(data['followers'] ?? '').includes(text),
        );
      await there.live(shows('"name":"default","state":"replicating"'));
      await new ConsoleClient(leader.server.restUrl).live(shows('"table":"default","follower":"node-1"'));
    } finally {
      await follower.stop();
      await leader.stop();
    }
  });
});
