import { errors } from '@coxswain/node';
import type { mvcc, regatta } from '@coxswain/protocol';
import { rangeId } from '@coxswain/table';

/** The longest key, or end of a range, in bytes. */
const KEY_SIZE_BYTES_MAX = 1024;
/** The longest value in bytes. */
const VALUE_SIZE_BYTES_MAX = 2 * 1024 * 1024;

/** The most operations of each kind over ranges in a transaction, since each may visit every key of its table (A4). */
const RANGES_MAX = 1024;
const RANGE_DELETIONS_MAX = 128;
const RANGE_COMPARES_MAX = 64;

const greatestSafe = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Converts an int64 of a request into a number. A value above 2^53-1 becomes 2^53-1: as a limit or an upper bound that
 * excludes nothing, and as a lower bound it matches nothing, since revisions are below it.
 */
export function toNumber(value: bigint): number {
  return value > greatestSafe ? Number.MAX_SAFE_INTEGER : Number(value);
}

/**
 * Checks a Range or IterateRange in the order of docs/protocol.md §2, up to the table's existence. Throws the error of
 * the first check that fails.
 */
export function checkRangeRequest(request: regatta.RangeRequest): void {
  checkRangeShape(request);
  checkNotNegative('min_mod_revision', request.minModRevision);
  checkNotNegative('max_mod_revision', request.maxModRevision);
  checkNotNegative('min_create_revision', request.minCreateRevision);
  checkNotNegative('max_create_revision', request.maxCreateRevision);
  checkNotNegative('revision', request.revision);
  if (request.table.length === 0) throw errors.tableNotSet();
  // As in Armada, a range without a first key begins with the first key of the table.
  if (request.key.length === 0 && request.rangeEnd.length === 0) throw errors.keyNotSet();
}

function checkRangeShape(request: { limit: bigint; keysOnly: boolean; countOnly: boolean }): void {
  if (request.limit < 0n) throw errors.limitNegative();
  if (request.keysOnly && request.countOnly) throw errors.keysOnlyAndCountOnly();
}

function checkNotNegative(field: string, value: bigint): void {
  if (value < 0n) throw errors.revisionNegative(field);
}

/** Checks the part of a Put or DeleteRange that comes before the table's existence. Errors: tableNotSet, keyNotSet. */
export function checkTableAndKey(table: Buffer, key: Buffer): void {
  if (table.length === 0) throw errors.tableNotSet();
  if (key.length === 0) throw errors.keyNotSet();
}

/** Returns whether key and range_end are short enough. It is checked after the table's existence. */
export function areKeysShort(key: Buffer, rangeEnd: Buffer): boolean {
  return key.length <= KEY_SIZE_BYTES_MAX && rangeEnd.length <= KEY_SIZE_BYTES_MAX;
}

/** Returns whether the value is short enough. It is checked last. */
export function isValueShort(value: Buffer): boolean {
  return value.length <= VALUE_SIZE_BYTES_MAX;
}

/** Returns true when every operation in both branches is a Range, or there is none. */
export function isReadOnly({ success, failure }: regatta.TxnRequest): boolean {
  const reads = ({ request }: mvcc.RequestOp): boolean => request?.$case === 'requestRange';
  return success.every(reads) && failure.every(reads);
}

/** The facts about a transaction's operations that are checked later. */
export interface TxnShape {
  /**
   * True when every operation in both branches is a Range, or there is none, so that the transaction is never proposed
   * (P3).
   */
  readonly isReadOnly: boolean;
  readonly areKeysShort: boolean;
  readonly areValuesShort: boolean;
}

/**
 * Checks a transaction up to the table's existence, and returns what must be checked after that. Its keys and values
 * have the limits of Put. All of it comes before proposing, since apply refuses nothing (A3).
 */
export function checkTxnRequest(request: regatta.TxnRequest): TxnShape {
  const shape = { isReadOnly: true, areKeysShort: true, areValuesShort: true };
  let isKeyMissing = false;
  const lookAtKeys = (key: Buffer, rangeEnd: Buffer): void => {
    if (key.length === 0) isKeyMissing = true;
    if (!areKeysShort(key, rangeEnd)) shape.areKeysShort = false;
  };
  const lookAt = ({ request: operation }: mvcc.RequestOp): void => {
    switch (operation?.$case) {
      case 'requestRange':
        checkRangeShape(operation.value);
        lookAtKeys(operation.value.key, operation.value.rangeEnd);
        break;
      case 'requestPut':
        shape.isReadOnly = false;
        lookAtKeys(operation.value.key, noBytes);
        if (!isValueShort(operation.value.value)) shape.areValuesShort = false;
        break;
      case 'requestDeleteRange':
        shape.isReadOnly = false;
        lookAtKeys(operation.value.key, operation.value.rangeEnd);
        break;
      case undefined:
        throw errors.operationNotSet();
    }
  };
  for (const { result, target, key, rangeEnd, targetUnion } of request.compare) {
    if (result < 0 || result > 3 || target < 0 || target > 3) throw errors.compareUnknown();
    lookAtKeys(key, rangeEnd);
    if (targetUnion?.$case === 'value' && !isValueShort(targetUnion.value)) shape.areValuesShort = false;
  }
  for (const operation of request.success) lookAt(operation);
  for (const operation of request.failure) lookAt(operation);
  checkRangeCounts(request);
  if (request.table.length === 0) throw errors.tableNotSet();
  if (isKeyMissing) throw errors.keyNotSet();
  return shape;
}

/**
 * Limits the ranges of each branch, and of the compares, to as many as can be read without holding others up (A4).
 * Equal ranges without a write between them are read once, and count once.
 */
function checkRangeCounts({ compare, success, failure }: regatta.TxnRequest): void {
  if (compare.filter(({ rangeEnd }) => rangeEnd.length > 0).length > RANGE_COMPARES_MAX) {
    throw errors.tooManyRanges('compares', RANGE_COMPARES_MAX);
  }
  checkBranch(success);
  checkBranch(failure);
}

function checkBranch(operations: readonly mvcc.RequestOp[]): void {
  let rangeCount = 0;
  let deletionCount = 0;
  const known = new Set<string>();
  for (const { request } of operations) {
    if (request?.$case !== 'requestRange') known.clear();
    if (request?.$case === 'requestDeleteRange' && request.value.rangeEnd.length > 0) deletionCount += 1;
    if (request?.$case !== 'requestRange' || request.value.rangeEnd.length === 0) continue;
    const id = rangeId(request.value);
    if (!known.has(id)) rangeCount += 1;
    known.add(id);
  }
  if (rangeCount > RANGES_MAX) throw errors.tooManyRanges('different ranges', RANGES_MAX);
  if (deletionCount > RANGE_DELETIONS_MAX) throw errors.tooManyRanges('deletions', RANGE_DELETIONS_MAX);
}

const noBytes = Buffer.alloc(0);
