import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GrpcPeerTransport } from '../src/adapters/grpc-peer-transport.js';
import type { BulkSource, PeerHandler } from '../src/environment.js';

/** A middlebox that forgets flows: what goes over a frozen connection vanishes, and new ones work. */
class FreezingProxy {
  readonly #server: Server;
  readonly #pairs: { readonly client: Socket; readonly server: Socket; isFrozen: boolean }[] = [];
  accepted = 0;
  /** Also new connections lose everything. */
  isDark = false;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      this.accepted++;
      const server = connect(targetPort, '127.0.0.1');
      const pair = { client, server, isFrozen: this.isDark };
      this.#pairs.push(pair);
      client.on('data', (data) => pair.isFrozen || server.write(data));
      server.on('data', (data) => pair.isFrozen || client.write(data));
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
    let length = 0;
    for await (const chunk of source) length += chunk.length;
    this.bulk.push(`${source.header.toString()} ${length}`);
    return { accepted: length > 10, reason: length > 10 ? '' : 'too short' };
  }
}

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function until(what: string, isReached: () => boolean): Promise<void> {
  for (let i = 0; i < 6_000; i++) {
    if (isReached()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`never: ${what}`);
}

/** Node 2 listens; node 1 reaches it through a proxy. */
async function pair() {
  const make = async (peers: Map<number, string>) => {
    const handler = new Recorder();
    const lines: string[] = [];
    const transport = new GrpcPeerTransport({
      listenAddress: '127.0.0.1:0',
      tls: undefined,
      silenceMs: 400,
      log: (_level, message) => lines.push(message),
    });
    closers.push(() => transport.close());
    await transport.start(peers, handler);
    return { transport, handler, lines };
  };
  const two = await make(new Map());
  const proxy = await FreezingProxy.start(two.transport.port);
  closers.push(() => proxy.close());
  const one = await make(new Map([[2, proxy.address]]));
  await until('connected', () => one.handler.connected === 1);
  return { one, two, proxy };
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
    expect(one.lines).toContain('a peer is silent: it is dialled again');
    proxy.isDark = false;
    await until('it is replaced', () => one.handler.connected === 2);
    expect(one.handler.disconnected).toBe(1);
    one.transport.send(2, Buffer.from('again'));
    await until('a frame arrives', () => two.handler.frames.includes('again'));
  });

  test('leaves a connection alone on which nothing is said', async () => {
    const { one, proxy } = await pair();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(proxy.accepted).toBe(1);
    expect(one.handler.connected).toBe(1);
  });

  test('hangs up on bytes that are no gRPC messages', async () => {
    const { two } = await pair();
    const socket = connect(two.transport.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(1000, 255));
    socket.resume();
    await once(socket, 'close');
  });
});
