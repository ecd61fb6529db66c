import { maintenance } from '@coxswain/protocol';
import { until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import {
  ask,
  change,
  commitTs,
  indented,
  JSON_TYPE,
  putOf,
  TEXT_TYPE,
  untilSynced,
} from './support/binlog.js';
import { OneNode } from './support/one-node.js';
import { collect, type Rpc } from './support/rpc.js';

const { backup, restore } = maintenance.MaintenanceService;

/** What of the page of the API is looked at. */
interface Page {
  readonly openapi: string;
  readonly paths: Record<
    string,
    Record<string, { responses: Record<string, { content: Record<string, { schema: object }> }> }>
  >;
}

let leader: OneNode;
let follower: OneNode;
let rpc: Rpc;

beforeAll(async () => {
  leader = await OneNode.start({
    'tables.names': 'b,a,c',
    'memberlist.node-name': 'pump',
    'replication.enabled': 'true',
    'replication.address': 'http://127.0.0.1:0',
  });
  rpc = leader.rpc();
  await putOf(rpc, 'a', 'key "1"\n');
  follower = await OneNode.start(
    {
      'memberlist.node-name': 'drainer',
      'replication.leader-address': leader.server.replicationUrl.replace('http://', ''),
      'replication.reconcile-interval': '100ms',
      'replication.poll-interval': '100ms',
    },
    { role: 'follower' },
  );
});

afterAll(async () => {
  rpc.close();
  await follower.stop();
  await leader.stop();
});

describe('a Pump', () => {
  test('has the status of all Pumps on one line, in the order of the real one, with exact numbers', async () => {
    const answer = await ask(leader, '/status');
    expect(answer).toMatchObject({ status: 200, type: TEXT_TYPE });
    expect(answer.body).toMatch(
      /^\{"status":\{"pump":\{"nodeId":"pump","host":"127\.0\.0\.1:0","state":"online","isAlive":true,"score":0,"label":null,"maxCommitTS":\d{18},"updateTS":\d{18}\}\},"CommitTS":\d{18},"Checkpoint":\{\},"ErrMsg":""\}\n$/,
    );
    // The first table by name is `a`.
    expect(answer.body).toContain(`"CommitTS":${await commitTs(leader, 'a')},`);
    const { body } = await ask(leader, '/status?table=b');
    expect(body).toContain(`"CommitTS":${await commitTs(leader, 'b')},`);
  });

  test('gives the time and the revision of the last write as a TSO', async () => {
    const beforeMs = Date.now();
    const { header } = await putOf(rpc, 'a', 'now');
    const ts = BigInt(await commitTs(leader, 'a'));
    expect(Number(ts & 0x3ffffn)).toBe(Number(header!.revision));
    expect(Number(ts >> 18n)).toBeGreaterThanOrEqual(beforeMs);
    expect(Number(ts >> 18n)).toBeLessThanOrEqual(Date.now());
  });

  test('answers /commit_ts with indented JSON', async () => {
    expect(await ask(leader, '/commit_ts')).toMatchObject({
      status: 200,
      type: JSON_TYPE,
      body: expect.stringMatching(
        /^\{\n {2}"message": "get drainer's latest ts success!",\n {2}"code": 200,\n {2}"data": \{\n {4}"ts": \d{18}\n {2}\}\n\}\n$/,
      ),
    });
  });

  test('has status null and a text on failure, which is 200 all the same', async () => {
    expect(await ask(leader, '/status?table=none')).toEqual({
      status: 200,
      type: TEXT_TYPE,
      body: '{"status":null,"CommitTS":0,"Checkpoint":{},"ErrMsg":"table not found"}\n',
    });
    expect((await ask(leader, '/commit_ts?table=none')).body).toBe(indented('table not found', 3));
  });

  test('has its Drainers, with what they have applied', async () => {
    await putOf(rpc, 'a', 'for drainers');
    await untilSynced(leader, follower, 'a');
    const ts = await commitTs(leader, 'a');
    await until('the Pump knows what the Drainer has applied', async () => {
      const { status, type, body } = await ask(leader, '/drainers');
      expect([status, type]).toEqual([200, TEXT_TYPE]);
      expect(body).toMatch(
        /^\[\{"nodeId":"drainer","host":"127\.0\.0\.1:0","state":"online","isAlive":true,"score":0,"label":null,"maxCommitTS":\d+,"updateTS":\d{18}\}\]\n$/,
      );
      // It says so with its next request.
      return body.includes(`"maxCommitTS":${ts},`);
    });
  });
});

describe('a Drainer', () => {
  test('has its positions on one line, and they are those of the Pump', async () => {
    await putOf(rpc, 'a', 'replicated');
    await untilSynced(leader, follower, 'a');
    const ts = await commitTs(leader, 'a');
    expect(await ask(follower, '/status')).toEqual({
      status: 200,
      type: TEXT_TYPE,
      body: `{"PumpPos":{"pump":${ts}},"Synced":true,"LastTS":${ts},"TsMap":""}\n`,
    });
    expect(await commitTs(follower, 'a')).toBe(ts);
  });

  test('knows when a table that came as a snapshot of a restored one was written last', async () => {
    await putOf(rpc, 'b', 'k');
    await untilSynced(leader, follower, 'b');
    const name = Buffer.from('b');
    const chunks = await collect(rpc.stream(backup, { table: name }));
    await rpc.upload(restore, [
      { data: { $case: 'info' as const, value: { table: name, baseRevision: 0n, sizeBytes: 0n } } },
      ...chunks.map((value) => ({ data: { $case: 'chunk' as const, value } })),
    ]);
    const ts = await commitTs(leader, 'b');
    // Only by the leader cluster's word: neither log has an entry that was written.
    await until('the Drainer has applied it', async () => (await commitTs(follower, 'b')) === ts);
    expect((await ask(follower, '/status?table=b')).body).toContain(`"LastTS":${ts},`);
  });

  test('has 0 of a table that was never written to, as the Pump has', async () => {
    await until('table c is synced', async () =>
      (await ask(follower, '/status?table=c')).body.includes('"Synced":true'),
    );
    const { body } = await ask(leader, '/status?table=c');
    expect(body).toMatch(/"maxCommitTS":0,"updateTS":\d{18}\}\},"CommitTS":0,/);
    expect((await ask(follower, '/status?table=c')).body).toContain('"LastTS":0,');
    expect([await commitTs(leader, 'c'), await commitTs(follower, 'c')]).toEqual(['0', '0']);
    for (const node of [leader, follower])
      expect((await ask(node, '/debug/binlog/1?table=c')).body).toMatch(/^fail read binlog by ts: 1: /);
  });

  test('knows no other Drainer, and no table that is not there', async () => {
    expect(await ask(follower, '/drainers')).toEqual({
      status: 404,
      type: TEXT_TYPE,
      body: '404 page not found\n',
    });
    expect(await ask(follower, '/status?table=none')).toEqual({
      status: 404,
      type: TEXT_TYPE,
      body: 'table not found\n',
    });
    expect((await ask(follower, '/commit_ts?table=none')).body).toBe(indented('table not found', 3));
  });
});

describe('on both', () => {
  const both = (): [OneNode, string][] => [
    [leader, 'pump'],
    [follower, 'drainer'],
  ];

  test('another method of a path is 405 without a body, and another path 404', async () => {
    for (const [node, name] of both()) {
      for (const [method, path] of [
        ['POST', '/status'],
        ['HEAD', '/status'],
        ['DELETE', '/metrics'],
        ['PUT', '/commit_ts'],
        ['GET', `/state/${name}/pause`],
        ['POST', `/state/${name}/pause?x=1`],
        ['POST', '/debug/binlog/1'],
        ['GET', '/debug/gc/trigger'],
        ['PATCH', '/readyz'],
      ] as const) {
        expect([method, path, await ask(node, path, { method })]).toEqual([
          method,
          path,
          { status: 405, type: undefined, body: '' },
        ]);
      }
      for (const path of [
        '/',
        '/statuses',
        '/state',
        `/state/${name}`,
        `/state/${name}/pause/x`,
        '/debug/binlog/',
        `/state/${'x'.repeat(5_000)}/pause`,
      ]) {
        expect([path, await ask(node, path, { method: 'PUT' })]).toEqual([
          path,
          { status: 404, type: TEXT_TYPE, body: '404 page not found\n' },
        ]);
      }
      expect(await ask(node, '/state/%zz/pause', { method: 'PUT' })).toEqual({
        status: 400,
        type: TEXT_TYPE,
        body: 'the path is not encoded as a URL is: write %25 for each % in it\n',
      });
    }
  });

  test('refusals are 200 with code 3, in the order node id, state, action', async () => {
    for (const [node, name] of both()) {
      expect(await change(node, 'x', 'nonsense')).toEqual({
        status: 200,
        type: JSON_TYPE,
        body: indented(`invalid nodeID x, this pump's nodeID is ${name}`, 3),
      });
      expect((await change(node, name, 'nonsense')).body).toBe(indented('invalid action nonsense', 3));
      expect((await change(node, name, 'resume')).body).toBe(
        indented("this pump's state is online, apply resume failed!", 3),
      );
      const long = 'n'.repeat(3_000);
      expect((await change(node, long, 'pause')).body).toBe(
        indented(`invalid nodeID ${long}, this pump's nodeID is ${name}`, 3),
      );
      expect((await change(node, 'a%2Fb', '%3Cc%3E')).body).toBe(
        `{\n  "message": "invalid nodeID a/b, this pump's nodeID is ${name}",\n  "code": 3,\n  "data": null\n}\n`,
      );
    }
  });

  test('whatever comes is answered, and changes nothing', async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'state',
        'debug',
        'binlog',
        'status',
        'pump',
        'drainer',
        'gc',
        'trigger',
        '%',
        '%2F',
        '..',
        '',
      ),
      fc.webFragments({ size: 'small' }),
      fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
    );
    const path = fc.array(part, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
    const method = fc.constantFrom(
      'GET',
      'PUT',
      'POST',
      'HEAD',
      'DELETE',
      'OPTIONS',
      'PATCH',
      'TRACE',
      'PROPFIND',
    );
    await fc.assert(
      fc.asyncProperty(method, path, fc.webQueryParameters({ size: 'small' }), async (how, where, query) => {
        const { status } = await ask(leader, `${where}?${query}`, { method: how });
        expect([200, 400, 404, 405, 503]).toContain(status);
      }),
      { numRuns: 150 },
    );
    expect((await ask(leader, '/status')).body).toContain('"state":"online"');
  });

  test('a page of the API is made of the schemas, and what is answered fits it', async () => {
    for (const [node, name] of both()) {
      const { status, type, body } = await ask(node, '/openapi.json');
      expect([status, type]).toEqual([200, 'application/json; charset=utf-8']);
      const page = JSON.parse(body) as Page;
      expect(page.openapi).toBe('3.1.0');
      expect(Object.keys(page.paths).sort()).toEqual([
        '/commit_ts',
        '/debug/binlog/{ts}',
        '/debug/gc/trigger',
        '/debug/heap',
        '/debug/profile',
        '/drainers',
        '/healthz',
        '/livez',
        '/metrics',
        '/readyz',
        '/state/{nodeID}/{action}',
        '/status',
        '/version',
      ]);
      expect(Object.keys(page.paths['/state/{nodeID}/{action}']!)).toEqual(['put']);
      const statuses = (path: string) => Object.keys(page.paths[path]!['get']!.responses);
      expect(statuses('/status')).toEqual(['200', '400', '404', '503']);
      expect(statuses('/drainers')).toEqual(['200', '400', '404']);
      expect(statuses('/commit_ts')).toEqual(['200', '400']);
      expect(statuses('/readyz')).toEqual(['200', '400', '503']);
      const asked: [string, string, string][] = [
        ['/status', 'get', '/status'],
        ['/commit_ts', 'get', '/commit_ts'],
        ['/state/{nodeID}/{action}', 'put', `/state/${name}/nonsense`],
        ['/debug/binlog/{ts}', 'get', '/debug/binlog/1'],
        ...(node === leader ? ([['/drainers', 'get', '/drainers']] as [string, string, string][]) : []),
      ];
      const ajv = new Ajv({ allowUnionTypes: true, formats: { int64: true } });
      for (const [path, method, example] of asked) {
        const answer = await ask(node, example, { method: method.toUpperCase() });
        const [contentType, { schema }] = Object.entries(
          page.paths[path]![method]!.responses['200']!.content,
        )[0]!;
        expect(answer.type).toContain(contentType);
        const isText = (schema as { type?: string }).type === 'string';
        expect([
          path,
          ajv.validate(schema, isText ? answer.body : JSON.parse(answer.body)),
          ajv.errors,
        ]).toEqual([path, true, null]);
      }
    }
  });

  test('what does not fit the schema of a request is 400', async () => {
    for (const path of ['/status', '/drainers', '/commit_ts', '/debug/binlog/1']) {
      expect(await ask(leader, `${path}?table=a&table=b`)).toEqual({
        status: 400,
        type: TEXT_TYPE,
        body: 'a parameter of the query is given more than once: give it once\n',
      });
    }
  });

  test('a body of any kind is passed over', async () => {
    for (const type of ['application/json', 'application/x-www-form-urlencoded', 'nonsense']) {
      const answer = await ask(leader, '/state/x/y', {
        method: 'PUT',
        headers: { 'content-type': type },
        body: '{"broken',
      });
      expect(answer).toMatchObject({ status: 200, body: expect.stringContaining('invalid nodeID x') });
    }
  });
});
