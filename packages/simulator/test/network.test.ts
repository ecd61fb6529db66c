import type { BulkSource, PeerHandler, PeerTransport } from '@coxswain/node';
import { describe, expect, test } from '@jest/globals';
import {
  EventKind,
  EventLoop,
  type NetworkOptions,
  SeededRandom,
  SimulatedNetwork,
  SimulatedProcess,
  Trace,
} from '../src/index.js';

const reliable: NetworkOptions = {
  delayMinUs: 10,
  delayMeanUs: 100,
  detectMeanUs: 1000,
  redialMeanUs: 1000,
  silenceUs: 5_000,
  breakWhenBlockedProbability: 0,
  backlogBytesMax: 1024,
  dropProbability: 0,
  duplicateProbability: 0,
  reorderProbability: 0,
  bulkBreakProbability: 0,
};
const members = new Map([
  [1, 'one'],
  [2, 'two'],
]);

interface Peer {
  readonly process: SimulatedProcess;
  readonly transport: PeerTransport;
  readonly events: string[];
  onBulk: (source: BulkSource) => Promise<{ accepted: boolean; reason: string }>;
}

function make(options: Partial<NetworkOptions> = {}, seed = 1) {
  const loop = new EventLoop(new Trace());
  const network = new SimulatedNetwork(loop, new SeededRandom(seed), { ...reliable, ...options });
  let lives = 0;
  const boot = (node: number): Peer => {
    const process = new SimulatedProcess(loop, ++lives);
    const events: string[] = [];
    const peer: Peer = {
      process,
      transport: network.transport(node, process),
      events,
      onBulk: () => Promise.reject(new Error('not expected')),
    };
    const handler: PeerHandler = {
      onFrame: (frame) => events.push(frame.toString()),
      onConnected: (id) => events.push(`+${id}`),
      onDisconnected: (id) => events.push(`-${id}`),
      onBulk: (source) => peer.onBulk(source),
    };
    void peer.transport.start(members, handler);
    return peer;
  };
  const untilUs = async (us: number) => {
    loop.schedule(us - loop.nowUs, EventKind.Timer, undefined, () => undefined);
    await loop.run(() => loop.nowUs >= us);
  };
  return { loop, network, boot, untilUs };
}

const frames = (peer: Peer) => peer.events.filter((event) => !/^[+-]/.test(event));
const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

describe('a connection', () => {
  test('delivers frames in order, whole, once', async () => {
    const { boot, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    expect(one.events).toEqual(['+2']);
    for (const text of numbers(100)) expect(one.transport.send(2, Buffer.from(text))).toBe(true);
    await untilUs(100_000);
    expect(frames(two)).toEqual(numbers(100));
  });

  test('takes no more than its backlog, and nothing before it is up', async () => {
    const { boot, untilUs } = make();
    const one = boot(1);
    boot(2);
    expect(one.transport.send(2, Buffer.from('early'))).toBe(false);
    await untilUs(10_000);
    expect(one.transport.send(2, Buffer.alloc(2000))).toBe(true);
    expect(one.transport.send(2, Buffer.alloc(100))).toBe(false);
    await untilUs(20_000);
    expect(one.transport.send(2, Buffer.alloc(100))).toBe(true);
  });

  test('stalls while its link is blocked, and only that direction', async () => {
    const { boot, network, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    network.block(1, 2);
    one.transport.send(2, Buffer.from('there'));
    two.transport.send(1, Buffer.from('back'));
    await untilUs(1_000_000);
    expect(frames(one)).toEqual(['back']);
    expect(frames(two)).toEqual([]);
    network.unblock(1, 2);
    await untilUs(2_000_000);
    expect(frames(two)).toEqual(['there']);
  });

  test.each([
    [1, 2],
    [2, 1],
  ])(
    'that delivers nothing any more from %i to %i is replaced after a silence, and what it held is lost',
    async (from, to) => {
      const { boot, network, untilUs } = make();
      const [one, two] = [boot(1), boot(2)];
      await untilUs(10_000);
      network.freeze(from, to);
      one.transport.send(2, Buffer.from('on the old one'));
      await untilUs(14_000);
      expect(one.events.filter((event) => /^[+-]/.test(event))).toEqual(['+2']);
      expect(frames(two)).toEqual(from === 1 ? [] : ['on the old one']);
      await untilUs(100_000);
      expect(one.events).toEqual(['+2', '-2', '+2']);
      one.transport.send(2, Buffer.from('on the new one'));
      await untilUs(200_000);
      expect(frames(two).at(-1)).toBe('on the new one');
      expect(frames(two)).toHaveLength(from === 1 ? 1 : 2);
    },
  );

  test('that is silent stays in use while no new one can be made', async () => {
    const { boot, network, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    network.freeze(1, 2);
    network.block(2, 1);
    await untilUs(1_000_000);
    expect(one.events).toEqual(['+2']);
    network.unblock(2, 1);
    await untilUs(2_000_000);
    expect(one.events).toEqual(['+2', '-2', '+2']);
    one.transport.send(2, Buffer.from('again'));
    await untilUs(3_000_000);
    expect(frames(two)).toEqual(['again']);
  });

  test('breaks when its link stays blocked, and is dialled again', async () => {
    const { boot, network, untilUs } = make({ breakWhenBlockedProbability: 1 });
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    network.block(1, 2);
    one.transport.send(2, Buffer.from('lost'));
    await untilUs(1_000_000);
    expect(one.events).toEqual(['+2', '-2']);
    network.unblock(1, 2);
    await untilUs(2_000_000);
    expect(one.events).toEqual(['+2', '-2', '+2']);
    expect(frames(two)).toEqual([]);
  });

  test('holds what is sent while its link is clogged', async () => {
    const { boot, network, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    network.clog(1, 2, 500_000);
    one.transport.send(2, Buffer.from('late'));
    await untilUs(500_000);
    expect(frames(two)).toEqual([]);
    await untilUs(600_000);
    expect(frames(two)).toEqual(['late']);
  });

  test('breaks when the other process dies, and leads to its next life', async () => {
    const { boot, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    two.process.kill();
    await untilUs(100_000);
    expect(one.events).toEqual(['+2', '-2']);
    const again = boot(2);
    await untilUs(200_000);
    expect(one.events).toEqual(['+2', '-2', '+2']);
    one.transport.send(2, Buffer.from('hello'));
    await untilUs(300_000);
    expect(frames(again)).toEqual(['hello']);
    expect(frames(two)).toEqual([]);
  });

  test('of the lossy kind drops, repeats and reorders', async () => {
    const { boot, untilUs } = make({
      dropProbability: 0.2,
      duplicateProbability: 0.2,
      reorderProbability: 0.2,
    });
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    for (const text of numbers(100)) one.transport.send(2, Buffer.from(text));
    await untilUs(1_000_000);
    const received = frames(two);
    expect(new Set(received).size).toBeLessThan(100);
    expect(new Set(received).size).toBeLessThan(received.length);
    expect(received).not.toEqual([...received].sort((a, b) => Number(a) - Number(b)));
  });
});

describe('a bulk stream', () => {
  test('carries chunks in order and the verdict back', async () => {
    const { boot, untilUs, loop } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    const received: string[] = [];
    two.onBulk = async (source) => {
      received.push(source.header.toString());
      for await (const chunk of source) received.push(chunk.toString());
      return { accepted: false, reason: 'because' };
    };
    const sink = one.transport.openBulk(2, Buffer.from('header'));
    const sent = (async () => {
      for (const text of numbers(50)) await sink.write(Buffer.from(text));
      return sink.finish();
    })();
    await loop.run(() => false);
    expect(await sent).toEqual({ accepted: false, reason: 'because' });
    expect(received).toEqual(['header', ...numbers(50)]);
  });

  test('makes the writer wait for a slow reader', async () => {
    const { boot, untilUs, loop } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    let written = 0;
    two.onBulk = () => new Promise(() => undefined);
    const sink = one.transport.openBulk(2, Buffer.from('header'));
    void (async () => {
      for (;;) {
        await sink.write(Buffer.from('chunk'));
        written += 1;
      }
    })();
    await loop.run(() => false);
    expect(written).toBeLessThan(10);
  });

  test('breaks on both sides when a process dies midway', async () => {
    const { boot, untilUs } = make();
    const [one, two] = [boot(1), boot(2)];
    await untilUs(10_000);
    let readerError = '';
    two.onBulk = async (source) => {
      try {
        for await (const _ of source);
      } catch (error) {
        readerError = String(error);
      }
      return { accepted: true, reason: '' };
    };
    const sink = one.transport.openBulk(2, Buffer.from('header'));
    await sink.write(Buffer.from('chunk'));
    await untilUs(20_000);
    one.process.kill();
    await untilUs(30_000);
    expect(readerError).toMatch('connection reset');
  });
});
