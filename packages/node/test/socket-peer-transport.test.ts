import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { EventRecorder, turns, until } from '@coxswain/testing';
import { afterEach, describe, expect, test } from '@jest/globals';
import { SocketPeerTransport } from '../src/adapters/socket-peer-transport.js';
import type { BulkSource, PeerHandler } from '../src/api/environment.js';
import { nodeEvents } from '../src/events.js';

/** A middlebox that forgets flows: what goes over a frozen connection vanishes, and new ones work. */
class FreezingProxy {
  readonly #server: Server;
  readonly #pairs: { readonly client: Socket; readonly server: Socket; isFrozen: boolean }[] = [];
  accepted = 0;
  /** From the dialler, and back to it. */
  receivedBytes = 0;
  answeredBytes = 0;
  /** Also new connections lose everything. */
  isDark = false;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      this.accepted++;
      const server = connect(targetPort, '127.0.0.1');
      const pair = { client, server, isFrozen: this.isDark };
      this.#pairs.push(pair);
      client.on('data', (data) => {
        this.receivedBytes += data.length;
        if (!pair.isFrozen) server.write(data);
      });
      server.on('data', (data) => {
        this.answeredBytes += data.length;
        if (!pair.isFrozen) client.write(data);
      });
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on('error', () => undefined);
        one.on('close', () => pair.isFrozen || other.destroy());
      }
    });
  }

  static async start(targetPort: number): Promise<FreezingProxy> {
    const proxy = new FreezingProxy(targetPort);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  freeze(): void {
    for (const pair of this.#pairs) pair.isFrozen = true;
  }

  close(): void {
    this.#server.close();
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }
}

class Recorder implements PeerHandler {
  readonly frames: string[] = [];
  connected = 0;
  disconnected = 0;
  readonly bulk: string[] = [];
  /** The headers of bulk streams. */
  readonly begun: string[] = [];
  /** Bulk streams that broke off. */
  broken = 0;
  /** Given at once, before anything was read. */
  verdict: { accepted: boolean; reason: string } | undefined;
  /** Nothing of a bulk stream is read before. */
  gate: Promise<void> | undefined;
  onFrame(frame: Buffer): void {
    this.frames.push(frame.length > 100 ? `${frame.length} bytes` : frame.toString());
  }
  onConnected(): void {
    this.connected++;
  }
  onDisconnected(): void {
    this.disconnected++;
  }
  async onBulk(source: BulkSource): Promise<{ accepted: boolean; reason: string }> {
    this.begun.push(source.header.toString());
    if (this.verdict !== undefined) return this.verdict;
    await this.gate;
    let length = 0;
    try {
      for await (const chunk of source) length += chunk.length;
    } catch (error) {
      this.broken++;
      throw error;
    }
    this.bulk.push(`${source.header.toString()} ${length}`);
    return { accepted: length > 10, reason: length > 10 ? '' : 'too short' };
  }
}

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function node(peers: Map<number, string>, silenceMs = 400) {
  const handler = new Recorder();
  const recorder = new EventRecorder();
  const transport = new SocketPeerTransport({
    listenAddress: '127.0.0.1:0',
    tls: undefined,
    silenceMs,
    log: recorder.log,
  });
  closers.push(() => transport.close());
  await transport.start(peers, handler);
  return { transport, handler, recorder };
}

/** Node 2 listens; node 1 reaches it through a proxy. */
async function pair(silenceMs = 400) {
  const two = await node(new Map(), silenceMs);
  const proxy = await FreezingProxy.start(two.transport.port);
  closers.push(() => proxy.close());
  const one = await node(new Map([[2, proxy.address]]), silenceMs);
  await until('connected', () => one.handler.connected > 0);
  return { one, two, proxy };
}

/** Also where it ends with an error, as a reset. */
const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));

/** A connection to a raft listener on which nothing is said yet. */
function stranger(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  closers.push(() => socket.destroy());
  socket.on('error', () => undefined);
  return socket.resume();
}

describe('the peer transport', () => {
  test('carries frames of every size in order, and bulk streams with their verdicts', async () => {
    const { one, two } = await pair();
    const large = Buffer.alloc(9_000_000, 7);
    for (const frame of [Buffer.from('a'), large, Buffer.from('b')])
      expect(one.transport.send(2, frame)).toBe(true);
    await until('all are there', () => two.handler.frames.length === 3);
    expect(two.handler.frames).toEqual(['a', '9000000 bytes', 'b']);
    for (const [length, verdict] of [
      [1_000_000, { accepted: true, reason: '' }],
      [0, { accepted: false, reason: 'too short' }],
    ] as const) {
      const sink = one.transport.openBulk(2, Buffer.from('header'));
      for (let at = 0; at < length; at += 100_000) await sink.write(Buffer.alloc(100_000));
      expect(await sink.finish()).toEqual(verdict);
    }
    expect(two.handler.bulk).toEqual(['header 1000000', 'header 0']);
  });

  test('dials a peer again whose connection lost everything silently, and keeps the old one until the new one works', async () => {
    const { one, two, proxy } = await pair();
    proxy.isDark = true;
    proxy.freeze();
    await until('it tries', () => proxy.accepted >= 3);
    expect(one.handler.disconnected).toBe(0);
    expect(one.recorder.codes).toContain('peer-silent');
    proxy.isDark = false;
    await until('it is replaced', () => one.handler.connected === 2);
    expect(one.handler.disconnected).toBe(1);
    one.transport.send(2, Buffer.from('again'));
    await until('a frame arrives', () => two.handler.frames.includes('again'));
  });

  test('leaves a connection alone on which nothing is said', async () => {
    const { one, proxy } = await pair();
    // Each look for answers sends four bytes; without an answer the peer is silent after eight.
    const before = proxy.receivedBytes;
    await until('it was looked at for long enough', () => proxy.receivedBytes >= before + 4 * 24);
    expect(proxy.accepted).toBe(1);
    expect(one.handler.connected).toBe(1);
  });

  test('says nothing else where frames flow, and answers them no more often than is looked for answers', async () => {
    const silenceMs = 800;
    const lookMs = silenceMs / 8;
    const { one, two, proxy } = await pair(silenceMs);
    const frame = 'a frame';
    await until('it is quiet', () => proxy.receivedBytes > 24);
    const beforeBytes = proxy.receivedBytes;
    const beforeAnsweredBytes = proxy.answeredBytes;
    const beganMs = performance.now();
    const sent = 60;
    for (let i = 0; i < sent; i++) {
      one.transport.send(2, Buffer.from(frame));
      // Time is what is tested: frames that come faster than looks.
      await new Promise((resolve) => setTimeout(resolve, lookMs / 10));
    }
    await until('the frames are there', () => two.handler.frames.length === sent);
    const looks = (performance.now() - beganMs) / lookMs;
    // What the first look after the last frames before says is on its way, or a look that came too late on a busy machine.
    const said = (proxy.receivedBytes - beforeBytes - sent * (4 + frame.length)) / 4;
    expect(said).toBeLessThanOrEqual(1);
    expect((proxy.answeredBytes - beforeAnsweredBytes) / 4).toBeLessThanOrEqual(looks + 1);
    expect(one.handler.disconnected).toBe(0);
  });

  test('hangs up on bytes that are no preface', async () => {
    const { two } = await pair();
    const socket = connect(two.transport.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(1000, 255));
    socket.resume();
    await closed(socket);
  });

  test.each([
    [
      'an HTTP/2 client',
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      /^it speaks HTTP\/2: a node of an earlier/,
    ],
    ['an HTTP/1 client', Buffer.from('GET /healthz HTTP/1.1\r\n\r\n'), /^it speaks HTTP\/1/],
    [
      'a TLS client',
      Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]),
      /^it speaks TLS, and this node does not/,
    ],
    [
      'another version',
      Buffer.from('coxswain.peer.v3 frames\n'),
      /^it speaks version 3 of the peer protocol/,
    ],
    ['another kind', Buffer.from('coxswain.peer.v2 dance \n'), /^it does not speak the peer protocol$/],
    ['one wrong byte', Buffer.from([0]), /^it does not speak the peer protocol$/],
    ['a late wrong byte', Buffer.from('coxswain.peer.v2 frames '), /^it does not speak the peer protocol$/],
    [
      'an endless message',
      Buffer.from('coxswain.peer.v2 frames\n\x7f\xff\xff\xff', 'latin1'),
      /^its message is too long$/,
    ],
    [
      'endless bulk',
      Buffer.from('coxswain.peer.v2 bulk  \n\x02\x00\x00\x01', 'latin1'),
      /^its message is too long$/,
    ],
    [
      'bulk of no kind',
      Buffer.from('coxswain.peer.v2 bulk  \n\0\0\0\x01\x09', 'latin1'),
      /^its message is of no kind$/,
    ],
    [
      'bulk behind its end',
      Buffer.from('coxswain.peer.v2 bulk  \n\0\0\0\x01\x02\0\0\0\x01\x02', 'latin1'),
      /^it goes on after the end$/,
    ],
  ])('hangs up on %s, and says so once', async (_what, bytes, reason) => {
    const { transport, recorder, handler } = await node(new Map());
    for (let times = 0; times < 3; times++) {
      const socket = stranger(transport.port);
      socket.write(bytes);
      await closed(socket);
    }
    expect(recorder.of(nodeEvents.raftConnectionRefused)).toEqual([
      expect.objectContaining({ from: '127.0.0.1', reason: expect.stringMatching(reason) }),
    ]);
    expect(handler.frames).toEqual([]);
  });

  test('gives strangers up that say nothing, or never finish their preface', async () => {
    const { transport, recorder } = await node(new Map());
    const silent = stranger(transport.port);
    const slow = stranger(transport.port);
    const bytes = Buffer.from('coxswain.peer.v2 frames\n');
    let at = 0;
    // So slowly that its preface would take 4.6 s.
    const timer = setInterval(() => slow.write(bytes.subarray(at, ++at)), 200);
    closers.push(() => clearInterval(timer));
    await Promise.all([closed(silent), closed(slow)]);
    expect(at).toBeLessThan(bytes.length);
    expect(recorder.events.map(({ reason }) => reason)).toEqual(['it has not said what it is']);
  });

  test('takes a preface and frames that arrive byte by byte, and answers them', async () => {
    const { transport, handler } = await node(new Map());
    const socket = stranger(transport.port);
    const answer: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => answer.push(chunk));
    for (const byte of Buffer.from('coxswain.peer.v2 frames\n\0\0\0\x03abc\0\0\0\0\0\0\0\x01d')) {
      socket.write(Buffer.from([byte]));
      await turns(1);
    }
    await until('the frames are there', () => handler.frames.length === 2);
    expect(handler.frames).toEqual(['abc', 'd']);
    await until('it is answered', () => Buffer.concat(answer).length > 24);
    const given = Buffer.concat(answer);
    expect(given.toString('latin1', 0, 24)).toBe('coxswain.peer.v2 taken \n');
    expect(given.subarray(24).every((byte) => byte === 0)).toBe(true);
  });

  test('gives up a connection of frames, and of bulk, from which nothing comes any more', async () => {
    const { transport, handler } = await node(new Map(), 100);
    for (const preface of ['coxswain.peer.v2 frames\n', 'coxswain.peer.v2 bulk  \n\0\0\0\x02\x01h']) {
      const socket = stranger(transport.port);
      const answer: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => answer.push(chunk));
      socket.write(preface);
      const begunMs = performance.now();
      await closed(socket);
      // 80 looks, of which there are 8 in 100 ms.
      expect(performance.now() - begunMs).toBeGreaterThan(800);
      // The receiver of bulk has shown that it is there.
      if (preface.includes('bulk')) expect(Buffer.concat(answer).length).toBeGreaterThan(24 + 100);
    }
    await until('the reader of the bulk hears of it', () => handler.broken === 1);
    expect(handler.bulk).toEqual([]);
  });

  test.each([
    ['says nothing', '', /^no answer in 2 s$/, 'the peer is silent'],
    ['stops within its acceptance', 'coxswain.peer', /^no answer in 2 s$/, 'the peer is silent'],
    [
      'speaks HTTP/2',
      '\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff',
      /^it speaks HTTP\/2: a node of an earlier/,
      undefined,
    ],
    ['speaks HTTP/1', 'HTTP/1.1 400 Bad Request\r\n\r\n', /^it speaks HTTP\/1/, undefined],
    ['speaks TLS', '\x15\x03\x01\0\x02\x02\x46', /^it speaks TLS/, undefined],
    ['hangs up', undefined, /^(the connection was closed|read ECONNRESET)$/, /broke off|ECONNRESET|EPIPE/],
  ])('never counts as connected to a receiver that %s', async (_what, answer, reason, bulkReason) => {
    const dialled: Socket[] = [];
    const receiver = createServer((socket) => {
      dialled.push(socket);
      socket.on('error', () => undefined);
      if (answer === undefined) socket.destroy();
      else socket.write(answer, 'latin1');
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    closers.push(() => {
      for (const socket of dialled) socket.destroy();
      receiver.close();
    });
    const address = `127.0.0.1:${(receiver.address() as { port: number }).port}`;
    const { transport, handler, recorder } = await node(new Map([[2, address]]));
    await until('it has tried three times', () => dialled.length >= 3);
    expect(handler.connected).toBe(0);
    expect(transport.send(2, Buffer.from('frame'))).toBe(false);
    const failures = recorder.of(nodeEvents.peerUnreachable);
    expect(failures).toEqual([expect.objectContaining({ peer: 2, reason: expect.stringMatching(reason) })]);
    // Bulk, too, comes to an end: here by the answer, or its lack.
    const sink = transport.openBulk(2, Buffer.from('header'));
    await expect(sink.finish()).rejects.toThrow(bulkReason ?? reason);
  });

  test('a bulk stream is refused early, aborted, or broken off, and none is taken for a whole one', async () => {
    const { one, two } = await pair();
    two.handler.verdict = { accepted: false, reason: 'no room' };
    const refused = one.transport.openBulk(2, Buffer.from('refused'));
    await expect(
      (async () => {
        for (;;) await refused.write(Buffer.alloc(500_000));
      })(),
    ).rejects.toThrow('the receiver ended the stream: no room');
    expect(await refused.finish()).toEqual({ accepted: false, reason: 'no room' });
    two.handler.verdict = undefined;

    const aborted = one.transport.openBulk(2, Buffer.from('aborted'));
    await aborted.write(Buffer.alloc(100_000));
    await until('it has arrived', () => two.handler.begun.includes('aborted'));
    aborted.abort();
    await until('the receiver hears of the abort', () => two.handler.broken === 1);
    await expect(aborted.write(Buffer.alloc(1))).rejects.toThrow('the stream broke off');

    // As the system closes the connection of a sender that was killed.
    const socket = stranger(two.transport.port);
    socket.end(Buffer.from('coxswain.peer.v2 bulk  \n\0\0\0\x07\x01killed\0\0\0\x14\x01AAAAAAAAAAAAAAAAAAA'));
    await until('the receiver hears of the end', () => two.handler.broken === 2);
    expect(two.handler.begun).toEqual(['refused', 'aborted', 'killed']);
    expect(two.handler.bulk).toEqual([]);
  });

  test('a slow receiver of bulk holds the sender up, for longer than silence is borne, and neither gives up', async () => {
    // Not by the proxy, which takes all that it is given.
    const two = await node(new Map(), 100);
    const one = await node(new Map([[2, `127.0.0.1:${two.transport.port}`]]), 100);
    await until('connected', () => one.handler.connected > 0);
    let goOn: () => void;
    two.handler.gate = new Promise((resolve) => {
      goOn = resolve;
    });
    const sink = one.transport.openBulk(2, Buffer.from('slow'));
    let writtenBytes = 0;
    const writing = (async () => {
      while (writtenBytes < 60_000_000) {
        await sink.write(Buffer.alloc(500_000));
        writtenBytes += 500_000;
      }
    })();
    // Time is what is tested: a sender gives up what is silent for 80 looks, which are 1 s.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(writtenBytes).toBeGreaterThan(2_000_000);
    expect(writtenBytes).toBeLessThan(40_000_000);
    goOn!();
    await writing;
    expect(await sink.finish()).toEqual({ accepted: true, reason: '' });
    expect(two.handler.bulk).toEqual([`slow ${writtenBytes}`]);
  });

  test('a bulk stream whose peer is silent is given up by both', async () => {
    const { one, two, proxy } = await pair(100);
    const sink = one.transport.openBulk(2, Buffer.from('frozen'));
    await sink.write(Buffer.alloc(100));
    await until('it has arrived', () => two.handler.begun.length === 1);
    proxy.isDark = true;
    proxy.freeze();
    await expect(sink.finish()).rejects.toThrow('the peer is silent');
    await until('the receiver has given it up', () => two.handler.broken === 1);
  });

  test('drops frames for a peer that takes none, beyond the limit of what waits', async () => {
    const dialled: Socket[] = [];
    const receiver = createServer((socket) => {
      dialled.push(socket);
      socket.on('error', () => undefined);
      socket.write('coxswain.peer.v2 taken \n');
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    closers.push(() => {
      for (const socket of dialled) socket.destroy();
      receiver.close();
    });
    const address = `127.0.0.1:${(receiver.address() as { port: number }).port}`;
    const { transport, handler } = await node(new Map([[2, address]]), 100_000);
    await until('connected', () => handler.connected === 1);
    expect(transport.send(2, Buffer.alloc(32 * 1024 * 1024 + 1))).toBe(false);
    const frame = Buffer.alloc(8_000_000);
    let taken = 0;
    while (taken < 100 && transport.send(2, frame)) taken++;
    expect(taken).toBe(8);
  });

  test('close ends every connection, also one that has said nothing', async () => {
    const { one, two } = await pair();
    const silent = stranger(two.transport.port);
    await once(silent, 'connect');
    // Whether the listener has taken it in yet is for the system to say: both must end it.
    await turns(20);
    await two.transport.close();
    await closed(silent);
    await until('the dialler hears of it', () => one.handler.disconnected === 1);
  });
});
