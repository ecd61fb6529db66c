import { maintenance, type mvcc, regatta } from '@coxswain/protocol';
import {
  Client,
  type ClientOptions,
  credentials,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

/** The outcome of a write. A refused one was provably not done (P1); an unknown one may happen at any time. */
export type WriteOutcome<Answer = unknown> =
  | ({ readonly kind: 'acknowledged'; readonly revision: number } & Answer)
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** The outcome of a read of one key. A failed one gives no information. */
export type ReadOutcome =
  | {
      readonly kind: 'answered';
      readonly pair: StoredPair | undefined;
      /** The revision that the read saw. */
      readonly revision: number;
      readonly leaderId: number;
    }
  | { readonly kind: 'failed'; readonly reason: string };

/** A key's latest state in the answer to a read. */
export interface StoredPair {
  readonly value: string;
  readonly createRevision: number;
  readonly revision: number;
  readonly version: number;
}

/** One node's state of a table. */
export interface TableState {
  readonly shardId: number;
  readonly revision: number;
  /** The content hash, equal wherever the revision is. */
  readonly contentHash: string;
  readonly replication: regatta.TableReplication | undefined;
}

/** An answer that no fault excuses. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
}

// The client library would wait up to two minutes before it tries a restarted node again, and repeat calls by itself,
// which would hide the node's answers.
const clientOptions: ClientOptions = {
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 100,
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
};

/** The text with which grpc-js, which has no code for it, reports that a call was never sent. */
const NEVER_SENT = 'No connection established';

/** The key of a range over every key of a table: from the first one, without an end. */
const everything = Buffer.from([0]);

/** Calls one node and no other, repeats nothing, and distinguishes outcomes by what a client may conclude. */
export class NodeClient {
  readonly #client: Client;
  readonly #table: Buffer;

  private constructor(client: Client, table: string) {
    this.#client = client;
    this.#table = Buffer.from(table);
  }

  /** Makes a client for `host:port`, which connects at the first call. */
  static to(address: string, table: string): NodeClient {
    return new NodeClient(new Client(address, credentials.createInsecure(), clientOptions), table);
  }

  /** Returns a client for another table on the same connection. */
  forTable(table: string): NodeClient {
    return new NodeClient(this.#client, table);
  }

  async put(key: string, value: string, timeoutMs: number): Promise<WriteOutcome> {
    const request = regatta.PutRequest.create({
      table: this.#table,
      key: Buffer.from(key),
      value: Buffer.from(value),
    });
    return this.#write(regatta.KVService.put, request, timeoutMs, () => ({}));
  }

  /** Removes a key, or with `rangeEnd` every key of [key, rangeEnd). */
  async delete(
    key: string,
    rangeEnd: string | undefined,
    timeoutMs: number,
  ): Promise<WriteOutcome<{ readonly deletedCount: number }>> {
    const request = regatta.DeleteRangeRequest.create({
      table: this.#table,
      key: Buffer.from(key),
      rangeEnd: Buffer.from(rangeEnd ?? ''),
      count: true,
    });
    return this.#write(regatta.KVService.deleteRange, request, timeoutMs, ({ deleted }) => ({
      deletedCount: Number(deleted),
    }));
  }

  async txn(
    parts: Pick<regatta.TxnRequest, 'compare' | 'success' | 'failure'>,
    timeoutMs: number,
  ): Promise<WriteOutcome<{ readonly succeeded: boolean }>> {
    const request = regatta.TxnRequest.create({ table: this.#table, ...parts });
    return this.#write(regatta.KVService.txn, request, timeoutMs, ({ succeeded }) => ({ succeeded }));
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
        revision: Number(header!.revision),
        leaderId: Number(header!.raftLeaderId),
      };
    } catch (error) {
      const { code, details } = error as ServiceError;
      const reason = `${status[code]}: ${details}`;
      if (isExcusable(code)) return { kind: 'failed', reason };
      throw new UnexpectedAnswer(`get: ${reason}`, { cause: error });
    }
  }

  /** Returns every pair that this node has applied, by key. Only for tables that fit into one answer. */
  async dump(timeoutMs: number): Promise<Map<string, StoredPair>> {
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: everything,
      rangeEnd: everything,
    });
    const response = await this.#call(regatta.KVService.range, request, timeoutMs);
    if (response.more) throw new Error('the table does not fit one answer');
    return new Map(response.kvs.map((pair) => [pair.key.toString(), storedPair(pair)]));
  }

  /** Returns the pairs from a key on in one linearizable answer, and whether there are more after them. */
  async page(from: Buffer, timeoutMs: number): Promise<{ pairs: readonly mvcc.KeyValue[]; more: boolean }> {
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: from,
      rangeEnd: everything,
      linearizable: true,
    });
    const { kvs, more } = await this.#call(regatta.KVService.range, request, timeoutMs);
    return { pairs: kvs, more };
  }

  /** Returns the number of keys in the table, from one point-in-time view. */
  async count(timeoutMs: number): Promise<number> {
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

  /**
   * Returns the number of keys in the first page of at most `limit` keys from the beginning of the table, linearizable.
   */
  async first(limit: number, timeoutMs: number): Promise<number> {
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: everything,
      rangeEnd: everything,
      linearizable: true,
      limit: BigInt(limit),
    });
    return (await this.#call(regatta.KVService.range, request, timeoutMs)).kvs.length;
  }

  /**
   * Creates a table.
   *
   * @throws ServiceError
   */
  async createTable(name: string, timeoutMs: number): Promise<void> {
    await this.#call(regatta.TablesService.create, regatta.CreateTableRequest.create({ name }), timeoutMs);
  }

  /**
   * Deletes a table with its content.
   *
   * @throws ServiceError
   */
  async deleteTable(name: string, timeoutMs: number): Promise<void> {
    await this.#call(regatta.TablesService.delete, regatta.DeleteTableRequest.create({ name }), timeoutMs);
  }

  /**
   * Returns every table of the node, by name.
   *
   * @throws ServiceError
   */
  async tables(timeoutMs: number): Promise<Map<string, TableState>> {
    const { tables } = await this.status(timeoutMs);
    return new Map(
      [...tables].map(([name, { shardId, revision, contentHash, replication }]) => [
        name,
        { shardId: Number(shardId), revision: Number(revision), contentHash, replication },
      ]),
    );
  }

  /**
   * Returns the node's status.
   *
   * @throws ServiceError
   */
  status(timeoutMs: number): Promise<regatta.StatusResponse> {
    return this.#call(regatta.ClusterService.status, regatta.StatusRequest.create(), timeoutMs);
  }

  /**
   * Makes the follower cluster fetch the table from the leader cluster again.
   *
   * @throws ServiceError
   */
  async reset(timeoutMs: number): Promise<void> {
    const request = maintenance.ResetRequest.create({ table: this.#table });
    await this.#call(maintenance.MaintenanceService.reset, request, timeoutMs);
  }

  /**
   * Yields every pair in key order, from one linearizable view.
   *
   * @throws ServiceError
   */
  async *pairs(timeoutMs: number): AsyncGenerator<mvcc.KeyValue, void> {
    const { path, requestSerialize, responseDeserialize } = regatta.KVService.iterateRange;
    const request = regatta.RangeRequest.create({
      table: this.#table,
      key: everything,
      rangeEnd: everything,
      linearizable: true,
    });
    const stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      {
        deadline: Date.now() + timeoutMs,
      },
    );
    for await (const page of stream) yield* (page as regatta.RangeResponse).kvs;
  }

  close(): void {
    this.#client.close();
  }

  async #write<Request, Response extends { header: regatta.ResponseHeader | undefined }, Answer>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    timeoutMs: number,
    answerOf: (response: Response) => Answer,
  ): Promise<WriteOutcome<Answer>> {
    try {
      const response = await this.#call(method, request, timeoutMs);
      return {
        kind: 'acknowledged',
        revision: Number(response.header!.revision),
        ...answerOf(response),
      };
    } catch (error) {
      const { code, details } = error as ServiceError;
      const reason = `${status[code]}: ${details}`;
      if (isRefusal(error as ServiceError)) return { kind: 'refused', reason };
      if (isExcusable(code)) return { kind: 'unknown', reason };
      throw new UnexpectedAnswer(`${method.path}: ${reason}`, { cause: error });
    }
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

/** Whether a node refused the call (P1): it gives UNAVAILABLE only when nothing was done, with a code of its own. */
function isRefusal({ code, details, metadata }: ServiceError): boolean {
  if (code !== status.UNAVAILABLE) return false;
  return metadata.get('coxswain-error').length > 0 || details.startsWith(NEVER_SENT);
}

/** Whether a client may see this status when its node dies, hangs, or loses its leader. */
function isExcusable(code: status): boolean {
  return [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED, status.UNKNOWN].includes(code);
}

/** Converts a pair of an answer. */
export function storedPair(pair: mvcc.KeyValue): StoredPair {
  return {
    value: pair.value.toString(),
    createRevision: Number(pair.createRevision),
    revision: Number(pair.modRevision),
    version: Number(pair.version),
  };
}
