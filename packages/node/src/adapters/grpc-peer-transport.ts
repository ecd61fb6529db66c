import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { NodeId } from '@coxswain/raft';
import type { BulkSink, Log, PeerHandler, PeerTransport } from '../environment.js';
import { watchHandshakes } from './failed-handshakes.js';
import { MessageReader, messageOf } from './grpc-messages.js';

/** More than this waiting for a peer is dropped: it is slow or gone, and Raft repeats what matters. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
const BULK_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;
const FLOW_CONTROL_WINDOW_BYTES = 8 * 1024 * 1024;
const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 1000;
/** A connection that is not up by then is given up: the system alone would try its first packet for minutes. */
const DIAL_MS_MAX = 2000;
/** A connection is looked at this often within `silenceMs`. */
const LOOKS_UNTIL_SILENT = 8;
/**
 * Looks until a bulk stream, or a connection that a peer has opened, is given up: longer, since what is under way on
 * a slow link delays the answers, and nothing better is there to take its place.
 */
const LOOKS_UNTIL_GIVEN_UP = 80;
/** The same trouble with a peer is logged no more often. */
const LOG_INTERVAL_MS = 60_000;

/** Frames flow from the caller only; what comes back are empty messages that say that they arrive. */
const FRAMES = '/coxswain.peer.v1.Peer/Frames';
/** A header, then data; one byte string comes back: '' for accepted, else why not. */
const BULK = '/coxswain.peer.v1.Peer/Bulk';

const sessionOptions = {
  settings: { initialWindowSize: FLOW_CONTROL_WINDOW_BYTES },
  // Back-pressure bounds it (BACKLOG_BYTES_MAX): this limit of Node would break the session instead.
  maxSessionMemory: Number.MAX_SAFE_INTEGER,
};

export interface PeerTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface GrpcPeerTransportOptions {
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly listenAddress: string;
  /** The certificates for the next handshake; both sides show one of `ca`. Absent: plain text. */
  readonly tls: (() => PeerTls) | undefined;
  /** A connection on which nothing came back for so long is dialled again: a few election timeouts. */
  readonly silenceMs: number;
  readonly log: Log;
}

/** A connection that this node dialled, with its one stream of frames. */
interface Connection {
  readonly socket: Socket;
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
  backlogBytes: number;
  /** Looks since something came back. */
  missedLooks: number;
}

interface Link {
  readonly address: string;
  current: Connection | undefined;
  /** On its way up: the first, or the one that takes the place of a silent one once it works. */
  dialling: Connection | undefined;
  redialMs: number;
  redialTimer: NodeJS.Timeout | undefined;
}

/**
 * The peer protocol over gRPC streams (architecture.md §3), on node:http2: @grpc/grpc-js neither bounds how long it
 * connects nor lets go of a socket whose packets vanish.
 *
 * Each node dials each peer and sends on its own connection only. The receiver answers what arrives with empty
 * messages on the same stream, so a connection that loses everything, in either direction, falls silent for its
 * dialler. It is then dialled again, at a bounded, jittered rate, and the new connection replaces the silent one when
 * it works: one that is merely slow is not lost for a suspicion.
 */
export class GrpcPeerTransport implements PeerTransport {
  readonly #options: GrpcPeerTransportOptions;
  readonly #lookMs: number;
  readonly #links = new Map<NodeId, Link>();
  readonly #inbound = new Set<Socket>();
  readonly #outboundBulk = new Set<Socket>();
  readonly #loggedMs = new Map<string, number>();
  #server: Http2Server | Http2SecureServer | undefined;
  #handler: PeerHandler | undefined;
  #lookTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: GrpcPeerTransportOptions) {
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
    const connection = this.#links.get(peer)?.current;
    if (connection === undefined || connection.stream.destroyed) return false;
    if (connection.backlogBytes > 0 && connection.backlogBytes + frame.length > BACKLOG_BYTES_MAX)
      return false;
    this.#write(connection, frame);
    return true;
  }

  openBulk(peer: NodeId, header: Buffer): BulkSink {
    const link = this.#links.get(peer);
    if (link === undefined) throw new Error(`node ${peer} is not a peer`);
    // A connection of its own, so that a large snapshot never delays a heartbeat.
    const { socket, session } = this.#connect(link.address);
    this.#outboundBulk.add(socket);
    const call = session.request(requestHeaders(BULK));
    const stopWatching = this.#watch(session);
    const verdict = new Promise<{ accepted: boolean; reason: string }>((resolve, reject) => {
      let cause: Error | undefined;
      const fail = (error: Error) => {
        cause ??= error;
      };
      const reader = new MessageReader((message) =>
        resolve({ accepted: message.length === 0, reason: message.toString() }),
      );
      call.on('data', (chunk: Buffer) => {
        if (!reader.push(chunk)) call.destroy(new Error('the answer is no gRPC message'));
      });
      call.on('error', fail);
      session.on('error', fail);
      call.on('close', () => {
        stopWatching();
        this.#outboundBulk.delete(socket);
        session.destroy();
        socket.destroy();
        reject(cause ?? new Error('the stream broke off'));
      });
    });
    // Whoever writes or finishes hears of a broken stream; a verdict that nobody waits for is no error.
    verdict.catch(() => undefined);
    let backlogBytes = 0;
    const write = (chunk: Buffer) =>
      new Promise<void>((resolve, reject) => {
        backlogBytes += chunk.length;
        call.write(messageOf(chunk), (error) => {
          backlogBytes -= chunk.length;
          if (error) reject(error);
          else resolve();
        });
        if (backlogBytes < BULK_BACKLOG_BYTES_MAX) resolve();
      });
    // The receiver may refuse before it has taken everything; then there is no point in going on.
    const early = verdict.then(({ reason }) => {
      throw new Error(`the receiver ended the stream: ${reason}`);
    });
    early.catch(() => undefined);
    void write(header).catch(() => undefined);
    return {
      write: (chunk) => Promise.race([write(chunk), early]),
      finish: () => {
        call.end();
        return verdict;
      },
      abort: () => call.destroy(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#lookTimer);
    for (const link of this.#links.values()) {
      clearTimeout(link.redialTimer);
      if (link.dialling !== undefined) hangUp(link.dialling);
      if (link.current !== undefined) hangUp(link.current);
    }
    for (const socket of this.#outboundBulk) socket.destroy();
    for (const socket of this.#inbound) socket.destroy();
    this.#server?.close();
  }

  // ---- what this node dials

  #connect(address: string): { readonly socket: Socket; readonly session: ClientHttp2Session } {
    const { host, port } = parseAddress(address);
    const tls = this.#options.tls?.();
    const socket =
      tls === undefined
        ? connectTcp({ host, port, noDelay: true })
        : connectTls({
            ...tls,
            host,
            port,
            ALPNProtocols: ['h2'],
            ...(isIP(host) === 0 && { servername: host }),
          });
    socket.setNoDelay(true);
    const session = connectHttp2(`${tls === undefined ? 'http' : 'https'}://${address}`, {
      ...sessionOptions,
      createConnection: () => socket,
    });
    session.once('connect', () => session.setLocalWindowSize(FLOW_CONTROL_WINDOW_BYTES));
    return { socket, session };
  }

  #dial(peer: NodeId): void {
    const link = this.#links.get(peer);
    if (link === undefined || this.#isClosed) return;
    let cause: Error | undefined;
    const { socket, session } = this.#connect(link.address);
    const stream = session.request(requestHeaders(FRAMES));
    const connection: Connection = { socket, session, stream, backlogBytes: 0, missedLooks: 0 };
    link.dialling = connection;
    const timer = setTimeout(() => {
      cause = new Error(`no answer in ${DIAL_MS_MAX / 1000} s`);
      hangUp(connection);
    }, DIAL_MS_MAX);
    stream.once('response', () => {
      clearTimeout(timer);
      if (link.dialling === connection && !this.#isClosed) this.#replace(peer, link, connection);
    });
    stream.on('data', () => {
      connection.missedLooks = 0;
    });
    const fail = (error: Error) => {
      cause ??= error;
    };
    session.on('error', fail);
    stream.on('error', fail);
    socket.on('error', fail);
    stream.once('close', () => {
      clearTimeout(timer);
      hangUp(connection);
      this.#lost(peer, link, connection, cause);
    });
  }

  /** The new connection works. */
  #replace(peer: NodeId, link: Link, connection: Connection): void {
    const silent = link.current;
    link.dialling = undefined;
    link.current = undefined;
    link.redialMs = REDIAL_MS_MIN;
    if (silent !== undefined) {
      hangUp(silent);
      this.#handler?.onDisconnected(peer);
      this.#options.log('info', 'a silent connection to a peer was replaced', {
        peer,
        address: link.address,
      });
    }
    link.current = connection;
    this.#options.log('debug', 'connected to a peer', { peer, address: link.address });
    this.#handler?.onConnected(peer);
  }

  #lost(peer: NodeId, link: Link, connection: Connection, cause: Error | undefined): void {
    if (this.#isClosed) return;
    const reason = cause?.message ?? 'the connection was closed';
    if (link.current === connection) {
      link.current = undefined;
      this.#options.log('debug', 'the connection to a peer was lost', { peer, reason });
      this.#handler?.onDisconnected(peer);
    } else if (link.dialling === connection) {
      link.dialling = undefined;
      this.#logRarely('cannot connect to a peer', { peer, address: link.address, reason });
    } else return;
    if (link.current === undefined || isSilent(link.current)) this.#redialLater(peer, link);
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
    for (const [peer, link] of this.#links) {
      const { current } = link;
      if (current === undefined) continue;
      if (current.backlogBytes === 0) this.#write(current, Buffer.alloc(0));
      current.missedLooks++;
      if (isSilent(current)) {
        if (current.missedLooks === LOOKS_UNTIL_SILENT)
          this.#logRarely('a peer is silent: it is dialled again', { peer, address: link.address });
        this.#redialLater(peer, link);
      } else if (link.dialling !== undefined || link.redialTimer !== undefined) {
        // It has spoken again.
        clearTimeout(link.redialTimer);
        link.redialTimer = undefined;
        const { dialling } = link;
        link.dialling = undefined;
        if (dialling !== undefined) hangUp(dialling);
      }
    }
  }

  #write(connection: Connection, frame: Buffer): void {
    connection.backlogBytes += frame.length;
    connection.stream.write(messageOf(frame), () => {
      connection.backlogBytes -= frame.length;
    });
  }

  // ---- what peers dial

  async #listen(handler: PeerHandler): Promise<void> {
    const { listenAddress, tls } = this.#options;
    const { host, port } = parseAddress(listenAddress);
    const server = tls === undefined ? createServer(sessionOptions) : this.#createSecureServer(tls);
    this.#server = server;
    server.on('session', (session) => {
      session.setLocalWindowSize(FLOW_CONTROL_WINDOW_BYTES);
      const stopWatching = this.#watch(session);
      session.on('error', () => undefined);
      session.once('close', stopWatching);
    });
    server.on('connection', (socket: Socket) => {
      this.#inbound.add(socket);
      socket.once('close', () => this.#inbound.delete(socket));
    });
    server.on('sessionError', () => undefined);
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      // A stream that breaks is the caller's to open again.
      stream.on('error', () => undefined);
      if (headers[':path'] === FRAMES) this.#serveFrames(stream, handler);
      else if (headers[':path'] === BULK) void this.#serveBulk(stream, handler);
      else
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' },
          { endStream: true },
        );
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        // One connection that cannot be accepted, for want of descriptors, must not end the process.
        server.on('error', (error: Error) =>
          this.#logRarely('the raft listener could not accept a connection', { reason: error.message }),
        );
        resolve();
      });
    });
  }

  #createSecureServer(tls: () => PeerTls): Http2SecureServer {
    let used = tls();
    const server = createSecureServer({
      ...sessionOptions,
      ...used,
      requestCert: true,
      rejectUnauthorized: true,
    });
    // Before Node's own listener begins the handshake.
    server.prependListener('connection', () => {
      const now = tls();
      if (now === used) return;
      used = now;
      server.setSecureContext(now);
    });
    watchHandshakes(server, (failed) => this.#logRarely('a handshake with a peer failed', { ...failed }));
    return server;
  }

  #serveFrames(stream: ServerHttp2Stream, handler: PeerHandler): void {
    // Headers tell the caller that the stream is up, before the first frame.
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    const alive = messageOf(Buffer.alloc(0));
    let answeredMs = 0;
    const reader = new MessageReader((frame) => {
      if (frame.length > 0) handler.onFrame(frame);
    });
    stream.on('data', (chunk: Buffer) => {
      // Also in the middle of a large frame: what arrives shows that the connection works.
      const nowMs = performance.now();
      if (nowMs - answeredMs > this.#lookMs / 2 && stream.writableLength === 0) {
        answeredMs = nowMs;
        stream.write(alive);
      }
      if (!reader.push(chunk)) stream.destroy();
    });
    stream.on('end', () => stream.end());
  }

  async #serveBulk(stream: ServerHttp2Stream, handler: PeerHandler): Promise<void> {
    const chunks = messages(stream);
    let status = '0';
    let reason = '';
    try {
      const header = await chunks.next();
      if (header.done) reason = 'the stream has no header';
      else {
        const rest = { [Symbol.asyncIterator]: () => chunks };
        const verdict = await handler.onBulk({ header: header.value, ...rest });
        reason = verdict.accepted ? '' : verdict.reason || 'refused';
      }
    } catch {
      status = '13';
    }
    if (stream.destroyed) return;
    if (status !== '0') {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status },
        { endStream: true },
      );
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(messageOf(Buffer.from(reason)));
    // What the sender still sends of a refused stream is of no use.
    stream.resume();
  }

  /** Gives a session up when its pings stay unanswered, so that nothing is kept for a peer that is gone. */
  #watch(session: Http2Session): () => void {
    let missedLooks = 0;
    const timer = setInterval(() => {
      if (session.destroyed || session.connecting) return;
      if (++missedLooks > LOOKS_UNTIL_GIVEN_UP) {
        session.destroy(new Error('the peer is silent'));
        return;
      }
      session.ping((error) => {
        if (error === null) missedLooks = 0;
      });
    }, this.#lookMs);
    return () => clearInterval(timer);
  }

  #logRarely(message: string, fields: Record<string, unknown>): void {
    const key = `${message} ${fields.peer ?? fields.from} ${fields.reason}`;
    const nowMs = performance.now();
    if (nowMs - (this.#loggedMs.get(key) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return;
    // Strangers choose what they are refused for: the memory of it is bounded.
    if (this.#loggedMs.size >= 1000) this.#loggedMs.clear();
    this.#loggedMs.set(key, nowMs);
    this.#options.log('warn', message, fields);
  }
}

const isSilent = ({ missedLooks }: Connection): boolean => missedLooks >= LOOKS_UNTIL_SILENT;

function hangUp({ socket, session, stream }: Connection): void {
  stream.destroy();
  session.destroy();
  // At once: the session would wait for packets that do not come.
  socket.destroy();
}

const requestHeaders = (path: string) => ({
  ':method': 'POST',
  ':path': path,
  'content-type': 'application/grpc',
  te: 'trailers',
});

async function* messages(stream: ServerHttp2Stream): AsyncGenerator<Buffer> {
  const whole: Buffer[] = [];
  const reader = new MessageReader((message) => whole.push(message));
  for await (const chunk of stream) {
    if (!reader.push(chunk as Buffer)) throw new Error('the stream holds no gRPC messages');
    yield* whole.splice(0);
  }
}

/** `host:port`, where an IPv6 address stands in brackets. */
function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[(.+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  if (match === null) throw new Error(`"${address}" is no address of a node: give host:port`);
  return { host: match[1] ?? match[2]!, port: Number(match[3]) };
}
