import { unlinkSync } from 'node:fs';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type TlsOptions,
  type Server as TlsServer,
} from 'node:tls';
import { type HeldMemory, type HeldMemoryOptions, ServerConnection } from '@coxswain/http2';
import type { Clock, Log, Tracer } from '@coxswain/runtime';
import { formatListenAddress, type ListenAddress } from '../config/address.js';
import { serverEvents } from '../events.js';
import type { FailedHandshakes } from '../metrics/failed-handshakes.js';
import type { GrpcMetrics } from '../metrics/grpc-metrics.js';
import type { Certificates } from '../process/certificates.js';
import { Handshakes } from '../process/handshakes.js';
import type { ListenerTls } from '../process/tls.js';
import type { SnapshotHttp } from '../rest/snapshot-http.js';
import type { Method } from './call.js';
import { acceptCall, MESSAGE_SIZE_BYTES_MAX, type Route } from './grpc-call.js';
import { MessageDecompressor } from './message-decompressor.js';
import { SlowCalls } from './slow-calls.js';

/**
 * The flow-control window of a stream: a whole message with its framing, so that no unary request has to wait for a
 * window.
 */
const STREAM_WINDOW_BYTES = MESSAGE_SIZE_BYTES_MAX + 64 * 1024;
/**
 * The limits of the memory that calls hold, over all connections of a node. The room for answers is that of sixteen
 * pages of a range, more than the threads that read can make at a time.
 */
export const memoryLimits: HeldMemoryOptions = {
  heldBytesMax: 256 * 1024 * 1024,
  answerBytesMax: 64 * 1024 * 1024,
};

/** The options of a gRPC listener. */
export interface GrpcListenerOptions {
  /** The prefix of the options that configure this listener, for error texts. */
  readonly name: string;
  readonly address: ListenAddress;
  readonly tls: ListenerTls;
  /** The most connections at a time; 0 means no limit. */
  readonly connectionsMax: number;
  /** The most calls at a time on one connection; 0 means no limit. */
  readonly streamsMax: number;
  /** The account of held memory, shared by all listeners of a node; see `memoryLimits`. */
  readonly memory: HeldMemory;
  readonly clock: Clock;
  readonly metrics: GrpcMetrics;
  readonly failedHandshakes: FailedHandshakes;
  /** Records the spans of calls; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
  readonly log: Log;
  /** Takes the connections that speak HTTP/1.1; when it is undefined, they are refused. */
  readonly http1?: SnapshotHttp | undefined;
}

/** Carries calls between sockets and handlers: the gRPC protocol over @coxswain/http2. */
export class GrpcListener {
  readonly #options: GrpcListenerOptions;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #slowCalls: SlowCalls;
  readonly #decompressor = new MessageDecompressor(MESSAGE_SIZE_BYTES_MAX);
  readonly #connections = new Map<Socket, { leave(): void }>();
  #listener: TcpServer | undefined;
  #isClosing = false;
  #handshakes: Handshakes | undefined;

  constructor(options: GrpcListenerOptions, methods: readonly Method[]) {
    this.#options = options;
    const { metrics } = options;
    this.#slowCalls = new SlowCalls(options.log);
    this.#routes = new Map(
      methods.map((method) => [
        method.definition.path,
        { method, metrics: metrics.method(method.definition.path, metricTypes[method.kind]) },
      ]),
    );
  }

  /** The address at which it listens, with the port that the system chose when 0 was asked for. */
  get address(): ListenAddress {
    const bound = this.#listener?.address() as AddressInfo | string | null | undefined;
    if (!bound || typeof bound === 'string') return this.#options.address;
    return { ...this.#options.address, port: bound.port };
  }

  /** Begins to listen. Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<void> {
    const { address, tls, name, connectionsMax, clock, failedHandshakes, log } = this.#options;
    if (address.isTls) {
      this.#handshakes = new Handshakes({ name, tls, clock, failedHandshakes, log });
      this.#listener = this.#createTlsListener(this.#handshakes);
    } else {
      this.#listener = createTcpServer({ noDelay: true }, (socket) => this.#accept(socket));
    }
    if (connectionsMax > 0) this.#listener.maxConnections = connectionsMax;
    if (address.path !== undefined) await removeStaleSocket(address.path);
    await bind(this.#listener, address);
    // A connection that cannot be accepted, for lack of memory or descriptors, must not end the process.
    this.#listener.on('error', ({ message }) => {
      log(serverEvents.acceptFailed, { listener: name, error: message });
    });
    log(serverEvents.listenerOpened, { listener: name, address: formatListenAddress(this.address) });
  }

  /** The certificates of the listener; undefined when it listens without TLS, or not yet. */
  get certificates(): Certificates<TlsOptions> | undefined {
    return this.#handshakes?.certificates;
  }

  #createTlsListener(handshakes: Handshakes): TlsServer {
    const { http1 } = this.#options;
    // gRPC clients only offer HTTP/2. Go's HTTP client offers both protocols, and would download over HTTP/2 what is
    // served over HTTP/1.1, so the server's order decides.
    const protocols = http1 === undefined ? {} : { ALPNProtocols: ['http/1.1', 'h2'] };
    return handshakes.serve((tls) =>
      createTlsServer({ ...tls, ...protocols }, (socket: TLSSocket) => {
        if (handshakes.admits(socket) && !this.#isClosing) this.#accept(socket);
        else socket.destroy();
      }),
    );
  }

  /** Accepts nothing new, lets calls under way end, and breaks those that still run after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#listener?.close();
    this.#options.memory.leave();
    const timer = setTimeout(() => {
      for (const socket of this.#connections.keys()) socket.destroy();
    }, graceMs);
    const closed = Array.from(this.#connections, ([socket, connection]) => {
      connection.leave();
      return new Promise((resolve) => socket.once('close', resolve));
    });
    // A connection closes when its last call has ended.
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #accept(socket: Socket): void {
    const { http1 } = this.#options;
    if (http1 === undefined) this.#serve(socket);
    else this.#recognize(socket, http1);
  }

  /**
   * Recognizes the protocol by the client's first bytes. An HTTP/2 client begins with `PRI `, and does not wait for the
   * server.
   */
  #recognize(socket: Socket, http1: SnapshotHttp): void {
    const destroy = (): void => {
      socket.destroy();
    };
    socket.on('error', destroy);
    socket.once('close', () => this.#connections.delete(socket));
    this.#connections.set(socket, { leave: destroy });
    const timer = setTimeout(destroy, RECOGNITION_MS);
    socket.once('close', () => clearTimeout(timer));
    socket.once('readable', () => {
      clearTimeout(timer);
      const first: Buffer | null = socket.read();
      if (first === null) return;
      socket.unshift(first);
      // The first letter is enough, since no method of HTTP/1.1 that is served here begins with it.
      if (this.#isClosing) destroy();
      else if (first[0] === HTTP2_FIRST_BYTE) this.#serve(socket);
      else {
        this.#connections.set(socket, { leave: () => http1.leave(socket) });
        http1.accept(socket);
      }
    });
  }

  #serve(socket: Socket): void {
    const { clock, log, streamsMax, memory, tracer } = this.#options;
    const peer = socket.remoteAddress === undefined ? '' : `${socket.remoteAddress}:${socket.remotePort}`;
    const environment = {
      routes: this.#routes,
      slowCalls: this.#slowCalls,
      decompressor: this.#decompressor,
      clock,
      log,
      peer,
      tracer,
    };
    socket.setNoDelay(true);
    const connection = new ServerConnection(socket, {
      streamsMax,
      streamWindowBytes: STREAM_WINDOW_BYTES,
      memory,
      onRequest: (stream) => acceptCall(stream, environment),
    });
    this.#connections.set(socket, connection);
    socket.once('close', () => this.#connections.delete(socket));
  }
}

/** The time within which a client must send its first bytes, by which its protocol is recognized. */
const RECOGNITION_MS = 10_000;
const HTTP2_FIRST_BYTE = 'P'.charCodeAt(0);

const metricTypes = {
  unary: 'unary',
  stream: 'server_stream',
  upload: 'client_stream',
  duplex: 'bidi_stream',
} as const;

function bind(listener: TcpServer, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    const onListening = (): void => {
      listener.off('error', reject);
      resolve();
    };
    if (address.path !== undefined) listener.listen(address.path, onListening);
    else listener.listen(address.port!, address.host, onListening);
  });
}

/**
 * Removes the socket file of a process that is gone. When somebody answers on it, the file is left, and binding fails.
 */
function removeStaleSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve();
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') unlinkSync(path);
      resolve();
    });
  });
}
