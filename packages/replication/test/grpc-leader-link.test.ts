import { constants, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { systemClock } from '@coxswain/node';
import { regatta, replication } from '@coxswain/protocol';
import { findFreePort, until } from '@coxswain/testing';
import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GrpcLeaderLink, type GrpcLeaderLinkOptions } from '../src/adapters/grpc-leader-link.js';
import { describeLostContact } from '../src/adapters/lost-contact.js';
import type { LinkError } from '../src/index.js';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0).reverse()) each.close();
});

const gzip = { 'grpc.default_compression_algorithm': 2 };

/** A leader cluster's node in grpc-js, which compresses when asked, and its port. */
async function serve(handlers: UntypedServiceImplementation, options = {}): Promise<number> {
  const server = new Server(options);
  const all = { ...handlers };
  for (const service of [
    regatta.KVService,
    replication.LogService,
    replication.SnapshotService,
    replication.MetadataService,
  ]) {
    const mine = Object.fromEntries(
      Object.keys(service)
        .filter((name) => name in all)
        .map((name) => [name, all[name]!]),
    );
    if (Object.keys(mine).length > 0) server.addService(service, mine);
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  open.push({ close: () => server.forceShutdown() });
  return port;
}

function linkTo(...ports: number[]): GrpcLeaderLink {
  return linkWith({}, ports);
}

function linkWith(options: Partial<GrpcLeaderLinkOptions>, ports: readonly number[]): GrpcLeaderLink {
  const link = new GrpcLeaderLink({
    address: ports.map((port) => `127.0.0.1:${port}`).join(','),
    tls: undefined,
    messageBytesMax: 8 * 1024 * 1024,
    keepaliveTimeMs: 0,
    keepaliveTimeoutMs: 0,
    log: () => undefined,
    clock: systemClock,
    ...options,
  });
  open.push(link);
  return link;
}

const soon = (ms = 600_000) => ({ deadlineMs: systemClock.monotonicMs() + ms });
const aPut = regatta.PutRequest.fromPartial({ table: Buffer.from('t'), key: Buffer.from('k') });
const failureOf = (work: Promise<unknown>): Promise<LinkError> =>
  work.then(
    () => {
      throw new Error('no failure');
    },
    (error: LinkError) => error,
  );

const putAnswers =
  (revision: bigint) =>
  (_: unknown, answer: sendUnaryData<regatta.PutResponse>): void =>
    answer(null, regatta.PutResponse.fromPartial({ header: { revision } }));

describe('the way to a leader cluster over gRPC', () => {
  test('goes on to the next node when one is not there, and says that nothing happened (P1)', async () => {
    const link = linkTo(await findFreePort(), await serve({ put: putAnswers(7n) }));
    const error = await failureOf(link.put(aPut, soon()));
    expect(error).toMatchObject({ status: status.UNAVAILABLE, isFromLeader: false, mayHaveHappened: false });
    expect((await link.put(aPut, soon())).header?.revision).toBe(7n);
  });

  test('says in plain words why a node is not reached, and keeps what grpc-js said as the cause', async () => {
    const port = await findFreePort();
    const error = await failureOf(linkTo(port).metadata({ follower: undefined }, soon()));
    expect(error.message).toBe(
      `no connection to 127.0.0.1:${port}: nothing listens there: start the node, or correct its address`,
    );
    expect((error.cause as Error).message).toContain('ECONNREFUSED');
  });

  test.each([
    [status.DEADLINE_EXCEEDED, 'Deadline exceeded after 1.0s,remote_addr=h:1', 'h:1 gave no answer in time'],
    [
      status.UNAVAILABLE,
      'Name resolution failed for target dns:h:1',
      'no connection to h:1: the host name cannot be resolved',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: Error: self-signed certificate. Resolution note: ',
      'no connection to h:1: its certificate is signed by no authority that is trusted here: correct the ca-filename',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: Protocol error (2026-11-30T07:21:17.280Z). Resolution note: ',
      'no connection to h:1: it is no gRPC server, but another listener, such as that of the REST API, or it wants TLS (https://, or the ca-filename of its authority)',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: Failed to connect (2026-11-30T07:21:17.280Z). Resolution note: ',
      'no connection to h:1: it closes the connection: perhaps it is the port of another service, or wants TLS (https://, or the ca-filename of its authority)',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: no answer in 3 s (2026-11-30T07:21:17.280Z). Resolution note: ',
      'no connection to h:1: it takes the connection and says nothing: it hangs, or is the port of another service, or wants TLS (https://, or the ca-filename of its authority)',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: 80EC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:ssl3_record.c:350:\n. Resolution note: ',
      'no connection to h:1: it does not speak TLS: use http://, and no ca-filename',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: 80EC:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:rec_layer_s3.c:1601:\n. Resolution note: ',
      'no connection to h:1: it takes only callers with a certificate of its own authority: give one (cert-filename), or name a listener that wants none',
    ],
    [
      status.UNAVAILABLE,
      'No connection established. Last error: null. Resolution note: ',
      'no connection to h:1',
    ],
    [status.UNAVAILABLE, 'Connection dropped', 'the connection to h:1 was lost'],
    [
      status.RESOURCE_EXHAUSTED,
      'Bandwidth exhausted or memory limit exceeded',
      'h:1 gave the call up for want of memory',
    ],
    [status.INTERNAL, 'Received RST_STREAM with code 2', 'the call to h:1 was broken off'],
  ])('%i %s: %s', (code, text, expected) => {
    expect(describeLostContact('h:1', code, text)).toBe(expected);
  });

  test('tells what a node said itself from a loss of contact', async () => {
    const port = await serve({
      put: (_: unknown, answer: sendUnaryData<regatta.PutResponse>) =>
        answer({ code: status.UNAVAILABLE, details: 'request dropped as the shard is not ready' }),
    });
    const error = await failureOf(linkTo(port).put(aPut, soon()));
    expect(error).toMatchObject({
      status: status.UNAVAILABLE,
      message: 'request dropped as the shard is not ready',
      isFromLeader: true,
      mayHaveHappened: false,
    });
  });

  test('does not know what became of a write when the connection was lost after it was sent (P1)', async () => {
    const server = createServer((socket: Socket) => {
      // Speaks just enough HTTP/2 for a request to come, and hangs up then.
      socket.write(Buffer.from('000000040000000000', 'hex'));
      let received = Buffer.alloc(0);
      socket.on('data', (bytes) => {
        received = Buffer.concat([received, bytes]);
        if (received.includes(regatta.PutRequest.encode(aPut).finish())) socket.destroy();
      });
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(server);
    const { port } = server.address() as { port: number };
    const error = await failureOf(linkTo(port).put(aPut, soon(3_000)));
    expect(error).toMatchObject({ isFromLeader: false, mayHaveHappened: true });
  });

  test('does not know what became of a write that was not answered in time, and does of a read', async () => {
    let asked = 0;
    const port = await serve({ put: () => asked++, range: () => undefined });
    const link = linkTo(port);
    let error: LinkError | undefined;
    // Until the machine is quick enough to send it in that time.
    for (let timeMs = 100; asked === 0; timeMs *= 2) error = await failureOf(link.put(aPut, soon(timeMs)));
    expect(error).toMatchObject({ mayHaveHappened: true });
    const range = regatta.RangeRequest.fromPartial({ table: Buffer.from('t'), key: Buffer.from('k') });
    expect(await failureOf(link.range(range, soon(100)))).toMatchObject({ mayHaveHappened: false });
  });

  test('takes answers in gzip, and messages of the log as they are', async () => {
    const response = replication.ReplicateResponse.fromPartial({ leaderIndex: 9n });
    const port = await serve(
      {
        replicate: (
          call: ServerWritableStream<replication.ReplicateRequest, replication.ReplicateResponse>,
        ) => {
          call.write(response);
          call.write(response);
          call.end();
        },
        get: (_: unknown, answer: sendUnaryData<replication.MetadataResponse>) =>
          answer(null, replication.MetadataResponse.fromPartial({ clusterId: 'c'.repeat(1000) })),
      },
      gzip,
    );
    const link = linkTo(port);
    expect((await link.metadata({ follower: undefined }, soon())).clusterId).toHaveLength(1000);
    const found: Buffer[] = [];
    for await (const bytes of link.replicate(replication.ReplicateRequest.create(), soon()))
      found.push(bytes);
    expect(found.map((bytes) => bytes.toString('hex'))).toEqual(['4009', '4009']);
  });

  test('ends a stream for the leader cluster too when nobody reads on, or it is given up', async () => {
    let cancelled = 0;
    const port = await serve({
      replicate: (
        call: ServerWritableStream<replication.ReplicateRequest, replication.ReplicateResponse>,
      ) => {
        call.write(replication.ReplicateResponse.fromPartial({ leaderIndex: 1n }));
        call.on('cancelled', () => cancelled++);
      },
    });
    const link = linkTo(port);
    for await (const _ of link.replicate(replication.ReplicateRequest.create(), soon())) break;
    const aborter = new AbortController();
    const read = async () => {
      for await (const _ of link.replicate(replication.ReplicateRequest.create(), {
        ...soon(),
        signal: aborter.signal,
      })) {
        aborter.abort();
      }
    };
    await read().catch(() => undefined);
    await until('both streams are cancelled', () => cancelled === 2);
  });

  test.each<[string, (stream: ServerHttp2Stream) => void]>([
    ['connection', (stream) => stream.session!.destroy()],
    ['stream', (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ['stream, for want of memory,', (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)],
  ])('knows a loss of contact also where the %s breaks off after headers have come (P1)', async (_, cut) => {
    const server = createHttp2Server();
    server.on('sessionError', () => undefined);
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      // A message that says that it has two bytes, and one of them.
      stream.write(Buffer.from('000000000240', 'hex'), () => setImmediate(() => cut(stream)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(server);
    const link = linkTo((server.address() as { port: number }).port);
    const lost = { isFromLeader: false, mayHaveHappened: true };
    expect(await failureOf(link.put(aPut, soon()))).toMatchObject(lost);
    const read = async () => {
      for await (const _bytes of link.replicate(replication.ReplicateRequest.create(), soon()));
    };
    expect(await failureOf(read())).toMatchObject({ ...lost, mayHaveHappened: false });
  });

  test('gives a connection up that delivers nothing any more, and takes another one', async () => {
    const message = replication.ReplicateResponse.fromPartial({ leaderIndex: 1n });
    const port = await serve({
      replicate: (
        call: ServerWritableStream<replication.ReplicateRequest, replication.ReplicateResponse>,
      ) => {
        call.write(message);
      },
      get: (_: unknown, answer: sendUnaryData<replication.MetadataResponse>) =>
        answer(null, replication.MetadataResponse.fromPartial({ clusterId: 'c' })),
    });
    const sockets: Socket[] = [];
    let isFrozen = false;
    const proxy = createServer((near) => {
      const isOld = !isFrozen;
      const far = connect(port, '127.0.0.1');
      sockets.push(near, far);
      // Only what comes from the leader cluster is lost: one direction is enough.
      near.pipe(far);
      far.on('data', (chunk) => (isOld && isFrozen) || near.write(chunk));
      for (const socket of [near, far]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    open.push({
      close: () => {
        for (const socket of sockets) socket.destroy();
        proxy.close();
      },
    });
    const link = linkWith({ keepaliveTimeMs: 200, keepaliveTimeoutMs: 200 }, [
      (proxy.address() as { port: number }).port,
    ]);
    const read = async () => {
      for await (const _ of link.replicate(replication.ReplicateRequest.create(), soon(60_000)))
        isFrozen = true;
    };
    expect(await failureOf(read())).toMatchObject({ status: status.UNAVAILABLE });
    expect((await link.metadata({ follower: undefined }, soon())).clusterId).toBe('c');
    expect(sockets).toHaveLength(4);
  });

  test.each(['', 'nowhere', 'http://', 'host:port', 'a b:1'])('is not made to %j', (address) => {
    expect(
      () =>
        new GrpcLeaderLink({
          address,
          tls: undefined,
          messageBytesMax: 1,
          keepaliveTimeMs: 0,
          keepaliveTimeoutMs: 0,
          log: () => undefined,
          clock: systemClock,
        }),
    ).toThrow(TypeError);
  });

  test.each(['127.0.0.1:1', 'http://h:1', 'dns:h:1', 'dns:///h:1', '[::1]:1', 'a:1, b:2'])(
    'is made to %j',
    (address) => {
      const link = new GrpcLeaderLink({
        address,
        tls: undefined,
        messageBytesMax: 1,
        keepaliveTimeMs: 0,
        keepaliveTimeoutMs: 0,
        log: () => undefined,
        clock: systemClock,
      });
      expect(link.address).toMatch(/:\d$/);
      link.close();
    },
  );
});
