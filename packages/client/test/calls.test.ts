import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { mvcc } from '@coxswain/protocol';
import {
  eventually,
  findFreePort,
  firstCertificate,
  secondCertificate,
  TemporaryDirectory,
  until,
} from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Endpoint } from '../src/endpoint.js';
import {
  type CallOptions,
  type ConnectionEvent,
  type ConnectOptions,
  Coxswain,
  OutcomeUnknownError,
  operation,
  StatusCode,
  tlsFromFiles,
} from '../src/index.js';
import { FakeNode } from './support/fake-node.js';

const clients: Coxswain[] = [];
let node: FakeNode;

beforeEach(async () => {
  node = await FakeNode.start();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  node.stop();
});

function clientOf(options: Partial<ConnectOptions> = {}): Coxswain {
  const client = new Coxswain({ endpoints: [node.endpoint], timeoutMs: 600_000, ...options });
  clients.push(client);
  return client;
}

const notReady = { code: StatusCode.UNAVAILABLE, details: 'request dropped as the shard is not ready' };
const reason = new Error('the visitor left');
const abortedError = {
  code: StatusCode.CANCELLED,
  errorCode: 'aborted',
  message: 'the call was aborted',
  cause: reason,
};

/** Every call of the client, by name. */
const calls: Readonly<Record<string, (client: Coxswain, options?: CallOptions) => Promise<unknown>>> = {
  ready: (client, options) => client.ready(options),
  get: (client, options) => client.get('t', 'k', options),
  range: (client, options) => client.range('t', 'k', options),
  iterateRange: (client, options) => client.iterateRange('t', 'k', options).next(),
  iteratePages: (client, options) => client.iteratePages('t', 'k', options).next(),
  put: (client, options) => client.put('t', 'k', 'v', options),
  deleteRange: (client, options) => client.deleteRange('t', 'k', options),
  txn: (client, options) => client.txn('t', options).do(operation.put('k', 'v')).commit(),
  'tables.create': (client, options) => client.tables.create('t', {}, options),
  'tables.delete': (client, options) => client.tables.delete('t', options),
  'tables.list': (client, options) => client.tables.list(options),
  'cluster.memberList': (client, options) => client.cluster.memberList(options),
  'cluster.status': (client, options) => client.cluster.status(options),
  'cluster.health': (client, options) => client.cluster.health('', options),
  'maintenance.reset': (client, options) => client.maintenance.reset('all', options),
  'maintenance.backup': (client, options) => client.maintenance.backup('t', options).next(),
  'maintenance.restore': (client, options) => client.maintenance.restore('t', noPieces(), options),
  'maintenance.restoreArchive': (client, options) => client.maintenance.restoreArchive('t', options).next(),
  'maintenance.promote': (client, options) => client.maintenance.promote(options),
  'maintenance.forgetClone': (client, options) => client.maintenance.forgetClone(options),
};

async function* noPieces(): AsyncGenerator<Buffer> {
  // Nothing is restored.
}

describe('an AbortSignal', () => {
  test.each(Object.keys(calls))('that is aborted already ends %s before anything is sent', async (name) => {
    const events: ConnectionEvent[] = [];
    const client = clientOf({ onConnectionEvent: (event) => events.push(event) });
    await expect(calls[name]!(client, { signal: AbortSignal.abort(reason) })).rejects.toMatchObject(
      abortedError,
    );
    expect([node.putCount, node.rangeCount]).toEqual([0, 0]);
  });

  test('ends a read that waits, and the next call stays on the node', async () => {
    const other = await FakeNode.start();
    const client = clientOf({ endpoints: [node.endpoint, other.endpoint] });
    const controller = new AbortController();
    node.answers.push('silence');
    const read = client.get('t', 'k', { signal: controller.signal });
    await until('the node is asked', () => node.rangeCount === 1);
    controller.abort(reason);
    await expect(read).rejects.toMatchObject(abortedError);
    expect(client.endpoint).toBe(node.endpoint);
    other.stop();
  });

  test('leaves the outcome of a write unknown that was sent (P1)', async () => {
    const controller = new AbortController();
    node.answers.push('silence');
    const write = clientOf().put('t', 'k', 'v', { signal: controller.signal });
    await until('the node is asked', () => node.putCount === 1);
    controller.abort(reason);
    const error: unknown = await write.catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ code: StatusCode.UNKNOWN, errorCode: 'outcomeUnknown', cause: reason });
  });

  test('ends a read that is refused again and again', async () => {
    node.answers.push(...Array.from({ length: 100_000 }, () => notReady));
    const controller = new AbortController();
    const read = clientOf().get('t', 'k', { signal: controller.signal });
    await until('the read is tried three times', () => node.rangeCount >= 3);
    controller.abort(reason);
    await expect(read).rejects.toMatchObject(abortedError);
  });

  test('ends a stream, and cancels it on the node', async () => {
    const controller = new AbortController();
    const seen: Buffer[] = [];
    const read = async (): Promise<void> => {
      for await (const { key } of clientOf().iterateRange('t', '', { signal: controller.signal })) {
        seen.push(key);
        if (seen.length === 2) controller.abort(reason);
      }
    };
    await expect(read()).rejects.toMatchObject(abortedError);
    expect(seen).toHaveLength(2);
    await until('the stream is cancelled', () => node.isStreamCancelled);
  });

  test('ends an upload', async () => {
    const controller = new AbortController();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      controller.abort(reason);
      yield Buffer.from('the first');
      await new Promise(() => undefined);
    };
    const upload = clientOf().maintenance.restore('t', pieces(), { signal: controller.signal });
    await expect(upload).rejects.toMatchObject(abortedError);
  });

  test('ends the wait for a node that does not come', async () => {
    const server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoints = [`127.0.0.1:${(server.address() as AddressInfo).port}`];
    const controller = new AbortController();
    const connecting = Coxswain.connect({ endpoints, timeoutMs: 600_000 }, { signal: controller.signal });
    await once(server, 'connection');
    controller.abort(reason);
    await expect(connecting).rejects.toMatchObject(abortedError);
    server.close();
  });

  test('can be that of many calls at once without a warning', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', onWarning);
    const { signal } = new AbortController();
    const client = clientOf();
    // The connecting, the reads and the pauses after refusals all wait for the signal.
    node.answers.push(...Array.from({ length: 100 }, () => notReady));
    const gets = Array.from({ length: 100 }, () => client.get('t', 'k', { signal }));
    await Promise.all([...gets, ...Array.from({ length: 100 }, () => client.ready({ signal }))]);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

describe('a deadline', () => {
  test('that has passed ends a call before anything is sent', async () => {
    const late = { deadline: new Date(Date.now() - 1) };
    for (const call of [calls['put']!, calls['get']!]) {
      await expect(call(clientOf(), late)).rejects.toMatchObject({
        code: StatusCode.DEADLINE_EXCEEDED,
        errorCode: 'noAnswer',
      });
    }
    expect([node.putCount, node.rangeCount]).toEqual([0, 0]);
  });

  test('counts instead of the timeout of the connection, and with that of the call the earlier one', async () => {
    const client = clientOf({ timeoutMs: 1 });
    const deadline = new Date(Date.now() + 600_000);
    await client.ready({ deadline });
    expect((await client.range('t', 'k', { deadline })).count).toBe(7n);
    node.answers.push('silence');
    await expect(client.range('t', 'k', { deadline, timeoutMs: 50 })).rejects.toMatchObject({
      errorCode: 'noAnswer',
    });
  });

  test('bounds the whole of a stream', async () => {
    const client = clientOf();
    const pages = client.iteratePages('t', 'k', { deadline: new Date(Date.now() + 2_000) });
    await pages.next();
    await expect(
      (async () => {
        for await (const _ of pages);
      })(),
    ).rejects.toMatchObject({ code: StatusCode.DEADLINE_EXCEEDED });
  });
});

describe('a client that connects when it is needed', () => {
  test('needs no node before', async () => {
    const port = await findFreePort();
    const events: ConnectionEvent[] = [];
    const client = clientOf({
      endpoints: [`127.0.0.1:${port}`],
      onConnectionEvent: (event) => events.push(event),
    });
    expect(client.endpoint).toBe(`127.0.0.1:${port}`);
    const late = await FakeNode.start({ port });
    expect(events).toEqual([]);
    await client.put('t', 'k', 'v');
    expect(late.putCount).toBe(1);
    late.stop();
  });

  test('refuses an address that is none at once', () => {
    expect(() => new Coxswain({ endpoints: ['ftp://host'] })).toThrow(TypeError);
    expect(() => new Coxswain({ endpoints: [] })).toThrow(TypeError);
  });
});

test.each(Object.keys(calls))('after close() %s fails with the code clientClosed', async (name) => {
  const client = clientOf();
  await client.ready();
  client.close();
  client.close();
  await expect(calls[name]!(client)).rejects.toMatchObject({
    code: StatusCode.CANCELLED,
    errorCode: 'clientClosed',
    message: 'the client is closed',
  });
});

test('events say what becomes of the connections', async () => {
  const events: ConnectionEvent[] = [];
  const other = await FakeNode.start();
  const client = clientOf({
    endpoints: [node.endpoint, other.endpoint],
    onConnectionEvent: (event) => events.push(event),
  });
  await client.put('t', 'k', 'v');
  node.stop();
  await until('the loss is reported', () => events.some(({ state }) => state === 'disconnected'));
  await client.put('t', 'k', 'v');
  expect(other.putCount).toBe(1);
  client.close();
  await until('the end is reported', () => events.length === 8);
  expect(events.map(({ endpoint, state }) => [endpoint, state])).toEqual([
    [node.endpoint, 'connecting'],
    [node.endpoint, 'connected'],
    [node.endpoint, 'disconnected'],
    [node.endpoint, 'connecting'],
    [node.endpoint, 'failed'],
    [other.endpoint, 'connecting'],
    [other.endpoint, 'connected'],
    [other.endpoint, 'disconnected'],
  ]);
  const hasReason = ({ state }: ConnectionEvent): boolean => state === 'failed' || state === 'disconnected';
  for (const event of events) expect(event.reason !== '').toBe(hasReason(event));
  other.stop();
});

describe('TLS', () => {
  let secured: FakeNode;
  let files: TemporaryDirectory;
  let endpoints: string[];

  beforeEach(async () => {
    secured = await FakeNode.start({ tls: firstCertificate });
    files = new TemporaryDirectory();
    endpoints = [`https://${secured.endpoint}`];
  });

  afterEach(() => {
    secured.stop();
    files.remove();
  });

  test('checks the name that it is given, and the error says which one', async () => {
    const tls = { ca: firstCertificate.cert, serverName: 'node.example' };
    await clientOf({ endpoints, tls }).put('t', 'k', 'v');
    // The search for a reason finds none.
    expect(await new Endpoint(endpoints[0]!, { tls }).diagnose(60_000)).toBeUndefined();
    for (const [serverName, named] of [
      ['other.example', 'other.example'],
      [undefined, '127.0.0.1'],
    ] as const) {
      const other = { ca: firstCertificate.cert, ...(serverName !== undefined && { serverName }) };
      await expect(clientOf({ endpoints, tls: other }).ready()).rejects.toMatchObject({
        errorCode: 'noConnection',
        message: expect.stringContaining(`its certificate is not for "${named}"`),
      });
    }
  });

  test('reads files again at every handshake', async () => {
    const ca = join(files.path, 'ca.pem');
    writeFileSync(ca, secondCertificate.cert);
    const client = clientOf({ endpoints, tls: tlsFromFiles({ ca, serverName: 'node.example' }) });
    await expect(client.ready()).rejects.toMatchObject({
      message: expect.stringContaining('signed by no authority that is trusted here'),
    });
    writeFileSync(ca, firstCertificate.cert);
    await eventually('the new authority counts', () => client.ready().then(() => true));
  });

  test('goes on with the files that it has read, in the middle of a renewal', () => {
    const [cert, key] = [join(files.path, 'cert.pem'), join(files.path, 'key.pem')];
    const write = (kind: 'cert' | 'key', from: typeof firstCertificate): void =>
      writeFileSync(kind === 'cert' ? cert : key, from[kind]);
    write('cert', firstCertificate);
    write('key', firstCertificate);
    const options = tlsFromFiles({ cert, key });
    write('cert', secondCertificate);
    expect(options()).toEqual({ cert: firstCertificate.cert, key: firstCertificate.key });
    write('key', secondCertificate);
    expect(options()).toEqual({ cert: secondCertificate.cert, key: secondCertificate.key });
    files.remove();
    expect(options()).toEqual({ cert: secondCertificate.cert, key: secondCertificate.key });
  });

  test('refuses files that are not there or do not belong together', () => {
    const [cert, key] = [join(files.path, 'cert.pem'), join(files.path, 'key.pem')];
    writeFileSync(cert, firstCertificate.cert);
    expect(() => tlsFromFiles({ cert, key })).toThrow('ENOENT');
    writeFileSync(key, secondCertificate.key);
    expect(() => tlsFromFiles({ cert, key })).toThrow(new TypeError(`${key} is not the key of ${cert}`));
    copyFileSync(cert, join(files.path, 'ca.pem'));
    expect(() => tlsFromFiles({ cert })).toThrow(new TypeError('give cert and key together'));
  });
});

describe('JSON.stringify', () => {
  const pair = mvcc.KeyValue.create({
    key: Buffer.from('key'),
    value: Buffer.from([0, 255]),
    createRevision: 2n ** 53n + 1n,
    modRevision: 5n,
    version: 1n,
  });
  const json = {
    key: 'a2V5',
    createRevision: '9007199254740993',
    modRevision: '5',
    value: 'AP8=',
    version: '1',
  };

  test('makes protobuf JSON of a pair and of a response', async () => {
    node.pairs = [pair];
    const client = clientOf();
    const found = await client.get('t', 'k');
    expect(found).toEqual(pair);
    expect(JSON.parse(JSON.stringify(found))).toEqual(json);
    const response = await client.range('t', 'k');
    expect(response.kvs).toEqual([pair]);
    expect(JSON.parse(JSON.stringify(response))).toEqual({ kvs: [json], count: '7' });
    expect(JSON.parse(JSON.stringify(response.kvs))).toEqual([json]);
  });

  test('makes it of the pairs of a stream', async () => {
    for await (const streamed of clientOf().iterateRange('t', 'k')) {
      expect(JSON.parse(JSON.stringify(streamed)).key).toBe('aw==');
      break;
    }
  });
});
