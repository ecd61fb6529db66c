import { readdir } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { errors } from '@coxswain/node';
import { health, maintenance, moco, mvcc, regatta, replication } from '@coxswain/protocol';
import { findFreePort, TemporaryDirectory, until } from '@coxswain/testing';
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Authority } from '../support/certificates.js';
import { OneNode } from '../support/one-node.js';
import { collect, type Rpc } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function mocoService(): void {
  const { clone } = moco.CloneServiceService;
  const { flushBinlog, flushAndBackupBinlog } = moco.BackupBinlogServiceService;
  const { put, deleteRange, txn, range } = regatta.KVService;
  const { SERVING, NOT_SERVING } = health.HealthCheckResponse_ServingStatus;
  const authorized = { metadata: { authorization: 'Bearer s3cret' } };
  const bytes = (text: string): Buffer => Buffer.from(text);

  const opened: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close();
  });

  async function start(
    flags: Record<string, string> = {},
    options: { waitsUntilReady?: boolean } = {},
  ): Promise<{ node: OneNode; rpc: Rpc }> {
    const node = await OneNode.start({ 'maintenance.token': 's3cret', ...flags }, options);
    opened.push(() => node.stop());
    const rpc = node.rpc();
    opened.push(() => rpc.close());
    return { node, rpc };
  }

  async function pairsOf(rpc: Rpc, table: string): Promise<string[]> {
    const request = { table: bytes(table), key: bytes('\0'), rangeEnd: bytes('\0'), linearizable: true };
    const { kvs } = await rpc.call(range, request);
    return kvs.map(({ key, value }) => `${key}=${value.toString('latin1').slice(0, 20)}`);
  }

  async function untilState(node: OneNode, metric: string, state: string): Promise<string> {
    return until(`${metric} is ${state}`, async () => {
      const { text } = await node.get('/metrics');
      return text.includes(`${metric}{state="${state}"} 1`) && text;
    });
  }

  /** The first message of a stream that goes on. */
  async function first<T>(stream: ClientReadableStream<T>): Promise<T[]> {
    stream.on('error', () => undefined);
    for await (const message of stream) {
      stream.cancel();
      return [message as T];
    }
    return [];
  }

  const putOf = (key: string, value: string): mvcc.RequestOp => ({
    request: { $case: 'requestPut', value: { key: bytes(key), value: bytes(value), prevKv: false } },
  });

  describe('Clone', () => {
    test('fills an empty cluster with every table of the donor, and with what was written there meanwhile', async () => {
      const donor = await start({ 'tables.names': 'a,b,empty' });
      const noise = Buffer.from(Array.from({ length: 100_000 }, (_, place) => (place * place * 31) >>> 5));
      for (let i = 0; i < 8; i++)
        await donor.rpc.call(put, { table: bytes('a'), key: bytes(`k${i}`), value: noise });
      await donor.rpc.call(put, { table: bytes('b'), key: bytes('k'), value: bytes('1') });

      const recipient = await start({
        'clone.address': donor.node.target,
        'clone.token': 's3cret',
        'maintenance.restore-bytes-per-second': '400KiB',
        'tables.names': 'empty',
      });
      expect(await recipient.rpc.call(clone, { external: true }, authorized)).toEqual({});
      // One at a time, whichever it is.
      const busy = { code: status.RESOURCE_EXHAUSTED, details: 'another request is under processing' };
      expect(await recipient.rpc.failure(clone, { external: true }, authorized)).toEqual(busy);
      expect(await recipient.rpc.failure(flushBinlog, {}, authorized)).toEqual(busy);
      const { text } = await recipient.node.get('/readyz');
      expect(text).toContain('isUnderCloning=true');
      // Whatever keeps /readyz from 200 is in the metric too.
      expect((await recipient.node.get('/metrics')).text).toMatch(/^coxswain_ready 0$/m);
      expect(await recipient.rpc.failure(health.HealthService.check, { service: 'moco' })).toEqual({
        code: status.UNAVAILABLE,
        details: 'hasIOThreadError=false, hasSQLThreadError=false, isUnderCloning=true',
      });

      // The snapshot of table a is on its way, so that this comes by the log.
      await until(
        'something of the clone has come',
        async () => !/coxswain_clone_bytes 0\n/.test((await recipient.node.get('/metrics')).text),
      );
      await donor.rpc.call(put, { table: bytes('a'), key: bytes('later'), value: bytes('1') });
      await donor.rpc.call(deleteRange, { table: bytes('a'), key: bytes('k3') });
      await donor.rpc.call(txn, {
        table: bytes('a'),
        compare: [
          mvcc.Compare.fromPartial({
            target: mvcc.Compare_CompareTarget.VERSION,
            key: bytes('later'),
            targetUnion: { $case: 'version', value: 1n },
          }),
        ],
        success: [putOf('txn', 'held')],
        failure: [putOf('txn', 'did not hold')],
      });

      await untilState(recipient.node, 'coxswain_clone_state', 'done');
      for (const table of ['a', 'b', 'empty']) {
        expect(await pairsOf(recipient.rpc, table)).toEqual(await pairsOf(donor.rpc, table));
      }
      expect(await pairsOf(recipient.rpc, 'a')).toEqual(
        expect.arrayContaining(['later=1', 'txn=held', expect.stringMatching(/^k0=/)]),
      );
      // A clone follows nothing: the donor could wait for it until it is forgotten, when it closes.
      expect((await donor.rpc.call(regatta.ClusterService.status, {})).followers).toEqual([]);
      await recipient.node.untilReady();
      expect(await recipient.rpc.call(health.HealthService.check, { service: 'moco' })).toEqual({
        status: SERVING,
      });
    });

    test('reaches a donor over TLS, and believes only the authorities that it is told of', async () => {
      const authority = await Authority.create('donors');
      opened.push(() => authority.remove());
      const { certFile, keyFile } = await authority.issue('donor', ['localhost']);
      const donor = await OneNode.start(
        {
          'api.address': 'https://127.0.0.1:0',
          'api.cert-filename': certFile,
          'api.key-filename': keyFile,
          'tables.names': 't',
        },
        { waitsUntilReady: true },
      );
      opened.push(() => donor.stop());
      const address = `https://${donor.target}`;
      const stranger = await start({ 'clone.address': address });
      const refused = await stranger.rpc.failure(clone, { external: true }, authorized);
      expect(refused.details).toContain(`the donor ${donor.target} cannot be cloned`);
      const recipient = await start({ 'clone.address': address, 'clone.ca-filename': authority.file });
      await recipient.rpc.call(clone, { external: true }, authorized);
      await untilState(recipient.node, 'coxswain_clone_state', 'done');
      expect(await pairsOf(recipient.rpc, 't')).toEqual([]);
    });

    test('says what is wrong, in the order of moco-agent', async () => {
      const { node, rpc } = await start({ 'tables.names': 't', 'clone.address': '127.0.0.1:1' });
      const failure = (request: Partial<moco.CloneRequest>) => rpc.failure(clone, request, authorized);
      for (const donorHost of ['', 'two words', 'https://host', '-host', 'a:b']) {
        expect(await failure({ donorHost, donorPort: 0 })).toEqual({
          code: status.INVALID_ARGUMENT,
          details: 'invalid donor host name',
        });
      }
      for (const donorPort of [0, -1, 65_536]) {
        expect(await failure({ donorHost: 'localhost', donorPort })).toEqual({
          code: status.INVALID_ARGUMENT,
          details: 'invalid donor port',
        });
      }
      expect(await failure({ external: true })).toEqual({
        code: status.FAILED_PRECONDITION,
        details:
          'the donor 127.0.0.1:1 cannot be cloned: no connection to 127.0.0.1:1: nothing listens there: start the node, or correct its address',
      });
      await rpc.call(put, { table: bytes('t'), key: bytes('k') });
      expect(await failure({ external: true })).toEqual({
        code: status.FAILED_PRECONDITION,
        details: 'recipient is not empty: table "t" holds 1 key: delete it, or clone into another cluster',
      });
      expect((await rpc.failure(clone, { external: true })).code).toBe(status.UNAUTHENTICATED);
      expect((await node.get('/readyz')).status).toBe(200);
    });

    test('says what is at an address that is none of a donor', async () => {
      const raftPort = await findFreePort();
      const agentPort = await findFreePort();
      const wolfPort = await findFreePort();
      const donor = await start({
        'raft.address': `127.0.0.1:${raftPort}`,
        'backup-agent.address': `127.0.0.1:${agentPort}`,
        'wolf.address': `127.0.0.1:${wolfPort}`,
        'maintenance.enabled': 'false',
      });
      const { rpc } = await start();
      const reason = async (donorPort: number) =>
        (await rpc.failure(clone, { donorHost: '127.0.0.1', donorPort }, authorized)).details;
      expect(await reason(wolfPort)).toBe(errors.donorIsNone(`127.0.0.1:${wolfPort}`).message);
      expect(await reason(raftPort)).toMatch(
        /cannot be cloned: no connection to \S+: it closes the connection: perhaps/,
      );
      for (const port of [agentPort, Number(new URL(donor.node.server.restUrl).port)]) {
        expect(await reason(port)).toMatch(
          /cannot be cloned: no connection to \S+: it is no gRPC server, but another listener/,
        );
      }
      expect(await reason(Number(donor.node.target.split(':')[1]))).toBe(
        errors.donorWithoutMaintenance(donor.node.target).message,
      );
    });

    test('shows a donor that the request names the token of the caller, and is refused before it begins where that is another', async () => {
      const donor = await start({ 'tables.names': 't', 'maintenance.token': 'another' });
      // This node's own secret is not for whom somebody else names.
      const recipient = await start({ 'clone.token': 'another' });
      const [, port] = donor.node.target.split(':');
      const request = { donorHost: '127.0.0.1', donorPort: Number(port) };
      const refused = await recipient.rpc.failure(clone, request, authorized);
      expect(refused).toEqual({
        code: status.FAILED_PRECONDITION,
        details: errors.donorRefusesToken(donor.node.target).message,
      });
      // Nothing has begun, so nobody is under cloning.
      expect(await recipient.rpc.call(health.HealthService.check, { service: 'moco' })).toEqual({
        status: SERVING,
      });
      expect((await recipient.rpc.call(regatta.ClusterService.status, {})).errors).toEqual([]);
      expect(await recipient.rpc.failure(clone, { external: true }, authorized)).toEqual({
        code: status.FAILED_PRECONDITION,
        details: 'the donor outside is not configured: set clone.address, or name a donor',
      });
    });

    test('that fails later is under way for every probe, also after a restart, until it is forgotten or another one succeeds', async () => {
      const donor = await start({ 'tables.names': 'a,b' });
      const noise = Buffer.from(Array.from({ length: 100_000 }, (_, place) => (place * place * 31) >>> 5));
      for (let i = 0; i < 4; i++)
        await donor.rpc.call(put, { table: bytes('a'), key: bytes(`k${i}`), value: noise });
      const directory = new TemporaryDirectory();
      opened.push(() => directory.remove());
      const flags = {
        'data-dir': directory.path,
        'clone.address': donor.node.target,
        'clone.token': 's3cret',
        'maintenance.restore-bytes-per-second': '200KiB',
      };
      let recipient = await start(flags);
      const probes = async (): Promise<void> => {
        const { text, status: readyz } = await recipient.node.get('/readyz');
        expect([readyz, text]).toEqual([503, expect.stringContaining('isUnderCloning=true')]);
        const answer = await recipient.rpc.call(health.HealthService.check, {});
        expect(answer).toEqual({ status: NOT_SERVING });
        const [watched] = await first(recipient.rpc.stream(health.HealthService.watch, { service: 'moco' }));
        expect(watched).toEqual({ status: NOT_SERVING });
        expect(await recipient.rpc.failure(health.HealthService.check, { service: 'moco' })).toEqual({
          code: status.UNAVAILABLE,
          details: 'hasIOThreadError=false, hasSQLThreadError=false, isUnderCloning=true',
        });
      };
      // T2: nothing that changes the data is taken, with a text that says what to do.
      const { create } = regatta.TablesService;
      const refused = async (details: string): Promise<void> => {
        const failures = [
          await recipient.rpc.failure(put, { table: bytes('a'), key: bytes('k') }),
          await recipient.rpc.failure(deleteRange, { table: bytes('a'), key: bytes('k') }),
          await recipient.rpc.failure(txn, { table: bytes('a'), success: [putOf('k', 'v')] }),
          await recipient.rpc.failure(create, { name: 'q1' }),
        ];
        expect(failures).toEqual(failures.map(() => ({ code: status.UNAVAILABLE, details })));
      };
      const problems = async () => (await recipient.rpc.call(regatta.ClusterService.status, {})).errors;
      await recipient.rpc.call(clone, { external: true }, authorized);
      await refused(errors.cloning().message);
      expect(await problems()).toEqual([
        `the clone of ${donor.node.target} is under way: no node is ready, and writes are refused, until all tables have come`,
      ]);
      // From now on the donor refuses what it let in before, the snapshot or the log after it.
      donor.node.replaceToken('maintenance.token', 'another');
      await untilState(recipient.node, 'coxswain_clone_state', 'failed');
      await probes();
      const failure = [expect.stringMatching(/^the clone of .* has failed: table ".": Invalid token$/)];
      expect(await problems()).toEqual(failure);
      await refused(errors.cloneFailed().message);

      await recipient.node.server.stop();
      recipient = await start(flags, { waitsUntilReady: false });
      await until('the node has a leader', async () =>
        (await recipient.node.get('/readyz')).text.includes('hasNoLeader=false'),
      );
      await probes();
      expect(await problems()).toEqual(failure);
      await refused(errors.cloneFailed().message);

      const { forgetClone } = maintenance.MaintenanceService;
      expect((await recipient.rpc.failure(forgetClone, {})).code).toBe(status.UNAUTHENTICATED);
      expect(await recipient.rpc.call(forgetClone, {}, authorized)).toMatchObject({
        donor: donor.node.target,
        error: expect.stringContaining('Invalid token'),
      });
      expect(await recipient.rpc.call(health.HealthService.check, {})).toEqual({ status: SERVING });
      expect(await recipient.rpc.call(forgetClone, {}, authorized)).toEqual({ donor: '', error: '' });
      expect(await problems()).toEqual([]);
      await recipient.rpc.call(create, { name: 'q1' });
      await recipient.rpc.call(put, { table: bytes('q1'), key: bytes('k') });
    });
  });

  describe('FlushBinlog', () => {
    test('has the archive store what was written by now, long before it would', async () => {
      const directory = new TemporaryDirectory();
      opened.push(() => directory.remove());
      const target = pathToFileURL(directory.path).href;
      const { node, rpc } = await start({
        'archive.target': target,
        'archive.object-age': '1h',
        'tables.names': 't',
        'raft.compaction-overhead': '3',
      });
      for (let i = 0; i < 10; i++) await rpc.call(put, { table: bytes('t'), key: bytes(`k${i}`) });
      const names = async () =>
        (await readdir(directory.path, { recursive: true })).filter((n) => n.endsWith('.log'));
      expect(await names()).toEqual([]);
      expect(await rpc.call(flushBinlog, {}, authorized)).toEqual({});
      expect(await names()).toHaveLength(1);
      // A follower cluster has nothing yet, and needs all of it.
      const { replicate } = replication.LogService;
      const follower = { table: bytes('t'), follower: 'f', leaderIndex: 1n };
      const replicated = async () =>
        (await collect(rpc.stream(replicate, follower, authorized)))[0]!.response?.$case;
      expect(await replicated()).toBe('commandsResponse');
      await rpc.call(flushBinlog, { delete: true }, authorized);
      await rpc.call(put, { table: bytes('t'), key: bytes('k0') });
      expect(await replicated()).toBe('commandsResponse');
      // Now it has some of it.
      const { header } = await rpc.call(put, { table: bytes('t'), key: bytes('k0') });
      follower.leaderIndex = header!.revision;
      expect(await replicated()).toBe('commandsResponse');
      await rpc.call(flushBinlog, {}, authorized);
      const logSize = async () =>
        Number((await rpc.call(regatta.ClusterService.status, {})).tables.get('t')!.logSize);
      const before = await logSize();
      await rpc.call(flushBinlog, { delete: true }, authorized);
      await until('the log is compacted', async () => (await logSize()) < before);
      expect(await pairsOf(rpc, 't')).toHaveLength(10);
      expect(await replicated()).toBe('commandsResponse');
      follower.leaderIndex = 1n;
      expect(await replicated()).toBe('errorResponse');
      expect((await rpc.failure(flushBinlog, {})).code).toBe(status.UNAUTHENTICATED);
      expect((await node.get('/readyz')).status).toBe(200);
    });
  });

  describe('FlushAndBackupBinlog', () => {
    test('needs an archive', async () => {
      const { rpc } = await start();
      const request = { backupId: 'b', bucketHost: 'localhost', bucketPort: 9000, bucketName: 'bucket' };
      expect(await rpc.failure(flushAndBackupBinlog, request, authorized)).toEqual({
        code: status.FAILED_PRECONDITION,
        details: 'there is no archive to back up: set archive.target on every node',
      });
    });

    test('speaks HTTPS where the host says so, names buckets in paths, and believes no stranger', async () => {
      const authority = await Authority.create('buckets');
      opened.push(() => authority.remove());
      const { cert, key } = await authority.issue('bucket', ['localhost']);
      const stored: string[] = [];
      const bucket = createServer({ cert, key }, (request, response) => {
        request.resume().once('end', () => {
          if (request.method === 'PUT') stored.push(request.url!);
          else response.writeHead(404, { 'content-type': 'application/xml' });
          response.end(request.method === 'PUT' ? '' : '<Error><Code>NoSuchKey</Code></Error>');
        });
      });
      await new Promise<void>((resolve) => bucket.listen(0, '127.0.0.1', resolve));
      opened.push(() => new Promise((resolve) => bucket.close(() => resolve())));
      const directory = new TemporaryDirectory();
      opened.push(() => directory.remove());
      const { node, rpc } = await start({
        'archive.target': pathToFileURL(directory.path).href,
        'tables.names': 't',
      });
      await rpc.call(put, { table: bytes('t'), key: bytes('k') });
      const request = {
        backupId: '2021-03-17T10:00:00Z',
        bucketHost: 'https://127.0.0.1',
        bucketPort: (bucket.address() as AddressInfo).port,
        bucketName: 'backups',
        accessKeyId: 'id',
        secretAccessKey: 'secret',
      };
      expect(await rpc.failure(flushAndBackupBinlog, request, authorized)).toEqual({
        code: status.INTERNAL,
        details:
          'the bucket cannot be written to: the certificate there is not believed: give its authority to the nodes in NODE_EXTRA_CA_CERTS',
      });
      // Node reads its authorities once, when it starts; this it asks for at each connection.
      process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
      opened.push(() => {
        delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
      });
      expect(await rpc.call(flushAndBackupBinlog, request, authorized)).toEqual({});
      await untilState(node, 'coxswain_binlog_backup_state', 'done');
      const id = encodeURIComponent(request.backupId);
      expect(stored).toEqual([`/backups/${id}-000000`, `/backups/${id}`]);
    });
  });
}
