import type { mvcc } from '@coxswain/protocol';
import { boundsOf } from './key-bounds.js';
import { createRevisionOf, modRevisionOf, valueIn, versionOf } from './layout.js';
import type { ApplyResult, KeyRecord, RangePage, RangeQuery, TableEntry } from './types.js';

/** A page of a response ends before this many encoded bytes: what Regatta leaves of its 4 MiB message. */
export const RESPONSE_SIZE_BYTES_MAX = 4 * 1024 * 1024 - 1024;

/** What an entry answers that answers nothing. */
export const NO_RESPONSES: mvcc.ResponseOp[] = [];

export function toKeyValue(key: Buffer, record: Buffer): mvcc.KeyValue {
  return {
    key,
    createRevision: BigInt(createRevisionOf(record)),
    modRevision: BigInt(modRevisionOf(record)),
    value: valueIn(record),
    version: BigInt(versionOf(record)),
  };
}

function keyValueOf(record: KeyRecord): mvcc.KeyValue {
  return {
    key: record.key,
    createRevision: BigInt(record.createRevision),
    modRevision: BigInt(record.modRevision),
    value: record.value,
    version: BigInt(record.version),
  };
}

/** `more`: there was a pair before, and it did not fit. */
export function putResponse(previous: mvcc.KeyValue | undefined, more: boolean): mvcc.ResponseOp {
  return { response: { $case: 'responsePut', value: { prevKv: previous, more } } };
}

export function deleteRangeResponse(
  deletedCount: number,
  previous: mvcc.KeyValue[],
  more: boolean,
): mvcc.ResponseOp {
  return {
    response: {
      $case: 'responseDeleteRange',
      value: { deleted: BigInt(deletedCount), prevKvs: previous, more },
    },
  };
}

export function rangeResponse(page: RangePage): mvcc.ResponseOp {
  return {
    response: {
      $case: 'responseRange',
      value: { kvs: page.records.map(keyValueOf), more: page.more, count: BigInt(page.count) },
    },
  };
}

/** The query of a Txn's Range. A limit past 2^53-1 is clamped; one below 1 is none. */
export function toRangeQuery(range: mvcc.RequestOp_Range, maxBytes: number): RangeQuery {
  const limitMax = BigInt(Number.MAX_SAFE_INTEGER);
  return {
    key: range.key,
    ...(boundsOf(range.key, range.rangeEnd) !== undefined && { rangeEnd: range.rangeEnd }),
    limit: range.limit <= 0n ? 0 : Number(range.limit > limitMax ? limitMax : range.limit),
    keysOnly: range.keysOnly,
    countOnly: range.countOnly,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    maxBytes,
  };
}

/** What an entry gives that answers nothing. `revision`: of the table after it. */
export function emptyResult(
  { index }: TableEntry,
  revision: number,
  sealedBy: number | undefined,
  hasStaleCursor: boolean,
): ApplyResult {
  return {
    index,
    revision,
    succeeded: sealedBy === undefined,
    responses: NO_RESPONSES,
    hasStaleCursor,
    sealedBy,
  };
}
