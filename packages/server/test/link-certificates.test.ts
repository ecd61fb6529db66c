import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ApiError, nodeEvents, type PeerTls, SocketPeerTransport, Status, systemClock } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import { type LinkTls, openGrpcLeaderLink, replicationEvents } from '@coxswain/replication';
import { EventRecorder, findFreePort, turns, until } from '@coxswain/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Certificates } from '../src/process/certificates.js';
import { Authority, type Identity } from './support/certificates.js';
import { ScriptedListener } from './support/scripted-listener.js';

let authority: Authority;
let stranger: Authority;

beforeAll(async () => {
  authority = await Authority.create('authority');
  stranger = await Authority.create('stranger');
});
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => {
  authority.remove();
  stranger.remove();
});

/** Also where it ends with an error, as a reset. */
const closed = (socket: Socket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));

/** What a link uses, from files that a test may replace. `files` are the certificate, its key and the authority. */
class Files {
  readonly recorder = new EventRecorder();
  readonly certificates: Certificates<LinkTls & PeerTls>;
  readonly log = this.recorder.log;

  private constructor(readonly files: readonly [string, string, string]) {
    const load = () => {
      const [cert, key, ca] = files.map((file) => readFileSync(file));
      return { cert: cert!, key: key!, ca: ca! };
    };
    this.certificates = new Certificates({ name: 'link', files, load, log: this.log });
  }

  static async of(issuer: Authority, name: string): Promise<Files> {
    const { certFile, keyFile } = await issuer.issue(name, ['localhost']);
    const caFile = `${certFile}.ca`;
    copyFileSync(issuer.file, caFile);
    return new Files([certFile, keyFile, caFile]);
  }

  replace({ certFile, keyFile }: Identity, issuer: Authority): void {
    for (const [index, file] of [certFile, keyFile, issuer.file].entries()) {
      copyFileSync(file, this.files[index]!);
    }
  }
}

describe('the certificates of a link', () => {
  test('to the leader cluster are read again when they are replaced, and a handshake that fails is logged', async () => {
    const server = await authority.issue('server', ['localhost']);
    const scripted = await ScriptedListener.start({
      address: { isTls: true, host: '127.0.0.1', port: 0 },
      tls: {
        certFile: server.certFile,
        keyFile: server.keyFile,
        caFile: authority.file,
        isClientCertRequired: true,
      },
    });
    closers.push(() => scripted.close());
    scripted.node.act = () => Promise.reject(new ApiError(Status.NotFound, 'served'));
    // Our certificate is another authority's, and that is the one that we believe.
    const mine = await Files.of(stranger, 'follower');
    const link = await openGrpcLeaderLink({
      address: scripted.target,
      tls: () => mine.certificates.current,
      serverName: 'localhost',
      messageBytesMax: 1_000_000,
      keepaliveTimeMs: 0,
      keepaliveTimeoutMs: 0,
      clock: systemClock,
      log: mine.log,
    });
    closers.push(() => link.close());
    const range = () =>
      link.range(regatta.RangeRequest.fromPartial({ table: Buffer.from('t'), key: Buffer.from('k') }), {
        deadlineMs: systemClock.monotonicMs() + 600_000,
      });
    await expect(range()).rejects.toMatchObject({ isFromLeader: false });
    const failures = () => mine.recorder.of(replicationEvents.leaderClusterHandshakeFailed);
    expect(failures()[0]).toMatchObject({
      address: expect.stringMatching(/:\d+$/),
      reason: expect.stringMatching(/certificate/),
    });
    // The right authority alone: now it is the other side that refuses, after the handshake.
    copyFileSync(authority.file, mine.files[2]);
    await until('it is refused after the handshake', () =>
      range().then(
        () => false,
        () => failures().length > 1,
      ),
    );
    expect(failures().at(-1)!.reason).toMatch(/alert|hung up|ECONNRESET/);
    mine.replace(await authority.issue('follower', ['localhost']), authority);
    await until('it is served', () =>
      range().then(
        () => false,
        ({ message }) => message === 'served',
      ),
    );
    expect(mine.certificates.expiries.map(({ kind }) => kind)).toEqual(['certificate', 'authority']);
  });

  test('between nodes are read again: a restarted node whose certificates were renewed rejoins the others', async () => {
    const start = async (files: Files, listenAddress: string, peers: Map<number, string>) => {
      const seen = { isConnected: false };
      const transport = new SocketPeerTransport({
        listenAddress,
        tls: () => files.certificates.current,
        silenceMs: 2_000,
        log: files.log,
      });
      closers.push(() => transport.close());
      await transport.start(peers, {
        onFrame: () => undefined,
        onConnected: () => {
          seen.isConnected = true;
        },
        onDisconnected: () => {
          seen.isConnected = false;
        },
        onBulk: () => Promise.reject(new Error('none')),
      });
      return { transport, seen };
    };
    const [one, two] = [`localhost:${await findFreePort()}`, `localhost:${await findFreePort()}`];
    const old = [await Files.of(authority, 'one'), await Files.of(authority, 'two')] as const;
    const first = await start(old[0], one, new Map([[2, two]]));
    const second = await start(old[1], two, new Map([[1, one]]));
    await until('both nodes are connected', () => first.seen.isConnected && second.seen.isConnected);

    // Node 2 restarts with certificates of a new authority; those of node 1 have not been replaced yet.
    await second.transport.close();
    const renewed = await Files.of(stranger, 'two');
    const third = await start(renewed, two, new Map([[1, one]]));
    const refused = ({ recorder }: Files, peer: number) =>
      recorder
        .of(nodeEvents.peerUnreachable)
        .some((fields) => fields['peer'] === peer && /certificate|alert/.test(String(fields['reason'])));
    await until('both nodes say that they were refused', () => refused(old[0], 2) && refused(renewed, 1));
    const failures = () =>
      [old[0], renewed].flatMap(({ recorder }) => recorder.of(nodeEvents.peerHandshakeFailed));
    await until('the failure is logged', () => failures().length > 0);
    expect(failures()[0]).toMatchObject({
      from: expect.stringMatching(/^(127[.]0[.]0[.]1|::1|::ffff:127[.]0[.]0[.]1)$/),
      // In words, without OpenSSL's lines of source.
      reason: expect.stringMatching(/^[a-z0-9 ]+$/),
    });

    old[0].replace(await stranger.issue('one', ['localhost']), stranger);
    await until('the nodes are connected again', () => first.seen.isConnected && third.seen.isConnected);
  });

  test('between nodes carry frames and bulk; who shows none, or says nothing, is hung up on, and close ends all', async () => {
    const files = await Files.of(authority, 'node');
    const frames: string[] = [];
    let bulkBytes = 0;
    let isConnected = false;
    const start = async (peers: Map<number, string>) => {
      const transport = new SocketPeerTransport({
        listenAddress: 'localhost:0',
        tls: () => files.certificates.current,
        silenceMs: 400,
        log: files.log,
      });
      closers.push(() => transport.close());
      await transport.start(peers, {
        onFrame: (frame) => frames.push(`${frame.length} ${frame.subarray(-3)}`),
        onConnected: () => {
          isConnected = true;
        },
        onDisconnected: () => undefined,
        onBulk: async (source) => {
          for await (const piece of source) bulkBytes += piece.length;
          return { accepted: true, reason: '' };
        },
      });
      return transport;
    };
    const two = await start(new Map());
    const one = await start(new Map([[2, `localhost:${two.port}`]]));
    await until('the nodes are connected', () => isConnected);
    for (const frame of ['abc', 'x'.repeat(5000), `${'y'.repeat(3_000_000)}end`, 'def'])
      expect(one.send(2, Buffer.from(frame))).toBe(true);
    await until('all frames have come', () => frames.length === 4);
    expect(frames).toEqual(['3 abc', '5000 xxx', '3000003 end', '3 def']);
    const sink = one.openBulk(2, Buffer.from('header'));
    for (let pieces = 0; pieces < 40; pieces++) await sink.write(Buffer.alloc(250_000));
    expect(await sink.finish()).toEqual({ accepted: true, reason: '' });
    expect(bulkBytes).toBe(10_000_000);

    const silent = connect(two.port, 'localhost').on('error', () => undefined);
    const plain = connect(two.port, 'localhost').on('error', () => undefined);
    const nameless = connectTls({ host: 'localhost', port: two.port, ca: authority.pem });
    nameless.on('error', () => undefined);
    for (const socket of [silent, plain, nameless]) socket.resume();
    plain.write('coxswain.peer.v2 frames\n');
    nameless.write('coxswain.peer.v2 frames\n\0\0\0\x01z');
    await Promise.all([silent, plain, nameless].map(closed));
    const failed = () => files.recorder.of(nodeEvents.peerHandshakeFailed);
    await until('the three failed handshakes are logged', () => failed().length >= 3);
    expect(frames).toHaveLength(4);

    const waiting = connect(two.port, 'localhost')
      .on('error', () => undefined)
      .resume();
    await once(waiting, 'connect');
    await turns(20);
    await two.close();
    await closed(waiting);
    await until('the peer is gone', () => !one.send(2, Buffer.from('late')));
  });
});
