import type { Log } from '@coxswain/runtime';
import { turns } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { PeerTransport, SmallFiles } from '../src/api/environment.js';
import { Formation } from '../src/cluster/formation.js';
import { FrameReader, FrameWriter, type Hello, NO_CLUSTER } from '../src/cluster/frame.js';
import { clusterIdOf, genesisText, Identity } from '../src/cluster/identity.js';
import { Peers } from '../src/cluster/peers.js';

/** Node 1 of three, whose peers are this test: what it sends is kept, what it hears is made up. */
async function newcomer() {
  const files: SmallFiles = {
    descriptors: async () => ({ inUse: 0, max: Number.POSITIVE_INFINITY }),
    read: async () => undefined,
    replace: async () => undefined,
  };
  let drawn = 0;
  const random = { next: () => 0, bytes: (lengthBytes: number) => Buffer.alloc(lengthBytes, ++drawn) };
  const identity = await Identity.load(files, 1, random);
  const sent: { to: number; hello: Hello }[] = [];
  await identity.beginStart({ boot: '00'.repeat(8), from: 0 });
  const lines: string[] = [];
  const ends: Error[] = [];
  let joined = 0;
  const log: Log = ({ code }, fields) => {
    lines.push(`${code} ${JSON.stringify(fields)}`);
  };
  const transport = {
    send: (to, frame) => {
      const reader = new FrameReader(frame, to);
      while (!reader.isAtEnd) sent.push({ to, hello: reader.next() as Hello });
      return true;
    },
  } as PeerTransport;
  const peers = new Peers({
    identity,
    transport,
    ids: [2, 3],
    log,
    metaApplied: () => 0,
    position: () => 0,
    wallMs: () => 0,
    isAdmitted: () => true,
    observe: () => true,
    nowMs: () => 0,
  });
  const formation = new Formation({
    identity,
    peers,
    memberIds: [1, 2, 3],
    random,
    log,
    onJoined: () => joined++,
    onRefused: (error) => ends.push(error),
  });
  formation.tick();
  peers.flush();
  const nonceFor = (id: number) => sent.find(({ to, hello }) => to === id && hello.nonce !== '')!.hello.nonce;
  const hear = (
    from: number,
    hello: Partial<Hello>,
    clusterId = NO_CLUSTER,
    incarnation = `0${from}`.repeat(8),
  ) => {
    const writer = new FrameWriter(1);
    writer.hello({ genesis: undefined, members: [1, 2, 3], nonce: '', echo: '', ...hello });
    const frame = writer.take({
      clusterId,
      from,
      incarnation,
      boot: '11'.repeat(8),
      metaApplied: 0,
      position: 0,
      timeMs: 0,
      isAdmitted: true,
    });
    deliver(frame);
  };
  const deliver = (frame: Buffer) => {
    const received = peers.receive(frame);
    if (received === undefined) return;
    while (!received.reader.isAtEnd) {
      const message = peers.next(received.reader);
      if (message === undefined) return;
      if (message.type === 'hello') formation.onHello(received.reader.header, message);
    }
    peers.flush();
  };
  const settled = () => turns(1);
  return { identity, sent, lines, ends, nonceFor, hear, deliver, settled, joined: () => joined };
}

describe('a node whose cluster has not formed (T4)', () => {
  test('forms it with members that answer at their addresses', async () => {
    const node = await newcomer();
    node.hear(2, { echo: node.nonceFor(2) });
    await node.settled();
    expect(node.joined()).toBe(0);
    node.hear(3, { echo: node.nonceFor(3) });
    await node.settled();
    expect(node.joined()).toBe(1);
    expect(node.identity.incarnationOf(2)).toBe('02'.repeat(8));
  });

  test('forms none with strangers who claim to be members, and is free for the real ones', async () => {
    const node = await newcomer();
    for (const from of [2, 3]) {
      for (const echo of ['', 'ff'.repeat(8), node.nonceFor(5 - from)]) {
        node.hear(from, { echo }, NO_CLUSTER, 'ee'.repeat(8));
        node.hear(from, { nonce: 'dd'.repeat(8), echo }, NO_CLUSTER, 'ee'.repeat(8));
      }
    }
    await node.settled();
    expect(node.joined()).toBe(0);
    expect(node.lines.join()).toContain('does not answer at the address of that member');
    // Each is logged once, however often it is repeated.
    expect(node.lines).toHaveLength(2);
    for (const from of [2, 3]) node.hear(from, { echo: node.nonceFor(from) });
    await node.settled();
    expect(node.identity.incarnationOf(3)).toBe('03'.repeat(8));
  });

  test.each([
    'garbage',
    '{}',
    'null',
    '[]',
    '{"members":[]}',
    '{"members":[{"id":1}]}',
    '{"members":[null]}',
  ])('refuses the genesis %j, and says so', async (genesis) => {
    const node = await newcomer();
    node.hear(2, { genesis, echo: node.nonceFor(2) }, 'ab'.repeat(16));
    node.hear(3, { genesis, members: [] }, 'ab'.repeat(16));
    await node.settled();
    expect(node.lines.join()).toContain('cannot be read');
    expect(node.ends).toEqual([]);
    expect(node.joined()).toBe(0);
  });

  test('takes no genesis from a stranger, its own incarnation in it or not', async () => {
    const node = await newcomer();
    for (const incarnation of [node.identity.incarnation, 'cc'.repeat(8)]) {
      const genesis = {
        members: [1, 2, 3].map((id) => ({ id, incarnation: id === 1 ? incarnation : 'ee'.repeat(8) })),
      };
      node.hear(2, { genesis: genesisText(genesis) }, clusterIdOf(genesis));
    }
    await node.settled();
    expect(node.ends).toEqual([]);
    expect(node.joined()).toBe(0);
    expect(node.lines.join()).toContain('does not answer at the address');
  });

  test('answers a question with its nonce, to the configured address and nobody else', async () => {
    const node = await newcomer();
    node.hear(2, { nonce: 'ab'.repeat(8) });
    node.hear(9, { nonce: 'ab'.repeat(8) });
    expect(node.sent.filter(({ hello }) => hello.echo !== '')).toMatchObject([
      { to: 2, hello: { echo: 'ab'.repeat(8), nonce: '' } },
    ]);
  });

  test('outlives ten thousand hostile greetings', async () => {
    const node = await newcomer();
    const text = fc.oneof(
      fc.string({ unit: 'binary-ascii' }),
      fc.json(),
      fc.constantFrom('', '{}', 'garbage', node.nonceFor(2), node.nonceFor(3)),
    );
    fc.assert(
      fc.property(
        fc.record({ genesis: text, members: fc.array(fc.nat(), { maxLength: 4 }), nonce: text, echo: text }),
        fc.nat(4),
        fc.nat(),
        (hello, from, cut) => {
          const writer = new FrameWriter(1);
          writer.hello(hello);
          // Another member's empty answer would be a true one.
          if (hello.genesis === '' && hello.members.join() === '1,2,3') return;
          const frame = writer.take({
            clusterId: cut % 2 === 0 ? NO_CLUSTER : 'ab'.repeat(16),
            from,
            incarnation: 'ee'.repeat(8),
            boot: '11'.repeat(8),
            metaApplied: 0,
            position: 0,
            timeMs: 0,
            isAdmitted: true,
          });
          node.deliver(cut % 3 === 0 ? frame.subarray(0, cut % frame.length) : frame);
        },
      ),
      { numRuns: 10_000, seed: 11 },
    );
    await node.settled();
    expect(node.ends).toEqual([]);
    expect(node.joined()).toBe(0);
    expect(node.lines.length).toBeLessThan(50);
  });
});
