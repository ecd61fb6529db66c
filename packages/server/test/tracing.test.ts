import { randomBytes } from 'node:crypto';
import { systemClock } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { findFreePorts, until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OtlpExporter } from '../src/tracing/otlp-exporter.js';
import { OtlpTracer } from '../src/tracing/otlp-tracer.js';
import { OneNode } from './support/one-node.js';
import { attributeOf, OtlpReceiver, type ReceivedSpan } from './support/otlp-receiver.js';
import type { Rpc } from './support/rpc.js';

const TABLE = Buffer.from('table');
const STAGES = ['queue', 'wal', 'peers', 'apply'];
const PUT = 'regatta.v1.KV/Put';

/** A trace that began in a client. */
function clientTrace(flags = '01') {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  return { traceId, spanId, metadata: { traceparent: `00-${traceId}-${spanId}-${flags}` } };
}

describe('traces of a leader cluster of three and a follower cluster', () => {
  let receiver: OtlpReceiver;
  const nodes: OneNode[] = [];
  let follower: OneNode;
  const rpcs: Rpc[] = [];

  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    const ports = await findFreePorts(3);
    const members = ports.map((port, i) => `${i + 1}=127.0.0.1:${port}`).join(',');
    const traced = { 'tracing.endpoint': receiver.url, 'tracing.sample-ratio': '0' };
    for (const [i, port] of ports.entries()) {
      const node = await OneNode.start(
        {
          ...traced,
          'raft.node-id': String(i + 1),
          'raft.address': `127.0.0.1:${port}`,
          'raft.initial-members': members,
          'replication.enabled': 'true',
          'replication.address': 'http://127.0.0.1:0',
          'tables.names': TABLE.toString(),
        },
        { waitsUntilReady: false },
      );
      nodes.push(node);
    }
    for (const node of nodes) await node.untilReady();
    follower = await OneNode.start(
      {
        ...traced,
        'memberlist.node-name': 'follower',
        'replication.leader-address': nodes[0]!.server.replicationUrl,
        'replication.reconcile-interval': '100ms',
      },
      { role: 'follower' },
    );
    for (const node of [...nodes, follower]) rpcs.push(node.rpc());
    await until('the follower cluster has the table', async () => {
      const { text } = await follower.get('/metrics');
      return /^coxswain_has_leader\{.*table="table"\} 1$/mu.test(text);
    });
  });

  afterAll(async () => {
    for (const rpc of rpcs) rpc.close();
    for (const node of [follower, ...nodes]) await node.stop();
    await receiver.stop();
  });

  const put = (rpc: Rpc, metadata: Record<string, string>): Promise<regatta.PutResponse> =>
    rpc.call(
      regatta.KVService.put,
      { table: TABLE, key: Buffer.from('key'), value: Buffer.from('value') },
      { metadata, timeoutMs: 60_000 },
    );
  const ofTrace = (traceId: string): ReceivedSpan[] =>
    receiver.spans.filter((span) => span.traceId === traceId);
  const partsOf = (traceId: string, parent: ReceivedSpan): string[] =>
    ofTrace(traceId)
      .filter(({ parentSpanId }) => parentSpanId === parent.spanId)
      .map(({ name }) => name)
      .sort();

  test('a write at a node that does not lead goes on in the trace of its client at the leader', async () => {
    const { traceId, spanId, metadata } = clientTrace();
    const first = await put(rpcs[0]!, clientTrace('00').metadata);
    const leader = Number(first.header!.raftLeaderId);
    const other = leader === 1 ? 2 : 1;
    await put(rpcs[other - 1]!, metadata);
    await until('the spans of both nodes have come', () => ofTrace(traceId).length >= 10);
    const spans = ofTrace(traceId);
    expect(spans).toHaveLength(10);
    const call = spans.find(({ name }) => name === PUT)!;
    expect(call).toMatchObject({ service: `node-${other}`, parentSpanId: spanId, kind: 2 });
    expect(attributeOf(call.attributes, 'rpc.grpc.status_code')).toBe('0');
    expect(partsOf(traceId, call)).toEqual([...STAGES, 'lead a write'].sort());
    const led = spans.find(({ name }) => name === 'lead a write')!;
    expect(led).toMatchObject({ service: `node-${leader}`, kind: 2 });
    expect(partsOf(traceId, led)).toEqual([...STAGES].sort());
    // Stages follow one another, within the call.
    const own = STAGES.map(
      (stage) => spans.find((span) => span.name === stage && span.parentSpanId === call.spanId)!,
    );
    for (let i = 1; i < own.length; i++)
      expect(Number(own[i]!.startTimeUnixNano)).toBeGreaterThanOrEqual(Number(own[i - 1]!.startTimeUnixNano));
    const nowNanos = Date.now() * 1e6;
    expect(Math.abs(Number(call.startTimeUnixNano) - nowNanos)).toBeLessThan(600e9);
    expect(receiver.requests[0]).toEqual({ path: '/v1/traces', type: 'application/json' });
    // No key and no value.
    const attributes = spans.flatMap((span) => span.attributes.map(({ key }) => key));
    expect(new Set(attributes)).toEqual(
      new Set([
        ...['rpc.system', 'rpc.service', 'rpc.method', 'rpc.grpc.status_code'],
        ...['coxswain.shard_id', 'coxswain.index'],
      ]),
    );
  });

  test('a write at a follower cluster goes on in the leader cluster, and its replication is linked to it', async () => {
    const { traceId, spanId, metadata } = clientTrace();
    await put(rpcs[3]!, metadata);
    const replications = (): ReceivedSpan[] =>
      receiver.spans.filter(({ links }) => links?.some((link) => link.traceId === traceId));
    await until('the calls and the replication have come', () => {
      const calls = ofTrace(traceId).filter(({ name }) => name === PUT);
      return calls.length === 2 && replications().length > 0;
    });
    const calls = ofTrace(traceId).filter(({ name }) => name === PUT);
    const here = calls.find(({ service }) => service === 'follower')!;
    const there = calls.find(({ service }) => service === 'node-1')!;
    expect(here.parentSpanId).toBe(spanId);
    expect(there.parentSpanId).toBe(here.spanId);
    const [replication] = replications();
    expect(replication).toMatchObject({ name: 'replicate', service: 'follower', kind: 5 });
    expect(replication!.traceId).not.toBe(traceId);
    expect(replication!.parentSpanId).toBeUndefined();
    await until('its stages have come', () => ofTrace(replication!.traceId).length >= 5);
    expect(partsOf(replication!.traceId, replication!)).toEqual([...STAGES].sort());
  });

  test('what the client does not sample, and what begins here with a ratio of 0, is not recorded', async () => {
    const before = receiver.spans.length;
    const { traceId, metadata } = clientTrace('00');
    await put(rpcs[0]!, metadata);
    await put(rpcs[3]!, metadata);
    await put(rpcs[1]!, {});
    const last = clientTrace();
    await put(rpcs[0]!, last.metadata);
    await put(rpcs[3]!, last.metadata);
    await until(
      'a later one has come',
      () => ofTrace(last.traceId).filter(({ name }) => name === PUT).length === 3,
    );
    expect(ofTrace(traceId)).toEqual([]);
    expect(new Set(receiver.spans.slice(before).map((span) => span.traceId)).has(traceId)).toBe(false);
  });

  test('a call that fails says with which status', async () => {
    const { traceId, metadata } = clientTrace();
    await expect(
      rpcs[0]!.call(
        regatta.KVService.range,
        { table: Buffer.from('none'), key: Buffer.from('k') },
        { metadata },
      ),
    ).rejects.toMatchObject({ code: 5 });
    await until('its span has come', () => ofTrace(traceId).length > 0);
    expect(ofTrace(traceId)[0]).toMatchObject({
      name: 'regatta.v1.KV/Range',
      status: { code: 2, message: 'NotFound' },
    });
  });
});

describe('the exporter', () => {
  const make = (endpoint: string) => {
    const lines: string[] = [];
    const exporter = new OtlpExporter({
      endpoint,
      resource: { 'service.name': 'coxswain' },
      version: '1',
      clock: systemClock,
      log: ({ code }) => lines.push(code),
    });
    const tracer = new OtlpTracer(exporter, 1);
    const record = (): void => {
      const context = tracer.begin(undefined);
      tracer.record({
        name: 'x',
        kind: 'internal',
        context,
        parentId: undefined,
        beganMs: 0,
        endedMs: 1,
        attributes: {},
      });
    };
    const counts = (): number[] => [...exporter.describe().values].map(({ value }) => value);
    return { exporter, tracer, record, lines, counts };
  };

  test('sends what it has when it is closed, to an endpoint with or without its path', async () => {
    const receiver = await OtlpReceiver.start();
    for (const endpoint of [receiver.url, `${receiver.url}/`, `${receiver.url}/v1/traces`]) {
      const { exporter, record, counts } = make(endpoint);
      for (let i = 0; i < 700; i++) record();
      await exporter.close();
      record();
      expect(counts()).toEqual([700, 1]);
    }
    expect(receiver.spans).toHaveLength(2_100);
    expect(new Set(receiver.requests.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
    await receiver.stop();
  });

  test('drops and counts what a receiver does not take, and says so once', async () => {
    const receiver = await OtlpReceiver.start();
    receiver.status = 503;
    const refused = make(receiver.url);
    for (let i = 0; i < 600; i++) refused.record();
    await refused.exporter.close();
    expect(refused.counts()).toEqual([0, 600]);
    expect(refused.lines).toEqual(['spans-dropped']);
    const { url } = receiver;
    await receiver.stop();
    const away = make(url);
    // More than may wait.
    for (let i = 0; i < 10_000; i++) away.record();
    await away.exporter.close();
    expect(away.counts()[0]).toBe(0);
    expect(away.counts()[1]).toBeGreaterThan(1_000);
    expect(away.lines).toHaveLength(1);
  });

  test('a tracer records the part of new traces that it is asked for, and what others have sampled', () => {
    let next = 0;
    const tracer = new OtlpTracer({ add: () => undefined }, 0.25, () => next);
    next = 0.24;
    expect(tracer.begin(undefined).isSampled).toBe(true);
    next = 0.25;
    const unsampled = tracer.begin(undefined);
    expect(unsampled.isSampled).toBe(false);
    expect(tracer.begin({ ...unsampled, isSampled: true })).toMatchObject({
      traceId: unsampled.traceId,
      isSampled: true,
    });
    const ids = Array.from({ length: 1_000 }, () => tracer.begin(undefined).spanId);
    expect(new Set(ids).size).toBe(1_000);
    expect(ids.every((id) => /^[0-9a-f]{16}$/u.test(id))).toBe(true);
  });

  test('the writers of entries are forgotten, the oldest first', () => {
    const { tracer } = make('http://127.0.0.1:1');
    const context = tracer.begin(undefined);
    for (let index = 0; index < 5_000; index++) tracer.wrote(1, index, context);
    expect(tracer.writerOf(1, 0)).toBeUndefined();
    expect(tracer.writerOf(1, 4_999)).toBe(context);
    expect(tracer.writerOf(2, 4_999)).toBeUndefined();
    tracer.wrote(3, 1, { ...context, isSampled: false });
    expect(tracer.writerOf(3, 1)).toBeUndefined();
  });
});
