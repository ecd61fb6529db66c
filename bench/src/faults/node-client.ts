import { type mvcc, regatta } from '@coxswain/protocol';
import {
  Client,
  type ClientOptions,
  credentials,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

/** What came of a write. A refused one was provably not done (P1); an unknown one may happen at any time. */
export type WriteOutcome =
  | { readonly kind: 'acknowledged'; readonly revision: number }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** What came of a read of one key. A failed one says nothing. */
export type ReadOutcome =
  | { readonly kind: 'answered'; readonly pair: StoredPair | undefined; readonly leaderId: number }
  | { readonly kind: 'failed'; readonly reason: string };

/** A key's latest state, as a read tells it. */
export interface StoredPair {
  readonly value: string;
  readonly revision: number;
  readonly version: number;
}

/** An answer that no fault excuses. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
}

// The client library would wait up to two minutes before it tries a restarted node again, and repeat calls by
// itself, which would hide what the node answered.
const clientOptions: ClientOptions = {
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 100,
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
};

/** The texts with which a server refuses (regatta-protocol.md section 2), and the client's own for a call never sent. */
const refusals = [
  'request dropped as the shard is not ready',
  'system is too busy try again later',
  'timeout',
  'request aborted',
  'No connection established',
];

/** Talks to one node and to no other, repeats nothing, and tells apart what a client may conclude. */
export class NodeClient {
  readonly #client: Client;
  readonly #table: Buffer;

  constructor(address: string, table: string) {
    this.#client = new Client(address, credentials.createInsecure(), clientOptions);
    this.#table = Buffer.from(table);
  }

  async put(key: string, value: string, timeoutMs: number): Promise<WriteOutcome> {
    const request = regatta.PutRequest.create({
      table: this.#table,
      key: Buffer.from(key),
      value: Buffer.from(value),
    });
    try {
      const response = await this.#call(regatta.KVService.put, request, timeoutMs);
      return { kind: 'acknowledged', revision: Number(response.header!.revision) };
    } catch (error) {
      const { code, details } = error as ServiceError;
      const reason = `${status[code]}: ${details}`;
      if (code === status.UNAVAILABLE && refusals.some((text) => details.startsWith(text))) {
        return { kind: 'refused', reason };
      }
      if (isExcusable(code)) return { kind: 'unknown', reason };
      throw new UnexpectedAnswer(`put: ${reason}`, { cause: error });
    }
  }

  async get(key: string, options: { linearizable: boolean; timeoutMs: number }): Promise<ReadOutcome> {
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: Buffer.from(key),
      linearizable: options.linearizable,
    });
    try {
      const { kvs, header } = await this.#call(regatta.KVService.range, request, options.timeoutMs);
      return {
        kind: 'answered',
        pair: kvs[0] && storedPair(kvs[0]),
        leaderId: Number(header!.raftLeaderId),
      };
    } catch (error) {
      const { code, details } = error as ServiceError;
      const reason = `${status[code]}: ${details}`;
      if (isExcusable(code)) return { kind: 'failed', reason };
      throw new UnexpectedAnswer(`get: ${reason}`, { cause: error });
    }
  }

  /** Every pair that this node has applied, by key. For tables that fit one answer. */
  async dump(timeoutMs: number): Promise<Map<string, StoredPair>> {
    const everything = Buffer.from([0]);
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: everything,
      rangeEnd: everything,
    });
    const response = await this.#call(regatta.KVService.range, request, timeoutMs);
    if (response.more) throw new Error('the table does not fit one answer');
    return new Map(response.kvs.map((pair) => [pair.key.toString(), storedPair(pair)]));
  }

  /** How many keys the table has, from one point-in-time view. */
  async count(timeoutMs: number): Promise<number> {
    const everything = Buffer.from([0]);
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: everything,
      rangeEnd: everything,
      linearizable: true,
      countOnly: true,
    });
    const response = await this.#call(regatta.KVService.range, request, timeoutMs);
    return Number(response.count);
  }

  /** @throws ServiceError */
  async createTable(name: string, timeoutMs: number): Promise<void> {
    await this.#call(regatta.TablesService.create, regatta.CreateTableRequest.create({ name }), timeoutMs);
  }

  close(): void {
    this.#client.close();
  }

  #call<Request, Response>(
    method: Pick<MethodDefinition<Request, Response>, 'path' | 'requestSerialize' | 'responseDeserialize'>,
    request: Request,
    timeoutMs: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error ? reject(error) : resolve(response!)),
      );
    });
  }
}

/** What a client sees when its node dies, hangs, or loses its leader. */
function isExcusable(code: status): boolean {
  return [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.UNKNOWN].includes(code);
}

function storedPair(pair: mvcc.KeyValue): StoredPair {
  return {
    value: pair.value.toString(),
    revision: Number(pair.modRevision),
    version: Number(pair.version),
  };
}
