import { unlinkSync } from 'node:fs';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { ApiError, type Clock, errors, type Log } from '@coxswain/node';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerErrorResponse,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status as statusCodes,
} from '@grpc/grpc-js';
import { formatListenAddress, type ListenAddress } from './address.js';
import type { CallContext, Method } from './call.js';
import type { GrpcMetrics, MethodMetrics } from './grpc-metrics.js';
import type { Reflection } from './reflection.js';
import { isClientAllowed, type ListenerTls, loadTls } from './tls.js';

/** How long a call may take where the client said nothing (regatta-protocol.md §2). */
const defaultDeadlineMs = 5_000;
/** Requests above are RESOURCE_EXHAUSTED (P4). */
const messageSizeBytesMax = 4 * 1024 * 1024;
/**
 * What one connection's calls may hold in memory before new ones are turned away. A client with 4 MiB requests
 * in flight reaches Node's default of 10 MB at once.
 */
const sessionMemoryMegabytesMax = 256;

export interface GrpcListenerOptions {
  /** For error texts: the prefix of the options that configure this listener. */
  readonly name: string;
  readonly address: ListenAddress;
  readonly tls: ListenerTls;
  /** 0: no limit. */
  readonly connectionsMax: number;
  /** Per connection; 0: no limit. */
  readonly streamsMax: number;
  readonly clock: Clock;
  readonly metrics: GrpcMetrics;
  readonly log: Log;
}

/**
 * Carries calls between sockets and handlers with @grpc/grpc-js. All that knows of that library is here, so that
 * another transport can take its place (architecture.md §6).
 */
export class GrpcListener {
  readonly #options: GrpcListenerOptions;
  readonly #grpc: Server;
  readonly #sockets = new Set<Socket>();
  #listener: TcpServer | undefined;

  constructor(options: GrpcListenerOptions, methods: readonly Method[], reflection: Reflection) {
    this.#options = options;
    this.#grpc = new Server({
      'grpc.max_receive_message_length': messageSizeBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc-node.max_session_memory': sessionMemoryMegabytesMax,
      // Keeps a call on the path without bookkeeping per message.
      'grpc.enable_channelz': 0,
      // A client that vanished must not keep its streams, and their views, alive.
      'grpc.keepalive_time_ms': 60_000,
      'grpc.keepalive_timeout_ms': 20_000,
      ...(options.streamsMax > 0 ? { 'grpc.max_concurrent_streams': options.streamsMax } : {}),
    });
    for (const method of methods) this.#register(method);
    reflection.addToServer(this.#grpc);
  }

  /** Where it listens, with the port that the system chose where 0 was asked for. */
  get address(): ListenAddress {
    const bound = this.#listener?.address() as AddressInfo | string | null | undefined;
    if (!bound || typeof bound === 'string') return this.#options.address;
    return { ...this.#options.address, port: bound.port };
  }

  /** Begins to listen. Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<void> {
    const { address, tls, name, connectionsMax } = this.#options;
    // Sockets are accepted here and handed to grpc-js in the clear: connections can be counted, and certificates
    // checked, before a byte of HTTP/2 is read.
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const accept = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      socket.setNoDelay(true);
      injector.injectConnection(socket);
    };
    if (address.isTls) {
      this.#listener = createTlsServer(loadTls(tls, name), (socket: TLSSocket) => {
        if (isClientAllowed(socket, tls)) accept(socket);
        else socket.destroy();
      });
    } else {
      this.#listener = createTcpServer({ noDelay: true }, accept);
    }
    if (connectionsMax > 0) this.#listener.maxConnections = connectionsMax;
    if (address.path !== undefined) await removeStaleSocket(address.path);
    await bind(this.#listener, address);
    this.#options.log('info', `${name} listener is open`, { address: formatListenAddress(this.address) });
  }

  /** Accepts nothing new, lets calls under way end, and breaks those that still run after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#listener?.close();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    const closed = Array.from(
      this.#sockets,
      (socket) => new Promise((resolve) => socket.once('close', resolve)),
    );
    await new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve()));
    // From Node 24 on the library reports that at once where connections were injected. A connection closes when its
    // last call has ended.
    await Promise.all(closed);
    clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #register(method: Method): void {
    const { definition, kind } = method;
    const metrics = this.#options.metrics.method(
      definition.path,
      kind === 'unary' ? 'unary' : 'server_stream',
    );
    this.#grpc.register(
      definition.path,
      method.kind === 'unary' ? this.#bindUnary(method, metrics) : this.#bindStream(method, metrics),
      definition.responseSerialize,
      definition.requestDeserialize,
      kind === 'unary' ? 'unary' : 'serverStream',
    );
  }

  #bindUnary({ handle, definition }: Method & { kind: 'unary' }, metrics: MethodMetrics) {
    const { clock } = this.#options;
    return (call: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>): void => {
      const context = new GrpcCall(call, clock, metrics.begin(clock.monotonicMs()));
      const succeed = (response: unknown): void => {
        metrics.messagesSent++;
        metrics.end(context.beganAtMs, clock.monotonicMs(), statusCodes.OK);
        respond(null, response, context.trailer);
      };
      const fail = (cause: unknown): void => {
        const error = this.#toStatus(cause, context, definition.path);
        metrics.end(context.beganAtMs, clock.monotonicMs(), error.code!);
        respond(error);
      };
      // What is known at once is answered at once: no promise stands between a local read and its answer.
      let answer: unknown;
      try {
        answer = handle(call.request, context);
      } catch (cause) {
        fail(cause);
        return;
      }
      if (answer instanceof Promise) answer.then(succeed, fail);
      else succeed(answer);
    };
  }

  #bindStream({ handle, definition }: Method & { kind: 'stream' }, metrics: MethodMetrics) {
    const { clock } = this.#options;
    return (call: ServerWritableStream<unknown, unknown>): void => {
      const context = new GrpcCall(call, clock, metrics.begin(clock.monotonicMs()));
      const run = async (): Promise<number> => {
        try {
          for await (const message of handle(call.request, context)) {
            if (context.signal.aborted) break;
            metrics.messagesSent++;
            if (!call.write(message)) await drained(call, context.signal);
          }
          if (context.signal.aborted) return statusCodes.CANCELLED;
          call.end(context.trailer);
          return statusCodes.OK;
        } catch (cause) {
          const error = this.#toStatus(cause, context, definition.path);
          call.emit('error', error);
          return error.code!;
        }
      };
      void run().then((code) => metrics.end(context.beganAtMs, clock.monotonicMs(), code));
    };
  }

  /** What the caller sees of an error: the API's own in full, of any other only that there was one. */
  #toStatus(
    cause: unknown,
    context: GrpcCall,
    path: string,
  ): Partial<ServerErrorResponse> & { code: number } {
    let error = cause;
    if (!(error instanceof ApiError)) {
      this.#options.log('error', 'a call failed with an internal error', { path, error: describe(cause) });
      return { code: statusCodes.INTERNAL, details: 'internal error: the log of the node says more' };
    }
    // The caller's own deadline is the caller's own matter; only the default one is a timeout of ours.
    if (context.hasOwnDeadline && error.message === timeoutText) error = errors.deadlineExceeded();
    const { status, message } = error as ApiError;
    return {
      code: status as number,
      details: message,
      ...(context.trailer ? { metadata: context.trailer } : {}),
    };
  }
}

const timeoutText = errors.timeout().message;

/** A call as handlers see it. What few of them ask for is made when it is asked for. */
class GrpcCall implements CallContext {
  readonly #call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;
  readonly #clock: Clock;
  #abortController: AbortController | undefined;
  trailer: Metadata | undefined;

  constructor(
    call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>,
    clock: Clock,
    /** On `Clock.monotonicMs`. */
    readonly beganAtMs: number,
  ) {
    this.#call = call;
    this.#clock = clock;
  }

  get hasOwnDeadline(): boolean {
    return Number.isFinite(Number(this.#call.getDeadline()));
  }

  get deadlineMs(): number {
    const deadline = Number(this.#call.getDeadline());
    if (!Number.isFinite(deadline)) return this.beganAtMs + defaultDeadlineMs;
    return this.#clock.monotonicMs() + (deadline - Date.now());
  }

  metadata(key: string): string | undefined {
    const [value] = this.#call.metadata.get(key);
    return value?.toString();
  }

  setTrailer(key: string, value: string): void {
    this.trailer ??= new Metadata();
    this.trailer.set(key, value);
  }

  get signal(): AbortSignal {
    if (!this.#abortController) {
      const controller = new AbortController();
      this.#abortController = controller;
      if (this.#call.cancelled) controller.abort();
      else this.#call.once('cancelled', () => controller.abort());
    }
    return this.#abortController.signal;
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

/** Resolves when the stream takes more, or when nobody reads it any more. */
function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done);
  });
}

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

/** Removes the socket file of a process that is gone; one that somebody answers on is left, and binding fails. */
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
