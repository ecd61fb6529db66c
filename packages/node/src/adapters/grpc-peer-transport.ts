import type { NodeId } from '@coxswain/raft';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { BulkSink, PeerHandler, PeerTransport } from '../environment.js';

/** An entry may be as large as a client's message, and a frame as an entry and its neighbours (P4). */
const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
/** More than this waiting for a peer is dropped: it is slow or gone, and Raft repeats what matters. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
const BULK_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;
const FLOW_CONTROL_WINDOW_BYTES = 8 * 1024 * 1024;
const REDIAL_MS_MIN = 50;
const REDIAL_MS_MAX = 1000;

const asIs = (bytes: Buffer) => bytes;

const method = (name: string, responseStream: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/coxswain.peer.v1.Peer/${name}`,
  requestStream: true,
  responseStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});

/** Frames flow from the caller only; the answers of the other node come on the stream that it opened itself. */
const FRAMES = method('Frames', true);
/** A header, then data; one byte string comes back: '' for accepted, else why not. */
const BULK = method('Bulk', false);

const channelOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.initial_reconnect_backoff_ms': REDIAL_MS_MIN,
  'grpc.min_reconnect_backoff_ms': REDIAL_MS_MIN,
  'grpc.max_reconnect_backoff_ms': REDIAL_MS_MAX,
  'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
  // Frames and bulk data have a connection each, so that a large snapshot never delays a heartbeat.
  'grpc.use_local_subchannel_pool': 1,
};

export interface PeerTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface GrpcPeerTransportOptions {
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly listenAddress: string;
  /** Both sides show a certificate of `ca`. Absent: plain text. */
  readonly tls: PeerTls | undefined;
}

interface Link {
  readonly client: Client;
  readonly bulkClient: Client;
  stream: ClientDuplexStream<Buffer, Buffer> | undefined;
  isConnected: boolean;
  backlogBytes: number;
  redialMs: number;
  redialTimer: NodeJS.Timeout | undefined;
}

/** The peer protocol over gRPC streams of @grpc/grpc-js (architecture.md §3). */
export class GrpcPeerTransport implements PeerTransport {
  readonly #options: GrpcPeerTransportOptions;
  readonly #server = new Server(channelOptions);
  readonly #links = new Map<NodeId, Link>();
  #handler: PeerHandler | undefined;
  #isClosed = false;

  constructor(options: GrpcPeerTransportOptions) {
    this.#options = options;
  }

  async start(peers: ReadonlyMap<NodeId, string>, handler: PeerHandler): Promise<void> {
    this.#handler = handler;
    this.#server.addService(
      { frames: FRAMES, bulk: BULK },
      {
        frames: (call: ServerDuplexStream<Buffer, Buffer>) => this.#serveFrames(call, handler),
        bulk: (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
          this.#serveBulk(call, handler).then(
            (reason) => callback(null, Buffer.from(reason)),
            (error: Error) => callback(error),
          );
        },
      },
    );
    await this.#listen();
    const channel = this.#channelCredentials();
    for (const [id, address] of peers) {
      this.#links.set(id, {
        client: new Client(address, channel, channelOptions),
        bulkClient: new Client(address, channel, channelOptions),
        stream: undefined,
        isConnected: false,
        backlogBytes: 0,
        redialMs: REDIAL_MS_MIN,
        redialTimer: undefined,
      });
      this.#dial(id);
    }
  }

  send(peer: NodeId, frame: Buffer): boolean {
    const link = this.#links.get(peer);
    if (link?.stream === undefined || !link.isConnected) return false;
    if (link.backlogBytes > 0 && link.backlogBytes + frame.length > BACKLOG_BYTES_MAX) return false;
    link.backlogBytes += frame.length;
    link.stream.write(frame, () => {
      link.backlogBytes -= frame.length;
    });
    return true;
  }

  openBulk(peer: NodeId, header: Buffer): BulkSink {
    const link = this.#links.get(peer);
    if (link === undefined) throw new Error(`node ${peer} is not a peer`);
    let answer: (verdict: { accepted: boolean; reason: string }) => void;
    let broke: (error: Error) => void;
    const verdict = new Promise<{ accepted: boolean; reason: string }>((resolve, reject) => {
      answer = resolve;
      broke = reject;
    });
    // Whoever writes or finishes hears of a broken stream; a verdict that nobody waits for is no error.
    verdict.catch(() => undefined);
    const call = link.bulkClient.makeClientStreamRequest(BULK.path, asIs, asIs, (error, reason) => {
      if (error) broke(error);
      else answer({ accepted: reason?.length === 0, reason: reason?.toString() ?? '' });
    });
    let backlogBytes = 0;
    const write = (chunk: Buffer) =>
      new Promise<void>((resolve, reject) => {
        backlogBytes += chunk.length;
        call.write(chunk, (error: Error | null | undefined) => {
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
      abort: () => call.cancel(),
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const link of this.#links.values()) {
      clearTimeout(link.redialTimer);
      link.stream?.cancel();
      link.client.close();
      link.bulkClient.close();
    }
    this.#server.forceShutdown();
  }

  async #listen(): Promise<void> {
    const { listenAddress, tls } = this.#options;
    const serverCredentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(tls.ca, [{ private_key: tls.key, cert_chain: tls.cert }], true);
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(listenAddress, serverCredentials, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  #channelCredentials(): ChannelCredentials {
    const { tls } = this.#options;
    return tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(tls.ca, tls.key, tls.cert);
  }

  #serveFrames(call: ServerDuplexStream<Buffer, Buffer>, handler: PeerHandler): void {
    // Headers tell the caller that the stream is up, before the first frame.
    call.sendMetadata(new Metadata());
    call.on('data', (frame: Buffer) => handler.onFrame(frame));
    call.on('end', () => call.end());
    // A stream that breaks is the caller's to open again.
    call.on('error', () => undefined);
  }

  async #serveBulk(call: ServerReadableStream<Buffer, Buffer>, handler: PeerHandler): Promise<string> {
    const chunks = call[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const header = await chunks.next();
    if (header.done) return 'the stream has no header';
    const rest = { [Symbol.asyncIterator]: () => chunks };
    const { accepted, reason } = await handler.onBulk({ header: header.value, ...rest });
    return accepted ? '' : reason || 'refused';
  }

  #dial(peer: NodeId): void {
    const link = this.#links.get(peer);
    if (link === undefined || this.#isClosed) return;
    const stream = link.client.makeBidiStreamRequest(FRAMES.path, asIs, asIs);
    link.stream = stream;
    link.backlogBytes = 0;
    stream.on('metadata', () => {
      if (link.stream !== stream || this.#isClosed) return;
      link.isConnected = true;
      link.redialMs = REDIAL_MS_MIN;
      this.#handler?.onConnected(peer);
    });
    // The status event follows every end, and is where it is handled.
    stream.on('error', () => undefined);
    stream.on('data', () => undefined);
    stream.on('status', () => this.#hangUp(peer, link, stream));
  }

  #hangUp(peer: NodeId, link: Link, stream: ClientDuplexStream<Buffer, Buffer>): void {
    if (link.stream !== stream) return;
    link.stream = undefined;
    const wasConnected = link.isConnected;
    link.isConnected = false;
    if (this.#isClosed) return;
    if (wasConnected) this.#handler?.onDisconnected(peer);
    link.redialTimer = setTimeout(() => this.#dial(peer), link.redialMs);
    link.redialMs = Math.min(link.redialMs * 2, REDIAL_MS_MAX);
  }
}
