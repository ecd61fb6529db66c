import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { mvcc, regatta, replication } from '@coxswain/protocol';
import { readSnapshotRecords } from '@coxswain/stream';
import { findFreePort } from '@coxswain/testing';
import { credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Authority, type Identity } from '../support/certificates.js';
import { OneNode } from '../support/one-node.js';
import { Rpc } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function snapshotHttp(): void {
  const keyCount = 12;
  const { create } = regatta.TablesService;
  const { put } = regatta.KVService;
  const strange = 'dü né ?%';

  let node: OneNode;
  let api: Rpc;
  let rpc: Rpc;
  let port: number;

  async function fill(table: string): Promise<void> {
    await api.call(create, { name: table });
    for (let at = 0; at < keyCount; at++) {
      // Not to be compressed, so that a download is larger than what sockets take.
      const value = createHash('shake256', { outputLength: 1024 * 1024 })
        .update(`${at}`)
        .digest();
      await api.call(put, { table: Buffer.from(table), key: Buffer.from(`key/${at}`), value });
    }
  }

  beforeAll(async () => {
    port = await findFreePort();
    node = await OneNode.start({
      'replication.enabled': 'true',
      'replication.address': `http://127.0.0.1:${port}`,
    });
    api = node.rpc();
    rpc = new Rpc(`127.0.0.1:${port}`);
    await fill('served');
    await api.call(create, { name: strange });
  });

  afterAll(async () => {
    api.close();
    rpc.close();
    await node.stop();
  });

  function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      httpRequest({ port, path, headers, method, agent: false }, resolve).on('error', reject).end();
    });
  }

  /** The keys of a stream, and the index that it ends with. */
  async function contentOf(stream: Buffer): Promise<{ keys: string[]; leaderIndex: number }> {
    const keys: string[] = [];
    let leaderIndex = 0;
    const chunks = async function* () {
      yield stream;
    };
    for await (const records of readSnapshotRecords(chunks())) {
      for (const record of records) {
        const { type, kv, leaderIndex: index } = mvcc.Command.decode(record);
        if (type === mvcc.Command_CommandType.DUMMY) leaderIndex = Number(index);
        else keys.push(kv!.key.toString());
      }
    }
    return { keys: [...new Set(keys)], leaderIndex };
  }

  const allKeys = Array.from({ length: keyCount }, (_, at) => `key/${at}`).sort();

  describe('a live snapshot over HTTP/1.1, on the port of gRPC', () => {
    test('is where Query says, whole, with its hash, and as new as Query says', async () => {
      const { type, objectKey, tipIndex, sha256 } = await rpc.call(replication.SnapshotService.query, {
        table: 'served',
      });
      expect(type).toBe(replication.SnapshotQueryResponse_SnapshotType.FULL);
      expect(objectKey).toBe('snapshots-live/served');
      expect(sha256).toHaveLength(0);
      const answer = await get(`/${objectKey}`);
      expect(answer).toMatchObject({
        statusCode: 200,
        headers: { 'content-type': 'application/octet-stream' },
      });
      const body = await buffer(answer);
      const digest = createHash('sha256').update(body).digest('base64');
      expect(answer.trailers).toEqual({ 'repr-digest': `sha-256=:${digest}:` });
      const { keys, leaderIndex } = await contentOf(body);
      expect(keys).toEqual(allKeys);
      expect(leaderIndex).toBeGreaterThanOrEqual(Number(tipIndex));

      const { objectKey: escaped } = await rpc.call(replication.SnapshotService.query, { table: strange });
      const empty = await get(new URL(escaped, 'http://leader/').pathname);
      expect(await contentOf(await buffer(empty))).toMatchObject({ keys: [] });
    });

    test('goes on where it broke off, for who says which it was, although the table was written to', async () => {
      const first = await get('/snapshots-live/served');
      const { etag } = first.headers as { etag: string };
      const begun: Buffer[] = [];
      for await (const chunk of first) {
        begun.push(chunk as Buffer);
        if (begun.length === 2) break;
      }
      const had = Buffer.concat(begun);
      await api.call(put, {
        table: Buffer.from('served'),
        key: Buffer.from('key/5'),
        value: Buffer.from('x'),
      });
      const headers = { range: `bytes=${had.length}-`, 'if-range': etag };
      // The connection that broke is noticed in a moment.
      let rest = await get('/snapshots-live/served', headers);
      while (rest.statusCode !== 206) {
        rest.destroy();
        rest = await get('/snapshots-live/served', headers);
      }
      const tail = await buffer(rest);
      const size = had.length + tail.length;
      expect(rest.headers).toMatchObject({
        etag,
        'content-range': `bytes ${had.length}-${size - 1}/${size}`,
      });
      const whole = Buffer.concat([had, tail]);
      expect(rest.trailers['repr-digest']).toBe(
        `sha-256=:${createHash('sha256').update(whole).digest('base64')}:`,
      );
      expect((await contentOf(whole)).keys).toEqual(allKeys);

      // That one has ended, and the table has been written to: what a Range alone means is not known, so all comes.
      for (const other of [headers, { range: `bytes=${had.length}-` }]) {
        const again = await get('/snapshots-live/served', other);
        expect(again.statusCode).toBe(200);
        expect(again.headers['etag']).not.toBe(etag);
        expect((await contentOf(await buffer(again))).keys).toEqual(allKeys);
      }
    });

    test('past its end, of no table, by other methods, and what is no HTTP', async () => {
      const { headers, statusCode } = await get('/snapshots-live/served', {}, 'HEAD');
      expect(statusCode).toBe(200);
      const past = { range: 'bytes=999999999-', 'if-range': headers.etag! };
      const tooFar = await get('/snapshots-live/served', past);
      expect([tooFar.statusCode, tooFar.headers['content-range']]).toEqual([
        416,
        expect.stringMatching(/^bytes \*\/\d+$/),
      ]);
      tooFar.resume();
      for (const [path, method, expected] of [
        ['/snapshots-live/nobody', 'GET', 404],
        ['/snapshots-live/nobody', 'HEAD', 404],
        ['/snapshots-live/', 'GET', 404],
        ['/snapshots-live/%', 'GET', 404],
        ['/metrics', 'GET', 404],
        ['/snapshots-live/served', 'DELETE', 405],
      ] as const) {
        const answer = await get(path, {}, method);
        answer.resume();
        expect([path, method, answer.statusCode]).toEqual([path, method, expected]);
      }
      const socket: Socket = connect(port, '127.0.0.1');
      socket.write('hello\r\n\r\n');
      expect((await buffer(socket)).toString()).toMatch(/^HTTP\/1\.1 400 /);
      expect(await rpc.failure(replication.SnapshotService.query, { table: 'nobody' })).toMatchObject({
        code: status.NOT_FOUND,
      });
      expect(await rpc.failure(replication.SnapshotService.query, { table: '' })).toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: 'table is required',
      });
    });

    test('so many at a time, and a place is free when one breaks off', async () => {
      const held = await Promise.all(Array.from({ length: 8 }, () => get('/snapshots-live/served')));
      expect(held.map(({ statusCode }) => statusCode)).toEqual(Array(8).fill(200));
      const refused = await get('/snapshots-live/served');
      expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '1']);
      refused.resume();
      for (const each of held) each.destroy();
      let next = await get('/snapshots-live/served');
      while (next.statusCode === 503) {
        next.resume();
        next = await get('/snapshots-live/served');
      }
      expect((await contentOf(await buffer(next))).keys).toEqual(allKeys);
    });

    test('an incremental Snapshot.Stream is refused, since what is sent would lack deletions', async () => {
      const { stream } = replication.SnapshotService;
      const request = { table: Buffer.from('served'), incremental: true, leaderIndex: 3n };
      expect(await rpc.failure(stream, request)).toEqual({
        code: status.FAILED_PRECONDITION,
        details: 'incremental snapshots are not kept here; use a full snapshot',
      });
    });
  });

  describe('over TLS', () => {
    let authority: Authority;
    let server: Identity;
    let client: Identity;

    beforeAll(async () => {
      authority = await Authority.create('authority');
      server = await authority.issue('server', ['localhost']);
      client = await authority.issue('anna', ['anna.example']);
    });

    afterAll(() => authority.remove());

    test('it is downloaded by whom client-cert-auth lets in, also where HTTP/2 is offered, and gRPC goes on', async () => {
      const tlsPort = await findFreePort();
      const secure = await OneNode.start({
        'replication.enabled': 'true',
        'replication.address': `https://127.0.0.1:${tlsPort}`,
        'replication.cert-filename': server.certFile,
        'replication.key-filename': server.keyFile,
        'replication.ca-filename': authority.file,
        'replication.client-cert-auth': 'true',
        'tables.names': 'served',
      });
      const download = (identity?: Identity, ALPNProtocols?: string[]): Promise<number> =>
        new Promise((resolve, reject) => {
          const options = { port: tlsPort, host: 'localhost', path: '/snapshots-live/served', agent: false };
          const certificate = identity && { cert: identity.cert, key: identity.key };
          const protocols = ALPNProtocols && { ALPNProtocols };
          httpsRequest({ ...options, ca: authority.pem, ...certificate, ...protocols }, (answer) => {
            answer.resume();
            answer.once('end', () => resolve(answer.statusCode!));
          })
            .on('error', reject)
            .end();
        });
      try {
        expect(await download(client)).toBe(200);
        expect(await download(client, ['h2', 'http/1.1'])).toBe(200);
        await expect(download()).rejects.toThrow();
        const channel = credentials.createSsl(authority.pem, client.key, client.cert);
        const secureRpc = new Rpc(`localhost:${tlsPort}`, channel);
        const { tables } = await secureRpc.call(replication.MetadataService.get, {});
        expect(tables.map(({ name }) => name)).toEqual(['served']);
        secureRpc.close();
      } finally {
        await secure.stop();
      }
    });
  });
}
