import { Channel, type ChannelTls, wasNeverSent, wasReset } from '@coxswain/channel';
import { type Clock, errors, type Log } from '@coxswain/node';
import { regatta, replication } from '@coxswain/protocol';
import {
  type ChannelOptions,
  type ClientReadableStream,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type LeaderLink, type LinkCall, LinkError } from '../leader-link.js';
import { describeLostContact } from './lost-contact.js';

export interface GrpcLeaderLinkOptions {
  /**
   * The replication listeners of the leader cluster's nodes: `host:port`, with `http://` or `https://` in front, or
   * `dns:` as gRPC has it; several with commas between. `https` needs `tls`.
   */
  readonly address: string;
  /** The certificates for the next handshake. Undefined: those of the system, where the address asks for TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** The name that the leader cluster's certificates are checked against; empty: that of its address. */
  readonly serverName?: string;
  /** What the nodes there want to be shown; empty: nothing. */
  readonly token?: string;
  readonly messageBytesMax: number;
  /** A connection that was silent for so long while a call waits is tried; 0: never. */
  readonly keepaliveTimeMs: number;
  /** How long that trial may take until the connection is given up. */
  readonly keepaliveTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * What the leader cluster may send ahead of what was read. HTTP/2's default of 64 KiB would let no more than that
 * through in a round trip: some hundred kilobytes a second between continents.
 */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** The same trouble with a node is logged no more often. */
const LOG_INTERVAL_MS = 60_000;

/** One node of the leader cluster. Snapshots have a connection of their own, so that the log never waits behind them. */
interface Leader {
  readonly address: string;
  readonly channel: Channel;
  readonly bulkChannel: Channel;
}

/** A method of a generated service definition. */
interface Definition<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** The way to a leader cluster over gRPC. */
export class GrpcLeaderLink implements LeaderLink {
  readonly #leaders: readonly Leader[];
  readonly #clock: Clock;
  readonly #token: string;
  #current = 0;

  /** Throws TypeError for an address that is none. */
  constructor(options: GrpcLeaderLinkOptions) {
    this.#clock = options.clock;
    this.#token = options.token ?? '';
    this.#leaders = options.address
      .split(',')
      .map((address) => address.trim())
      .filter((address) => address !== '')
      .map((address) => connect(address, options));
    if (this.#leaders.length === 0) throw new TypeError('an address of the leader cluster is needed');
  }

  get address(): string {
    return this.#leader.address;
  }

  get #leader(): Leader {
    return this.#leaders[this.#current]!;
  }

  metadata(request: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse> {
    return this.#unary(replication.MetadataService.get, request, call, true);
  }

  replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncIterable<Buffer> {
    const definition = { ...replication.LogService.replicate, responseDeserialize: asItIs };
    return this.#stream(this.#leader.channel, definition, request, call);
  }

  snapshot(request: replication.SnapshotRequest, call: LinkCall): AsyncIterable<replication.SnapshotChunk> {
    return this.#stream(this.#leader.bulkChannel, replication.SnapshotService.stream, request, call);
  }

  range(request: regatta.RangeRequest, call: LinkCall): Promise<regatta.RangeResponse> {
    return this.#unary(regatta.KVService.range, request, call, true);
  }

  put(request: regatta.PutRequest, call: LinkCall): Promise<regatta.PutResponse> {
    return this.#unary(regatta.KVService.put, request, call, false);
  }

  deleteRange(request: regatta.DeleteRangeRequest, call: LinkCall): Promise<regatta.DeleteRangeResponse> {
    return this.#unary(regatta.KVService.deleteRange, request, call, false);
  }

  txn(request: regatta.TxnRequest, call: LinkCall): Promise<regatta.TxnResponse> {
    return this.#unary(regatta.KVService.txn, request, call, false);
  }

  close(): void {
    for (const { channel, bulkChannel } of this.#leaders) {
      channel.close();
      bulkChannel.close();
    }
  }

  #unary<Request, Response>(
    { path, requestSerialize, responseDeserialize }: Definition<Request, Response>,
    request: Request,
    call: LinkCall,
    isRead: boolean,
  ): Promise<Response> {
    const leader = this.#leader;
    return new Promise((resolve, reject) => {
      let isFromLeader = false;
      const { channel } = leader;
      const started = channel.watch(
        channel.client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          this.#metadata(),
          { deadline: this.#deadline(call) },
          (error, response) => {
            call.signal?.removeEventListener('abort', cancel);
            if (error === null) resolve(response as Response);
            else reject(this.#failed(leader, error, isFromLeader, isRead));
          },
        ),
      );
      const cancel = (): void => started.cancel();
      call.signal?.addEventListener('abort', cancel);
      // A status that the leader's node sent comes with its headers or trailers; one of this side comes with neither.
      started.on('metadata', () => {
        isFromLeader = true;
      });
      started.on('status', ({ metadata }) => {
        if (cameFromServer(metadata)) isFromLeader = true;
      });
    });
  }

  async *#stream<Request, Response>(
    channel: Channel,
    { path, requestSerialize, responseDeserialize }: Definition<Request, Response>,
    request: Request,
    call: LinkCall,
  ): AsyncGenerator<Response> {
    const leader = this.#leader;
    let isFromLeader = false;
    const stream: ClientReadableStream<Response> = channel.watch(
      channel.client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata(),
        { deadline: this.#deadline(call) },
      ),
    );
    stream.on('metadata', () => {
      isFromLeader = true;
    });
    const cancel = (): void => stream.cancel();
    call.signal?.addEventListener('abort', cancel);
    if (call.signal?.aborted) cancel();
    let isDone = false;
    try {
      for await (const message of stream) yield message as Response;
      isDone = true;
    } catch (error) {
      isDone = true;
      throw this.#failed(leader, error as ServiceError, isFromLeader, true);
    } finally {
      call.signal?.removeEventListener('abort', cancel);
      if (!isDone) {
        // Whoever stops reading is not told how it ended.
        stream.on('error', () => undefined);
        stream.cancel();
      }
    }
  }

  /** What went wrong; after a loss of contact the next call goes to the next node. */
  #failed(leader: Leader, error: ServiceError, hasHeaders: boolean, isRead: boolean): LinkError {
    const code = error.code ?? status.UNKNOWN;
    const text = error.details || `${leader.address} answers ${status[code]}, without a word`;
    // After headers only the words of grpc-js tell a loss of contact: the trailers of a status may hold nothing else.
    const isFromLeader = cameFromServer(error.metadata) || (hasHeaders && !wasReset(code, text));
    const isContactLost =
      !isFromLeader &&
      (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED || wasReset(code, text));
    // A node that has no leader or is leaving says UNAVAILABLE too, and another one may do better.
    if ((isContactLost || code === status.UNAVAILABLE) && leader === this.#leader) {
      this.#current = (this.#current + 1) % this.#leaders.length;
    }
    const errorCode = String(error.metadata?.get('coxswain-error')[0] ?? '');
    const stockRefusal = errorCode === '' && isFromLeader ? stockRefusals.get(text) : undefined;
    // A node of ours says UNAVAILABLE only where nothing was done; a stock one also where it gave up waiting.
    const isStockUnclear = isFromLeader && errorCode === '' && stockRefusal === undefined;
    const isUnclear =
      isContactLost ||
      (code === status.DEADLINE_EXCEEDED && errorCode !== 'appliedByLeaderOnly') ||
      errorCode === 'outcomeUnknown' ||
      (isStockUnclear && code === status.UNAVAILABLE);
    const mayHaveHappened = !isRead && isUnclear && !wasNeverSent(code, text);
    const message = isContactLost ? describeLostContact(leader.address, code, text) : text;
    return new LinkError(code, message, isFromLeader, mayHaveHappened, {
      cause: error,
      errorCode: errorCode || (stockRefusal ?? ''),
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#token !== '') metadata.set('authorization', `Bearer ${this.#token}`);
    return metadata;
  }

  #deadline({ deadlineMs }: LinkCall): Date {
    return new Date(Date.now() + Math.max(0, deadlineMs - this.#clock.monotonicMs()));
  }
}

/** The texts with which a stock leader says that it did not take a write, and the codes that stand for them here. */
const stockRefusals: ReadonlyMap<string, string> = new Map([
  [errors.notReady().message, 'notReady'],
  [errors.tooBusy().message, 'tooBusy'],
]);

/** Whether a status came over the wire: ours has no metadata at all. */
function cameFromServer(metadata: Metadata | undefined): boolean {
  return metadata !== undefined && Object.keys(metadata.getMap()).length > 0;
}

function connect(address: string, options: GrpcLeaderLinkOptions): Leader {
  const { tls } = options;
  const [, scheme, rest] = /^(?:(https?):\/\/)?(.*)$/s.exec(address)!;
  const target = rest!.replace(/^dns:\/{0,3}/, '');
  if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}$/.test(target)) {
    throw new TypeError(`"${address}" is no address of a leader cluster: give host:port`);
  }
  const isTls = scheme === 'https' || (scheme === undefined && tls !== undefined);
  const channelOptions: ChannelOptions = {
    'grpc.max_receive_message_length': options.messageBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.min_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 2_000,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.enable_retries': 0,
    ...(isTls && options.serverName && { 'grpc.ssl_target_name_override': options.serverName }),
  };
  const loggedMs = new Map<string, number>();
  const onHandshakeFailed = (reason: string): void => {
    const nowMs = options.clock.monotonicMs();
    if (nowMs - (loggedMs.get(reason) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return;
    if (loggedMs.size > 100) loggedMs.clear();
    loggedMs.set(reason, nowMs);
    options.log('warn', 'a handshake with the leader cluster failed', { address: target, reason });
  };
  const open = () =>
    new Channel(target, {
      tls: isTls ? (tls ?? (() => ({}))) : undefined,
      silenceMs: options.keepaliveTimeMs,
      trialMs: options.keepaliveTimeoutMs,
      options: channelOptions,
      onHandshakeFailed,
    });
  return { address: target, channel: open(), bulkChannel: open() };
}
