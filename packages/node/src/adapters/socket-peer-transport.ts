import {
  connect as connectTcp,
  createServer as createTcpServer,
  isIP,
  type Server,
  type ServerOpts,
  type Socket,
} from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { NodeId } from '@coxswain/raft';
import type { EventFields, EventKind, Log } from '@coxswain/runtime';
import type { BulkSink, PeerHandler, PeerTransport } from '../api/environment.js';
import { nodeEvents } from '../events.js';
import { watchHandshakes } from './failed-handshakes.js';
import { InboundPeer } from './inbound-peer.js';
import { OutboundBulk } from './outbound-bulk.js';
import { OutboundFrames } from './outbound-frames.js';
import { LOOKS_UNTIL_OPENED, LOOKS_UNTIL_SILENT } from './silence.js';

const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 1000;
/** The same trouble with a peer is logged no more often. */
const LOG_INTERVAL_MS = 60_000;

const serverOptions: ServerOpts = { noDelay: true };

export interface PeerTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface SocketPeerTransportOptions {
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly listenAddress: string;
  /** The certificates for the next handshake; both sides show one of `ca`. Absent: plain text. */
  readonly tls: (() => PeerTls) | undefined;
  /** A connection on which nothing came back for so long is dialled again: a few election timeouts. */
  readonly silenceMs: number;
  readonly log: Log;
}

interface Link {
  readonly address: string;
  current: OutboundFrames | undefined;
  /** On its way up: the first, or the one that takes the place of a silent one once it works. */
  dialling: OutboundFrames | undefined;
  redialMs: number;
  redialTimer: NodeJS.Timeout | undefined;
}

/**
 * The peer protocol over TCP or TLS (DESIGN.md, "The peer protocol").
 *
 * Each node dials each peer and sends on its own connection only. The receiver answers what arrives with signs of life, so
 * a connection that loses everything, in either direction, falls silent for its dialler. It is then dialled again, at a
 * bounded, jittered rate, and the new connection replaces the silent one when it works: one that is merely slow is not
 * lost for a suspicion.
 */
export class SocketPeerTransport implements PeerTransport {
  readonly #options: SocketPeerTransportOptions;
  readonly #lookMs: number;
  readonly #links = new Map<NodeId, Link>();
  /** Every socket that the listener gave, also those that are still in their handshake. */
  readonly #accepted = new Set<Socket>();
  readonly #inbound = new Set<InboundPeer>();
  readonly #outboundBulk = new Set<OutboundBulk>();
  readonly #loggedMs = new Map<string, number>();
  #server: Server | TlsServer | undefined;
  #handler: PeerHandler | undefined;
  #lookTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: SocketPeerTransportOptions) {
    this.#options = options;
    this.#lookMs = options.silenceMs / LOOKS_UNTIL_SILENT;
  }

  /** The port that it listens on, once started. */
  get port(): number {
    return (this.#server!.address() as { port: number }).port;
  }

  async start(peers: ReadonlyMap<NodeId, string>, handler: PeerHandler): Promise<void> {
    this.#handler = handler;
    await this.#listen(handler);
    for (const [id, address] of peers) {
      this.#links.set(id, {
        address,
        current: undefined,
        dialling: undefined,
        redialMs: REDIAL_MS_MIN,
        redialTimer: undefined,
      });
      this.#dial(id);
    }
    this.#lookTimer = setInterval(() => this.#look(), this.#lookMs);
  }

  send(peer: NodeId, frame: Buffer): boolean {
    return this.#links.get(peer)?.current?.send(frame) ?? false;
  }

  openBulk(peer: NodeId, header: Buffer): BulkSink {
    const link = this.#links.get(peer);
    if (link === undefined) throw new Error(`node ${peer} is not a peer`);
    // A connection of its own, so that a large snapshot never delays a heartbeat.
    const socket = this.#connect(link.address);
    const bulk = new OutboundBulk(socket, header);
    this.#outboundBulk.add(bulk);
    socket.once('close', () => this.#outboundBulk.delete(bulk));
    return bulk;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#lookTimer);
    for (const link of this.#links.values()) {
      clearTimeout(link.redialTimer);
      link.dialling?.hangUp();
      link.current?.hangUp();
    }
    for (const bulk of this.#outboundBulk) bulk.abort();
    for (const socket of this.#accepted) socket.destroy();
    this.#server?.close();
  }

  // ---- what this node dials

  #connect(address: string): Socket {
    const { host, port } = parseAddress(address);
    const tls = this.#options.tls?.();
    const socket =
      tls === undefined
        ? connectTcp({ host, port })
        : connectTls({ ...tls, host, port, ...(isIP(host) === 0 && { servername: host }) });
    return socket.setNoDelay(true);
  }

  #dial(peer: NodeId): void {
    const link = this.#links.get(peer);
    if (link === undefined || this.#isClosed) return;
    const connection: OutboundFrames = new OutboundFrames(
      this.#connect(link.address),
      () => {
        if (link.dialling === connection && !this.#isClosed) this.#replace(peer, link, connection);
      },
      (reason) => this.#lost(peer, link, connection, reason),
    );
    link.dialling = connection;
  }

  /** The new connection works. */
  #replace(peer: NodeId, link: Link, connection: OutboundFrames): void {
    const silent = link.current;
    link.dialling = undefined;
    link.current = undefined;
    link.redialMs = REDIAL_MS_MIN;
    if (silent !== undefined) {
      silent.hangUp();
      this.#handler?.onDisconnected(peer);
      this.#options.log(nodeEvents.silentConnectionReplaced, {
        peer,
        address: link.address,
      });
    }
    link.current = connection;
    this.#options.log(nodeEvents.peerConnected, { peer, address: link.address });
    this.#handler?.onConnected(peer);
  }

  #lost(peer: NodeId, link: Link, connection: OutboundFrames, reason: string): void {
    if (this.#isClosed) return;
    if (link.current === connection) {
      link.current = undefined;
      this.#options.log(nodeEvents.peerDisconnected, { peer, reason });
      this.#handler?.onDisconnected(peer);
    } else if (link.dialling === connection) {
      link.dialling = undefined;
      this.#logRarely(nodeEvents.peerUnreachable, { peer, address: link.address, reason });
    } else return;
    if (link.current === undefined || link.current.isSilent) this.#redialLater(peer, link);
  }

  /** Jittered, so that nodes that lost each other at once do not come back in step. */
  #redialLater(peer: NodeId, link: Link): void {
    if (link.redialTimer !== undefined || link.dialling !== undefined) return;
    link.redialTimer = setTimeout(
      () => {
        link.redialTimer = undefined;
        this.#dial(peer);
      },
      link.redialMs * (0.5 + Math.random() / 2),
    );
    link.redialMs = Math.min(link.redialMs * 2, REDIAL_MS_MAX);
  }

  /** Counts looks and not time: a node that was held up itself has not listened meanwhile. */
  #look(): void {
    for (const bulk of this.#outboundBulk) bulk.look();
    for (const inbound of this.#inbound) inbound.look();
    for (const [peer, link] of this.#links) {
      const { current } = link;
      if (current === undefined) continue;
      current.look();
      if (current.isSilent) {
        if (current.missedLooks === LOOKS_UNTIL_SILENT)
          this.#logRarely(nodeEvents.peerSilent, { peer, address: link.address });
        this.#redialLater(peer, link);
      } else if (link.dialling !== undefined || link.redialTimer !== undefined) {
        // It has spoken again.
        clearTimeout(link.redialTimer);
        link.redialTimer = undefined;
        const { dialling } = link;
        link.dialling = undefined;
        dialling?.hangUp();
      }
    }
  }

  // ---- what peers dial

  async #listen(handler: PeerHandler): Promise<void> {
    const { listenAddress, tls } = this.#options;
    const { host, port } = parseAddress(listenAddress);
    const accept = (socket: Socket): void => this.#accept(socket, handler);
    const server =
      tls === undefined ? createTcpServer(serverOptions, accept) : this.#createTlsServer(tls, accept);
    this.#server = server;
    server.prependListener('connection', (socket: Socket) => {
      this.#accepted.add(socket);
      socket.once('close', () => this.#accepted.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        // One connection that cannot be accepted, for want of descriptors, must not end the process.
        server.on('error', (error: Error) =>
          this.#logRarely(nodeEvents.raftAcceptFailed, { reason: error.message }),
        );
        resolve();
      });
    });
  }

  #createTlsServer(tls: () => PeerTls, accept: (socket: Socket) => void): TlsServer {
    let used = tls();
    const server = createTlsServer(
      {
        ...serverOptions,
        ...used,
        requestCert: true,
        rejectUnauthorized: true,
        handshakeTimeout: LOOKS_UNTIL_OPENED * this.#lookMs,
      },
      accept,
    );
    // Before Node's own listener begins the handshake.
    server.prependListener('connection', () => {
      const now = tls();
      if (now === used) return;
      used = now;
      server.setSecureContext(now);
    });
    watchHandshakes(server, (failed) => this.#logRarely(nodeEvents.peerHandshakeFailed, { ...failed }));
    return server;
  }

  #accept(socket: Socket, handler: PeerHandler): void {
    // It cannot be asked for any more when the connection is over.
    const from = socket.remoteAddress;
    const inbound = new InboundPeer(socket, {
      handler,
      lookMs: this.#lookMs,
      onRefused: (reason) => this.#logRarely(nodeEvents.raftConnectionRefused, { from, reason }),
    });
    this.#inbound.add(inbound);
    socket.once('close', () => this.#inbound.delete(inbound));
  }

  #logRarely<Field extends string>(kind: EventKind<Field>, fields: Occurrence & EventFields<Field>): void {
    const key = `${kind.code} ${fields.peer ?? fields.from} ${fields.reason}`;
    const nowMs = performance.now();
    if (nowMs - (this.#loggedMs.get(key) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return;
    // Strangers choose what they are refused for: the memory of it is bounded.
    if (this.#loggedMs.size >= 1000) this.#loggedMs.clear();
    this.#loggedMs.set(key, nowMs);
    this.#options.log(kind, fields);
  }
}

/** The fields by which events of one kind are held to be the same. */
interface Occurrence {
  readonly peer?: NodeId;
  readonly from?: string | undefined;
  readonly reason?: string;
}

/** `host:port`, where an IPv6 address stands in brackets. */
function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[(.+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  if (match === null) throw new Error(`"${address}" is no address of a node: give host:port`);
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
