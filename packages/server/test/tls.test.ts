import { ApiError, Status } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { credentials, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { loadTls } from '../src/process/tls.js';
import { Authority, type Identity } from './support/certificates.js';
import { type Failure, Rpc } from './support/rpc.js';
import { ScriptedListener, type ScriptedListenerOptions } from './support/scripted-listener.js';

const served = { code: status.NOT_FOUND, details: 'served' };

let authority: Authority;
let stranger: Authority;
let server: Identity;
let client: Identity;
let impostor: Identity;
let scripted: ScriptedListener | undefined;
/** Of each handshake that the listener has logged as failed. */
const failures: object[] = [];

beforeAll(async () => {
  authority = await Authority.create('authority');
  stranger = await Authority.create('stranger');
  server = await authority.issue('server', ['localhost']);
  client = await authority.issue('anna', ['anna.example']);
  impostor = await stranger.issue('anna', ['anna.example']);
});

afterEach(async () => {
  failures.splice(0);
  await scripted?.close();
  scripted = undefined;
});

afterAll(() => {
  authority.remove();
  stranger.remove();
});

/** How a call ends when the listener and the client have these TLS options. */
async function outcome(tls: ScriptedListenerOptions['tls'], identity?: Identity): Promise<Failure> {
  scripted = await ScriptedListener.start({
    address: { isTls: true, host: '127.0.0.1', port: 0 },
    tls: { certFile: server.certFile, keyFile: server.keyFile, ...tls },
    log: ({ code }, fields) => {
      if (code === 'handshake-failed') failures.push({ ...fields });
    },
  });
  scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, served.details));
  const channel = credentials.createSsl(authority.pem, identity?.key ?? null, identity?.cert ?? null);
  const rpc = new Rpc(scripted.target, channel);
  try {
    const request = { table: Buffer.from('t'), key: Buffer.from('k') };
    return await rpc.failure(regatta.KVService.range, request);
  } finally {
    rpc.close();
  }
}

describe('TLS on a listener (docs/protocol.md §5)', () => {
  test('https serves clients that trust its authority', async () => {
    expect(await outcome({})).toEqual(served);
  });

  test('a client in the clear is not served', async () => {
    scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: { certFile: server.certFile, keyFile: server.keyFile },
    });
    const rpc = new Rpc(scripted.target);
    const request = { table: Buffer.from('t'), key: Buffer.from('k') };
    const failure = await rpc.failure(regatta.KVService.range, request, { timeoutMs: 2_000 });
    expect([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]).toContain(failure.code);
    rpc.close();
  });

  test('client-cert-auth lets in whom the authority vouches for, and nobody else', async () => {
    const tls = { caFile: authority.file, isClientCertRequired: true };
    expect(await outcome(tls, client)).toEqual(served);
    await scripted?.close();
    expect((await outcome(tls, impostor)).code).toBe(status.UNAVAILABLE);
    await scripted?.close();
    expect((await outcome(tls)).code).toBe(status.UNAVAILABLE);
  });

  test.each([
    [{ allowedCommonName: 'anna' }, undefined],
    [{ allowedCommonName: 'berta' }, "the client's certificate is of 'anna', not of api.allowed-cn"],
    [{ allowedHostname: 'anna.example' }, undefined],
    [{ allowedHostname: 'berta.example' }, "the client's certificate is not for api.allowed-hostname"],
    [
      { allowedCommonName: 'anna', allowedHostname: 'berta.example' },
      "the client's certificate is not for api.allowed-hostname",
    ],
  ])('%j: why a client named anna is not let in is logged: %p', async (allowed, reason) => {
    const result = await outcome({ caFile: authority.file, ...allowed }, client);
    expect(result.code).toBe(reason === undefined ? served.code : status.UNAVAILABLE);
    expect(failures).toEqual(reason === undefined ? [] : [{ listener: 'api', from: '127.0.0.1', reason }]);
  });

  test('missing or unusable files are named', () => {
    const tls = {
      certFile: server.certFile,
      keyFile: server.keyFile,
      caFile: '',
      isClientCertRequired: false,
      allowedCommonName: '',
      allowedHostname: '',
    };
    expect(() => loadTls({ ...tls, certFile: '' }, 'api')).toThrow(
      "api.cert-filename must be set: the listener's address asks for TLS",
    );
    expect(() => loadTls({ ...tls, keyFile: '/nowhere.key' }, 'api')).toThrow(
      /^api\.key-filename: cannot read \/nowhere\.key: /,
    );
    expect(() => loadTls({ ...tls, isClientCertRequired: true }, 'api')).toThrow(
      /^api\.ca-filename must be set/,
    );
    expect(() => loadTls({ ...tls, keyFile: client.keyFile }, 'api')).toThrow(
      /^api: the certificate, key or authority is not usable: /,
    );
  });
});
