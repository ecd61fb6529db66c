import type { mvcc } from '@coxswain/protocol';
import { boundsOf } from './key-bounds.js';
import { createRevisionOf, modRevisionOf, valueIn, versionOf } from './layout.js';
import type { ApplyResult, KeyRecord, RangePage, RangeQuery, TableEntry } from './types.js';

/**
 * The size before which the encoded pairs of a page of a response end, in bytes: as much as Regatta leaves for them in
 * a message of 4 MiB.
 */
export const RESPONSE_SIZE_BYTES_MAX = 4 * 1024 * 1024 - 1024;

/** The responses of an entry that answers nothing. */
export const NO_RESPONSES: mvcc.ResponseOp[] = [];

/** Returns a stored pair in the form of the API. The value shares the record's memory. */
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

/** Makes the response of a put. `more` means that there was a pair before, and it did not fit. */
export function putResponse(previous: mvcc.KeyValue | undefined, more: boolean): mvcc.ResponseOp {
  return { response: { $case: 'responsePut', value: { prevKv: previous, more } } };
}

/** Makes the response of a deletion. `more` means that some deleted pairs did not fit. */
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

/** Makes the response of a Range from its first page. */
export function rangeResponse(page: RangePage): mvcc.ResponseOp {
  return {
    response: {
      $case: 'responseRange',
      value: { kvs: page.records.map(keyValueOf), more: page.more, count: BigInt(page.count) },
    },
  };
}

/** Converts a Txn's Range into a query. A limit above 2^53-1 is lowered to that; one below 1 means no limit. */
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

/** Returns the result of an entry that answers nothing. `revision` is that of the table after the entry. */
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
