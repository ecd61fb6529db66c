import type { ChangeAnswer, OperationAnswer, Pair, RangeAnswer, TxnAnswer } from '@coxswain/console';
import { errors, type NodeParts } from '@coxswain/node';
import { mvcc, regatta } from '@coxswain/protocol';
import { type Clock, Semaphore } from '@coxswain/runtime';
import type { CallContext } from '../../grpc/call.js';
import type { KvService } from '../../services/kv-service.js';
import { isReadOnly } from '../../services/requests.js';
import { consoleErrors } from './console-errors.js';
import type { RequestBody } from './request-body.js';

/** Requests that are answered at a time, since an answer takes some megabytes while it is made; more wait. */
const REQUESTS_MAX = 4;
const CALL_MS = 5_000;
const PAIRS_MAX = 1_000;
const VALUE_BYTES_MAX = 2 * 1024 * 1024;
/** Operations of a branch, and compares, of one transaction. */
const OPERATIONS_MAX = 1_000;
const noBytes = Buffer.alloc(0);

type Kv = Pick<KvService, 'range' | 'txn'>;

/**
 * Reads and changes pairs for the console, by the handlers of regatta.v1.KV, so that everything that they check is
 * checked. What is changed is compared first with what the operator saw, in one transaction: a change that somebody else
 * has made meanwhile is never overwritten.
 */
export class DataBrowser {
  readonly #kv: Kv;
  readonly #node: Pick<NodeParts, 'cluster'>;
  readonly #clock: Clock;
  readonly #turns = new Semaphore(REQUESTS_MAX);

  constructor(kv: Kv, node: Pick<NodeParts, 'cluster'>, clock: Clock) {
    this.#kv = kv;
    this.#node = node;
    this.#clock = clock;
  }

  /** A page of pairs, one pair, or their number. Errors: badRequest, and those of KV.Range. */
  range(body: RequestBody, signal: AbortSignal): Promise<RangeAnswer> {
    const isCountOnly = body.flag('isCountOnly');
    const limit = body.has('limit') ? body.count('limit', 1, PAIRS_MAX) : PAIRS_MAX;
    const valueBytesMax = body.has('valueBytesMax')
      ? body.count('valueBytesMax', 0, VALUE_BYTES_MAX)
      : VALUE_BYTES_MAX;
    const request = regatta.RangeRequest.fromPartial({
      table: Buffer.from(body.text('table')),
      key: body.bytes('key'),
      rangeEnd: body.optionalBytes('rangeEnd'),
      linearizable: !body.flag('isLocal'),
      countOnly: isCountOnly,
      limit: isCountOnly ? 0n : BigInt(limit),
    });
    return this.#turns.take(async () => {
      const answer = await this.#kv.range(request, this.#call(signal));
      const { header, kvs, more, count } = Buffer.isBuffer(answer)
        ? regatta.RangeResponse.decode(answer)
        : answer;
      return {
        pairs: kvs.map((kv) => toPair(kv, valueBytesMax)),
        hasMore: more,
        count: Number(count),
        revision: String(header?.revision ?? 0n),
      };
    });
  }

  /** Puts a pair where its key is what was expected. Errors: badRequest, and those of KV.Txn. */
  put(body: RequestBody, signal: AbortSignal): Promise<ChangeAnswer> {
    const key = body.bytes('key');
    const put = mvcc.RequestOp_Put.fromPartial({ key, value: body.bytes('value') });
    return this.#change(body, key, { $case: 'requestPut', value: put }, signal);
  }

  /** Deletes a key that is what was expected. Errors: badRequest, and those of KV.Txn. */
  delete(body: RequestBody, signal: AbortSignal): Promise<ChangeAnswer> {
    const key = body.bytes('key');
    const deletion = mvcc.RequestOp_DeleteRange.fromPartial({ key });
    return this.#change(body, key, { $case: 'requestDeleteRange', value: deletion }, signal);
  }

  /** Reads a transaction from a request. Errors: badRequest. */
  readTxn(body: RequestBody): regatta.TxnRequest {
    const compare = body.objects('compare');
    const success = body.objects('success');
    const failure = body.objects('failure');
    if (Math.max(compare.length, success.length, failure.length) > OPERATIONS_MAX)
      throw consoleErrors.badRequest(`at most ${OPERATIONS_MAX} compares or operations of a branch`);
    return {
      table: Buffer.from(body.text('table')),
      compare: compare.map(toCompare),
      success: success.map(toOperation),
      failure: failure.map(toOperation),
    };
  }

  /** Whether the transaction changes nothing whatever it finds. */
  isReadOnly(request: regatta.TxnRequest): boolean {
    return isReadOnly(request);
  }

  /** Errors: those of KV.Txn. */
  txn(request: regatta.TxnRequest, signal: AbortSignal): Promise<TxnAnswer> {
    return this.#turns.take(async () => {
      const { succeeded, header, responses } = await this.#kv.txn(request, this.#call(signal));
      return {
        succeeded,
        revision: String(header?.revision ?? 0n),
        responses: responses.map(toOperationAnswer),
      };
    });
  }

  async #change(
    body: RequestBody,
    key: Buffer,
    operation: NonNullable<mvcc.RequestOp['request']>,
    signal: AbortSignal,
  ): Promise<ChangeAnswer> {
    const table = Buffer.from(body.text('table'));
    const expected = this.#expected(body.object('expected'), key);
    const change: mvcc.RequestOp[] = [{ request: operation }];
    // That a key is absent is the failure of the test whether it exists, which stock servers know too.
    const branches = expected.isAbsent ? { success: [], failure: change } : { success: change, failure: [] };
    return await this.#turns.take(async () => {
      const request: regatta.TxnRequest = { table, compare: [expected.compare], ...branches };
      const { succeeded, header } = await this.#kv.txn(request, this.#call(signal));
      return { isDone: succeeded !== expected.isAbsent, revision: String(header?.revision ?? 0n) };
    });
  }

  #expected(
    expected: RequestBody,
    key: Buffer,
  ): { readonly isAbsent: boolean; readonly compare: mvcc.Compare } {
    const { EQUAL } = mvcc.Compare_CompareResult;
    const { VALUE, MOD } = mvcc.Compare_CompareTarget;
    const compare = { result: EQUAL, key, rangeEnd: noBytes };
    if (expected.flag('isAbsent'))
      return { isAbsent: true, compare: { ...compare, target: VALUE, targetUnion: undefined } };
    if (expected.has('value')) {
      const value = expected.bytes('value');
      return {
        isAbsent: false,
        compare: { ...compare, target: VALUE, targetUnion: { $case: 'value', value } },
      };
    }
    if (this.#node.cluster.role === 'follower')
      throw consoleErrors.badRequest(
        'on a follower cluster expected must have the value: its revisions are not those of the leader cluster',
      );
    const value = expected.int64('modRevision');
    return {
      isAbsent: false,
      compare: { ...compare, target: MOD, targetUnion: { $case: 'modRevision', value } },
    };
  }

  #call(signal: AbortSignal): CallContext {
    if (signal.aborted) throw errors.timeout();
    const deadlineMs = this.#clock.monotonicMs() + CALL_MS;
    return {
      deadlineMs,
      openingDeadlineMs: deadlineMs,
      metadata: () => undefined,
      setTrailer: () => undefined,
      get isEnded() {
        return signal.aborted;
      },
      signal,
      reserve: () => undefined,
      peer: '',
    };
  }
}

const results = {
  equal: mvcc.Compare_CompareResult.EQUAL,
  greater: mvcc.Compare_CompareResult.GREATER,
  less: mvcc.Compare_CompareResult.LESS,
  notEqual: mvcc.Compare_CompareResult.NOT_EQUAL,
} as const;

function toCompare(body: RequestBody): mvcc.Compare {
  const target = body.choice('target', ['exists', 'value', 'version', 'create', 'mod']);
  const { VALUE, VERSION, CREATE, MOD } = mvcc.Compare_CompareTarget;
  const compare = {
    key: body.bytes('key'),
    rangeEnd: body.optionalBytes('rangeEnd'),
    result: results[body.choice('result', ['equal', 'greater', 'less', 'notEqual'])],
  };
  switch (target) {
    case 'exists':
      return { ...compare, target: VALUE, targetUnion: undefined };
    case 'value':
      return { ...compare, target: VALUE, targetUnion: { $case: 'value', value: body.bytes('operand') } };
    case 'version':
      return { ...compare, target: VERSION, targetUnion: { $case: 'version', value: body.int64('operand') } };
    case 'create':
      return {
        ...compare,
        target: CREATE,
        targetUnion: { $case: 'createRevision', value: body.int64('operand') },
      };
    case 'mod':
      return { ...compare, target: MOD, targetUnion: { $case: 'modRevision', value: body.int64('operand') } };
  }
}

function toOperation(body: RequestBody): mvcc.RequestOp {
  if (body.has('put')) {
    const put = body.object('put');
    const value = mvcc.RequestOp_Put.fromPartial({
      key: put.bytes('key'),
      value: put.bytes('value'),
      prevKv: put.flag('prevKv'),
    });
    return { request: { $case: 'requestPut', value } };
  }
  if (body.has('delete')) {
    const deletion = body.object('delete');
    const value = mvcc.RequestOp_DeleteRange.fromPartial({
      key: deletion.bytes('key'),
      rangeEnd: deletion.optionalBytes('rangeEnd'),
      count: deletion.flag('count'),
    });
    return { request: { $case: 'requestDeleteRange', value } };
  }
  const range = body.object('range');
  const value = mvcc.RequestOp_Range.fromPartial({
    key: range.bytes('key'),
    rangeEnd: range.optionalBytes('rangeEnd'),
    limit: BigInt(range.has('limit') ? range.count('limit', 1, PAIRS_MAX) : PAIRS_MAX),
  });
  return { request: { $case: 'requestRange', value } };
}

function toOperationAnswer({ response }: mvcc.ResponseOp): OperationAnswer {
  switch (response?.$case) {
    case 'responsePut': {
      const { prevKv } = response.value;
      return { put: prevKv === undefined ? {} : { prevKv: toPair(prevKv, VALUE_BYTES_MAX) } };
    }
    case 'responseDeleteRange':
      return { delete: { deleted: String(response.value.deleted) } };
    case 'responseRange': {
      const { kvs, more, count } = response.value;
      const pairs = kvs.map((kv) => toPair(kv, VALUE_BYTES_MAX));
      return { range: { pairs, hasMore: more, count: Number(count) } };
    }
    case undefined:
      throw new Error('a transaction was answered with an operation that is none');
  }
}

function toPair(kv: mvcc.KeyValue, valueBytesMax: number): Pair {
  return {
    key: kv.key.toString('base64'),
    value: kv.value.subarray(0, valueBytesMax).toString('base64'),
    valueBytes: kv.value.length,
    createRevision: String(kv.createRevision),
    modRevision: String(kv.modRevision),
    version: String(kv.version),
  };
}
