import { events, regatta } from '@coxswain/protocol';
import { declareEvents } from '@coxswain/runtime';
import { until } from '@coxswain/testing';
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EventJournal } from '../src/process/event-journal.js';
import { EventsService } from '../src/services/events-service.js';
import { OneNode } from './support/one-node.js';
import { collect, failureOf, type Rpc } from './support/rpc.js';

const { watch } = events.EventsService;
const { SEVERITY_WARN } = events.Severity;

describe('Events.Watch of a node', () => {
  const authorized = { metadata: { authorization: 'Bearer m-token' } };
  let node: OneNode;
  let rpc: Rpc;

  beforeAll(async () => {
    node = await OneNode.start({ 'maintenance.token': 'm-token' });
    rpc = node.rpc();
  });
  afterAll(async () => {
    rpc.close();
    await node.stop();
  });

  const ask = (request: Partial<events.WatchRequest>): Promise<events.Event[]> =>
    collect(rpc.stream(watch, request, authorized));
  /** Gathers what a call that follows gets. */
  function follow(request: Partial<events.WatchRequest> = {}) {
    const call: ClientReadableStream<events.Event> = rpc.stream(
      watch,
      { follow: true, ...request },
      authorized,
    );
    const got: events.Event[] = [];
    const ended = (async () => {
      for await (const message of call) got.push(message as events.Event);
    })();
    return { got, ended, cancel: () => call.cancel() };
  }

  test('wants the maintenance token', async () => {
    expect(await failureOf(collect(rpc.stream(watch, {})))).toMatchObject({ code: status.UNAUTHENTICATED });
    const wrong = { metadata: { authorization: 'Bearer no' } };
    expect(await failureOf(collect(rpc.stream(watch, {}, wrong)))).toMatchObject({
      code: status.UNAUTHENTICATED,
    });
  });

  test('sends where it stands, and then what has happened since the start, the oldest first', async () => {
    const [first, ...rest] = await ask({});
    expect(first).toMatchObject({ nodeId: 1n, code: '', position: { sequence: BigInt(rest.length) } });
    expect(rest.map(({ position }) => position!.sequence)).toEqual(rest.map((_, i) => BigInt(i + 1)));
    expect(rest.map(({ code }) => code)).toEqual(
      expect.arrayContaining(['listener-opened', 'node-started', 'cluster-formed']),
    );
    const started = rest.find(({ code }) => code === 'node-started')!;
    expect(started).toMatchObject({
      nodeId: 1n,
      text: 'the node has started',
      severity: events.Severity.SEVERITY_INFO,
      fields: { version: '0.1.0' },
      missed: 0n,
    });
    expect(rest.every(({ severity }) => severity > 0)).toBe(true);
  });

  test('goes on after an event that the caller has, and begins anew after one of another start', async () => {
    const [first, ...all] = await ask({});
    const { startedAtMs, sequence } = first!.position!;
    const goingOn = (position: events.Position) => ask({ since: { $case: 'after', value: position } });
    expect((await goingOn({ startedAtMs, sequence: sequence - 1n })).slice(1)).toEqual(all.slice(-1));
    expect(await goingOn({ startedAtMs, sequence })).toHaveLength(1);
    expect((await goingOn({ startedAtMs: startedAtMs - 1n, sequence: 1_000n })).slice(1)).toEqual(all);
    const since = (timeMs: bigint) => ask({ since: { $case: 'timeMs', value: timeMs } });
    expect((await since(all.at(-1)!.timeMs)).slice(1).at(-1)).toEqual(all.at(-1));
    expect(await since(all.at(-1)!.timeMs + 1n)).toHaveLength(1);
  });

  test('sends each event as it happens to those who follow, and ends in order when the node stops', async () => {
    const other = await OneNode.start();
    const otherRpc = other.rpc();
    const call = otherRpc.stream(watch, { follow: true });
    const codes: string[] = [];
    const ended = (async () => {
      for await (const message of call) codes.push((message as events.Event).code);
    })();
    await until('the history has come', () => codes.includes('cluster-formed'));
    await otherRpc.call(regatta.TablesService.create, { name: 'made' });
    await until('the event has come', () => codes.includes('table-made'));
    await other.stop();
    await ended;
    otherRpc.close();
  });

  test('leaves out what matters less', async () => {
    const watched = follow({ minimumSeverity: SEVERITY_WARN });
    await until('it has begun', () => watched.got.length > 0);
    node.server.journal.log(kinds.calm);
    node.server.journal.log(kinds.bad, { reason: 'why' });
    await until('the warning has come', () => watched.got.at(-1)!.code === 'bad');
    expect(watched.got.slice(1).every(({ severity }) => severity >= SEVERITY_WARN)).toBe(true);
    expect(watched.got.at(-1)).toMatchObject({ fields: { reason: 'why' }, advice: 'Mend it.' });
    watched.cancel();
    expect(await failureOf(watched.ended)).toMatchObject({ code: status.CANCELLED });
  });

  test('is counted by code and severity, also what has not happened', async () => {
    const { text } = await node.get('/metrics');
    expect(text).toContain('coxswain_events_total{event="node-started",severity="info"} 1');
  });
});

const MEANINGS = { reason: 'Why.' };
const kinds = declareEvents(MEANINGS, {
  calm: { severity: 'info', text: 'all is calm' },
  bad: { severity: 'warn', text: 'something is bad', advice: 'Mend it.', fields: ['reason'] },
});

test('a caller that reads too slowly hears how many events it has missed, those of lower severity among them', async () => {
  const journal = new EventJournal();
  const service = new EventsService(journal, 7);
  const request = events.WatchRequest.fromPartial({ follow: true, minimumSeverity: SEVERITY_WARN });
  const messages = service.watch(request, { signal: new AbortController().signal });
  expect((await messages.next()).value).toMatchObject({ nodeId: 7n, position: { sequence: 0n } });
  journal.log(kinds.bad, { reason: undefined });
  expect((await messages.next()).value).toMatchObject({ code: 'bad', fields: {}, missed: 0n });
  for (let i = 0; i < 1_498; i++) journal.log(kinds.calm);
  journal.log(kinds.bad);
  expect((await messages.next()).value).toMatchObject({ position: { sequence: 1_500n }, missed: 499n });
});
