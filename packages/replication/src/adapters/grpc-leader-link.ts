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
import type { Log } from '@coxswain/node';
import { regatta, replication } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
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
  /** The bearer token that the nodes of the leader cluster ask for; empty: none is sent. */
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
 * Bytes that the leader cluster may send ahead of the reader. HTTP/2's default of 64 KiB would let no more than that
 * through in a round trip: some hundred kilobytes a second between continents.
 */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** The same trouble with a node is logged no more often. */
const LOG_INTERVAL_MS = 60_000;

/** One node of the leader cluster. Snapshots use a connection of their own, so that the log never waits for them. */
interface Leader {
  readonly address: string;
  readonly channel: Channel;
  readonly bulkChannel: Channel;
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** The way to a leader cluster over gRPC. */
export class GrpcLeaderLink implements LeaderLink {
  readonly #leaders: readonly Leader[];
  readonly #clock: Clock;
  readonly #metadata: Metadata;
  #current = 0;

  /** Throws TypeError for an address that is none. */
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

  /** Records a failed call; after a loss of contact the next call goes to the next node. */
  #failed(leader: Leader, error: CallError, isRead: boolean): LinkError {
    const { code, origin } = error;
    const text = error.details || `${leader.address} answers ${Status[code]}, without a word`;
    const isFromLeader = origin === 'answered' || origin === 'unusable';
    const isContactLost = !isFromLeader;
    // A node that has no leader or is leaving says UNAVAILABLE too, and another one may do better.
    if ((isContactLost || code === Status.UNAVAILABLE) && leader === this.#leader) {
      this.#current = (this.#current + 1) % this.#leaders.length;
    }
    const errorCode = error.metadata.get('coxswain-error') ?? '';
    const stockRefusal = errorCode === '' && isFromLeader ? stockRefusals.get(text) : undefined;
    // A node of ours says UNAVAILABLE only where nothing was done; a stock one also where it gave up waiting.
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

  #options({ deadlineMs, signal }: LinkCall): CallOptions {
    const remainingMs = Math.max(0, deadlineMs - this.#clock.monotonicMs());
    return { metadata: this.#metadata, deadline: Date.now() + remainingMs, signal };
  }
}

/** The texts with which a stock leader says that it did not take a write, and the codes that stand for them here. */
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
    options.log('warn', 'a handshake with the leader cluster failed', { address: target, reason });
  };
  const open = () =>
    new Channel(target, {
      tls: isTls ? (tls ?? (() => ({}))) : undefined,
      silenceMs: options.keepaliveTimeMs,
      trialMs: options.keepaliveTimeoutMs,
      serverName: options.serverName || undefined,
      messageBytesMax: options.messageBytesMax,
      windowBytes: WINDOW_BYTES,
      backoffMsMin: 50,
      backoffMsMax: 2_000,
      onHandshakeFailed,
    });
  return { address: target, channel: open(), bulkChannel: open() };
}
