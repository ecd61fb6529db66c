import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { regatta } from '@coxswain/protocol';
import { status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { MethodDefinition } from '../src/grpc/call.js';
import { OneNode } from './support/one-node.js';
import { Rpc } from './support/rpc.js';

const { create, delete: remove, list } = regatta.TablesService;
const { memberList, status: clusterStatus } = regatta.ClusterService;
const { put, range } = regatta.KVService;

let node: OneNode;
let rpc: Rpc;

beforeAll(async () => {
  node = await OneNode.start({
    'tables.token': 's3cret',
    'tables.names': 'default',
    'memberlist.node-name': 'anna',
    'memberlist.cluster-name': 'harbour',
  });
  rpc = node.rpc();
});

afterAll(async () => {
  rpc.close();
  await node.stop();
});

const authorized = { metadata: { authorization: 'Bearer s3cret' } };

describe('Tables', () => {
  test('Create gives ids from 10001 on, List is sorted by name and keeps the configuration, Delete removes', async () => {
    const { id } = await rpc.call(create, { name: 'zebra', config: { owner: 'me', shards: 1 } }, authorized);
    expect(Number(id)).toBeGreaterThan(10_001);
    const second = await rpc.call(create, { name: 'ape' }, authorized);
    expect(Number(second.id)).toBeGreaterThan(Number(id));
    const { tables } = await rpc.call(list, {}, authorized);
    expect(tables.map(({ name }) => name)).toEqual(['ape', 'default', 'zebra']);
    expect(tables[2]).toEqual({ name: 'zebra', id, config: { owner: 'me', shards: 1 } });
    await rpc.call(put, { table: Buffer.from('zebra'), key: Buffer.from('k') });
    await rpc.call(remove, { name: 'zebra' }, authorized);
    expect(await rpc.failure(range, { table: Buffer.from('zebra'), key: Buffer.from('k') })).toEqual({
      code: status.NOT_FOUND,
      details: 'table not found',
    });
  });

  test('a table made again under its name is empty, has a new id, and its revisions go on (T1)', async () => {
    const table = Buffer.from('again');
    const key = Buffer.from('k');
    const first = await rpc.call(create, { name: 'again' }, authorized);
    const { header } = await rpc.call(put, { table, key });
    await rpc.call(remove, { name: 'again' }, authorized);
    const second = await rpc.call(create, { name: 'again' }, authorized);
    expect(Number(second.id)).toBeGreaterThan(Number(first.id));
    expect((await rpc.call(range, { table, key })).count).toBe(0n);
    const rewritten = await rpc.call(put, { table, key });
    expect(rewritten.header!.revision).toBeGreaterThan(header!.revision);
  });

  test('errors', async () => {
    const invalid = (details: string) => ({ code: status.INVALID_ARGUMENT, details });
    expect(await rpc.failure(create, { name: '' }, authorized)).toEqual(invalid('name must be set'));
    expect(await rpc.failure(remove, { name: '' }, authorized)).toEqual(invalid('name must be set'));
    expect(await rpc.failure(create, { name: 'default' }, authorized)).toEqual(
      invalid('table already exists'),
    );
    expect(await rpc.failure(remove, { name: 'nowhere' }, authorized)).toEqual(invalid('table not found'));
    for (const name of ['a/b', 'a\0', 'a\n', 'x'.repeat(256)]) {
      expect(await rpc.failure(create, { name }, authorized)).toEqual(
        invalid('name must be 1 to 255 bytes of UTF-8 without "/", NUL or control characters'),
      );
    }
  });

  test.each([
    ['Bearer wrong', 'Invalid token'],
    ['Basic s3cret', 'Request unauthenticated with bearer'],
    ['Bearers3cret', 'Bad authorization string'],
    [undefined, 'Request unauthenticated with bearer'],
  ])('authorization %j is UNAUTHENTICATED: %s', async (authorization, details) => {
    const options = authorization === undefined ? {} : { metadata: { authorization } };
    for (const method of [create, remove, list]) {
      expect(await rpc.failure(method as typeof create, { name: 'x' }, options)).toEqual({
        code: status.UNAUTHENTICATED,
        details,
      });
    }
  });

  test('the scheme is bearer in any case, and the token guards Tables alone', async () => {
    await rpc.call(list, {}, { metadata: { authorization: 'bEaReR s3cret' } });
    await rpc.call(range, { table: Buffer.from('default'), key: Buffer.from('k') });
    await rpc.call(memberList, {});
  });
});

describe('Cluster', () => {
  test('MemberList names the node and its addresses', async () => {
    expect(await rpc.call(memberList, {})).toEqual({
      cluster: 'harbour',
      members: [{ id: '1', name: 'anna', peerURLs: ['127.0.0.1:0'], clientURLs: ['http://127.0.0.1:0'] }],
    });
  });

  test('Status tells of every table, and of the configuration when asked, with tokens masked', async () => {
    const table = Buffer.from('default');
    const { header } = await rpc.call(put, { table, key: Buffer.from('k') });
    const plain = await rpc.call(clusterStatus, {});
    expect(plain).toMatchObject({ id: '1', version: '0.1.0', errors: [] });
    expect(plain.config).toBeUndefined();
    const told = plain.tables.get('default')!;
    expect(told).toMatchObject({ leader: '1', raftTerm: header!.raftTerm });
    expect(told.raftAppliedIndex).toBeGreaterThanOrEqual(header!.revision);
    expect(told.raftIndex).toBeGreaterThanOrEqual(told.raftAppliedIndex);
    const { config } = await rpc.call(clusterStatus, { config: true });
    expect(config).toMatchObject({
      'tables.token': '**********',
      'raft.node-id': 1,
      'api.address': 'http://127.0.0.1:0',
    });
  });
});

describe('reflection', () => {
  const load = (version: string): MethodDefinition<object, Record<string, unknown>> => {
    const require = createRequire(import.meta.url);
    const directory = dirname(require.resolve('@grpc/reflection/package.json'));
    const proto = join(directory, `build/proto/grpc/reflection/${version}/reflection.proto`);
    const definition = loadSync(proto)[`grpc.reflection.${version}.ServerReflection`] as unknown as Record<
      string,
      MethodDefinition<object, Record<string, unknown>>
    >;
    return definition['ServerReflectionInfo']!;
  };

  test.each(['v1', 'v1alpha'])('%s lists the services and gives their descriptors', async (version) => {
    const method = load(version);
    const ask = (request: object): Promise<Record<string, unknown>> =>
      new Promise((resolve, reject) => {
        const call = rpc.client.makeBidiStreamRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
        );
        call.on('data', (response) => {
          resolve(response as Record<string, unknown>);
          call.end();
        });
        call.on('error', reject);
        call.write(request);
      });
    const { listServicesResponse } = await ask({ listServices: '' });
    const { service } = listServicesResponse as { service: { name: string }[] };
    expect(service.map(({ name }) => name).sort()).toEqual([
      'coxswain.v1.Events',
      'grpc.health.v1.Health',
      'maintenance.v1.Maintenance',
      'regatta.v1.Cluster',
      'regatta.v1.KV',
      'regatta.v1.Metrics',
      'regatta.v1.Tables',
      'replication.v1.Log',
      'replication.v1.Metadata',
      'replication.v1.Snapshot',
    ]);
    const { fileDescriptorResponse } = await ask({ fileContainingSymbol: 'regatta.v1.KV' });
    expect(
      (fileDescriptorResponse as { fileDescriptorProto: Buffer[] }).fileDescriptorProto.length,
    ).toBeGreaterThan(0);
  });
});

describe('the HTTP admin API', () => {
  test('/healthz, /livez, /readyz and /version answer', async () => {
    expect(await node.get('/healthz')).toEqual({ status: 200, text: 'ok\n' });
    expect(await node.get('/livez')).toEqual({ status: 200, text: 'ok\n' });
    expect(await node.get('/readyz')).toEqual({ status: 200, text: 'ok\n' });
    // A leader cluster replicates from nobody.
    expect(await node.get('/readyz?role=replication')).toEqual({ status: 200, text: 'ok\n' });
    expect((await node.get('/readyz?role=leader')).status).toBe(400);
    expect(JSON.parse((await node.get('/version')).text)).toMatchObject({ version: '0.1.0' });
    expect((await node.get('/nothing')).status).toBe(404);
  });

  test('Metrics.GetMetrics has what /metrics has, as the console of Armada asks for it', async () => {
    const { getMetrics } = regatta.MetricsService;
    const { metricsData, timestamp } = await rpc.call(getMetrics, {});
    const names = (page: string) => page.split('\n').filter((line) => line.startsWith('# TYPE '));
    expect(names(metricsData)).toEqual(names((await node.get('/metrics')).text));
    expect(names(metricsData)).toContain('# TYPE coxswain_ready gauge');
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(600);
    expect(await rpc.failure(getMetrics, { format: 'json' })).toEqual({
      code: status.UNIMPLEMENTED,
      details: 'format is not yet supported',
    });
  });

  test('/metrics has the names that Regatta’s dashboards read, and our own', async () => {
    const table = Buffer.from('default');
    await rpc.call(put, { table, key: Buffer.from('metric') });
    await rpc.failure(range, { table: Buffer.from('nowhere'), key: Buffer.from('k') });
    const { text } = await node.get('/metrics');
    const value = (series: string): number =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${series} `))
          ?.split(' ')
          .at(-1),
      );
    const putLabels = 'grpc_type="unary",grpc_service="regatta.v1.KV",grpc_method="Put"';
    expect(value(`grpc_server_started_total{${putLabels}}`)).toBeGreaterThan(0);
    expect(value(`grpc_server_handled_total{${putLabels},grpc_code="OK"}`)).toBeGreaterThan(0);
    expect(value(`grpc_server_handling_seconds_count{${putLabels}}`)).toBeGreaterThan(0);
    expect(value(`grpc_server_handling_seconds_bucket{${putLabels},le="+Inf"}`)).toBe(
      value(`grpc_server_handling_seconds_count{${putLabels}}`),
    );
    const rangeLabels = putLabels.replace('Put', 'Range');
    expect(value(`grpc_server_handled_total{${rangeLabels},grpc_code="NotFound"}`)).toBeGreaterThan(0);
    expect(value('regatta_applied_index{shard_id="10001",table="default"}')).toBeGreaterThan(0);
    expect(value('coxswain_clock_jumps_total')).toBe(0);
    expect(value('coxswain_clock_last_jump_seconds')).toBe(0);
    expect(value('coxswain_clock_ahead_seconds')).toBe(0);
    expect(value('coxswain_ready')).toBe(1);
    expect(value('coxswain_wal_syncs_total')).toBeGreaterThan(0);
    expect(value('coxswain_wal_sync_seconds_count')).toBe(value('coxswain_wal_syncs_total'));
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(0);
    expect(text).not.toContain('NaN');
  });

  test('docs/metrics.md has every metric of /metrics', async () => {
    const root = fileURLToPath(new URL('../../../../', import.meta.url));
    const page = readFileSync(join(root, 'docs/metrics.md'), 'utf8');
    const names = [...(await node.get('/metrics')).text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(80);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test('/metrics has where the time of a put went, stage by stage', async () => {
    const read = async () => {
      const { text } = await node.get('/metrics');
      const lines = text.matchAll(
        /^coxswain_write_stage_seconds_(sum|count|bucket)\{(?:le="\+Inf",)?stage="(\w+)"(?:,le="\+Inf")?\} (.*)$/gm,
      );
      return new Map([...lines].map(([, kind, stage, value]) => [`${stage} ${kind}`, Number(value)]));
    };
    const before = await read();
    const beganMs = performance.now();
    await rpc.call(put, { table: Buffer.from('default'), key: Buffer.from('staged') });
    const tookSeconds = (performance.now() - beganMs) / 1000;
    const after = await read();
    const added = (name: string): number => after.get(name)! - before.get(name)!;
    const stages = ['queue', 'wal', 'peers', 'apply', 'answer'];
    let sum = 0;
    for (const stage of stages) {
      expect([stage, added(`${stage} count`)]).toEqual([stage, 1]);
      expect(added(`${stage} bucket`)).toBe(1);
      expect(added(`${stage} sum`)).toBeGreaterThan(0);
      sum += added(`${stage} sum`);
    }
    expect(after.size).toBe(3 * stages.length);
    expect(sum).toBeLessThan(tookSeconds);
  });

  test('/metrics has the lag of the event loop without the time between two looks at it', async () => {
    const lag = async (): Promise<number> =>
      Number(/^nodejs_eventloop_lag_min_seconds (.*)$/m.exec((await node.get('/metrics')).text)?.[1]);
    let least = await lag();
    // A busy machine may hold the process up between some of the scrapes.
    for (let scrape = 0; scrape < 50 && !(least < 0.05); scrape++) least = Math.min(least, await lag());
    expect(least).toBeLessThan(0.05);
  });
});

describe('a node without its peers', () => {
  test('is not ready, says why, and refuses with UNAVAILABLE', async () => {
    const lonely = await OneNode.start(
      {
        'raft.initial-members': '1=127.0.0.1:5012,2=127.0.0.1:1,3=127.0.0.1:2',
        'raft.listen-address': '127.0.0.1:0',
      },
      { waitsUntilReady: false },
    );
    const client = new Rpc(lonely.target);
    const notFormed =
      'the cluster has not formed: 1 of 3 members answer: start all of them, with the same raft.initial-members';
    try {
      const ready = await lonely.get('/readyz');
      expect(ready.status).toBe(503);
      expect(ready.text).toContain('hasNoLeader=true');
      expect((await lonely.get('/metrics')).text).toMatch(/^coxswain_ready 0$/m);
      expect((await lonely.get('/healthz')).status).toBe(200);
      const failure = await client.failure(put, { table: Buffer.from('default'), key: Buffer.from('k') });
      expect(failure).toEqual({
        code: status.UNAVAILABLE,
        details: notFormed,
      });
      expect((await client.call(clusterStatus, {})).id).toBe('1');
      // Itself alone it knows: a client that takes its endpoints from there would lose the other two.
      expect(await client.failure(memberList, {})).toEqual({
        code: status.UNAVAILABLE,
        details: notFormed,
      });
    } finally {
      client.close();
      await lonely.stop();
    }
  });
});
