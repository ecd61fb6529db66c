import { events, regatta } from '@coxswain/protocol';
import { declareEvents } from '@coxswain/runtime';
import { until } from '@coxswain/testing';
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EventJournal } from '../src/process/event-journal.js';
import { EventsService } from '../src/services/events-service.js';
import { OneNode } from './support/one-node.js';
import { collect, failureOf, type Rpc, type RpcOptions } from './support/rpc.js';

const { watch } = events.EventsService;
const { SEVERITY_WARN } = events.Severity;

/** Gathers what a call that follows gets, and the status that it ends with. */
function follow(rpc: Rpc, request: Partial<events.WatchRequest> = {}, options: RpcOptions = {}) {
  const call: ClientReadableStream<events.Event> = rpc.stream(watch, { follow: true, ...request }, options);
  const got: events.Event[] = [];
  call.on('data', (event: events.Event) => got.push(event));
  call.on('error', () => undefined);
  const ended = new Promise<number>((resolve) => call.on('status', ({ code }) => resolve(code)));
  return { got, ended, cancel: () => call.cancel(), codes: () => got.map(({ code }) => code) };
}

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
    /** The events of an answer that had happened by then: a busy machine may add one about a slow request. */
    const known = (answer: readonly events.Event[]) =>
      answer.slice(1).filter(({ position }) => position!.sequence <= sequence);
    const goingOn = (value: events.Position) => ask({ since: { $case: 'after', value } });
    expect(known(await goingOn({ startedAtMs, sequence: sequence - 1n }))).toEqual(all.slice(-1));
    expect(known(await goingOn({ startedAtMs, sequence }))).toEqual([]);
    expect(known(await goingOn({ startedAtMs: startedAtMs - 1n, sequence: 1_000n }))).toEqual(all);
    const since = (value: bigint) => ask({ since: { $case: 'timeMs', value } });
    expect(known(await since(all.at(-1)!.timeMs)).at(-1)).toEqual(all.at(-1));
    expect(known(await since(all.at(-1)!.timeMs + 1n))).toEqual([]);
  });

  test('sends each event as it happens to those who follow, and ends in order when the node stops', async () => {
    const other = await OneNode.start({ 'tables.names': 'first' });
    const otherRpc = other.rpc();
    const watched = follow(otherRpc);
    await until('the history has come', () => watched.codes().includes('cluster-formed'));
    // A node looks at its tables from time to time, and the tables of its first look are not new ones.
    await until('the tables were looked at', () => watched.codes().includes('table-has-leader'));
    await otherRpc.call(regatta.TablesService.create, { name: 'made' });
    await until('the event has come', () =>
      watched.got.some(({ code, fields }) => code === 'table-made' && fields?.['table'] === 'made'),
    );
    await other.stop();
    expect(await watched.ended).toBe(status.OK);
    otherRpc.close();
  });

  test('leaves out what matters less', async () => {
    const watched = follow(rpc, { minimumSeverity: SEVERITY_WARN }, authorized);
    await until('it has begun', () => watched.got.length > 0);
    node.server.journal.log(kinds.calm);
    node.server.journal.log(kinds.bad, { reason: 'why' });
    // A busy machine may add a warning about itself.
    const bad = () => watched.got.find(({ code }) => code === 'bad');
    await until('the warning has come', () => bad() !== undefined);
    expect(watched.got.slice(1).every(({ severity }) => severity >= SEVERITY_WARN)).toBe(true);
    expect(bad()).toMatchObject({ fields: { reason: 'why' }, advice: 'Mend it.' });
    watched.cancel();
    expect(await watched.ended).toBe(status.CANCELLED);
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
