import crypto from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ApiError, type PeerTls, SocketPeerTransport, Status, systemClock } from '@coxswain/node';
import { maintenance, moco, regatta, replication } from '@coxswain/protocol';
import { type LinkTls, openGrpcLeaderLink } from '@coxswain/replication';
import type { EventFields, Log } from '@coxswain/runtime';
import { findFreePort, findFreePorts, TemporaryDirectory, until } from '@coxswain/testing';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { loadConfig } from '../src/config/config.js';
import { configOptions } from '../src/config/config-schema.js';
import { checkBearer, Token } from '../src/grpc/bearer-token.js';
import type { MethodDefinition } from '../src/grpc/call.js';
import { linkCertificates } from '../src/process/link-certificates.js';
import { Authority, type Identity } from './support/certificates.js';
import { OneNode } from './support/one-node.js';
import { Rpc } from './support/rpc.js';
import { ScriptedListener } from './support/scripted-listener.js';

// These are the claims of SECURITY.md, and of docs/operations.md about certificates and tokens, that no other test of a
// listener shows: rest-listener, tls, certificates, link-certificates, renewed-certificates, binlog-states.
const { put, range } = regatta.KVService;
const { MaintenanceService } = maintenance;
const table = Buffer.from('t');
const pair = { table, key: Buffer.from('k') };

let authority: Authority;
let stranger: Authority;
let server: Identity;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([Authority.create('authority'), Authority.create('stranger')]);
  server = await authority.issue('server', ['localhost']);
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => {
  authority.remove();
  stranger.remove();
});

async function start(...args: Parameters<typeof OneNode.start>): Promise<{ node: OneNode; rpc: Rpc }> {
  const node = await OneNode.start(...args);
  closers.push(() => node.stop());
  return { node, rpc: rpcTo(node.target) };
}

function rpcTo(target: string, channel = credentials.createInsecure()): Rpc {
  const rpc = new Rpc(target, channel);
  closers.push(() => rpc.close());
  return rpc;
}

const secureChannel = (identity?: Identity) =>
  credentials.createSsl(authority.pem, identity?.key ?? null, identity?.cert ?? null);

/** The status of a call of any kind with an empty request: of one that is refused, and else of what it asks for. */
function statusOf(rpc: Rpc, { path }: { readonly path: string }, token?: string): Promise<number> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  return new Promise((resolve) => {
    const call = rpc.client.makeBidiStreamRequest(
      path,
      (value: Buffer) => value,
      (bytes) => bytes,
      metadata,
      { deadline: Date.now() + 600_000 },
    );
    // A stream that begins is not refused, and may not end.
    call.on('data', () => {
      resolve(status.OK);
      call.cancel();
    });
    call.on('error', ({ code }: { code: number }) => resolve(code));
    call.on('end', () => resolve(status.OK));
    call.end(Buffer.alloc(0));
  });
}

describe('every listener', () => {
  /** Another address of this machine than 127.0.0.1, for a listener that is on all of them. */
  const other =
    process.platform === 'linux'
      ? '127.0.0.2'
      : Object.values(networkInterfaces())
          .flat()
          .find((found) => found?.family === 'IPv4' && !found.internal)?.address;

  const isReached = (host: string, port: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, host, () => {
        socket.destroy();
        resolve(true);
      }).on('error', () => resolve(false));
    });

  const portsOf = (node: OneNode, given: Record<string, number>): [string, number][] => [
    ['api', Number(new URL(node.server.apiUrl).port)],
    ['replication', Number(new URL(node.server.replicationUrl).port)],
    ['rest', Number(new URL(node.server.restUrl).port)],
    ['backup agent', node.server.backupAgentAddress!.port],
    ...Object.entries(given),
  ];

  test('is on the loopback address alone unless an option says otherwise', async () => {
    /** The default of an option, at another port. */
    const byDefault = (name: string, port = 0): string =>
      String(configOptions.find((option) => option.name === name)!.default).replace(/:\d+$/, `:${port}`);
    const [raft, wolf] = await findFreePorts(2);
    const addresses = {
      'api.address': byDefault('api.address'),
      'rest.address': byDefault('rest.address'),
      'replication.enabled': 'true',
      'replication.address': byDefault('replication.address'),
      'raft.address': byDefault('raft.address', raft),
      'backup-agent.address': ':0',
      'wolf.address': `:${wolf}`,
    };
    const { node } = await start(addresses);
    for (const [name, port] of portsOf(node, { raft: raft!, wolf: wolf! })) {
      expect([name, await isReached('127.0.0.1', port)]).toEqual([name, true]);
      expect([name, await isReached(other!, port)]).toEqual([name, false]);
    }
    const [openRaft, openWolf] = await findFreePorts(2);
    const { node: open } = await start({
      'api.address': 'http://0.0.0.0:0',
      'rest.address': 'http://0.0.0.0:0',
      'replication.enabled': 'true',
      'replication.address': 'http://0.0.0.0:0',
      'raft.address': `127.0.0.1:${openRaft}`,
      'raft.listen-address': `0.0.0.0:${openRaft}`,
      'backup-agent.address': '0.0.0.0:0',
      'wolf.address': `0.0.0.0:${openWolf}`,
    });
    for (const [name, port] of portsOf(open, { raft: openRaft!, wolf: openWolf! }))
      expect([name, await isReached(other!, port)]).toEqual([name, true]);
  });

  test.each(['backup-agent.address', 'wolf.address'])(
    '%s cannot ask for TLS, which it has not',
    async (name) => {
      await expect(OneNode.start({ [name]: 'https://127.0.0.1:0' })).rejects.toThrow(
        `${name} must be host:port, not "https://127.0.0.1:0"`,
      );
    },
  );
});

describe('the API', () => {
  const secrets = { 'tables.token': 'hidden-t', 'maintenance.token': 'hidden-m', 'rest.token': 'hidden-r' };
  const guarded: [string, string, MethodDefinition<never, unknown>[]][] = [
    ['Tables', 'hidden-t', Object.values(regatta.TablesService)],
    ['maintenance.v1', 'hidden-m', Object.values(MaintenanceService)],
    ['moco.CloneService', 'hidden-m', Object.values(moco.CloneServiceService)],
    ['moco.BackupBinlogService', 'hidden-m', Object.values(moco.BackupBinlogServiceService)],
    ['Snapshot and Log', 'hidden-m', [replication.SnapshotService.stream, replication.LogService.replicate]],
  ] as never;

  test('lets whoever reaches it read and write, and see state, configuration and metrics, but no secret', async () => {
    const more = {
      'clone.token': 'hidden-c',
      'rest.console-token': 'hidden-console',
      'archive.s3-access-key-id': 'hidden-id',
      'archive.s3-secret-access-key': 'hidden-key',
    };
    const { rpc } = await start({ 'tables.names': 't', ...secrets, ...more });
    await rpc.call(put, { ...pair, value: Buffer.from('v') });
    expect((await rpc.call(range, pair)).count).toBe(1n);
    const { config } = await rpc.call(regatta.ClusterService.status, { config: true });
    for (const { name } of configOptions.filter(({ kind }) => kind === 'secret'))
      expect([name, config![name]]).toEqual([name, '**********']);
    expect(JSON.stringify(config)).not.toContain('hidden');
    expect((await rpc.call(regatta.MetricsService.getMetrics, {})).metricsData).toContain('coxswain_');
    expect((await rpc.call(replication.MetadataService.get, {})).tables).toHaveLength(1);
  });

  test('has no method of a guarded service that is served without the token', async () => {
    const { node, rpc } = await start({ 'tables.names': 't', ...secrets });
    const open = await start({ 'tables.names': 't' });
    for (const [service, token, methods] of guarded) {
      expect(methods.length).toBeGreaterThan(0);
      for (const { path } of methods) {
        for (const wrong of [undefined, '', 'nonsense', token.toUpperCase(), `${token} `, token.slice(0, -1)])
          expect([service, path, await statusOf(rpc, { path }, wrong)]).toEqual([
            service,
            path,
            status.UNAUTHENTICATED,
          ]);
        expect([path, await statusOf(rpc, { path }, token)]).not.toEqual([path, status.UNAUTHENTICATED]);
        expect([path, await statusOf(open.rpc, { path })]).not.toEqual([path, status.UNAUTHENTICATED]);
      }
    }
    expect((await node.get('/healthz')).status).toBe(200);
  });

  test('serves none of them where they are switched off, token or not', async () => {
    const { rpc } = await start({ 'tables.enabled': 'false', 'maintenance.enabled': 'false', ...secrets });
    for (const [, token, methods] of guarded) {
      for (const { path } of methods)
        expect([path, await statusOf(rpc, { path }, token)]).toEqual([path, status.UNIMPLEMENTED]);
    }
  });

  test('has TLS on a Unix socket too, by unixs', async () => {
    const directory = new TemporaryDirectory();
    closers.push(() => directory.remove());
    const scripted = await ScriptedListener.start({
      address: { isTls: true, path: `${directory.path}/api.sock` },
      tls: { certFile: server.certFile, keyFile: server.keyFile },
    });
    closers.push(() => scripted.close());
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'served'));
    expect(await rpcTo(scripted.target, secureChannel()).failure(range, pair)).toMatchObject({
      details: 'served',
    });
    expect(await rpcTo(scripted.target).failure(range, pair)).toMatchObject({ code: status.UNAVAILABLE });
  });

  test('takes the certificates of two authorities where a file has both, and drops the one that goes', async () => {
    const both = `${authority.file}.both`;
    writeFileSync(both, Buffer.concat([authority.pem, Buffer.from('\n'), stranger.pem]));
    const scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: { certFile: server.certFile, keyFile: server.keyFile, caFile: both, isClientCertRequired: true },
    });
    closers.push(() => scripted.close());
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'served'));
    const ask = async (identity: Identity): Promise<number> =>
      (await rpcTo(scripted.target, secureChannel(identity)).failure(range, pair)).code;
    const [old, renewed] = [await authority.issue('anna'), await stranger.issue('anna')];
    for (const identity of [old, renewed]) expect(await ask(identity)).toBe(status.NOT_FOUND);
    const waiting = rpcTo(scripted.target, secureChannel(old));
    expect(await waiting.failure(range, pair)).toMatchObject({ code: status.NOT_FOUND });
    writeFileSync(both, stranger.pem);
    await until(
      'the old authority is not taken any more',
      async () => (await ask(old)) === status.UNAVAILABLE,
    );
    expect(await ask(renewed)).toBe(status.NOT_FOUND);
    // Connections that are up stay.
    expect(await waiting.failure(range, pair)).toMatchObject({ code: status.NOT_FOUND });
  });
});

test.each<[string, () => Promise<{ identity?: Identity; trusted?: Authority }>, string]>([
  ['shows no certificate', async () => ({}), 'peer did not return a certificate'],
  [
    "shows another authority's",
    async () => ({ identity: await stranger.issue('anna') }),
    'unable to verify leaf signature',
  ],
  [
    'shows one that has expired',
    async () => ({ identity: await authority.issue('anna', [], { isExpired: true }) }),
    'certificate has expired',
  ],
  [
    'does not trust the one of the listener',
    async () => ({ identity: await authority.issue('anna'), trusted: stranger }),
    'socket hang up',
  ],
])('a listener says of a client that %s what to look at', async (_what, given, reason) => {
  const { identity, trusted = authority } = await given();
  const failures: unknown[] = [];
  const scripted = await ScriptedListener.start({
    address: { isTls: true, host: '127.0.0.1', port: 0 },
    tls: {
      certFile: server.certFile,
      keyFile: server.keyFile,
      caFile: authority.file,
      isClientCertRequired: true,
    },
    log: (kind, fields) => {
      if (kind.code === 'handshake-failed') failures.push({ ...fields });
    },
  });
  closers.push(() => scripted.close());
  const channel = credentials.createSsl(trusted.pem, identity?.key ?? null, identity?.cert ?? null);
  expect((await rpcTo(scripted.target, channel).failure(range, pair)).code).toBe(status.UNAVAILABLE);
  await until('the failed handshake is logged', () => failures.length > 0);
  expect(failures[0]).toEqual({ listener: 'api', from: '127.0.0.1', reason });
});

describe('the replication listener', () => {
  test('lets whoever reaches it read and write, whatever the options of the API say, and serves no other service', async () => {
    const { node } = await start({
      'api.address': 'https://127.0.0.1:0',
      'api.cert-filename': server.certFile,
      'api.key-filename': server.keyFile,
      'api.ca-filename': authority.file,
      'api.client-cert-auth': 'true',
      'api.allowed-cn': 'anna',
      'replication.enabled': 'true',
      'replication.address': 'http://127.0.0.1:0',
      'tables.names': 't',
    });
    const rpc = rpcTo(node.server.replicationUrl.replace('http://', ''));
    await rpc.call(put, { ...pair, value: Buffer.from('v') });
    expect((await rpc.call(range, pair)).count).toBe(1n);
    expect((await rpc.call(replication.MetadataService.get, {})).tables).toHaveLength(1);
    for (const { path } of [...Object.values(regatta.TablesService), ...Object.values(MaintenanceService)])
      expect([path, await statusOf(rpc, { path })]).toEqual([path, status.UNIMPLEMENTED]);
    expect((await rpcTo(node.target, secureChannel()).failure(range, pair)).code).toBe(status.UNAVAILABLE);
  });

  test('lets in whom replication.client-cert-auth admits, and is not there where it is switched off', async () => {
    const secure = await start({
      'replication.enabled': 'true',
      'replication.address': 'https://127.0.0.1:0',
      'replication.cert-filename': server.certFile,
      'replication.key-filename': server.keyFile,
      'replication.ca-filename': authority.file,
      'replication.client-cert-auth': 'true',
      'tables.names': 't',
    });
    const target = secure.node.server.replicationUrl.replace('https://', '');
    const identity = await authority.issue('follower');
    expect((await rpcTo(target, secureChannel(identity)).call(range, pair)).count).toBe(0n);
    for (const channel of [secureChannel(), secureChannel(await stranger.issue('follower')), undefined])
      expect((await rpcTo(target, channel).failure(range, pair)).code).toBe(status.UNAVAILABLE);

    const port = await findFreePort();
    await start({ 'replication.enabled': 'false', 'replication.address': `http://127.0.0.1:${port}` });
    expect((await rpcTo(`127.0.0.1:${port}`).failure(range, pair)).details).toContain('ECONNREFUSED');
  });
});

/** Dials the raft listener of a node, as a member with a certificate would. */
async function dial(port: number, { cert, key }: Identity) {
  const seen = { isConnected: false, reasons: [] as string[] };
  const tls: PeerTls = { cert, key, ca: authority.pem };
  const transport = new SocketPeerTransport({
    listenAddress: '127.0.0.1:0',
    tls: () => tls,
    silenceMs: 2_000,
    log: ({ code }, fields?: EventFields) => {
      if (code === 'peer-unreachable') seen.reasons.push(String(fields?.['reason']));
    },
  });
  closers.push(() => transport.close());
  await transport.start(new Map([[1, `127.0.0.1:${port}`]]), {
    onFrame: () => undefined,
    onConnected: () => {
      seen.isConnected = true;
    },
    onDisconnected: () => undefined,
    onBulk: () => Promise.reject(new Error('none')),
  });
  return seen;
}

test('a member admits every certificate of the authority of raft, whatever it is for, and no other one', async () => {
  const port = await findFreePort();
  await start({
    'raft.address': `127.0.0.1:${port}`,
    'raft.cert-filename': server.certFile,
    'raft.key-filename': server.keyFile,
    'raft.ca-filename': authority.file,
  });
  const admitted = await dial(port, await authority.issue('a web server'));
  await until('it is admitted', () => admitted.isConnected);
  const refused = await dial(port, await stranger.issue('node-2'));
  await until('it is refused', () => refused.reasons.length > 0);
  expect(refused.isConnected).toBe(false);
  expect(refused.reasons[0]).toMatch(/alert|hung up/);
});

test.each<[string, () => Promise<Identity>, RegExp]>([
  [
    'has expired',
    () => authority.issue('server', ['localhost'], { isExpired: true }),
    /certificate has expired/,
  ],
  ['is of another authority', () => stranger.issue('server', ['localhost']), /certificate|issuer/],
])('a node that dials another one whose certificate %s says so', async (_what, issue, reason) => {
  const port = await findFreePort();
  const { certFile, keyFile } = await issue();
  await start({
    'raft.address': `127.0.0.1:${port}`,
    'raft.cert-filename': certFile,
    'raft.key-filename': keyFile,
    'raft.ca-filename': authority.file,
  });
  const seen = await dial(port, await authority.issue('node-2'));
  await until('it is refused', () => seen.reasons.length > 0);
  expect(seen).toEqual({ isConnected: false, reasons: [expect.stringMatching(reason)] });
});

test('replication.insecure-skip-verify accepts any certificate of the leader cluster, and without it none of a stranger', async () => {
  const impostor = await stranger.issue('server', ['localhost']);
  const scripted = await ScriptedListener.start({
    address: { isTls: true, host: '127.0.0.1', port: 0 },
    tls: { certFile: impostor.certFile, keyFile: impostor.keyFile },
  });
  closers.push(() => scripted.close());
  scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'served'));
  const ask = async (flags: Record<string, string>): Promise<string> => {
    const { config } = loadConfig({
      flags: { 'replication.leader-address': `https://${scripted.target}`, ...flags },
      environment: {},
      configFile: '',
      readFile: () => undefined,
    });
    const certificates = linkCertificates(config, () => undefined)!;
    const link = await openGrpcLeaderLink({
      address: scripted.target,
      tls: (): LinkTls => certificates.current,
      serverName: '',
      messageBytesMax: 1_000_000,
      keepaliveTimeMs: 0,
      keepaliveTimeoutMs: 0,
      clock: systemClock,
      log: () => undefined,
    });
    closers.push(() => link.close());
    return link
      .range(regatta.RangeRequest.fromPartial(pair), { deadlineMs: systemClock.monotonicMs() + 600_000 })
      .then(
        () => '',
        ({ message }: Error) => message,
      );
  };
  expect(await ask({})).toMatch(/certificate|authority/);
  expect(await ask({ 'replication.ca-filename': authority.file })).toMatch(/certificate|authority/);
  expect(await ask({ 'replication.ca-filename': stranger.file })).toBe('served');
  expect(await ask({ 'replication.insecure-skip-verify': 'true' })).toBe('served');
});

describe('a token', () => {
  test('is compared by digests of one length, in constant time, whatever was presented', () => {
    const { timingSafeEqual } = crypto;
    const lengths: number[][] = [];
    crypto.timingSafeEqual = (a, b) => {
      lengths.push([a.byteLength, b.byteLength]);
      return timingSafeEqual(a, b);
    };
    syncBuiltinESMExports();
    try {
      const token = new Token('s3cret');
      for (const presented of ['', 's', 's3cre', 's3cret', 's3crets', 'x'.repeat(10_000)]) {
        lengths.splice(0);
        expect(token.isRight(presented)).toBe(presented === 's3cret');
        expect(lengths).toEqual([[32, 32]]);
      }
      lengths.splice(0);
      checkBearer(token, 'Bearer s3cret');
      expect(() => checkBearer(token, 'Bearer nonsense')).toThrow('Invalid token');
      expect(lengths).toEqual([
        [32, 32],
        [32, 32],
      ]);
    } finally {
      crypto.timingSafeEqual = timingSafeEqual;
      syncBuiltinESMExports();
    }
  });

  test('that comes or goes altogether takes a restart, and one that is another one does not', async () => {
    const { node, rpc } = await start({ 'maintenance.token': 'first' });
    const { path } = replication.SnapshotService.stream;
    const { config } = loadConfig({
      flags: { 'tables.token': 'new', 'maintenance.token': 'second' },
      environment: {},
      configFile: '',
      readFile: () => undefined,
    });
    expect(node.server.replaceTokens(config)).toEqual(['maintenance.token']);
    expect(node.server.usesToken('tables.token', config)).toBe(false);
    await node.createTable(rpc, 'without');
    expect(await statusOf(rpc, { path }, 'first')).toBe(status.UNAUTHENTICATED);
    expect(await statusOf(rpc, { path }, 'second')).not.toBe(status.UNAUTHENTICATED);
    expect(node.server.replaceTokens({ ...config, 'maintenance.token': '' })).toEqual([]);
    expect(await statusOf(rpc, { path })).toBe(status.UNAUTHENTICATED);
  });
});

test('the metrics name the certificates of the API and of clones too', async () => {
  const { node } = await start({
    'api.address': 'https://127.0.0.1:0',
    'api.cert-filename': server.certFile,
    'api.key-filename': server.keyFile,
    'api.ca-filename': authority.file,
    'clone.ca-filename': stranger.file,
  });
  const { text } = await node.get('/metrics');
  const series = [
    ...text.matchAll(/^coxswain_certificate_expiry_seconds\{listener="([^"]+)",kind="([^"]+)"\}/gm),
  ];
  expect(series.map(([, listener, kind]) => `${listener} ${kind}`).sort()).toEqual([
    'api authority',
    'api certificate',
    'clone authority',
  ]);
});

test('no line of the log, at any level, holds a key, a value or a token', async () => {
  const lines: string[] = [];
  const log: Log = (kind, fields) => lines.push(JSON.stringify({ event: kind.code, ...fields }));
  const { node, rpc } = await start(
    { 'tables.names': 't', 'maintenance.token': 'MARK-token', 'rest.token': 'MARK-token' },
    { log },
  );
  const [key, value] = [Buffer.from('MARK-key'), Buffer.from('MARK-value')];
  await rpc.call(put, { table, key, value });
  await rpc.call(range, { table, key });
  await rpc.call(regatta.KVService.deleteRange, { table, key, prevKv: true });
  // What is refused, and where an error might quote it.
  const failures = [
    await rpc.failure(put, { table: Buffer.from('MARK-table'), key, value }),
    await rpc.failure(put, { table, key: Buffer.concat([key, Buffer.alloc(2_000, 'MARK')]), value }),
    await rpc.failure(put, { table, key, value: Buffer.alloc(3 * 1024 * 1024, 'MARK') }),
    await rpc.failure(range, { table, key, rangeEnd: Buffer.from('MARK'), limit: -1n }),
  ];
  for (const { code } of failures) expect(code).not.toBe(status.OK);
  await rpc.send(put, Buffer.from('MARK-not-a-message')).catch(() => undefined);
  await statusOf(rpc, MaintenanceService.backup, 'MARK-wrong');
  const authorization = 'Bearer MARK-token';
  const upload = rpc.upload(
    MaintenanceService.restore,
    [{ info: { table } }, { chunk: { data: Buffer.from('MARK-no-snapshot') } }] as never[],
    { metadata: { authorization } },
  );
  await upload.catch(() => undefined);
  for (const path of ['/debug/binlog/1?values=1', '/status?table=MARK', '/MARK?MARK=MARK', '/%MARK'])
    await fetch(node.server.restUrl + path, { headers: { authorization } });
  await node.stop();
  expect(lines.length).toBeGreaterThan(5);
  expect(lines.filter((line) => line.includes('MARK'))).toEqual([]);
});
