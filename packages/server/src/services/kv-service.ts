import {
  ApiError,
  errors,
  type Header,
  type NodeParts,
  type Proposed,
  type ReadableTable,
  tableApiError,
} from '@coxswain/node';
import { mvcc, regatta } from '@coxswain/protocol';
import type { ForwardedWrites } from '@coxswain/replication';
import { Semaphore } from '@coxswain/runtime';
import { Gap, type KeyRecord, type RangePage, type RangeQuery } from '@coxswain/table';
import { type CallContext, type Method, stream, unary } from '../grpc/call.js';
import { encodePut, encodeRange } from '../grpc/encoded-answers.js';
import {
  areKeysShort,
  checkRangeRequest,
  checkTableAndKey,
  checkTxnRequest,
  isReadOnly,
  isValueShort,
  toNumber,
} from './requests.js';

/**
 * The size in bytes before which a page of a response ends: as much as Regatta leaves for pairs in a message of 4 MiB.
 */
const PAGE_SIZE_BYTES_MAX = 4 * 1024 * 1024 - 1024;

/**
 * The sizes of pages of IterateRange: the first page ends before the first size, each later one before twice the size
 * of the page before it, up to the second size. So a stream that nobody reads costs little; and the garbage of a large
 * page costs more than its message saves.
 */
const FIRST_PAGE_BYTES_MAX = 16 * 1024;
const LATER_PAGE_BYTES_MAX = 1024 * 1024;

/**
 * The number of pages of ranges that are read at a time. The first chunk of a Range or Txn, which may be all of it,
 * does not count. The number is far below that of libuv's threads (8, see bin/coxswain.cjs): more reads would queue
 * before the reads and writes of others, and each takes a multiple of its size while it is made.
 */
const PAGES_READ_MAX = 2;

/** The largest range in bytes that is answered from memory, so that copying it holds up nobody. */
const CACHED_SIZE_BYTES_MAX = 256 * 1024;
/** The most gaps of one range that are filled before it is read another way. */
const CACHE_FILLS_MAX = 16;

/** The answer of a range; a Buffer is the encoded message, made of pairs that were copied as they are. */
type RangeAnswer = regatta.RangeResponse | Buffer;
/** The answer of a put; a Buffer is the encoded message without a pair, which most puts are answered. */
type PutAnswer = regatta.PutResponse | Buffer;

const linearizable = { linearizable: true } as const;
const serializable = { linearizable: false } as const;
const noBytes = Buffer.alloc(0);

type KvNode = Pick<NodeParts, 'kv' | 'cluster'>;
type Forwarding = Pick<ForwardedWrites, 'put' | 'deleteRange' | 'txn' | 'range'>;

/**
 * Serves regatta.v1.KV. Requests are checked in the order of docs/protocol.md §2, completely before anything is
 * proposed (A3). A serializable read of one key is answered without a promise.
 */
export class KvService {
  readonly #node: KvNode;
  readonly #writes: Forwarding | undefined;
  readonly #pageTurns = new Semaphore(PAGES_READ_MAX);

  /** `writes` forwards the writes of a follower cluster. */
  constructor(node: KvNode, writes?: Forwarding) {
    this.#node = node;
    this.#writes = writes;
  }

  /** The way to the leader cluster, on a follower cluster that is not promoted; else undefined. */
  get #leaderCluster(): Forwarding | undefined {
    return this.#node.cluster.role === 'follower' ? this.#writes : undefined;
  }

  /** Answers with one key, or a page of a range. */
  range(request: regatta.RangeRequest, call: CallContext): RangeAnswer | Promise<RangeAnswer> {
    if (request.fromLeaderCluster && this.#leaderCluster !== undefined) {
      return this.#leaderCluster.range(request, call);
    }
    checkRangeRequest(request);
    const name = request.table.toString();
    if (!areKeysShort(request.key, request.rangeEnd)) {
      return this.#refuseExistingTable(name, errors.keyTooLong(), call);
    }
    const readable = this.#node.kv.read(name, request.linearizable ? linearizable : serializable, call);
    if (readable instanceof Promise) return readable.then((table) => this.#readRange(table, request, call));
    return this.#readRange(readable, request, call);
  }

  /** Yields a range of any size from one view. Each page is read when the one before it has been taken. */
  async *iterateRange(
    request: regatta.RangeRequest,
    call: CallContext,
  ): AsyncGenerator<regatta.RangeResponse> {
    checkRangeRequest(request);
    const name = request.table.toString();
    if (!areKeysShort(request.key, request.rangeEnd)) {
      await this.#refuseExistingTable(name, errors.keyTooLong(), call);
    }
    const consistency = request.linearizable ? linearizable : serializable;
    const readable = await this.#node.kv.read(name, consistency, { deadlineMs: call.openingDeadlineMs });
    const view = openView(readable, request);
    try {
      const header = toWireHeader(readable.header(view.revision));
      let query: RangeQuery | undefined = { ...toQuery(request), maxBytes: FIRST_PAGE_BYTES_MAX };
      const isAwaited = (): boolean => !call.isEnded;
      const nextPage = async (wanted: RangeQuery): Promise<regatta.RangeResponse> => {
        const page = await view.range(wanted, isAwaited);
        query = queryBehind(wanted, page, Math.min(2 * wanted.maxBytes, LATER_PAGE_BYTES_MAX));
        return toRangeResponse(header, page);
      };
      while (query !== undefined) {
        // Between two pages a stream holds only its view, since thousands of streams may be waiting.
        const wanted: RangeQuery = query;
        const room = call.reserve(wanted.maxBytes);
        if (room !== undefined) await room;
        yield await this.#pageTurns.take(() => nextPage(wanted));
      }
    } catch (error) {
      throw tableApiError(error);
    } finally {
      view.close();
    }
  }

  put(request: regatta.PutRequest, call: CallContext): Promise<PutAnswer> {
    const forwarded = this.#leaderCluster?.put(request, call);
    if (forwarded !== undefined) return forwarded;
    const { table, key, value } = request;
    checkTableAndKey(table, key);
    const name = table.toString();
    if (!areKeysShort(key, noBytes)) return this.#refuseExistingTable(name, errors.keyTooLong(), call);
    if (!isValueShort(value)) return this.#refuseExistingTable(name, errors.valueTooLong(), call);
    const command = commandOf(mvcc.Command_CommandType.PUT, table);
    command.kv = { key, value, createRevision: 0n, modRevision: 0n, version: 0n };
    command.prevKvs = request.prevKv;
    return this.#node.kv.propose(name, command, call).then(toPutAnswer);
  }

  /** Deletes a key or a range. `deleted` is always exact; `more` means that not all of the requested pairs fit. */
  deleteRange(request: regatta.DeleteRangeRequest, call: CallContext): Promise<regatta.DeleteRangeResponse> {
    const forwarded = this.#leaderCluster?.deleteRange(request, call);
    if (forwarded !== undefined) return forwarded;
    const { table, key, rangeEnd } = request;
    checkTableAndKey(table, key);
    const name = table.toString();
    if (!areKeysShort(key, rangeEnd)) return this.#refuseExistingTable(name, errors.keyTooLong(), call);
    const command = commandOf(mvcc.Command_CommandType.DELETE, table);
    command.kv = { key, value: noBytes, createRevision: 0n, modRevision: 0n, version: 0n };
    if (rangeEnd.length > 0) command.rangeEnd = rangeEnd;
    command.prevKvs = request.prevKv;
    command.count = request.count;
    return this.#node.kv.propose(name, command, call).then(toDeleteRangeResponse);
  }

  /** Runs a transaction. One that only reads is never proposed, and always linearizable (P3). */
  async txn(request: regatta.TxnRequest, call: CallContext): Promise<regatta.TxnResponse> {
    // A transaction that writes goes unchecked to the leader cluster, which gives the answers (docs/protocol.md §2).
    const leaderCluster = this.#leaderCluster;
    if (leaderCluster !== undefined && !isReadOnly(request)) return leaderCluster.txn(request, call);
    const shape = checkTxnRequest(request);
    const name = request.table.toString();
    if (!shape.areKeysShort) return this.#refuseExistingTable(name, errors.keyTooLong(), call);
    if (!shape.areValuesShort) return this.#refuseExistingTable(name, errors.valueTooLong(), call);
    const { compare, success, failure } = request;
    if (shape.isReadOnly) {
      const readable = await this.#node.kv.read(name, linearizable, call);
      const room = call.reserve(PAGE_SIZE_BYTES_MAX);
      if (room !== undefined) await room;
      return this.#inTurns(call, (isAwaited) => readTxn(readable, { compare, success, failure }, isAwaited));
    }
    const command = commandOf(mvcc.Command_CommandType.TXN, request.table);
    command.txn = { compare, success, failure };
    const { result, header } = await this.#node.kv.propose(name, command, call);
    return { header: toWireHeader(header), succeeded: result.succeeded, responses: result.responses };
  }

  methods(): readonly Method[] {
    return [
      unary({ ...regatta.KVService.range, responseSerialize: encodeRangeAnswer }, (request, call) =>
        this.range(request, call),
      ),
      stream(regatta.KVService.iterateRange, (request, call) => this.iterateRange(request, call)),
      unary({ ...regatta.KVService.put, responseSerialize: encodePutAnswer }, (request, call) =>
        this.put(request, call),
      ),
      unary(regatta.KVService.deleteRange, (request, call) => this.deleteRange(request, call)),
      unary(regatta.KVService.txn, (request, call) => this.txn(request, call)),
    ];
  }

  #readRange(
    readable: ReadableTable,
    request: regatta.RangeRequest,
    call: CallContext,
  ): RangeAnswer | Promise<RangeAnswer> {
    if (isLatestPoint(request)) {
      const room = call.reserve(0);
      return room === undefined
        ? readLatest(readable, request)
        : room.then(() => readLatest(readable, request));
    }
    if (isCacheable(request)) return this.#readCached(readable, request, call, CACHE_FILLS_MAX, false);
    return this.#readStored(readable, request, call);
  }

  /** Answers a range of some pairs with a copy from memory, without a promise when all of it is there. */
  #readCached(
    readable: ReadableTable,
    request: regatta.RangeRequest,
    call: CallContext,
    fillsLeft: number,
    hasRoom: boolean,
  ): RangeAnswer | Promise<RangeAnswer> {
    const limit = toNumber(request.limit);
    let found: ReturnType<ReadableTable['table']['cachedRange']>;
    try {
      found = readable.table.cachedRange(
        { key: request.key, rangeEnd: request.rangeEnd, limit },
        CACHED_SIZE_BYTES_MAX,
      );
    } catch (error) {
      throw tableApiError(error);
    }
    if (found instanceof Gap) {
      if (fillsLeft === 0) return this.#readStored(readable, request, call);
      // One pair more than the limit shows whether there are more.
      return readable.table.fillGap(found, limit === 0 ? Number.MAX_SAFE_INTEGER : limit + 1).then(
        () => this.#readCached(readable, request, call, fillsLeft - 1, hasRoom),
        (error: unknown) => {
          throw tableApiError(error);
        },
      );
    }
    if (found === undefined) return this.#readStored(readable, request, call);
    const room = hasRoom ? undefined : call.reserve(found.sizeBytes);
    if (room !== undefined)
      return room.then(() => this.#readCached(readable, request, call, fillsLeft, true));
    return encodeRange(readable.header(found.revision), found);
  }

  #readStored(
    readable: ReadableTable,
    request: regatta.RangeRequest,
    call: CallContext,
  ): Promise<regatta.RangeResponse> {
    // From here on a page takes some megabytes until it is sent, and a client may ask for thousands at once.
    const read = () => this.#inTurns(call, (isAwaited) => readPage(readable, request, isAwaited));
    const room = call.reserve(PAGE_SIZE_BYTES_MAX);
    return room === undefined ? read() : room.then(read);
  }

  /** Reads a page: its first chunk at once, the rest when it has its turn; see `PAGES_READ_MAX`. */
  async #inTurns<Answer>(
    call: CallContext,
    read: (isAwaited: () => boolean | Promise<boolean>) => Promise<Answer>,
  ): Promise<Answer> {
    let chunkCount = 0;
    try {
      return await read(async () => {
        // The chunk is counted before the wait, so that the turn is taken only once.
        if (++chunkCount === 2) await this.#pageTurns.enter();
        return !call.isEnded;
      });
    } finally {
      if (chunkCount >= 2) this.#pageTurns.leave();
    }
  }

  /** Refuses a request whose only fault comes after the table's existence in the order of checks. */
  async #refuseExistingTable(name: string, refusal: ApiError, call: CallContext): Promise<never> {
    const notFound = errors.tableNotFound();
    try {
      await this.#node.kv.read(name, serializable, call);
    } catch (error) {
      if (error instanceof ApiError && error.status === notFound.status) throw error;
    }
    throw refusal;
  }
}

/** Answers with the latest value of one key, without a promise when the table's files are open. */
function readLatest(
  readable: ReadableTable,
  request: regatta.RangeRequest,
): RangeAnswer | Promise<RangeAnswer> {
  try {
    if (!readable.table.isAwake) return wakeAndReadLatest(readable, request);
    if (!request.countOnly && !request.keysOnly) {
      const found = readable.table.encodedGet(request.key);
      return encodeRange(readable.header(found.revision), found);
    }
    const { record, revision } = readable.table.get(request.key);
    const kvs = record === undefined || request.countOnly ? [] : [toKeyValue(record, request.keysOnly)];
    const count = record === undefined ? 0n : 1n;
    return { header: toWireHeader(readable.header(revision)), kvs, more: false, count };
  } catch (error) {
    throw tableApiError(error);
  }
}

async function wakeAndReadLatest(
  readable: ReadableTable,
  request: regatta.RangeRequest,
): Promise<RangeAnswer> {
  try {
    await readable.table.wake();
  } catch (error) {
    throw tableApiError(error);
  }
  return await readLatest(readable, request);
}

async function readPage(
  readable: ReadableTable,
  request: regatta.RangeRequest,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<regatta.RangeResponse> {
  const view = openView(readable, request);
  try {
    const page = await view.range(toQuery(request), isAwaited);
    return toRangeResponse(toWireHeader(readable.header(view.revision)), page);
  } catch (error) {
    throw tableApiError(error);
  } finally {
    view.close();
  }
}

async function readTxn(
  readable: ReadableTable,
  txn: mvcc.Txn,
  isAwaited: () => boolean | Promise<boolean>,
): Promise<regatta.TxnResponse> {
  const view = openView(readable, { revision: 0n });
  try {
    const { succeeded, responses } = await view.readOnlyTxn(txn, isAwaited);
    return { header: toWireHeader(readable.header(view.revision)), succeeded, responses };
  } catch (error) {
    throw tableApiError(error);
  } finally {
    view.close();
  }
}

function openView(
  readable: ReadableTable,
  { revision }: { revision: bigint },
): ReturnType<ReadableTable['table']['view']> {
  try {
    return readable.table.view(revision === 0n ? undefined : toNumber(revision));
  } catch (error) {
    throw tableApiError(error);
  }
}

/** Returns whether a request asks for a range as it is now, for whole pairs, and leaves none out. */
function isCacheable(request: regatta.RangeRequest): boolean {
  return (
    request.rangeEnd.length > 0 && !request.keysOnly && !request.countOnly && isLatestUnfiltered(request)
  );
}

function encodeRangeAnswer(answer: RangeAnswer): Buffer {
  return Buffer.isBuffer(answer) ? answer : regatta.KVService.range.responseSerialize(answer);
}

/** Returns whether a request asks for one key as it is now, which a point read answers. */
function isLatestPoint(request: regatta.RangeRequest): boolean {
  return request.rangeEnd.length === 0 && isLatestUnfiltered(request);
}

function isLatestUnfiltered(request: regatta.RangeRequest): boolean {
  return (
    request.revision === 0n &&
    request.minModRevision === 0n &&
    request.maxModRevision === 0n &&
    request.minCreateRevision === 0n &&
    request.maxCreateRevision === 0n
  );
}

function toQuery(request: regatta.RangeRequest): RangeQuery {
  return {
    key: request.key,
    rangeEnd: request.rangeEnd,
    limit: toNumber(request.limit),
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    minModRevision: toNumber(request.minModRevision),
    maxModRevision: toNumber(request.maxModRevision),
    minCreateRevision: toNumber(request.minCreateRevision),
    maxCreateRevision: toNumber(request.maxCreateRevision),
    maxBytes: PAGE_SIZE_BYTES_MAX,
  };
}

/**
 * Returns the query for the rest of a range after a page, with a page of at most `maxBytes`; undefined when that was
 * the last page.
 */
function queryBehind(
  query: RangeQuery,
  { nextKey, count }: RangePage,
  maxBytes: number,
): RangeQuery | undefined {
  if (nextKey === undefined) return undefined;
  return { ...query, key: nextKey, limit: query.limit === 0 ? 0 : query.limit - count, maxBytes };
}

function toRangeResponse(header: regatta.ResponseHeader, page: RangePage): regatta.RangeResponse {
  return {
    header,
    kvs: page.records.map((record) => toKeyValue(record, false)),
    more: page.more,
    count: BigInt(page.count),
  };
}

function toKeyValue(record: KeyRecord, keysOnly: boolean): mvcc.KeyValue {
  return {
    key: record.key,
    createRevision: BigInt(record.createRevision),
    modRevision: BigInt(record.modRevision),
    value: keysOnly ? noBytes : record.value,
    version: BigInt(record.version),
  };
}

function toPutAnswer({ result, header }: Proposed): PutAnswer {
  const response = result.responses[0]?.response;
  const prevKv = response?.$case === 'responsePut' ? response.value.prevKv : undefined;
  return prevKv === undefined ? encodePut(header) : { header: toWireHeader(header), prevKv };
}

function encodePutAnswer(answer: PutAnswer): Buffer {
  return Buffer.isBuffer(answer) ? answer : regatta.KVService.put.responseSerialize(answer);
}

function toDeleteRangeResponse({ result, header }: Proposed): regatta.DeleteRangeResponse {
  const response = result.responses[0]?.response;
  const { deleted, prevKvs, more } =
    response?.$case === 'responseDeleteRange' ? response.value : { deleted: 0n, prevKvs: [], more: false };
  return { header: toWireHeader(header), deleted, prevKvs, more };
}

function commandOf(type: mvcc.Command_CommandType, table: Buffer): mvcc.Command {
  return { type, table, kv: undefined, batch: [], prevKvs: false, sequence: [], count: false };
}

function toWireHeader(header: Header): regatta.ResponseHeader {
  return {
    shardId: BigInt(header.shardId),
    replicaId: BigInt(header.replicaId),
    revision: BigInt(header.revision),
    raftTerm: BigInt(header.raftTerm),
    raftLeaderId: BigInt(header.raftLeaderId),
  };
}
