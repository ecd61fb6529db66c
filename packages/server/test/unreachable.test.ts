import { createServer, type Server } from 'node:net';
import { Coxswain, type TlsOptions } from '@coxswain/client';
import { findFreePort, until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Authority } from './support/certificates.js';
import { OneNode } from './support/one-node.js';

let authority: Authority;
let stranger: Authority;
let plain: OneNode;
let secure: OneNode;
let guarded: OneNode;
let expired: OneNode;
let silent: Server;
let greeting: Server;
let closing: Server;
/** What a test names: a listener's port. */
const ports: Record<string, number> = {};
let client: { readonly cert: Buffer; readonly key: Buffer };
let impostor: { readonly cert: Buffer; readonly key: Buffer };

beforeAll(async () => {
  [authority, stranger] = await Promise.all([Authority.create('authority'), Authority.create('stranger')]);
  const server = await authority.issue('server');
  const old = await authority.issue('server', [], { isExpired: true });
  client = await authority.issue('anna');
  impostor = await stranger.issue('anna');
  // Four nodes that have little to do: each tick costs processor time.
  const idle = { 'raft.rtt': '20ms' };
  const files = (identity: { certFile: string; keyFile: string }) => ({
    ...idle,
    'api.address': 'https://127.0.0.1:0',
    'api.cert-filename': identity.certFile,
    'api.key-filename': identity.keyFile,
  });
  const mutual = { 'api.client-cert-auth': 'true', 'api.ca-filename': authority.file };
  ports['raft'] = await findFreePort();
  [plain, secure, guarded, expired] = await Promise.all([
    OneNode.start({ ...idle, 'raft.address': `127.0.0.1:${ports['raft']}` }),
    OneNode.start(files(server)),
    OneNode.start({ ...files(server), ...mutual }),
    OneNode.start(files(old)),
  ]);
  silent = createServer((socket) => socket.on('error', () => undefined).resume());
  greeting = createServer((socket) =>
    socket
      .on('error', () => undefined)
      .resume()
      .write('220 mail.example ESMTP\r\n'),
  );
  closing = createServer((socket) => socket.destroy());
  for (const [name, listener] of Object.entries({ silent, greeting, closing })) {
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    ports[name] = (listener.address() as { port: number }).port;
  }
  for (const [name, node] of Object.entries({ plain, secure, guarded, expired })) {
    ports[name] = Number(node.target.split(':').at(-1));
  }
  ports['rest'] = Number(new URL(plain.server.restUrl).port);
  ports['nothing'] = await findFreePort();
});

afterAll(async () => {
  await Promise.all([plain, secure, guarded, expired].map((node) => node?.stop()));
  for (const listener of [silent, greeting, closing]) listener?.close();
  authority.remove();
  stranger.remove();
});

/** Why the client does not reach an endpoint, or what its first read ends with. */
async function reason(endpoint: string, tls: TlsOptions | undefined, timeoutMs: number): Promise<string> {
  try {
    const connected = await Coxswain.connect({ endpoints: [endpoint], timeoutMs, ...(tls && { tls }) });
    try {
      await connected.get('default', 'k');
      return 'it is reached';
    } finally {
      connected.close();
    }
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the client says why it does not reach an endpoint', () => {
  const trusting = (): TlsOptions => ({ ca: authority.pem });
  test.each<[string, string, (() => TlsOptions) | undefined, string]>([
    ['with the right authority', 'https://127.0.0.1:secure', trusting, 'table not found'],
    [
      'an authority that did not sign',
      'https://127.0.0.1:secure',
      () => ({ ca: stranger.pem }),
      'signed by no authority that is trusted here: give the right --cacert',
    ],
    [
      'no authority',
      'https://127.0.0.1:secure',
      undefined,
      'signed by no authority that is trusted here: give the right --cacert',
    ],
    [
      'another name',
      'https://localhost:secure',
      trusting,
      'its certificate is not for "localhost": use a name that the certificate holds',
    ],
    [
      'an expired certificate',
      'https://127.0.0.1:expired',
      trusting,
      'its certificate has expired: renew it',
    ],
    [
      'no certificate of the client',
      'https://127.0.0.1:guarded',
      trusting,
      'it wants a certificate of the client',
    ],
    [
      "another authority's certificate of the client",
      'https://127.0.0.1:guarded',
      () => ({ ...trusting(), ...impostor }),
      'it wants a certificate of the client',
    ],
    [
      'the right certificate of the client',
      'https://127.0.0.1:guarded',
      () => ({ ...trusting(), ...client }),
      'table not found',
    ],
    ['TLS to a port without', 'https://127.0.0.1:plain', undefined, 'it does not speak TLS: use http://'],
    ['TLS to the REST port', 'https://127.0.0.1:rest', undefined, 'it does not speak TLS: use http://'],
    ['plain to a port with TLS', 'http://127.0.0.1:secure', undefined, 'it speaks TLS: use https://'],
    [
      'the REST port',
      '127.0.0.1:rest',
      undefined,
      'it speaks HTTP/1.1: that is another port, such as that of the REST API',
    ],
    [
      'the raft port',
      '127.0.0.1:raft',
      undefined,
      'it closes the connection: perhaps it speaks TLS (use https://), or it is the port of another service',
    ],
    ['nothing', '127.0.0.1:nothing', undefined, 'nothing listens there: start the node'],
    ['no socket', 'unix:///nowhere/coxswain.sock', undefined, 'there is no such socket: start the node'],
    [
      'another service',
      '127.0.0.1:greeting',
      undefined,
      'it does not speak gRPC: that is the port of another service',
    ],
    [
      'a port that closes',
      '127.0.0.1:closing',
      undefined,
      'it closes the connection: perhaps it speaks TLS (use https://), or it is the port of another service',
    ],
    [
      'a port that closes, with TLS',
      'https://127.0.0.1:closing',
      undefined,
      'it closes the connection in the TLS handshake',
    ],
  ])('%s: %s', async (_what, endpoint, tls, expected) => {
    const address = endpoint.replace(/[a-z]+$/, (name) => String(ports[name] ?? name));
    // A busy machine may need longer for a handshake than the client waits for one.
    const text = await until(
      'a handshake is done in time',
      async () => {
        const given = await reason(address, tls?.(), 30_000);
        return !/does not answer|says nothing/.test(given) && given;
      },
      20,
    );
    expect(text).toContain(expected);
    if (text.startsWith('no node')) expect(text).toContain(address);
  });

  test.each([
    ['http', 'it takes the connection and says nothing: the process hangs, or it speaks TLS (use https://)'],
    ['https', 'it takes the connection and does not answer the TLS handshake: the process hangs'],
  ])('a process that hangs, by %s', async (scheme, expected) => {
    expect(await reason(`${scheme}://127.0.0.1:${ports['silent']}`, undefined, 500)).toContain(expected);
  });
});
