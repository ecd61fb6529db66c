import {
  type CallError,
  type CallOptions,
  Channel,
  type ChannelTls,
  type Metadata,
  type Method,
  metadataOf,
  Status,
} from '@coxswain/channel';
import { regatta, replication } from '@coxswain/protocol';
import { type Clock, formatTraceparent, type Log } from '@coxswain/runtime';
import { replicationEvents } from '../events.js';
import { type LeaderLink, type LinkCall, LinkError } from '../leader-link.js';
import { describeLostContact } from './lost-contact.js';

export interface GrpcLeaderLinkOptions {
  /**
   * The replication listeners of the leader cluster's nodes: `host:port`, optionally preceded by `http://`, `https://`
   * or, as in gRPC, `dns:`. Separate several with commas. `https` needs `tls`.
   */
  readonly address: string;
  /** Returns the certificates for the next handshake; undefined means the system's, for addresses that ask for TLS. */
  readonly tls: (() => ChannelTls) | undefined;
  /** The name that the leader cluster's certificates are checked against; empty means the host of its address. */
  readonly serverName?: string;
  /** The token to show to the leader cluster's nodes; empty sends none. */
  readonly token?: string;
  readonly messageBytesMax: number;
  /** Milliseconds without a byte, while a call waits, after which a connection is tested; 0 means never. */
  readonly keepaliveTimeMs: number;
  /** Milliseconds that the test may take before the connection is closed. */
  readonly keepaliveTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Bytes that the leader cluster may send before they are read. HTTP/2's default of 64 KiB would let no more than that
 * through in a round trip: some hundred kilobytes a second between continents.
 */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** The least milliseconds between two log lines about the same trouble with a node. */
const LOG_INTERVAL_MS = 60_000;

/** One node of the leader cluster. Snapshots have a connection of their own, so that the log never waits for them. */
interface Leader {
  readonly address: string;
  readonly channel: Channel;
  readonly bulkChannel: Channel;
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** Calls a leader cluster over gRPC, one of its nodes at a time. */
export class GrpcLeaderLink implements LeaderLink {
  readonly #leaders: readonly Leader[];
  readonly #clock: Clock;
  readonly #metadata: Metadata;
  #current = 0;

  /** Throws TypeError for an invalid address, and when there is none. */
  constructor(options: GrpcLeaderLinkOptions) {
    this.#clock = options.clock;
    this.#metadata = metadataOf(options.token ? { authorization: `Bearer ${options.token}` } : {});
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

  async #unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    call: LinkCall,
    isRead: boolean,
  ): Promise<Response> {
    const leader = this.#leader;
    try {
      return await leader.channel.unary(method, request, this.#options(call));
    } catch (error) {
      throw this.#failed(leader, error as CallError, isRead);
    }
  }

  async *#stream<Request, Response>(
    channel: Channel,
    method: Method<Request, Response>,
    request: Request,
    call: LinkCall,
  ): AsyncGenerator<Response> {
    const leader = this.#leader;
    try {
      yield* channel.serverStream(method, request, this.#options(call));
    } catch (error) {
      throw this.#failed(leader, error as CallError, true);
    }
  }

  /** Describes a failed call. After a lost connection, the next call goes to the next node. */
  #failed(leader: Leader, error: CallError, isRead: boolean): LinkError {
    const { code, origin } = error;
    const text = error.details || `${leader.address} answers ${Status[code]}, without a word`;
    const isFromLeader = origin === 'answered' || origin === 'unusable';
    const isContactLost = !isFromLeader;
    // A node that has no leader or is shutting down answers UNAVAILABLE, too, and another one may do better.
    if ((isContactLost || code === Status.UNAVAILABLE) && leader === this.#leader) {
      this.#current = (this.#current + 1) % this.#leaders.length;
    }
    const errorCode = error.metadata.get('coxswain-error') ?? '';
    const stockRefusal = errorCode === '' && isFromLeader ? stockRefusals.get(text) : undefined;
    // A node of ours answers UNAVAILABLE only when nothing was done; a stock node also when it gave up waiting.
    const isStockUnclear = isFromLeader && errorCode === '' && stockRefusal === undefined;
    const isUnclear =
      isContactLost ||
      origin === 'unusable' ||
      (code === Status.DEADLINE_EXCEEDED && errorCode !== 'appliedByLeaderOnly') ||
      errorCode === 'outcomeUnknown' ||
      (isStockUnclear && code === Status.UNAVAILABLE);
    const mayHaveHappened = !isRead && isUnclear && !error.wasNeverProcessed;
    const message = isContactLost ? describeLostContact(leader.address, code, text) : text;
    return new LinkError(code, message, isFromLeader, mayHaveHappened, {
      cause: error,
      errorCode: errorCode || (stockRefusal ?? ''),
    });
  }

  #options({ deadlineMs, signal, trace }: LinkCall): CallOptions {
    const remainingMs = Math.max(0, deadlineMs - this.#clock.monotonicMs());
    const options = { metadata: this.#metadata, deadline: Date.now() + remainingMs, signal };
    return trace === undefined
      ? options
      : { ...options, varying: [['traceparent', formatTraceparent(trace)]] };
  }
}

/** The texts with which a stock leader refuses a write, with the codes that we use for them. */
const stockRefusals: ReadonlyMap<string, string> = new Map([
  ['request dropped as the shard is not ready', 'notReady'],
  ['system is too busy try again later', 'tooBusy'],
]);

function connect(address: string, options: GrpcLeaderLinkOptions): Leader {
  const { tls } = options;
  const [, scheme, rest] = /^(?:(https?):\/\/)?(.*)$/s.exec(address)!;
  const target = rest!.replace(/^dns:\/{0,3}/, '');
  if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}$/.test(target)) {
    throw new TypeError(`"${address}" is no address of a leader cluster: give host:port`);
  }
  const isTls = scheme === 'https' || (scheme === undefined && tls !== undefined);
  const loggedMs = new Map<string, number>();
  const onHandshakeFailed = (reason: string): void => {
    const nowMs = options.clock.monotonicMs();
    if (nowMs - (loggedMs.get(reason) ?? Number.NEGATIVE_INFINITY) < LOG_INTERVAL_MS) return;
    if (loggedMs.size > 100) loggedMs.clear();
    loggedMs.set(reason, nowMs);
    options.log(replicationEvents.leaderClusterHandshakeFailed, { address: target, reason });
  };
  const open = () =>
    new Channel(target, {
      tls: isTls ? () => ({ ...tls?.(), serverName: options.serverName || undefined }) : undefined,
      silenceMs: options.keepaliveTimeMs,
      trialMs: options.keepaliveTimeoutMs,
      messageBytesMax: options.messageBytesMax,
      windowBytes: WINDOW_BYTES,
      backoffMsMin: 50,
      backoffMsMax: 2_000,
      onHandshakeFailed,
    });
  return { address: target, channel: open(), bulkChannel: open() };
}
