import { maintenance, type mvcc, regatta, replication } from '@coxswain/protocol';
import { type Bytes, type Integer, prefixEnd, toBuffer } from './bytes.js';
import {
  type CallOptions,
  Connection,
  type ConnectOptions,
  type Health,
  type StreamOptions,
} from './connection.js';
import { Events } from './events.js';
import { TxnBuilder, type TxnParts } from './txn.js';

/** Selects keys; with neither option, only the key itself. */
export interface KeyRangeOptions {
  /** The end of the range [key, rangeEnd); a zero byte (`toEnd`) means no upper bound. */
  readonly rangeEnd?: Bytes;
  /** True selects all keys that begin with the key. */
  readonly prefix?: boolean;
}

/** The options of a read. */
export interface RangeOptions extends KeyRangeOptions, CallOptions {
  /** The most keys to return; 0, the default, means no limit. */
  readonly limit?: Integer;
  /**
   * True, the default, makes the read reflect every write that was acknowledged before it began. False lets the node
   * answer from its own data, which may be stale, at a fraction of the cost.
   */
  readonly linearizable?: boolean;
  /** True returns pairs without their values. */
  readonly keysOnly?: boolean;
  /** True returns no pairs, only their number. */
  readonly countOnly?: boolean;
  /** The least mod revision of the pairs to return; 0, the default, means no limit. */
  readonly minModRevision?: Integer;
  /** The greatest mod revision of the pairs to return; 0, the default, means no limit. */
  readonly maxModRevision?: Integer;
  /** The least create revision of the pairs to return; 0, the default, means no limit. */
  readonly minCreateRevision?: Integer;
  /** The greatest create revision of the pairs to return; 0, the default, means no limit. */
  readonly maxCreateRevision?: Integer;
  /**
   * The revision as of which the table is read; by default the newest. The read fails with OUT_OF_RANGE when the
   * history of that revision is gone, or the revision has not come yet.
   */
  readonly revision?: Integer;
  /** True makes a follower cluster ask the leader cluster, which may be far away, instead of the nearby replica. */
  readonly fromLeaderCluster?: boolean;
}

/** The options of a put. */
export interface PutOptions extends CallOptions {
  /** True returns the pair that was there before. */
  readonly prevKv?: boolean;
}

/** The options of a deletion. */
export interface DeleteOptions extends KeyRangeOptions, CallOptions {
  /** True returns the removed pairs, as many as fit into the response. */
  readonly prevKv?: boolean;
}

/**
 * A client of a Coxswain (or Regatta 0.5) cluster. It talks to one node and moves to the next when that fails. It
 * repeats reads after a loss of contact, and writes only when they certainly were not applied; otherwise a write fails
 * with an `OutcomeUnknownError`. Responses are the protocol's own messages: their 64-bit integers are bigints, which
 * are exact; options take numbers as well.
 */
export class Coxswain {
  readonly #connection: Connection;
  readonly tables: Tables;
  readonly cluster: Cluster;
  readonly maintenance: Maintenance;
  readonly events: Events;

  private constructor(connection: Connection) {
    this.#connection = connection;
    this.tables = new Tables(connection);
    this.cluster = new Cluster(connection);
    this.maintenance = new Maintenance(connection);
    this.events = new Events(connection);
  }

  /**
   * Connects to a cluster, and resolves when a node has been reached. Rejects with a CoxswainError of status
   * UNAVAILABLE.
   */
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

  /** The address of the endpoint that calls go to now. */
  get endpoint(): string {
    return this.#connection.endpoint;
  }

  /** Returns the pair with this key; undefined when there is none. Rejects with a CoxswainError. */
  async get(
    table: string,
    key: Bytes,
    options?: Omit<RangeOptions, keyof KeyRangeOptions>,
  ): Promise<mvcc.KeyValue | undefined> {
    const { kvs } = await this.range(table, key, options);
    return kvs[0];
  }

  /**
   * Reads one page of a range, up to 4 MiB; `more` says whether it was cut. To read all of a range, use `iterateRange`.
   * Rejects with a CoxswainError.
   */
  range(table: string, key: Bytes, options?: RangeOptions): Promise<regatta.RangeResponse> {
    return this.#connection.unary(regatta.KVService.range, rangeRequest(table, key, options), true, options);
  }

  /**
   * Yields every pair of a range of any size, from one point-in-time view. Leaving the loop cancels the rest. Throws a
   * CoxswainError.
   */
  async *iterateRange(
    table: string,
    key: Bytes,
    options?: RangeOptions,
  ): AsyncGenerator<mvcc.KeyValue, void> {
    for await (const page of this.iteratePages(table, key, options)) yield* page.kvs;
  }

  /**
   * Yields a range of any size from one point-in-time view, in pages as the server sends them. Leaving the loop cancels
   * the rest. Throws a CoxswainError.
   */
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

  /** Stores a pair. Rejects with a CoxswainError, and for an unknown outcome with an OutcomeUnknownError. */
  put(table: string, key: Bytes, value: Bytes, options?: PutOptions): Promise<regatta.PutResponse> {
    const request = {
      table: Buffer.from(table),
      key: toBuffer(key),
      value: toBuffer(value),
      prevKv: options?.prevKv ?? false,
    };
    return this.#connection.unary(regatta.KVService.put, request, false, options);
  }

  /**
   * Removes a key or a range of keys; `deleted` of the response is the number of keys removed. Rejects with a
   * CoxswainError, and for an unknown outcome with an OutcomeUnknownError.
   */
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

  /** Begins a transaction, which `commit` of the builder sends. */
  txn(table: string, options?: CallOptions): TxnBuilder<regatta.TxnResponse> {
    return new TxnBuilder((parts) => {
      const request = { table: Buffer.from(table), ...parts };
      return this.#connection.unary(regatta.KVService.txn, request, isReadOnly(parts), options);
    });
  }

  /** Closes all connections: calls under way end, and none is repeated. */
  close(): void {
    this.#connection.close();
  }
}

/** Creates, deletes and lists tables. */
export class Tables {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Creates a table, and resolves with its id once it takes writes. `config` is JSON. */
  async create(name: string, config?: Record<string, unknown>, options?: CallOptions): Promise<string> {
    const { id } = await this.#connection.unary(
      regatta.TablesService.create,
      { name, config },
      false,
      options,
    );
    return id;
  }

  /** Deletes a table with all that it holds. */
  async delete(name: string, options?: CallOptions): Promise<void> {
    await this.#connection.unary(regatta.TablesService.delete, { name }, false, options);
  }

  /** Lists the tables. */
  list(options?: CallOptions): Promise<regatta.ListTablesResponse> {
    return this.#connection.unary(regatta.TablesService.list, {}, true, options);
  }
}

/** Describes the members, and the state of the node that answers. */
export class Cluster {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Lists the members of the cluster. */
  memberList(options?: CallOptions): Promise<regatta.MemberListResponse> {
    return this.#connection.unary(regatta.ClusterService.memberList, {}, true, options);
  }

  /** Returns the status of the node that answers, with `config` also its configuration, secrets masked. */
  status(options?: CallOptions & { readonly config?: boolean }): Promise<regatta.StatusResponse> {
    const request = { config: options?.config ?? false };
    return this.#connection.unary(regatta.ClusterService.status, request, true, options);
  }

  /** Returns whether the node that answers, or one of its services, serves (grpc.health.v1), and if not, why. */
  health(service = '', options?: CallOptions): Promise<Health> {
    return this.#connection.health(service, options);
  }
}

/** The place at which an interrupted backup continues, taken from its first chunk and its last one with a `lastKey`. */
export interface BackupRest {
  readonly shardId: Integer;
  readonly revision: Integer;
  readonly afterKey: Buffer;
  readonly recordBytes: Integer;
}

/** Selects the part of the archive to restore; without a limit, all of it. */
export interface ArchiveRestoreOptions extends StreamOptions {
  /** The table to replace or to create; by default the one with the archived name. */
  readonly into?: string;
  /** The last revision to restore. */
  readonly toRevision?: Integer;
  /** Restores everything written up to this time, in milliseconds since 1970. */
  readonly toTimeMs?: Integer;
  /** The cluster that wrote the archive, in hex; by default this one. */
  readonly clusterId?: string;
  /** The shard of the archived table; by default the one that contains the limit, or else the last one of that name. */
  readonly shardId?: Integer;
  /** True reads and checks everything, and changes nothing. */
  readonly dryRun?: boolean;
}

/** The options of a restore. */
export interface RestoreOptions extends StreamOptions {
  /** The length of the stream in bytes. With it, a truncated stream is never mistaken for a complete one. */
  readonly sizeBytes?: Integer;
}

/** The calls of maintenance.v1, for operators. */
export class Maintenance {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Orders a follower cluster to take a table, or every table, from its leader cluster again. Resolves when the order
   * is recorded.
   */
  async reset(what: { readonly table: string } | 'all', options?: CallOptions): Promise<void> {
    const request = {
      table: Buffer.from(what === 'all' ? '' : what.table),
      resetAll: what === 'all',
    };
    await this.#connection.unary(maintenance.MaintenanceService.reset, request, false, options);
  }

  /**
   * Streams a table of a leader cluster as of one moment, in chunks of framed snappy that are read when they are asked
   * for. With `rest`, it streams the missing part of an earlier backup, as long as the table keeps its history. The
   * timeout is for the first chunk.
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
   * Replaces or creates a table of a leader cluster from a backup, in one step when all of it has arrived. Until then,
   * and when anything fails, the table is unchanged. Pieces of the stream are at most 2 MiB long.
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
   * Fills a table from the archive of the cluster's nodes. Yields its progress and, as the last message, exactly what
   * it reached. Leaving the loop earlier breaks the restore off. The timeout is for the first message.
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

  /** Turns a follower cluster into a leader cluster, for good. Resolves when it takes writes of its own. */
  async promote(options?: CallOptions): Promise<void> {
    await this.#connection.unary(maintenance.MaintenanceService.promote, {}, false, options);
  }

  /**
   * Lets the cluster serve the tables that a failed clone has brought. Returns that clone; its donor is empty when
   * there was none.
   */
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
