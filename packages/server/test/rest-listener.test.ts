import { once } from 'node:events';
import { copyFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { type Agent, request as requestPlain } from 'node:http';
import { request as requestSecure, Agent as SecureAgent } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { EventRecorder, TemporaryDirectory, until } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { serverEvents } from '../src/events.js';
import { Authority, type Identity } from './support/certificates.js';
import { OneNode } from './support/one-node.js';

let authority: Authority;
let stranger: Authority;
let server: Identity;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([Authority.create('authority'), Authority.create('stranger')]);
  server = await authority.issue('first');
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => {
  authority.remove();
  stranger.remove();
});

async function start(flags: Record<string, string>): Promise<{ node: OneNode; recorder: EventRecorder }> {
  const recorder = new EventRecorder();
  const node = await OneNode.start(flags, { waitsUntilReady: false, log: recorder.log });
  closers.push(() => node.stop());
  return { node, recorder };
}

const tlsFlags = ({ certFile, keyFile }: Identity) => ({
  'rest.address': 'https://127.0.0.1:0',
  'rest.cert-filename': certFile,
  'rest.key-filename': keyFile,
});

interface Asked {
  readonly method?: string;
  readonly token?: string;
  readonly ca?: Buffer;
  readonly identity?: Identity;
  readonly agent?: Agent;
}

/** Asks over TLS where the listener has it. Rejects when the handshake fails. */
function ask(
  node: OneNode,
  path: string,
  { method = 'GET', token, ca = authority.pem, identity, agent }: Asked = {},
): Promise<{ status: number; challenge: string | undefined; body: string }> {
  const { protocol, hostname, port } = new URL(node.server.restUrl);
  const options = {
    ...{ hostname, port, path, method },
    agent: agent ?? false,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  };
  return new Promise((resolve, reject) => {
    const asked =
      protocol === 'https:'
        ? requestSecure({ ...options, ca, ...(identity && { cert: identity.cert, key: identity.key }) })
        : requestPlain(options);
    asked.on('error', reject).on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part)).on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode!,
          challenge: response.headers['www-authenticate'],
          body: Buffer.concat(parts).toString(),
        }),
      );
    });
    asked.end();
  });
}

/** The common name that the listener shows in a new handshake. */
function shownName(node: OneNode): Promise<string> {
  const port = Number(new URL(node.server.restUrl).port);
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca: authority.pem }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    }).on('error', reject);
  });
}

describe('the REST listener over TLS', () => {
  test('serves who trusts its authority, and nobody in the clear', async () => {
    const { node, recorder } = await start(tlsFlags(server));
    expect(node.server.restUrl).toMatch(/^https:\/\/127\.0\.0\.1:[1-9]/);
    expect(await ask(node, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    const { body } = await ask(node, '/metrics');
    expect(body).toMatch(
      /^coxswain_certificate_expiry_seconds\{listener="rest",kind="certificate"\} [1-9]\d*/m,
    );
    await expect(ask(node, '/healthz', { ca: stranger.pem })).rejects.toThrow(/certificate/);
    await until('the failed handshake is logged', () =>
      recorder.of(serverEvents.handshakeFailed).some(({ listener }) => listener === 'rest'),
    );
    const plain = connect(Number(new URL(node.server.restUrl).port), '127.0.0.1');
    plain.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    const received: Buffer[] = [];
    plain.on('data', (data: Buffer) => received.push(data)).on('error', () => undefined);
    await once(plain, 'close');
    expect(Buffer.concat(received).toString('latin1')).not.toContain('HTTP/1.1');
  });

  test('speaks HTTP/1.1 where a client offers HTTP/2 too', async () => {
    const { node } = await start(tlsFlags(server));
    const socket: TLSSocket = connectTls({
      host: '127.0.0.1',
      port: Number(new URL(node.server.restUrl).port),
      ca: authority.pem,
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    await once(socket, 'secureConnect');
    expect(socket.alpnProtocol).toBe('http/1.1');
    socket.destroy();
  });

  test('is on a Unix socket too, by unixs', async () => {
    const directory = new TemporaryDirectory();
    closers.push(() => directory.remove());
    const path = `${directory.path}/rest.sock`;
    const { node } = await start({ ...tlsFlags(server), 'rest.address': `unixs://${path}` });
    expect(node.server.restUrl).toBe(`unixs://${path}`);
    expect(statSync(path).isSocket()).toBe(true);
    const status = (secure: boolean): Promise<number> =>
      new Promise((resolve, reject) => {
        const options = { socketPath: path, path: '/healthz', agent: false as const };
        const asked = secure
          ? requestSecure({ ...options, ca: authority.pem, host: '127.0.0.1' })
          : requestPlain(options);
        asked.on('error', reject).on('response', (response) => resolve(response.resume().statusCode!));
        asked.end();
      });
    expect(await status(true)).toBe(200);
    await expect(status(false)).rejects.toThrow();
  });

  test('client-cert-auth lets in whom the authority vouches for, and nobody else', async () => {
    const { node } = await start({
      ...tlsFlags(server),
      'rest.client-cert-auth': 'true',
      'rest.ca-filename': authority.file,
    });
    const identity = await authority.issue('anna');
    expect(await ask(node, '/healthz', { identity })).toMatchObject({ status: 200 });
    await expect(ask(node, '/healthz')).rejects.toThrow();
    await expect(ask(node, '/healthz', { identity: await stranger.issue('anna') })).rejects.toThrow();
  });

  test('shows new certificates at the next handshake, keeps old ones for unusable files, and keeps connections', async () => {
    const used = await authority.issue('first');
    const { node, recorder } = await start(tlsFlags(used));
    const agent = new SecureAgent({ keepAlive: true, maxSockets: 1 });
    closers.push(() => agent.destroy());
    const before = once(agent, 'free') as Promise<[TLSSocket]>;
    await ask(node, '/healthz', { agent });
    const [connection] = await before;

    // Certificate and key of another pair do not belong together.
    const next = await authority.issue('second');
    copyFileSync(next.certFile, used.certFile);
    await until('it says that they are not usable', async () => {
      expect(await shownName(node)).toBe('first');
      return recorder.of(serverEvents.certificatesUnusable).some(({ listener }) => listener === 'rest');
    });
    copyFileSync(next.keyFile, used.keyFile);
    await until('the new certificate is shown', async () => (await shownName(node)) === 'second');
    expect(recorder.of(serverEvents.certificatesReloaded)).toContainEqual(
      expect.objectContaining({ listener: 'rest' }),
    );

    // By renaming, and read again at once, as SIGHUP does.
    const third = await authority.issue('third');
    renameSync(third.certFile, used.certFile);
    renameSync(third.keyFile, used.keyFile);
    expect(node.server.reloadCertificates()).toEqual(['rest']);
    expect(node.server.reloadCertificates()).toEqual([]);
    expect(await shownName(node)).toBe('third');

    const again = once(agent, 'free') as Promise<[TLSSocket]>;
    await ask(node, '/healthz', { agent });
    expect((await again)[0]).toBe(connection);
    expect(connection.getPeerCertificate().subject.CN).toBe('first');
  });

  test('does not start without certificate and key, or with files that are none, and names the option', async () => {
    const flags = tlsFlags(server);
    const garbage = `${authority.file}.garbage`;
    writeFileSync(garbage, 'no certificate');
    for (const [more, text] of [
      [{ 'rest.cert-filename': '' }, "rest.cert-filename must be set: the listener's address asks for TLS"],
      [{ 'rest.key-filename': '' }, "rest.key-filename must be set: the listener's address asks for TLS"],
      [{ 'rest.client-cert-auth': 'true' }, 'rest.ca-filename must be set'],
      [{ 'rest.key-filename': '/nowhere.key' }, 'rest.key-filename: cannot read /nowhere.key'],
      [{ 'rest.cert-filename': garbage }, 'rest: the certificate, key or authority is not usable'],
    ] as const) {
      await expect(OneNode.start({ ...flags, ...more })).rejects.toThrow(text);
    }
  });

  test('waits for nobody when the node stops, not even for who has not finished a handshake', async () => {
    const { node } = await start(tlsFlags(server));
    const port = Number(new URL(node.server.restUrl).port);
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');
    const agent = new SecureAgent({ keepAlive: true });
    closers.push(() => agent.destroy());
    await ask(node, '/healthz', { agent });
    const gone = once(silent.on('error', () => undefined).resume(), 'close');
    await node.server.stop();
    await gone;
    await expect(ask(node, '/healthz')).rejects.toThrow('ECONNREFUSED');
  });
});

describe('rest.token', () => {
  const open = ['/healthz', '/livez', '/readyz', '/readyz?role=replication'];
  const reads = ['/metrics', '/version', '/status', '/drainers', '/commit_ts', '/openapi.json'];
  const maintenance: [string, string][] = [
    ['GET', '/debug/binlog/1'],
    ['POST', '/debug/gc/trigger'],
    ['PUT', '/state/nobody/pause'],
  ];
  const statusOf = async (...args: Parameters<typeof ask>) => (await ask(...args)).status;
  const untilReady = (node: OneNode) =>
    until('the node is ready', async () => (await statusOf(node, '/readyz')) === 200);

  test('guards all but the probes, whatever the method, and paths that there are not', async () => {
    const { node } = await start({ 'rest.token': 's3cret', 'tables.names': 't' });
    await untilReady(node);
    for (const path of open) {
      // On a busy machine a node may lose its leader, and then it is not ready.
      const allowed = path.startsWith('/readyz') ? [200, 503] : [200];
      for (const method of ['GET', 'HEAD']) expect(allowed).toContain(await statusOf(node, path, { method }));
    }
    const guarded: [string, string][] = [
      ...reads.map((path): [string, string] => ['GET', path]),
      ...maintenance,
      ['HEAD', '/metrics'],
    ];
    for (const [method, path] of guarded) {
      const told = async (token?: string) => [
        path,
        await statusOf(node, path, { method, ...(token !== undefined && { token }) }),
      ];
      expect(await told()).toEqual([path, 401]);
      expect(await told('nonsense')).toEqual([path, 401]);
      expect(await told('s3cret')).toEqual([path, 200]);
    }
    // No spelling of a guarded path is taken for an open one, and nobody learns which paths there are.
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['GET', '//metrics'],
      ['GET', '/healthz/../metrics'],
      ['GET', '/healthz/'],
      ['GET', '/%6detrics'],
      ['PUT', '/metrics'],
      ['POST', '/healthz'],
      ['OPTIONS', '/metrics'],
    ] as const) {
      expect([method, path, await statusOf(node, path, { method })]).toEqual([method, path, 401]);
    }
    // The console's page holds nothing of the node; its API asks for the token.
    expect(await statusOf(node, '/')).toBe(200);
    expect(await statusOf(node, '/api/v1/live')).toBe(401);
    expect(await statusOf(node, '/nowhere', { token: 's3cret' })).toBe(404);
    expect(await statusOf(node, '/metrics', { token: 's3cret', method: 'PUT' })).toBe(405);
    expect(await ask(node, '/metrics')).toEqual({
      status: 401,
      challenge: 'Bearer',
      body: '{\n  "message": "Request unauthenticated with bearer",\n  "code": 3,\n  "data": null\n}\n',
    });
    // Its own requests alone: the API is guarded by other options.
    const rpc = node.rpc();
    closers.push(() => rpc.close());
    await node.createTable(rpc, 'other');
  });

  test('where there is none anyone may ask', async () => {
    const { node } = await start({ 'tables.names': 't' });
    await untilReady(node);
    for (const path of reads) expect([path, await statusOf(node, path)]).toEqual([path, 200]);
    for (const [method, path] of maintenance) expect(await statusOf(node, path, { method })).toBe(200);
  });

  test('opens nothing that maintenance.token guards, which goes on being what those requests want', async () => {
    const { node } = await start({
      'rest.token': 's3cret',
      'maintenance.token': 'mighty',
      'tables.names': 't',
    });
    await untilReady(node);
    for (const [method, path] of maintenance) {
      expect(await statusOf(node, path, { method })).toBe(401);
      expect(await statusOf(node, path, { method, token: 's3cret' })).toBe(401);
      expect(await statusOf(node, path, { method, token: 'mighty' })).toBe(200);
    }
    for (const path of reads) {
      expect(await statusOf(node, path, { token: 'mighty' })).toBe(401);
      expect(await statusOf(node, path, { token: 's3cret' })).toBe(200);
    }
  });

  test('is replaced at once by another one, and not by an empty one', async () => {
    const { node } = await start({ 'rest.token': 'first', 'tables.names': 't' });
    await untilReady(node);
    node.replaceToken('rest.token', 'second');
    expect(await statusOf(node, '/metrics', { token: 'first' })).toBe(401);
    expect(await statusOf(node, '/metrics', { token: 'second' })).toBe(200);
    node.replaceToken('rest.token', '');
    expect(await statusOf(node, '/metrics')).toBe(401);
    expect(await statusOf(node, '/metrics', { token: 'second' })).toBe(200);
  });

  test('the page of the API says what needs it', async () => {
    const { node } = await start({});
    const page = JSON.parse((await ask(node, '/openapi.json')).body) as {
      security: object[];
      paths: Record<string, Record<string, { security?: object[] }>>;
    };
    expect(page.security).toEqual([{}, { token: [] }]);
    const unguarded = Object.entries(page.paths).filter(([, { get }]) => get?.security?.length === 0);
    expect(unguarded.map(([path]) => path).sort()).toEqual(['/healthz', '/livez', '/readyz']);
  });
});
