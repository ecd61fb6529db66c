import { maintenance, type mvcc, regatta, replication } from '@coxswain/protocol';
import { type Bytes, type Integer, prefixEnd, toBuffer } from './bytes.js';
import {
  type CallOptions,
  Connection,
  type ConnectOptions,
  type Health,
  type StreamOptions,
} from './connection.js';
import { TxnBuilder, type TxnParts } from './txn.js';

/** Which keys: with neither, only the key itself. */
export interface KeyRangeOptions {
  /** The range is [key, rangeEnd); a zero byte (`toEnd`) means no upper bound. */
  readonly rangeEnd?: Bytes;
  /** All keys that begin with the key. */
  readonly prefix?: boolean;
}

export interface RangeOptions extends KeyRangeOptions, CallOptions {
  /** The most keys to return; 0, the default, means no limit. */
  readonly limit?: Integer;
  /**
   * Default true: the read reflects every write that was acknowledged before it began. False: the node answers
   * from what it has, which may be stale, at a fraction of the cost.
   */
  readonly linearizable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: Integer;
  readonly maxModRevision?: Integer;
  readonly minCreateRevision?: Integer;
  readonly maxCreateRevision?: Integer;
  /** Read the table as it was at this revision. OUT_OF_RANGE when its history is gone or it has not come yet. */
  readonly revision?: Integer;
  /** On a follower cluster: ask the leader cluster, which may be far away, instead of the nearby replica. */
  readonly fromLeaderCluster?: boolean;
}

export interface PutOptions extends CallOptions {
  /** Return the pair that was there before. */
  readonly prevKv?: boolean;
}

export interface DeleteOptions extends KeyRangeOptions, CallOptions {
  /** Return the pairs that were removed, up to the response cap. */
  readonly prevKv?: boolean;
}

/**
 * A client of a Coxswain (or Regatta 0.5) cluster. It talks to one node and goes on to the next when that one
 * fails. Reads are repeated after a loss of contact; writes only when they certainly were not applied, else the
 * error is an `OutcomeUnknownError`. Responses are the protocol's own messages: 64-bit integers are bigints,
 * which are exact; options take numbers as well.
 */
export class Coxswain {
  readonly #connection: Connection;
  readonly tables: Tables;
  readonly cluster: Cluster;
  readonly maintenance: Maintenance;

  private constructor(connection: Connection) {
    this.#connection = connection;
    this.tables = new Tables(connection);
    this.cluster = new Cluster(connection);
    this.maintenance = new Maintenance(connection);
  }

  /** Resolves when a node has been reached. Errors: UNAVAILABLE. */
  static async connect(options: ConnectOptions): Promise<Coxswain> {
    const connection = new Connection(options);
    try {
      await connection.ready();
    } catch (error) {
      connection.close();
      throw error;
    }
    return new Coxswain(connection);
  }

  /** The endpoint that calls go to now. */
  get endpoint(): string {
    return this.#connection.endpoint;
  }

  /** The pair with this key, or undefined. */
  async get(
    table: string,
    key: Bytes,
    options?: Omit<RangeOptions, keyof KeyRangeOptions>,
  ): Promise<mvcc.KeyValue | undefined> {
    const { kvs } = await this.range(table, key, options);
    return kvs[0];
  }

  /** One page of a range, up to 4 MiB: `more` says whether it was cut. For all of it: `iterateRange`. */
  range(table: string, key: Bytes, options?: RangeOptions): Promise<regatta.RangeResponse> {
    return this.#connection.unary(regatta.KVService.range, rangeRequest(table, key, options), true, options);
  }

  /** Every pair of a range of any size, from one point-in-time view. Leaving the loop cancels the rest. */
  async *iterateRange(
    table: string,
    key: Bytes,
    options?: RangeOptions,
  ): AsyncGenerator<mvcc.KeyValue, void> {
    for await (const page of this.iteratePages(table, key, options)) yield* page.kvs;
  }

  /** As `iterateRange`, in pages as the server sends them. */
  iteratePages(
    table: string,
    key: Bytes,
    options?: RangeOptions,
  ): AsyncGenerator<regatta.RangeResponse, void> {
    return this.#connection.stream(
      regatta.KVService.iterateRange,
      rangeRequest(table, key, options),
      options,
    );
  }

  /** Stores a pair. */
  put(table: string, key: Bytes, value: Bytes, options?: PutOptions): Promise<regatta.PutResponse> {
    const request = {
      table: Buffer.from(table),
      key: toBuffer(key),
      value: toBuffer(value),
      prevKv: options?.prevKv ?? false,
    };
    return this.#connection.unary(regatta.KVService.put, request, false, options);
  }

  /** Removes a key or a range of keys; `deleted` is how many there were. */
  deleteRange(table: string, key: Bytes, options?: DeleteOptions): Promise<regatta.DeleteRangeResponse> {
    const request = {
      table: Buffer.from(table),
      key: toBuffer(key),
      rangeEnd: rangeEndOf(key, options),
      prevKv: options?.prevKv ?? false,
      count: true,
    };
    return this.#connection.unary(regatta.KVService.deleteRange, request, false, options);
  }

  /** Begins a transaction. */
  txn(table: string, options?: CallOptions): TxnBuilder<regatta.TxnResponse> {
    return new TxnBuilder((parts) => {
      const request = { table: Buffer.from(table), ...parts };
      return this.#connection.unary(regatta.KVService.txn, request, isReadOnly(parts), options);
    });
  }

  close(): void {
    this.#connection.close();
  }
}

/** Makes, removes and lists tables. */
export class Tables {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Resolves with the table's id when it takes writes. `config` is JSON. */
  async create(name: string, config?: Record<string, unknown>, options?: CallOptions): Promise<string> {
    const { id } = await this.#connection.unary(
      regatta.TablesService.create,
      { name, config },
      false,
      options,
    );
    return id;
  }

  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.#connection.unary(regatta.TablesService.delete, { name }, false, options);
  }

  list(options?: CallOptions): Promise<regatta.ListTablesResponse> {
    return this.#connection.unary(regatta.TablesService.list, {}, true, options);
  }
}

/** Asks for the members and the state of the node that answers. */
export class Cluster {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  memberList(options?: CallOptions): Promise<regatta.MemberListResponse> {
    return this.#connection.unary(regatta.ClusterService.memberList, {}, true, options);
  }

  /** With `config` the node's configuration as well, secrets masked. */
  status(options?: CallOptions & { readonly config?: boolean }): Promise<regatta.StatusResponse> {
    const request = { config: options?.config ?? false };
    return this.#connection.unary(regatta.ClusterService.status, request, true, options);
  }

  /** Whether the node that answers serves (grpc.health.v1), or a service of it; and why not. */
  health(service = '', options?: CallOptions): Promise<Health> {
    return this.#connection.health(service, options);
  }
}

/** Where a backup that broke off goes on: what its first chunk and the last one with a `lastKey` said. */
export interface BackupRest {
  readonly shardId: Integer;
  readonly revision: Integer;
  readonly afterKey: Buffer;
  readonly recordBytes: Integer;
}

/** How far a restore from the archive goes: without a limit to the end of what it has. */
export interface ArchiveRestoreOptions extends StreamOptions {
  /** The table to replace or to make. Default: the same name. */
  readonly into?: string;
  /** The last revision that is wanted. */
  readonly toRevision?: Integer;
  /** What has that time or an earlier one, in milliseconds since 1970. */
  readonly toTimeMs?: Integer;
  /** The cluster that wrote the archive, in hex. Default: this one. */
  readonly clusterId?: string;
  /** The shard of the archived table. Default: the one that the limit lies in, else the last of that name. */
  readonly shardId?: Integer;
  /** Everything is read and checked, and nothing changed. */
  readonly dryRun?: boolean;
}

export interface RestoreOptions extends StreamOptions {
  /** The length of the stream: then one that breaks off is never taken for all of it, whatever breaks it. */
  readonly sizeBytes?: Integer;
}

/** maintenance.v1: for operators. */
export class Maintenance {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Has a follower cluster take a table, or every table, from its leader cluster anew. Answers when that is decided. */
  async reset(what: { readonly table: string } | 'all', options?: CallOptions): Promise<void> {
    const request = {
      table: Buffer.from(what === 'all' ? '' : what.table),
      resetAll: what === 'all',
    };
    await this.#connection.unary(maintenance.MaintenanceService.reset, request, false, options);
  }

  /**
   * A table of a leader cluster at one moment: chunks of a stream of framed snappy, read when they are asked for. With
   * `rest` what is missing of an earlier one, as long as the table keeps its history. The timeout is for the first chunk.
   */
  backup(
    table: string,
    options?: StreamOptions & { readonly rest?: BackupRest },
  ): AsyncGenerator<replication.SnapshotChunk, void> {
    const rest = options?.rest;
    const request = {
      table: Buffer.from(table),
      revision: BigInt(rest?.revision ?? 0),
      afterKey: rest?.afterKey ?? Buffer.alloc(0),
      shardId: BigInt(rest?.shardId ?? 0),
      recordBytes: BigInt(rest?.recordBytes ?? 0),
    };
    return this.#connection.stream(maintenance.MaintenanceService.backup, request, options);
  }

  /**
   * Replaces a table of a leader cluster, or makes it, by what a backup holds, in one step when all of it has arrived.
   * Until then, and when anything fails, the table is as it was. Pieces of the stream are at most 2 MiB long.
   */
  restore(
    table: string,
    stream: AsyncIterable<Buffer>,
    options?: RestoreOptions,
  ): Promise<maintenance.RestoreResponse> {
    const messages = restoreMessages(table, stream, BigInt(options?.sizeBytes ?? 0));
    return this.#connection.upload(maintenance.MaintenanceService.restore, messages, options);
  }

  /**
   * Fills a table from the archive of the cluster's nodes: reports how far it is and, in its last message, exactly what was
   * reached. Leaving the loop before breaks the restore off. The timeout is for the first message.
   */
  restoreArchive(
    table: string,
    options: ArchiveRestoreOptions = {},
  ): AsyncGenerator<maintenance.RestoreArchiveProgress, void> {
    const { into = '', toRevision, toTimeMs, clusterId = '', shardId = 0, dryRun = false } = options;
    const request: maintenance.RestoreArchiveRequest = {
      table: Buffer.from(table),
      into: Buffer.from(into),
      limit:
        toRevision !== undefined
          ? { $case: 'toRevision', value: BigInt(toRevision) }
          : toTimeMs !== undefined
            ? { $case: 'toTimeMs', value: BigInt(toTimeMs) }
            : undefined,
      clusterId,
      shardId: BigInt(shardId),
      dryRun,
    };
    return this.#connection.stream(maintenance.MaintenanceService.restoreArchive, request, options, false);
  }

  /** Turns a follower cluster into a leader cluster, for good. Answers when it takes writes of its own. */
  async promote(options?: CallOptions): Promise<void> {
    await this.#connection.unary(maintenance.MaintenanceService.promote, {}, false, options);
  }

  /** Has the cluster serve with what a clone that failed has brought. Gives that clone; its donor is empty where there was none. */
  async forgetClone(options?: CallOptions): Promise<maintenance.ForgetCloneResponse> {
    return await this.#connection.unary(maintenance.MaintenanceService.forgetClone, {}, false, options);
  }
}

async function* restoreMessages(
  table: string,
  stream: AsyncIterable<Buffer>,
  sizeBytes: bigint,
): AsyncGenerator<maintenance.RestoreMessage> {
  const info = { table: Buffer.from(table), baseRevision: 0n, sizeBytes };
  yield { data: { $case: 'info', value: info } };
  for await (const data of stream) {
    const chunk = replication.SnapshotChunk.create({ data, len: BigInt(data.length) });
    yield { data: { $case: 'chunk', value: chunk } };
  }
}

function rangeRequest(table: string, key: Bytes, options: RangeOptions | undefined): regatta.RangeRequest {
  return {
    table: Buffer.from(table),
    key: toBuffer(key),
    rangeEnd: rangeEndOf(key, options),
    limit: BigInt(options?.limit ?? 0),
    linearizable: options?.linearizable ?? true,
    keysOnly: options?.keysOnly ?? false,
    countOnly: options?.countOnly ?? false,
    minModRevision: BigInt(options?.minModRevision ?? 0),
    maxModRevision: BigInt(options?.maxModRevision ?? 0),
    minCreateRevision: BigInt(options?.minCreateRevision ?? 0),
    maxCreateRevision: BigInt(options?.maxCreateRevision ?? 0),
    revision: BigInt(options?.revision ?? 0),
    fromLeaderCluster: options?.fromLeaderCluster ?? false,
  };
}

function rangeEndOf(key: Bytes, options: KeyRangeOptions | undefined): Buffer {
  return options?.prefix ? prefixEnd(key) : toBuffer(options?.rangeEnd);
}

function isReadOnly({ success, failure }: TxnParts): boolean {
  return [...success, ...failure].every(({ request }) => request?.$case === 'requestRange');
}
