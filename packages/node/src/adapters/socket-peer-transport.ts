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
/** The shortest interval between two log lines about the same trouble with a peer. */
const LOG_INTERVAL_MS = 60_000;

const serverOptions: ServerOpts = { noDelay: true };

/** The certificates of the peer protocol, in PEM: the authorities, and this node's certificate and key. */
export interface PeerTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The settings of a SocketPeerTransport. */
export interface SocketPeerTransportOptions {
  /** The `host:port` to listen on; port 0 takes a free port. */
  readonly listenAddress: string;
  /** Gives the certificates for the next handshake, in which both sides show one of `ca`; undefined for plain text. */
  readonly tls: (() => PeerTls) | undefined;
  /** The silence, in milliseconds, after which a connection is dialled again: a few election timeouts. */
  readonly silenceMs: number;
  /** Called for each peer that failed a TLS handshake with the listener. */
  readonly onHandshakeFailed?: () => void;
  readonly log: Log;
}

interface Link {
  readonly address: string;
  current: OutboundFrames | undefined;
  /** A connection on its way up: the first, or one that takes the place of a silent one once it works. */
  dialling: OutboundFrames | undefined;
  redialMs: number;
  redialTimer: NodeJS.Timeout | undefined;
}

/**
 * Carries frames and bulk streams by the peer protocol over TCP or TLS (DESIGN.md, "The peer protocol").
 *
 * Each node dials each peer and sends on its own connection only. The receiver answers arriving data with signs of
 * life, so a connection that loses everything, in either direction, falls silent for its dialler. The dialler then
 * dials again, at a bounded, jittered rate, and the new connection replaces the silent one when it works: one that is
 * merely slow is not lost for a suspicion.
 */
export class SocketPeerTransport implements PeerTransport {
  readonly #options: SocketPeerTransportOptions;
  readonly #lookMs: number;
  readonly #links = new Map<NodeId, Link>();
  /** Every socket that the listener has accepted, also during its handshake. */
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

  /** The port on which the transport listens, once it is started. */
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

  // ---- outgoing connections

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

  /** Replaces the silent connection, if there is one, by a new one that works. */
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

  /**
   * Dials the peer again after a pause. It is jittered, so that nodes that lost each other at the same time do not come
   * back in step.
   */
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

  /**
   * Looks at all connections. Silence is counted in looks and not in time: a node that was held up itself has not
   * listened meanwhile.
   */
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
        // The peer has spoken again.
        clearTimeout(link.redialTimer);
        link.redialTimer = undefined;
        const { dialling } = link;
        link.dialling = undefined;
        dialling?.hangUp();
      }
    }
  }

  // ---- incoming connections

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
        // A connection that cannot be accepted, for want of descriptors, must not end the process.
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
    // This runs before Node's own listener begins the handshake.
    server.prependListener('connection', () => {
      const now = tls();
      if (now === used) return;
      used = now;
      server.setSecureContext(now);
    });
    watchHandshakes(server, (failed) => {
      this.#options.onHandshakeFailed?.();
      this.#logRarely(nodeEvents.peerHandshakeFailed, { ...failed });
    });
    return server;
  }

  #accept(socket: Socket, handler: PeerHandler): void {
    // The address cannot be read any more when the connection is over.
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
    // Strangers choose the reasons for which they are refused, so the memory of these is bounded.
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

/** Splits `host:port`, in which an IPv6 address stands in brackets. Throws for anything else. */
function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[(.+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  if (match === null) throw new Error(`"${address}" is no address of a node: give host:port`);
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
